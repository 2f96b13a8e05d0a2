"""How requests are seen: the web application's ``log_function``, `transfers`, and a websocket's messages.

That function is the one public place through which each finished request goes, and each
new websocket with its live handler. One hook serves all sources that look at requests; it
knows nothing of what they look for.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any

from tornado.httputil import HTTPHeaders
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler

from hubcull_server_ext.signals.transfers import Transfer, Transfers

_MAX_WRAPS = 5
_MOST_CLASSES = 1000
"""Classes of handlers of which it is remembered who looks at their requests."""
_SEEN = "_hubcull_seen"
_SWITCHING_PROTOCOLS = 101
SeeMessage = Callable[[WebSocketHandler, "str | bytes"], None]
See = Callable[[RequestHandler], None]
Concerns = Callable[[type[RequestHandler]], bool]


class RequestHook:
    """Shows each finished request once, and each that takes long while it goes on.

    `reconcile` once all extensions are loaded, and `look`, now and then.

    Args:
        settings: the tornado application's settings.
        transfers: what is in flight; without it only finished requests are shown.

    """

    def __init__(self, settings: MutableMapping[str, Any], transfers: Transfers | None = None) -> None:
        self._settings, self._transfers = settings, transfers
        self._watchers: list[tuple[See, Concerns]] = []
        self._movers: list[tuple[Callable[[Transfer], None], Concerns]] = []
        self._watchers_of = lru_cache(maxsize=_MOST_CLASSES)(self._find_watchers)
        self._installed: See | None = None
        self._wraps = 0

    def add(self, see: See, concerns: Concerns = lambda _class: True) -> None:
        """Show requests to this function, too.

        Args:
            see: called with each; it must not raise.
            concerns: which classes of handlers it looks at. Each is asked about once and not at each
                request: code that a busy server seldom runs takes ten times as long as in a loop.

        """
        self._watchers.append((see, concerns))
        self._watchers_of.cache_clear()

    def add_mover(self, see: Callable[[Transfer], None], concerns: Concerns) -> None:
        """Show what is in flight to this function, too, if bytes went through it since the look before."""
        self._movers.append((see, concerns))

    def look(self) -> None:
        """Look at what is in flight."""
        for transfer in () if self._transfers is None else self._transfers.moving():
            for see, concerns in self._movers:
                if _may_concern(concerns, transfer.target):
                    see(transfer)

    def reconcile(self) -> None:
        """Begin to see requests; called again, take the place back from whoever replaced us.

        What others have built on it since is left as it is, also at the end: only the watchers go quiet.
        """
        current = self._settings.get("log_function")
        if self._installed is not None and current is self._installed:
            return
        if self._wraps >= _MAX_WRAPS:
            return  # somebody wraps us in turn; we are still called
        self._wraps += 1
        if self._transfers is not None:
            self._transfers.watch()
        self._installed = self._wrapper(current)
        self._settings["log_function"] = self._installed

    def _find_watchers(self, handler: type[RequestHandler]) -> tuple[See, ...]:
        return tuple(see for see, concerns in self._watchers if _may_concern(concerns, handler))

    def _wrapper(self, previous: See | None) -> See:
        def log_function(handler: RequestHandler) -> None:
            several = self._wraps > 1  # who was wrapped in turn calls us twice
            if not several or not getattr(handler, _SEEN, False):
                if several:
                    setattr(handler, _SEEN, True)
                if self._transfers is not None:
                    self._transfers.ended(handler)
                one: Any = type(handler)  # every class can be hashed
                for see in self._watchers_of(one):
                    see(handler)
            if previous is not None:
                previous(handler)

        return log_function


def _may_concern(concerns: Concerns, handler: type[RequestHandler]) -> bool:
    """Whether a class is somebody's concern; also where that can not be told."""
    try:
        return concerns(handler)
    except Exception:
        return True


def watch_messages(
    handler: WebSocketHandler, see: SeeMessage, failed: Callable[[Exception], None] = lambda _error: None
) -> None:
    """Put ``see`` before the instance's own ``on_message``, and hand back what that returns.

    Args:
        handler: a new websocket.
        see: called with the websocket and each message that the browser sends.
        failed: called with what it raised; the message reaches the handler all the same.

    """
    reference = weakref.ref(handler)  # a strong one would keep a closed socket alive
    function = _function_of(handler)
    foreign = handler.on_message if function is None else None

    def on_message(message: str | bytes) -> Awaitable[None] | None:
        socket = reference()
        if socket is None:
            return None
        try:
            see(socket, message)
        except Exception as error:
            failed(error)
        if function is not None:
            return function(socket, message)
        return foreign(message) if foreign is not None else None

    handler.on_message = on_message  # type: ignore[method-assign]


def is_new_socket(handler: RequestHandler) -> bool:
    """Whether what has just finished is a websocket's handshake; the socket lives on."""
    return handler.get_status() == _SWITCHING_PROTOCOLS


def is_endless(handler: RequestHandler) -> bool:
    """Whether an answer is a stream of events, by its own word."""
    kind = str(headers_of(handler).get("Content-Type", ""))
    return kind.startswith(("text/event-stream", "multipart/x-mixed-replace"))


def has_an_end(handler: RequestHandler) -> bool:
    """Whether an answer says how long it is, or that it is to be saved as a file."""
    headers = headers_of(handler)
    return "Content-Length" in headers or headers.get("Content-Disposition", "").startswith("attachment")


def headers_of(handler: RequestHandler) -> HTTPHeaders:
    """Return the headers of an answer, as far as they are known."""
    found = vars(handler).get("_headers")
    return found if isinstance(found, HTTPHeaders) else HTTPHeaders()


def authenticated_user(handler: RequestHandler) -> object:
    """Return who sent the request, as already decided by the server; never start a login of ours."""
    values = vars(handler)
    user: object = values.get("_jupyter_current_user") or values.get("_current_user")
    return user


def user_name(user: object) -> str | None:
    """Return the name of such a user, where there is one."""
    name = getattr(user, "username", None)
    return name if isinstance(name, str) and name else None


def _function_of(
    handler: WebSocketHandler,
) -> Callable[[WebSocketHandler, str | bytes], Awaitable[None] | None] | None:
    """Return the plain function of a handler's ``on_message``, or None where it is not its own method."""
    method = handler.on_message
    function = getattr(method, "__func__", None)
    return function if callable(function) and getattr(method, "__self__", None) is handler else None
