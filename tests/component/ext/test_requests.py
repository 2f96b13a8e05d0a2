"""Laws of requests, on a real server: people are told from polls, and the unknown protects."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, ClassVar

import pytest
import tornado.httpserver
import tornado.netutil
import tornado.web
import tornado.websocket
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join

from hubcull_server_ext import clock, wire
from hubcull_server_ext.signals.hook import RequestHook
from hubcull_server_ext.signals.requests import RequestsSource
from hubcull_server_ext.snapshot import SourceError
from tests.component.ext.waiting import until

Fetch = Callable[..., Awaitable[Any]]


class StrangeHandler(APIHandler):
    """A handler nobody told us about."""

    @tornado.web.authenticated
    def get(self) -> None:
        """Answer."""
        self.finish("{}")


class QuietHandler(StrangeHandler):
    """A handler that says it is no activity."""

    _track_activity = False


class StrangeSocket(tornado.websocket.WebSocketHandler, JupyterHandler):  # type: ignore[misc]  # as the server's
    """A websocket nobody told us about; it echoes."""

    alive: ClassVar[weakref.WeakSet[StrangeSocket]] = weakref.WeakSet()

    def open(self, *args: str, **kwargs: str) -> None:
        """Remember that it is there."""
        self.alive.add(self)

    async def on_message(self, message: str | bytes) -> None:
        """Echo."""
        await self.write_message(message)


class Door:
    """A source on a real server."""

    def __init__(self, app: ServerApp, now: Callable[[], float] = clock.monotonic) -> None:
        self.settings = app.web_app.settings
        self.typed: list[str] = []
        self.source = RequestsSource(RequestHook(self.settings), now, self.typed.append)

    def seen(self) -> list[tuple[str, str | None]]:
        """Return the kind and label of everything seen that counts."""
        signals = self.source.collect(clock.monotonic())
        return [(s.kind, s.label) for s in signals if s.clock is not wire.Clock.NONE]


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    """Enable what the tests talk to."""
    extensions = {"jupyter_server_proxy": True, "jupyter_server_terminals": True}
    return {"ServerApp": {"jpserver_extensions": extensions}}


@pytest.fixture
def door(jp_serverapp: ServerApp) -> Iterator[Door]:
    """Watch a real server's requests."""
    base = jp_serverapp.base_url
    application: Any = jp_serverapp.web_app
    application.add_handlers(
        ".*$",
        [
            (url_path_join(base, "strange"), StrangeHandler),
            (url_path_join(base, "quiet"), QuietHandler),
            (url_path_join(base, "socket"), StrangeSocket),
        ],
    )
    door = Door(jp_serverapp)
    door.source.reconcile()
    yield door
    door.source.stop()


async def test_polls_of_a_tab_are_a_weak_presence_of_their_own(door: Door, jp_fetch: Fetch) -> None:
    """What a visible page asks by itself is the visible tab and no person's act."""
    for path in (["kernels"], ["sessions"], ["terminals"], ["contents"], ["kernelspecs"], ["me"]):
        await jp_fetch("api", *path)
    (signal,) = door.source.collect(clock.monotonic())
    assert (signal.kind, signal.strength) == (wire.Kind.VISIBLE_TAB, wire.Strength.WEAK)
    assert signal.label == "IdentityHandler"


async def test_a_poll_that_was_made_just_now_says_nothing_more(
    jp_serverapp: ServerApp, jp_fetch: Fetch
) -> None:
    """A second later it does; and what a person does, each time."""
    now = 1000.0
    door = Door(jp_serverapp, lambda: now)
    door.source.reconcile()

    async def ages(method: str, *path: str) -> list[float | None]:
        await jp_fetch("api", *path, method=method, allow_nonstandard_methods=True)
        return [signal.age for signal in door.source.collect(now)]

    assert await ages("GET", "kernels") == [0.0]
    now += 0.75
    assert await ages("GET", "kernels") == [0.75]
    now += 0.5
    assert await ages("GET", "kernels") == [0.0]
    for _ in range(2):
        now += 0.25
        assert (await ages("POST", "contents"))[0] == 0.0
    door.source.stop()


async def test_what_only_a_person_does_is_presence(door: Door, jp_fetch: Fetch) -> None:
    """Saving, opening a file, starting something: each is presence, by handler and method."""
    body = json.dumps({"type": "file", "format": "text", "content": "x"})
    await jp_fetch("api", "contents", "a.txt", method="PUT", body=body)
    assert door.seen() == [(wire.Kind.API_REQUEST, "ContentsHandler PUT")]
    await jp_fetch("api", "contents", "a.txt", params={"type": "file", "content": "1"})
    await jp_fetch("files", "a.txt")
    await jp_fetch("api", "terminals", method="POST", body="{}")
    assert door.seen() == [
        (wire.Kind.API_REQUEST, "TerminalRootHandler POST"),
        (wire.Kind.API_REQUEST, "ContentsHandler PUT"),
        (wire.Kind.API_READ, "AuthenticatedFileHandler GET"),
        (wire.Kind.API_READ, "ContentsHandler GET"),
    ]
    assert all(s.actor for s in door.source.collect(clock.monotonic()))


async def test_a_save_counts_only_when_something_changed(door: Door, jp_fetch: Fetch) -> None:
    """The page may save by itself: that is a visible tab, until somebody has written something."""

    def body(source: str, outputs: list[dict[str, Any]]) -> str:
        cell = {"cell_type": "code", "source": source, "metadata": {}, "execution_count": 1, "id": "c1"}
        cells = [{**cell, "outputs": outputs}]
        content = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        return json.dumps({"type": "notebook", "format": "json", "content": content})

    async def save(source: str, outputs: list[dict[str, Any]]) -> dict[str, float]:
        await jp_fetch("api", "contents", "a.ipynb", method="PUT", body=body(source, outputs))
        await asyncio.sleep(0.3)
        await jp_fetch("api", "status")
        signals = door.source.collect(clock.monotonic())
        return {s.kind: s.age or 0.0 for s in signals}

    printed = [{"output_type": "stream", "name": "stdout", "text": "x"}]
    assert set(await save("1", [])) == {wire.Kind.API_REQUEST}
    ages = await save("1", printed)
    assert ages[wire.Kind.API_REQUEST] > ages[wire.Kind.VISIBLE_TAB]
    ages = await save("2", printed)
    assert ages[wire.Kind.API_REQUEST] < ages[wire.Kind.VISIBLE_TAB]


async def test_a_strange_poller_is_known_by_its_rhythm(jp_serverapp: ServerApp, jp_fetch: Fetch) -> None:
    """After a minute of clockwork it is a visible tab; what comes out of turn is a stranger again."""
    now = [1000.0]
    door = Door(jp_serverapp, lambda: now[0])
    path = url_path_join(jp_serverapp.base_url, "strange")
    application: Any = jp_serverapp.web_app
    application.add_handlers(".*$", [(path, StrangeHandler)])
    door.source.reconcile()
    for i in range(14):
        await jp_fetch("strange", params={"_": str(i)})  # as pages get round caches
        now[0] += 10.0
    await jp_fetch("strange")
    ages = {s.kind: (s.label, s.age) for s in door.source.collect(now[0])}
    assert ages[wire.Kind.VISIBLE_TAB] == ("StrangeHandler", 0.0)
    foreign = ages[wire.Kind.FOREIGN][1]
    assert foreign is not None
    assert foreign > 0.0
    now[0] += 4.0
    await jp_fetch("strange")
    ages = {s.kind: (s.label, s.age) for s in door.source.collect(now[0])}
    assert ages[wire.Kind.FOREIGN] == ("StrangeHandler", 0.0)
    door.source.stop()


async def test_health_checks_files_and_strangers_are_nothing(
    door: Door, jp_fetch: Fetch, http_server_client: Any, jp_base_url: str
) -> None:
    """Scrapes, status, unknown addresses and requests without a login say nothing of people."""
    for path in (["api"], ["api", "status"], ["metrics"], ["static", "style", "style.min.css"], ["nowhere"]):
        with pytest.raises(Exception, match="404") if path[-1] in {"nowhere", "style.min.css"} else _fine():
            await jp_fetch(*path)
    with pytest.raises(Exception, match="403"):
        await http_server_client.fetch(url_path_join(jp_base_url, "api", "kernels"))
    assert door.seen() == []


class _fine:  # noqa: N801 - reads as the context it is
    """A context in which nothing is expected to go wrong."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


async def test_unknown_handler_protects_by_its_own_name(door: Door, jp_fetch: Fetch) -> None:
    """What is not classified is taken for activity and named; what declares itself none is not."""
    await jp_fetch("quiet")
    await jp_fetch("strange", params={"no_track_activity": "1"})
    assert door.seen() == []
    await jp_fetch("strange")
    assert door.seen() == [(wire.Kind.FOREIGN, "StrangeHandler")]


async def test_each_message_on_an_unknown_websocket_protects(door: Door, jp_ws_fetch: Fetch) -> None:
    """An open websocket is nothing; a message from the browser counts, and still reaches its handler."""
    socket = await jp_ws_fetch("socket")
    assert door.seen() == []
    await socket.write_message("hello")
    assert await socket.read_message() == "hello"
    assert door.seen() == [(wire.Kind.FOREIGN, "StrangeSocket")]
    socket.close()
    await until(lambda: gc.collect() >= 0 and not StrangeSocket.alive)


class EchoSocket(tornado.websocket.WebSocketHandler):
    """Somebody's application behind the proxy."""

    async def on_message(self, message: str | bytes) -> None:
        """Echo."""
        await self.write_message(message)


async def test_proxied_application_protects(door: Door, jp_ws_fetch: Fetch) -> None:
    """A message to an application behind jupyter-server-proxy counts by the proxy's class, and arrives."""
    (listener,) = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server = tornado.httpserver.HTTPServer(tornado.web.Application([("/echo", EchoSocket)]))
    server.add_sockets([listener])
    socket = await jp_ws_fetch("proxy", str(listener.getsockname()[1]), "echo")
    assert door.seen() == []
    await socket.write_message("hello")
    assert await socket.read_message() == "hello"
    seen = door.seen()
    assert [kind for kind, _ in seen] == [wire.Kind.FOREIGN]
    assert "Proxy" in str(seen[0][1])
    socket.close()
    server.stop()


async def test_keystrokes_are_told_from_resizes(door: Door, jp_ws_fetch: Fetch, jp_fetch: Fetch) -> None:
    """Typing in a terminal is handed on by the terminal's name; a window's new size is nobody."""
    name = json.loads((await jp_fetch("api", "terminals", method="POST", body="{}")).body)["name"]
    socket = await jp_ws_fetch("terminals", "websocket", name)
    await socket.write_message(json.dumps(["set_size", 24, 80, 400, 600]))
    await socket.write_message(json.dumps(["stdin", "x"]))
    await until(lambda: door.typed)
    await asyncio.sleep(0.1)
    assert door.typed == [name]
    socket.close()
    await door.settings["terminal_manager"].terminate_all()


async def test_place_is_taken_back_and_nothing_counts_twice(door: Door, jp_fetch: Fetch) -> None:
    """Another extension that replaces or wraps the hook neither blinds us nor doubles anything."""
    calls: list[str] = []
    door.settings["log_function"] = lambda _handler: calls.append("theirs")
    door.source.reconcile()
    wrapped = door.settings["log_function"]

    def around(handler: Any) -> None:
        calls.append("around")
        wrapped(handler)

    door.settings["log_function"] = around
    for _ in range(20):
        door.source.reconcile()
    await jp_fetch("strange")
    assert calls == ["around", "theirs"]
    assert door.seen() == [(wire.Kind.FOREIGN, "StrangeHandler")]


async def test_own_failure_stays_in_the_report(
    door: Door, jp_fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request we fail to read is answered all the same, and the source says that it failed."""
    monkeypatch.setattr("hubcull_server_ext.signals.requests.meaning", lambda *_args: 1 / 0)
    assert (await jp_fetch("strange")).code == 200
    with pytest.raises(SourceError, match="ZeroDivisionError"):
        door.seen()
    assert door.seen() == []


async def test_keystrokes_count_where_nobody_watches_terminals(
    door: Door, jp_fetch: Fetch, jp_ws_fetch: Fetch
) -> None:
    """With terminals off, what is typed is told here; a resize is not."""
    door.source.stop()
    source = RequestsSource(RequestHook(door.settings), clock.monotonic)
    source.reconcile()
    response = await jp_fetch("api", "terminals", method="POST", body="{}")
    name = json.loads(response.body)["name"]
    socket = await jp_ws_fetch("terminals", "websocket", name)

    def typed() -> list[wire.Signal]:
        return [s for s in source.collect(clock.monotonic()) if s.kind == wire.Kind.TERMINAL_INPUT]

    await socket.write_message(json.dumps(["set_size", 5, 80]))
    await asyncio.sleep(0.3)
    assert not typed()
    await socket.write_message(json.dumps(["stdin", "x"]))
    await until(typed)
    (signal,) = typed()
    assert (signal.source, signal.clock) == (f"terminal:{name}", wire.Clock.PRESENCE)
    assert (signal.age or 0) < 5.0
    source.stop()
    socket.close()
