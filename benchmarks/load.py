"""The load generator: posts prepared bodies over connections that stay open, as fast as they are answered."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from benchmarks.populations import report_json, token_of


class LoadFailedError(Exception):
    """A post was not answered with 200, or the line broke; the text shows the answer."""


class Reports:
    """Endless posts to one address: every server in turn, its sequence one higher in each round."""

    def __init__(self, url: str, servers: int) -> None:
        parts = urlsplit(url)
        self.address = parts.hostname or "127.0.0.1", parts.port or 80
        self._bodies = [
            json.dumps(report_json(number)).partition('"sequence": 0') for number in range(servers)
        ]
        self._heads = [
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {token_of(number)}\r\nContent-Length: "
            for number in range(servers)
        ]
        self._next = self._posts()

    def _posts(self) -> Iterator[bytes]:
        sequence = 0
        while True:
            sequence += 1
            for head, (before, _, after) in zip(self._heads, self._bodies, strict=True):
                body = f'{before}"sequence": {sequence}{after}'
                yield f"{head}{len(body)}\r\n\r\n{body}".encode()

    def take(self, count: int) -> list[bytes]:
        """Return the next posts, ready to be sent."""
        return [next(self._next) for _ in range(count)]


class _Connection(asyncio.Protocol):
    """Sends one post after the other, each when the last was answered."""

    def __init__(self, posts: Iterator[bytes], done: asyncio.Future[None]) -> None:
        self._posts, self._done = posts, done
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP
        self._transport = transport
        self._send()

    def _send(self) -> None:
        post = next(self._posts, None)
        if post is not None:
            self._transport.write(post)
            return
        self._transport.close()
        if not self._done.done():
            self._done.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
        if len(body) < length:
            return
        if not head.startswith(b"HTTP/1.1 200 ") and not self._done.done():
            self._done.set_exception(LoadFailedError(self._answer.decode(errors="replace")))
            self._transport.close()
            return
        self._answer = b""
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or LoadFailedError("the connection was closed"))


async def post_all(address: tuple[str, int], posts: list[bytes], connections: int) -> float:
    """Post all of it over so many connections, and return the seconds from first to last.

    Raises:
        LoadFailedError: when anything is not answered with 200.

    """
    loop = asyncio.get_running_loop()
    waiting = iter(posts)
    begun = time.perf_counter()
    ended: list[asyncio.Future[None]] = []
    for _ in range(connections):
        done = loop.create_future()
        ended.append(done)
        await loop.create_connection(lambda done=done: _Connection(waiting, done), *address)  # type: ignore[misc]
    await asyncio.gather(*ended)
    return time.perf_counter() - begun
