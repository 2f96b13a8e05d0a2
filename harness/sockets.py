"""A websocket as a browser holds one: pings are answered, messages are kept, until it is closed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp

from harness.background import run
from harness.waiting import wait_until


class Socket:
    """An open websocket at ``url`` with JSON messages; ``received`` is what came, in order.

    Raises:
        ConnectionError: when the server does not accept it.
        TimeoutError: when it has not within ``within`` seconds. That of a kernel is accepted when the kernel
            has answered, which a slow one does late.

    """

    def __init__(self, url: str, token: str, within: float = 30) -> None:
        self.url = url
        self.received: list[Any] = []
        self._headers = {"Authorization": f"token {token}"}
        run(self._open(), within)

    async def _open(self) -> None:
        self._session = aiohttp.ClientSession()
        try:
            self._socket = await self._session.ws_connect(
                self.url.replace("http", "ws", 1), headers=self._headers, max_msg_size=0
            )
        except aiohttp.ClientError as error:
            await self._session.close()
            raise ConnectionError(f"{self.url}: {error}") from error
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for message in self._socket:  # aiohttp answers pings while somebody reads
                if message.type is aiohttp.WSMsgType.TEXT:
                    self.received.append(json.loads(message.data))
        finally:
            await self._session.close()

    @property
    def open(self) -> bool:
        """Whether both sides hold it open."""
        return not self._socket.closed

    def send(self, message: object) -> None:
        """Send one message."""
        run(self._socket.send_str(json.dumps(message)))

    def send_bytes(self, message: bytes) -> None:
        """Send one binary message."""
        run(self._socket.send_bytes(message))

    def wait_for(self, what: str, within: float = 20, **fields: object) -> Any:
        """Wait for a message object with these fields and return it; ``what`` is for the error.

        Raises:
            TimeoutError: when none came within ``within`` seconds.
            ConnectionError: when the socket was closed before it came.

        """

        def look() -> Any:
            for message in self.received:
                if isinstance(message, dict) and all(_field(message, k) == v for k, v in fields.items()):
                    return message
            if self._socket.closed:
                raise ConnectionError(f"{self.url} was closed before: {what}")
            return None

        return wait_until(look, within, what, every=0.05)

    def close(self) -> None:
        """Close it, as a browser does with its tab; closing twice does no harm."""

        async def close() -> None:
            await self._socket.close()
            await self._reader

        run(close())


def _field(message: dict[str, Any], name: str) -> object:
    """Return a field by its dotted name with `__` for the dot, None where it is not there."""
    found: Any = message
    for part in name.split("__"):
        found = found.get(part) if isinstance(found, dict) else None
    return found
