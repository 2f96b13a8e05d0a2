"""Apps behind jupyter-server-proxy: what people do in each, apart from what its page does by itself.

jupyter-server-proxy counts every request, frame, ping and pushed event of all apps alike,
under one name. This source looks at the same requests, and honours what the operator told
the proxy of each app. It knows the proxy's handlers; which traffic is a person's, tells
`app_traffic`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler

from hubcull_server_ext import wire
from hubcull_server_ext.signals.app_traffic import AppTraffic, Request, SocketTraffic
from hubcull_server_ext.signals.hook import (
    RequestHook,
    authenticated_user,
    has_an_end,
    is_endless,
    is_new_socket,
    user_name,
    watch_messages,
)
from hubcull_server_ext.signals.transfers import Transfer
from hubcull_server_ext.snapshot import SourceError

CLAIM = "jupyter-server-proxy"
"""The name under which the proxy registers activity, in which all of it is blended."""
_MOST_APPS = 50
_REPORTED = 10
_PACKAGE, _HANDLER = "jupyter_server_proxy", "ProxyHandler"


@dataclass(slots=True)
class _App:
    """One app: its traffic, a person's newest act and whose (monotonic s), and what came by itself."""

    traffic: AppTraffic
    acted: float | None = None
    actor: str | None = None
    by_itself: float | None = None


class AppsSource:
    """Watches what goes through jupyter-server-proxy.

    Args:
        hook: shows the requests.
        clock: monotonic seconds.
        heartbeats: regular expressions of paths that an app's page asks for by itself.
        changed: called when a person acted.

    """

    name = "apps"

    def __init__(
        self,
        hook: RequestHook,
        clock: Callable[[], float],
        heartbeats: Sequence[str],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._hook, self._clock, self._changed = hook, clock, changed
        self._heartbeats, self._wrong = _compiled(heartbeats)
        self._apps: dict[str, _App] = {}
        self._failure: Exception | None = None
        self._stopped = False
        hook.add(self._see, is_proxied)
        hook.add_mover(self._see_moving, is_proxied)

    def reconcile(self) -> None:
        """See to it that requests are seen."""
        self._hook.reconcile()

    def sample(self) -> None:
        """Look at what takes long."""
        self._hook.look()

    def stop(self) -> None:
        """See nothing any more."""
        self._stopped = True

    def collect(self, now: float) -> list[wire.Signal]:
        """Return, for each app, a person's newest act, and when its page last did something by itself.

        Raises:
            SourceError: when a request could not be looked at since the last time, or for a pattern that is
                no regular expression; with all that was seen.

        """
        acted = [(app.acted, name, app) for name, app in self._apps.items() if app.acted is not None]
        noise = [(app.by_itself, name) for name, app in self._apps.items() if app.by_itself is not None]
        signals = [
            _signal(wire.Kind.APP_REQUEST, name, wire.Clock.PRESENCE, now - at, app.actor)
            for at, name, app in sorted(acted, key=lambda one: -one[0])[:_REPORTED]
        ]
        signals.extend(
            _signal(wire.Kind.APP_HEARTBEAT, name, wire.Clock.NONE, now - at)
            for at, name in sorted(noise, reverse=True)[:_REPORTED]
        )
        failure, self._failure = self._failure, None
        if failure is not None:
            raise SourceError(f"a request to an app was not understood: {type(failure).__name__}", signals)
        if self._wrong:
            wrong = "no regular expressions, in app_heartbeats, by their places in the list"
            raise SourceError(f"{wrong}: {', '.join(map(str, self._wrong))}", signals)
        return signals

    def _see(self, handler: RequestHandler) -> None:
        """Look at a finished request; whatever happens here, the server goes on."""
        try:
            if not self._stopped:
                self._take(handler)
        except Exception as error:
            self._failed(error)

    def _see_moving(self, transfer: Transfer) -> None:
        """Take an answer that has an end, and through which bytes go, for one that a person waits for."""
        try:
            handler = transfer.handler
            if self._stopped or handler is None:
                return
            user = authenticated_user(handler)
            if user and handler.get_status() < 400 and has_an_end(handler) and not is_endless(handler):
                acts = _operators_word(handler) is not False
                self._note(self._app(app_name(handler)), self._clock() if acts else None, user_name(user))
        except Exception as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self._failure = error

    def _take(self, handler: RequestHandler) -> None:
        user = authenticated_user(handler)
        if not user:
            return
        name, actor = app_name(handler), user_name(user)
        if is_new_socket(handler):
            if isinstance(handler, WebSocketHandler):
                self._watch(handler, name, actor)
            return
        if handler.request.method == "OPTIONS" or handler.get_status() >= 500:
            return
        app = self._app(name)
        verdict = _operators_word(handler)
        if verdict is None:
            self._note(app, app.traffic.act(self._request(handler)), actor)
        else:
            self._note(app, self._clock() if verdict else None, actor)

    def _watch(self, handler: WebSocketHandler, name: str, actor: str | None) -> None:
        traffic = SocketTraffic()

        def see(socket: WebSocketHandler, frame: str | bytes) -> None:
            if self._stopped:
                return
            now = self._clock()
            verdict = _operators_word(socket)
            acts = traffic.act(frame, now) if verdict is None else verdict
            self._note(self._app(name), now if acts else None, actor)

        watch_messages(handler, see, self._failed)

    def _request(self, handler: RequestHandler) -> Request:
        request, end = handler.request, self._clock()
        return Request(
            start=end - max(0.0, request.request_time()),
            end=end,
            method=str(request.method),
            path=str(handler.path_args[-1]) if handler.path_args else request.path,
            arguments=frozenset(request.query_arguments),
            length=len(request.body or b""),
            stream="text/event-stream" in request.headers.get("Accept", ""),
        )

    def _note(self, app: _App, acted: float | None, actor: str | None) -> None:
        """Take note that a person acted at some time (monotonic s), or that something came by itself."""
        if acted is None:
            app.by_itself = self._clock()
        elif app.acted is None or acted >= app.acted:
            app.acted, app.actor = acted, actor
            self._changed()

    def _app(self, name: str) -> _App:
        """Return an app by its name, as the one that was used last."""
        app = self._apps.pop(name, None) or _App(AppTraffic(self._heartbeats))
        self._apps[name] = app
        if len(self._apps) > _MOST_APPS:
            del self._apps[next(iter(self._apps))]
        return app


def is_proxied(handler: type[object]) -> bool:
    """Whether a handler's class belongs to an app behind jupyter-server-proxy."""
    return any(
        cls.__name__ == _HANDLER and cls.__module__.partition(".")[0] == _PACKAGE for cls in handler.__mro__
    )


def app_name(handler: RequestHandler) -> str:
    """Return what to call the app: its name in the proxy's settings, or its port; never a host's."""
    configured = getattr(handler, "proxy_base", "")
    if isinstance(configured, str) and configured:
        return configured
    first = str(handler.path_args[0]) if len(handler.path_args) == 2 else ""
    return f"port {first}" if first.isdecimal() else "another host"


def _operators_word(handler: RequestHandler) -> bool | None:
    """Return whether the proxy's settings call this activity, or None where they leave it open."""
    update = getattr(handler, "update_last_activity", True)
    if callable(update):
        return bool(update(handler))
    if not update:
        return False
    patterns = getattr(handler, "exclude_last_activity_patterns", ())
    return False if any(pattern.match(handler.request.path) for pattern in patterns) else None


def _compiled(patterns: Sequence[str]) -> tuple[list[re.Pattern[str]], list[int]]:
    """Return the patterns, and the places (from 1) of those that are none."""
    compiled, wrong = [], []
    for place, pattern in enumerate(patterns, 1):
        try:
            compiled.append(re.compile(pattern))
        except re.error:
            wrong.append(place)
    return compiled, wrong


def _signal(kind: str, app: str, clock: wire.Clock, age: float, actor: str | None = None) -> wire.Signal:
    return wire.Signal(kind, f"app:{app}", clock, age=max(0.0, age), actor=actor)
