"""Requests and websocket messages: who acts, which pages are looked at.

It reads classes, methods and argument names; it never keeps, logs or passes on any
content. How requests are seen is the `hook`'s business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler

from hubcull_server_ext import wire
from hubcull_server_ext.signals.handlers import Meaning, is_terminal_socket, meaning, saves_document
from hubcull_server_ext.signals.hook import (
    RequestHook,
    SeeMessage,
    authenticated_user,
    is_endless,
    is_new_socket,
    user_name,
    watch_messages,
)
from hubcull_server_ext.signals.names import terminal_source
from hubcull_server_ext.signals.rhythm import Rhythms
from hubcull_server_ext.signals.saves import Saves
from hubcull_server_ext.signals.transfers import Transfer
from hubcull_server_ext.signals.websockets import KernelTraffic, NoTraffic, Websockets
from hubcull_server_ext.snapshot import SourceError

_MAX_LABELS = 50
_KINDS = {
    Meaning.HUMAN: (wire.Kind.API_REQUEST, wire.Strength.STRONG),
    Meaning.READING: (wire.Kind.API_READ, wire.Strength.STRONG),
    Meaning.TAB: (wire.Kind.VISIBLE_TAB, wire.Strength.WEAK),
    Meaning.UNKNOWN: (wire.Kind.FOREIGN, wire.Strength.STRONG),
}
# How many labels of each meaning one report carries, so that it stays small.
_REPORTED = {Meaning.HUMAN: 10, Meaning.READING: 5, Meaning.TAB: 1, Meaning.UNKNOWN: 20}
_REPORTED_TERMINALS = 10
_MOST_ASKERS = 50
_AS_ONE, _MOST_POLLS = 1.0, 100
"""Seconds within which a poll that is made again says nothing more, and how many polls are remembered."""


class _Event(NamedTuple):
    """The newest event of one meaning and label."""

    at: float
    actor: str | None


class RequestsSource:
    """Watches what the web application serves; `reconcile` once all extensions are loaded, and now and then.

    Args:
        hook: shows the requests.
        clock: monotonic seconds.
        keystroke: called with a terminal's name when somebody types in it; None where nobody else
            reports that, and then this source does.
        changed: called when a person, or something unknown, acted.
        elsewhere: whether another source watches a handler's class, so that this one leaves it alone.
        kernels: is told what goes over kernels' websockets.
        browsers: whether to say how many browsers hold a websocket.

    """

    name = "requests"

    def __init__(
        self,
        hook: RequestHook,
        clock: Callable[[], float],
        keystroke: Callable[[str], None] | None = None,
        changed: Callable[[], None] = lambda: None,
        elsewhere: Callable[[type[object]], bool] = lambda _handler: False,
        kernels: KernelTraffic | None = None,
        browsers: bool = True,
    ) -> None:
        self._hook = hook
        self._clock = clock
        self._keystroke = keystroke
        self._changed = changed
        self._events: dict[tuple[Meaning, str], _Event] = {}
        self._typed: dict[str, float] = {}
        self._stopped = False
        self._failure: Exception | None = None
        hook.add(self._see, lambda handler: not elsewhere(handler))
        hook.add_mover(self._see_moving, lambda handler: not elsewhere(handler))
        self._rhythms, self._saves = Rhythms(), Saves()
        self._askers: dict[int, str | None] = {}
        self._polls: dict[tuple[object, ...], float] = {}
        """Until when (monotonic s) the same poll, whoever makes it, says nothing more."""
        self._websockets = Websockets(hook, clock, kernels or NoTraffic(), self._failed, browsers)

    def reconcile(self) -> None:
        """See to it that requests are seen."""
        self._hook.reconcile()

    def sample(self) -> None:
        """Look at requests that take long, and at what went over websockets."""
        self._hook.look()
        self._websockets.look()

    def stop(self) -> None:
        """See nothing any more."""
        self._stopped = True

    def collect(self, now: float) -> list[wire.Signal]:
        """Return the newest events, one per label.

        Raises:
            SourceError: when a request could not be looked at since the last time; with the others.

        """
        newest_first = list(reversed(self._events.items()))
        signals: list[wire.Signal] = []
        for wanted, limit in _REPORTED.items():
            found = [(label, event) for (meant, label), event in newest_first if meant is wanted][:limit]
            signals.extend(_signal(wanted, label, event, now) for label, event in found)
        typed = sorted(self._typed.items(), key=lambda item: -item[1])[:_REPORTED_TERMINALS]
        signals.extend(_typed_signal(name, now - at) for name, at in typed)
        signals.extend(self._websockets.signals(now))
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise SourceError(f"a request could not be classified: {type(failure).__name__}", signals)
        return signals

    def _see(self, handler: RequestHandler) -> None:
        """Look at a finished request; whatever happens here, the server goes on.

        Of polls there may be hundreds a second, and code that runs between so much other takes ten times as
        long as in a loop: one that was made just now takes no more than this.
        """
        try:
            request = handler.request
            poll = type(handler), request.method, request.uri
            if self._clock() < self._polls.get(poll, 0.0):
                return
            if not self._stopped:
                self._classify(handler, poll)
        except Exception as error:
            self._failure = error

    def _classify(self, handler: RequestHandler, poll: tuple[object, ...]) -> None:
        user = authenticated_user(handler)
        if not user:
            return
        self._remember(handler.request, user_name(user))
        if is_new_socket(handler):
            if isinstance(handler, WebSocketHandler):
                self._watch_socket(handler, user_name(user))
            return
        if _is_marked(type(handler), handler.request):
            return
        method = str(handler.request.method)
        meant = self._meaning(handler, method)
        if meaning(type(handler), method, _opens_file(handler.request)) is Meaning.TAB:
            self._remember_poll(poll)
        act = meant in {Meaning.HUMAN, Meaning.READING}
        label = f"{type(handler).__name__} {method}" if act else type(handler).__name__
        self._note(meant, label, user_name(user))

    def _remember_poll(self, poll: tuple[object, ...]) -> None:
        """Take note of what is a poll by its class, method and arguments alone, and so will be again."""
        self._polls.pop(poll, None)
        self._polls[poll] = self._clock() + _AS_ONE
        if len(self._polls) > _MOST_POLLS:
            del self._polls[next(iter(self._polls))]

    def _meaning(self, handler: RequestHandler, method: str) -> Meaning:
        """Tell what a request means, where it takes more than its class: what came before it."""
        meant = meaning(type(handler), method, _opens_file(handler.request))
        failed = handler.get_status() >= 400
        if meant is Meaning.UNKNOWN:
            if failed:
                return Meaning.NOTHING
            return Meaning.TAB if self._rhythms.beats(_asker(handler, method), self._clock()) else meant
        if saves_document(type(handler), method) and not failed:
            changed = self._saves.changed(handler.request.path, handler.request.body)
            return meant if changed else Meaning.TAB
        return meant

    def _see_moving(self, transfer: Transfer) -> None:
        """Take a request through which bytes go for one that is made right now; what stalls grows old."""
        try:
            if not self._stopped:
                self._classify_moving(transfer)
        except Exception as error:
            self._failure = error

    def _classify_moving(self, transfer: Transfer) -> None:
        request, handler, target = transfer.request, transfer.handler, transfer.target
        if _is_marked(target, request):
            return
        method = str(request.method)
        meant = meaning(target, method, _opens_file(request))
        if handler is None:
            # Nobody has asked yet who sends it: known is only who sent the like before.
            asker = _credentials(request)
            if asker is None or asker not in self._askers:
                return
            actor = self._askers[asker]
        else:
            user = authenticated_user(handler)
            if not user or (meant is Meaning.UNKNOWN and is_endless(handler)):
                return
            actor = user_name(user)
        if meant in _KINDS and meant is not Meaning.TAB:
            act = meant is not Meaning.UNKNOWN
            self._note(meant, f"{target.__name__} {method}" if act else target.__name__, actor)

    def _remember(self, request: HTTPServerRequest, actor: str | None) -> None:
        """Take note by what somebody was let in, as a hash."""
        asker = _credentials(request)
        if asker is None:
            return
        self._askers.pop(asker, None)
        self._askers[asker] = actor
        if len(self._askers) > _MOST_ASKERS:
            del self._askers[next(iter(self._askers))]

    def _note(self, meant: Meaning, label: str, actor: str | None) -> None:
        if meant is Meaning.NOTHING:
            return
        self._events.pop((meant, label), None)
        self._events[meant, label] = _Event(self._clock(), actor)
        while len(self._events) > _MAX_LABELS:
            del self._events[next(iter(self._events))]
        if meant is not Meaning.TAB:
            self._changed()

    def _watch_socket(self, handler: WebSocketHandler, actor: str | None) -> None:
        """See each message that a browser sends on a new websocket that may tell us something."""
        label = type(handler).__name__
        if is_terminal_socket(type(handler)):
            self._watch_messages(handler, self._see_terminal_message)
        elif meaning(type(handler), "GET") is Meaning.UNKNOWN:
            self._watch_messages(handler, lambda _socket, _message: self._note(Meaning.UNKNOWN, label, actor))

    def _watch_messages(self, handler: WebSocketHandler, see: SeeMessage) -> None:
        def see_unless_stopped(socket: WebSocketHandler, message: str | bytes) -> None:
            if not self._stopped:
                see(socket, message)

        watch_messages(handler, see_unless_stopped, self._failed)

    def _failed(self, error: Exception) -> None:
        self._failure = error

    def _see_terminal_message(self, socket: WebSocketHandler, message: str | bytes) -> None:
        """Tell keystrokes from resizes by the message's first word; the keys themselves are not read."""
        head = message[:12] if isinstance(message, str) else message[:12].decode("utf-8", "replace")
        if head.replace(" ", "").startswith('["stdin"'):
            name = str(getattr(socket, "term_name", ""))
            if self._keystroke is not None:
                self._keystroke(name)
                return
            self._typed.pop(name, None)
            self._typed[name] = self._clock()
            if len(self._typed) > _MAX_LABELS:
                del self._typed[next(iter(self._typed))]
            self._changed()


def _asker(handler: RequestHandler, method: str) -> int:
    """Return what tells one stream of requests from others: who asks for what, but for its arguments."""
    request = handler.request
    return hash((method, request.path, request.remote_ip, request.headers.get("User-Agent")))


def _credentials(request: HTTPServerRequest) -> int | None:
    """Return what tells by which right somebody asks, as a hash; None where nothing tells.

    Who has no credentials is like everybody else who has none, whoever was let in before.
    """
    shown = (
        request.headers.get("Authorization"),
        request.headers.get("Cookie"),
        request.arguments.get("token", [b""])[-1],
    )
    return hash(shown) if any(shown) else None


def _is_marked(handler: type[object], request: HTTPServerRequest) -> bool:
    """Whether a request says, or its handler does, that it is nobody's activity."""
    return not getattr(handler, "_track_activity", True) or "no_track_activity" in request.arguments


def _opens_file(request: HTTPServerRequest) -> bool:
    """Whether a contents request asks for a file and not for a folder, which the file browser polls."""
    kind = request.arguments.get("type", [b""])[-1]
    content = request.arguments.get("content", [b"1"])[-1]
    return kind in {b"file", b"notebook"} and content != b"0"


def _typed_signal(name: str, age: float) -> wire.Signal:
    return wire.Signal(
        wire.Kind.TERMINAL_INPUT, terminal_source(name), wire.Clock.PRESENCE, age=max(0.0, age)
    )


def _signal(meant: Meaning, label: str, event: _Event, now: float) -> wire.Signal:
    kind, strength = _KINDS[meant]
    return wire.Signal(
        kind,
        "requests",
        wire.Clock.PRESENCE,
        strength,
        age=max(0.0, now - event.at),
        label=label,
        actor=event.actor,
    )
