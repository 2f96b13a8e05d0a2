"""Laws of transfers, on a real server: a download or an upload counts while its bytes move, and no longer."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import tornado.httpserver
import tornado.netutil
import tornado.web
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join

from hubcull_server_ext import clock, wire
from hubcull_server_ext.signals.apps import AppsSource, is_proxied
from hubcull_server_ext.signals.hook import RequestHook
from hubcull_server_ext.signals.requests import RequestsSource
from hubcull_server_ext.signals.transfers import Transfers
from tests.component.ext.waiting import until

SIZE = 64 << 20
PIECE = 256 << 10


class Streamed(JupyterHandler):
    """Somebody's own answer without end, of a kind that the address names."""

    @tornado.web.authenticated
    async def get(self) -> None:
        """Push."""
        self.set_header("Content-Type", self.get_argument("kind"))
        while True:
            self.write("data: tick\n\n")
            await self.flush()
            await asyncio.sleep(0.02)


class Large(tornado.web.RequestHandler):
    """An app's file."""

    def get(self) -> None:
        """Answer."""
        self.finish(bytes(32 << 20))


class Door:
    """Both sources on a real server, with a look whenever the test says so."""

    def __init__(self, app: ServerApp) -> None:
        self.app = app
        application: Any = app.web_app
        self.transfers = Transfers(application)
        hook = RequestHook(app.web_app.settings, self.transfers)
        self.source = RequestsSource(hook, clock.monotonic, elsewhere=is_proxied)
        self.apps = AppsSource(hook, clock.monotonic, ())
        self.source.reconcile()

    def look(self) -> list[str]:
        """Look once, and return what counts and is newer than this look."""
        begun = clock.monotonic()
        self.source.sample()
        now = clock.monotonic()
        found = [*self.source.collect(now), *self.apps.collect(now)]
        new = [s for s in found if s.clock is wire.Clock.PRESENCE and (s.age or 0.0) <= now - begun]
        return [f"{s.kind} {s.label or s.source} {bool(s.actor)}" for s in new]

    def in_flight(self) -> int:
        """Return how many requests a look finds in flight."""
        self.transfers.moving()
        return len(self.transfers)

    async def begun(self) -> None:
        """Wait until something is in flight."""
        await until(lambda: self.in_flight() > 0)

    @asynccontextmanager
    async def ask(self, head: str, token: str | None = None) -> AsyncIterator[Wire]:
        """Send a request as far as ``head``, the path with method and headers, and hold its connection."""
        method, path, *headers = head.split("\n")
        auth = self.app.identity_provider.token if token is None else token
        reader, writer = await asyncio.open_connection("127.0.0.1", self.app.port, limit=PIECE)
        peer: socket.socket = writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE)  # as of a slow network
        lines = [f"{method} {url_path_join(self.app.base_url, path)} HTTP/1.1", "Host: localhost", *headers]
        lines += [f"Authorization: token {auth}"] if auth else []
        writer.write("\r\n".join([*lines, "", ""]).encode())
        await writer.drain()
        try:
            yield Wire(reader, writer)
        finally:
            writer.transport.abort()


class Wire:
    """A client's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def takes(self, size: int) -> None:
        """Read so much."""
        while size > 0:
            got = await asyncio.wait_for(self.reader.read(min(size, PIECE)), 15)
            assert got, "the server has closed it"
            size -= len(got)

    async def gives(self, data: bytes) -> None:
        """Send."""
        self.writer.write(data)
        await self.writer.drain()


@pytest.fixture
def app_port() -> Iterator[socket.socket]:
    """Take a port for the app before the server is configured."""
    (found,) = tornado.netutil.bind_sockets(0, "127.0.0.1")
    yield found
    found.close()


@pytest.fixture
def jp_server_config(app_port: socket.socket) -> dict[str, Any]:
    """Put an app behind the proxy, twice."""
    port = app_port.getsockname()[1]
    servers = {"app": {"port": port}, "unseen": {"port": port, "update_last_activity": False}}
    extensions = {"jupyter_server_proxy": True}
    return {"ServerApp": {"jpserver_extensions": extensions}, "ServerProxy": {"servers": servers}}


@pytest.fixture
def door(
    jp_serverapp: ServerApp,
    app_port: socket.socket,
    jp_asyncio_loop: asyncio.AbstractEventLoop,
    jp_root_dir: Path,
    jp_fetch: Callable[..., Any],
) -> Iterator[Door]:
    """Watch a real server that has a large file, a stranger's stream, and an app."""
    assert callable(jp_fetch), "it is what makes the server listen"
    application: Any = jp_serverapp.web_app
    application.add_handlers(".*$", [(url_path_join(jp_serverapp.base_url, "streamed"), Streamed)])
    with (jp_root_dir / "big.bin").open("wb") as big:
        os.truncate(big.fileno(), SIZE)
    server = tornado.httpserver.HTTPServer(tornado.web.Application([(r"/.*", Large)]))

    async def serve() -> None:
        server.add_sockets([app_port])

    jp_asyncio_loop.run_until_complete(serve())
    door = Door(jp_serverapp)
    yield door
    door.source.stop()
    server.stop()


async def settled(door: Door) -> None:
    """Wait until nothing moves any more: what stood between the two ends has filled, or is gone."""
    quiet = 0
    while quiet < 5:
        await asyncio.sleep(0.05)
        quiet = 0 if door.look() else quiet + 1


DOWNLOAD = "GET\nfiles/big.bin"


async def test_a_download_counts_while_its_bytes_move_and_no_longer(door: Door) -> None:
    """As often as something was taken of it; one that stalls grows old, and goes on where it stood."""
    async with door.ask(DOWNLOAD) as client:
        await door.begun()
        await settled(door)
        for _ in range(3):
            await client.takes(16 * PIECE)
            assert door.look() == ["api_read AuthenticatedFileHandler GET True"]
            await settled(door)
        await asyncio.sleep(0.3)
        assert door.look() == []
        assert door.in_flight() == 1
    await until(lambda: door.look() == [] and door.in_flight() == 0)


async def test_a_download_that_ends_is_forgotten_and_was_seen_to_end(door: Door) -> None:
    """Its end is an act, as that of every request; the connection's next request is another."""
    async with door.ask(DOWNLOAD) as client:
        await door.begun()
        door.look()
        await client.takes(SIZE)
        await until(lambda: door.in_flight() == 0)
        assert [s.label for s in door.source.collect(clock.monotonic())] == ["AuthenticatedFileHandler GET"]
        await asyncio.sleep(0.05)
        assert door.look() == []


def upload(length: int) -> str:
    """Return the head of an upload of so many bytes."""
    return f"PUT\napi/contents/up.bin\nContent-Type: application/json\nContent-Length: {length}"


async def test_an_upload_counts_while_its_body_comes(
    door: Door, jp_fetch: Callable[..., Any], jp_root_dir: Path
) -> None:
    """By who sent the like before: nobody is asked who it is before the last byte."""
    await jp_fetch("api", "contents", "big.bin", params={"content": "0"})
    body = json.dumps({"type": "file", "format": "text", "content": "x" * (8 * PIECE)}).encode()
    async with door.ask(upload(len(body))) as client:
        await door.begun()
        door.look()
        for at in range(0, 6 * PIECE, PIECE):
            await client.gives(body[at : at + PIECE])
            await until(lambda: door.look() == ["api_request ContentsHandler PUT True"])
        await settled(door)
        assert door.look() == []
        await client.gives(body[6 * PIECE :])
        assert b" 201 " in await asyncio.wait_for(client.reader.readline(), 15)
    assert (jp_root_dir / "up.bin").stat().st_size == 8 * PIECE


@pytest.mark.parametrize("token", ["", "made-up"])
async def test_a_strangers_upload_keeps_no_server(
    door: Door, jp_fetch: Callable[..., Any], token: str
) -> None:
    """Who never was let in may send what they like; the owner's, beside it, counts."""
    await jp_fetch("api", "contents", "big.bin", params={"content": "0"})
    async with door.ask(upload(SIZE), token) as stranger:
        await door.begun()
        door.look()
        for _ in range(3):
            await stranger.gives(bytes(PIECE))
            await asyncio.sleep(0.05)
            assert door.look() == []
        async with door.ask(upload(SIZE)) as owner:
            await until(lambda: door.in_flight() == 2)
            door.look()
            await owner.gives(bytes(PIECE))
            await until(lambda: door.look() == ["api_request ContentsHandler PUT True"])


async def test_who_has_no_credentials_is_nobody_who_was_let_in_by_an_addresss_token(door: Door) -> None:
    """Such a request has no header that tells whose it is; an upload by the same token counts."""
    token = door.app.identity_provider.token
    async with door.ask(f"GET\napi/contents/big.bin?content=0&token={token}", "") as owner:
        assert b" 200 " in await asyncio.wait_for(owner.reader.readline(), 15)
    await until(lambda: door.in_flight() == 0)
    counted = {}
    for by in ("", "?token=", "?token=made-up", f"?token={token}"):
        async with door.ask(upload(SIZE).replace("up.bin", f"up.bin{by}"), "") as client:
            await door.begun()
            door.look()
            await client.gives(bytes(PIECE))
            await until(door.transfers.moving)
            await client.gives(bytes(PIECE))
            await asyncio.sleep(0.1)
            counted[by] = door.look()
        await until(lambda: door.in_flight() == 0)
    assert counted.pop(f"?token={token}") == ["api_request ContentsHandler PUT True"]
    assert counted == {"": [], "?token=": [], "?token=made-up": []}


async def test_a_stream_of_events_has_no_end_and_says_nothing(door: Door) -> None:
    """A stranger's answer protects while it goes on, unless it says that it only tells of events."""
    async with door.ask("GET\nstreamed?kind=text/event-stream") as events:
        await events.takes(100)
        for _ in range(5):
            await until(door.transfers.moving)
            await events.takes(100)
            assert door.look() == []
        async with door.ask("GET\nstreamed?kind=application/zip") as archive:
            await archive.takes(100)
            await until(lambda: door.look() == ["foreign Streamed True"])


async def test_a_tabs_poll_that_takes_long_is_no_persons(door: Door, jp_root_dir: Path) -> None:
    """What a page asks for by itself may come slowly; beside it a download counts."""
    (jp_root_dir / "long.txt").write_text("x" * (16 << 20))
    async with door.ask("GET\napi/contents/long.txt") as listing:
        await listing.takes(PIECE)
        assert door.in_flight() == 1
        await settled(door)
        await listing.takes(PIECE)
        assert door.look() == []
        async with door.ask(DOWNLOAD) as client:
            await until(lambda: door.in_flight() == 2)
            await settled(door)
            await client.takes(16 * PIECE)
            assert door.look() == ["api_read AuthenticatedFileHandler GET True"]


async def test_a_proxied_download_counts_for_its_app(door: Door) -> None:
    """Unless the operator told the proxy that the app's traffic is nobody's."""
    for name, says in (("unseen", []), ("app", ["app_request app:app True"])):
        async with door.ask(f"GET\n{name}/file") as client:
            await client.takes(PIECE)
            await settled(door)
            assert door.in_flight() == 1
            await client.takes(16 * PIECE)
            assert door.look() == says
        await until(lambda: door.look() == [] and door.in_flight() == 0)


async def test_what_is_quick_is_never_in_flight_at_a_look(door: Door, jp_fetch: Callable[..., Any]) -> None:
    """It is forgotten when it ends."""
    for _ in range(5):
        await jp_fetch("api", "status")
        await jp_fetch("api", "contents")
    assert door.in_flight() == 0
