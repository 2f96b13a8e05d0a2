"""A pipe into a server: what comes in goes into a websocket, and what comes out of it goes out.

Its arguments are the websocket's address and a token.
"""

import asyncio
import sys

import aiohttp


async def main(url: str, token: str) -> None:
    """Go on until one side ends."""
    headers = {"Authorization": f"token {token}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.ws_connect(url) as socket:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

        async def send() -> None:
            while data := await reader.read(65_536):
                await socket.send_bytes(data)
            await socket.close()

        sending = asyncio.create_task(send())
        async for message in socket:
            sys.stdout.buffer.write(message.data)
            sys.stdout.buffer.flush()
        sending.cancel()


asyncio.run(main(sys.argv[1], sys.argv[2]))
