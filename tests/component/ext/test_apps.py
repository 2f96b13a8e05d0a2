"""Laws of proxied apps, with the real jupyter-server-proxy: people count, what comes by itself does not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
import tornado.httpserver
import tornado.httputil
import tornado.netutil
import tornado.simple_httpclient
import tornado.web
import tornado.websocket
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join

from hubcull_server_ext import clock, wire
from hubcull_server_ext.signals.app_traffic import HEARTBEATS
from hubcull_server_ext.signals.apps import CLAIM, AppsSource, is_proxied
from hubcull_server_ext.signals.foreign import ForeignSource
from hubcull_server_ext.signals.hook import RequestHook
from hubcull_server_ext.signals.requests import RequestsSource
from hubcull_server_ext.snapshot import SourceError
from tests.component.ext.waiting import until

Fetch = Callable[..., Awaitable[Any]]


class Page(tornado.web.RequestHandler):
    """Whatever is asked for."""

    def get(self, *_args: str) -> None:
        """Answer."""
        self.finish("here")

    post = get


class Broken(tornado.web.RequestHandler):
    """What the app can not do."""

    def get(self) -> None:
        """Fail."""
        raise tornado.web.HTTPError(502)


class Events(tornado.web.RequestHandler):
    """Events without end; ``taken`` counts those that somebody took."""

    taken = 0

    async def get(self) -> None:
        """Push."""
        self.set_header("Content-Type", "text/event-stream")
        while True:
            self.write("data: tick\n\n")
            await self.flush()
            type(self).taken += 1
            await asyncio.sleep(0.05)


class Echo(tornado.websocket.WebSocketHandler):
    """Answers each frame, and pushes one a moment later."""

    async def on_message(self, message: str | bytes) -> None:
        """Echo."""
        await self.write_message(message)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Take a port for the app before the server is configured."""
    (found,) = tornado.netutil.bind_sockets(0, "127.0.0.1")
    yield found
    found.close()


@pytest.fixture
def jp_server_config(listener: socket.socket) -> dict[str, Any]:
    """Put the app behind the proxy, under four names with four settings."""
    port = listener.getsockname()[1]

    def called(handler: Any) -> bool:
        return "deed" in handler.request.path

    servers = {
        "plain": {"port": port},
        "unseen": {"port": port, "update_last_activity": False},
        "partly": {"port": port, "exclude_last_activity_patterns": [".*/polled"]},
        "asked": {"port": port, "update_last_activity": called},
    }
    return {
        "ServerApp": {"jpserver_extensions": {"jupyter_server_proxy": True}},
        "ServerProxy": {"servers": servers},
    }


class Watch:
    """The source on a real server, with its neighbours as they are put together.

    Their clock stands still unless the test moves it: by itself a page is known to the second, and no machine
    at work may disturb that.
    """

    def __init__(self, app: ServerApp) -> None:
        self.now = 1000.0
        self.settings = app.web_app.settings
        hook = RequestHook(self.settings)
        self.requests = RequestsSource(hook, self.clock, elsewhere=is_proxied)
        self.apps = AppsSource(hook, self.clock, HEARTBEATS)
        self.foreign = ForeignSource(self.settings, clock.utcnow, [CLAIM])
        self.apps.reconcile()

    def clock(self) -> float:
        """Tell the time (monotonic s) to the sources."""
        return self.now

    def acts(self) -> dict[str, wire.Signal]:
        """Return people's newest acts by app; the neighbours must say nothing that moves a clock."""
        others = [*self.requests.collect(self.now), *self.foreign.collect(self.now)]
        assert [signal for signal in others if signal.clock is not wire.Clock.NONE] == []
        return {s.source: s for s in self.apps.collect(self.now) if s.clock is wire.Clock.PRESENCE}

    def said(self) -> datetime:
        """Return when the proxy itself last saw activity, as it tells the server."""
        at = self.settings["last_activity_times"][CLAIM]
        assert isinstance(at, datetime)
        return at

    def noise(self) -> set[str]:
        """Return the apps of which something came by itself."""
        signals = self.apps.collect(self.now)
        return {s.source for s in signals if s.kind == wire.Kind.APP_HEARTBEAT}


@pytest.fixture
def watch(
    jp_serverapp: ServerApp, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Watch]:
    """Serve the app, and watch; by the sources' clock its answers take no time."""
    monkeypatch.setattr(tornado.httputil.HTTPServerRequest, "request_time", lambda _request: 0.0)
    application = tornado.web.Application(
        [("/events", Events), ("/echo", Echo), ("/broken", Broken), ("/(.*)", Page)]
    )
    server = tornado.httpserver.HTTPServer(application)
    server.add_sockets([listener])
    found = Watch(jp_serverapp)
    yield found
    found.apps.stop()
    found.requests.stop()
    server.stop()


async def test_a_request_is_an_act_in_the_app_by_its_name(watch: Watch, jp_fetch: Fetch) -> None:
    """By the name in the settings, with who acted, and nothing of the address."""
    await jp_fetch("plain", "secret-place")
    (signal,) = watch.acts().values()
    assert (signal.source, signal.kind, signal.clock) == ("app:plain", "app_request", wire.Clock.PRESENCE)
    assert signal.actor
    assert "secret" not in repr(signal)


async def test_an_app_without_a_name_is_told_by_its_port(
    watch: Watch, jp_fetch: Fetch, listener: socket.socket
) -> None:
    port = listener.getsockname()[1]
    await jp_fetch("proxy", str(port), "page")
    assert set(watch.acts()) == {f"app:port {port}"}


async def test_the_operators_settings_are_honoured(watch: Watch, jp_fetch: Fetch) -> None:
    """Each of the three ways to say that traffic is no activity; what they leave open counts."""
    await jp_fetch("unseen", "page")
    await jp_fetch("partly", "polled")
    await jp_fetch("asked", "page")
    assert watch.acts() == {}
    assert watch.noise() == {"app:unseen", "app:partly", "app:asked"}
    await jp_fetch("partly", "page")
    await jp_fetch("asked", "deed")
    assert set(watch.acts()) == {"app:partly", "app:asked"}


async def test_a_heartbeat_stops_counting_and_a_click_counts(watch: Watch, jp_fetch: Fetch) -> None:
    """A page polls once a second; it is known after three periods. The proxy's own word moves on."""
    for _ in range(7):
        before = clock.utcnow()
        await jp_fetch("plain", "poll")
        watch.now += 1.0
    assert watch.said() >= before
    age = watch.acts()["app:plain"].age
    assert age is not None
    assert age > 2.5
    await jp_fetch("plain", "page")
    assert watch.acts()["app:plain"].age == 0.0


async def test_what_the_app_can_not_do_is_nobodys_act(watch: Watch, jp_fetch: Fetch) -> None:
    """A page of an app that is gone polls on."""
    with pytest.raises(Exception, match="502"):
        await jp_fetch("plain", "broken")
    assert watch.acts() == {}


async def test_a_stream_that_goes_on_after_its_reader_left_is_nobody(
    watch: Watch,
    jp_serverapp: ServerApp,
    jp_auth_header: dict[str, str],
    http_server_client: Any,
    http_server_port: Any,
) -> None:
    """The proxy takes events for hours; whoever asked for them acted then and not since."""
    url = f"http://127.0.0.1:{http_server_port[1]}"
    url += url_path_join(jp_serverapp.base_url, "plain", "events")
    assert http_server_client  # the server listens
    client = tornado.simple_httpclient.SimpleAsyncHTTPClient(force_instance=True)
    headers = {**jp_auth_header, "Accept": "text/event-stream"}
    with pytest.raises(tornado.simple_httpclient.HTTPTimeoutError):
        await client.fetch(url, headers=headers, request_timeout=1.0, streaming_callback=lambda _chunk: None)
    client.close()
    watch.now += 1.0
    left, before = clock.utcnow(), Events.taken
    await until(lambda: Events.taken > before + 20)
    await until(lambda: watch.said() > left)
    assert all((s.age or 0) >= 1.0 for s in watch.acts().values())


async def test_frames_count_and_reach_the_app(watch: Watch, jp_ws_fetch: Fetch) -> None:
    """What the browser sends through an app's websocket; an open one, and what is pushed, are nothing."""
    frames = await jp_ws_fetch("plain", "echo")
    assert watch.acts() == {}
    await frames.write_message("hello")
    assert await frames.read_message() == "hello"
    assert set(watch.acts()) == {"app:plain"}
    frames.close()


async def test_regular_frames_stop_counting(watch: Watch, jp_ws_fetch: Fetch) -> None:
    """A page's own keep-alive; the operator's word holds for frames, too."""
    frames, unseen = await jp_ws_fetch("plain", "echo"), await jp_ws_fetch("unseen", "echo")
    await unseen.write_message("anything")
    for _ in range(7):
        await frames.write_message("ping")
        assert await frames.read_message() == "ping"
        watch.now += 1.0
    (signal,) = watch.acts().values()
    assert signal.source == "app:plain"
    assert (signal.age or 0) > 2.5
    await frames.write_message("longer")
    assert await frames.read_message() == "longer"
    assert watch.acts()["app:plain"].age == 0.0
    frames.close()
    unseen.close()


async def test_own_failure_stays_in_the_report(
    watch: Watch, jp_fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request we fail to understand is answered, and the source says so; a bad pattern, too."""
    monkeypatch.setattr("hubcull_server_ext.signals.apps.app_name", lambda _handler: 1 / 0)
    assert (await jp_fetch("plain", "page")).code == 200
    with pytest.raises(SourceError, match="ZeroDivisionError"):
        watch.apps.collect(watch.now)
    assert watch.apps.collect(watch.now) == []
    source = AppsSource(RequestHook({}), watch.clock, ["fine", "bad(", "also[bad"])
    with pytest.raises(SourceError, match=r"app_heartbeats.*: 2, 3$"):
        source.collect(watch.now)
