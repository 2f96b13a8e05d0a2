"""Websockets: how many browsers hold one, when anything but pings went over them, what kernels ask.

An open websocket proves nobody; this is shown, and worth nothing. Of a kernel's websocket it
hands on what goes over the channels that somebody asked for. It keeps no content, and what goes over a
websocket in numbers, a kernel's messages or a terminal's output, it counts and does not look at.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Protocol

from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler

from hubcull_server_ext import wire
from hubcull_server_ext.signals.handlers import (
    has_awareness,
    is_awareness,
    is_echo_of_polls,
    is_kernel_socket,
)
from hubcull_server_ext.signals.hook import (
    RequestHook,
    authenticated_user,
    is_new_socket,
    user_name,
    watch_messages,
)
from hubcull_server_ext.signals.kernel_messages import KernelMessage, quoted, socket_message

_BINARY_PROTOCOL = "v1.kernel.websocket.jupyter.org"


class KernelTraffic(Protocol):
    """Who wants to know what goes over kernels' websockets."""

    channels: frozenset[str]
    """Which channels matter."""
    asked: frozenset[str]
    """Which matter besides, of what a page sends."""

    def on_socket(self, kernel_id: str, channel: str, message: KernelMessage) -> None:
        """Take a message of such a channel, in either direction."""


class NoTraffic:
    """Nobody wants to know."""

    channels: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()

    def on_socket(self, kernel_id: str, channel: str, message: KernelMessage) -> None:
        """Leave it."""


class Websockets:
    """Watches all websockets that are opened from now on.

    Args:
        hook: shows them.
        clock: monotonic seconds.
        kernels: is told what goes over kernels' websockets.
        failed: called with what went wrong in looking at a message.
        shown: whether to say how many browsers there are; without, only kernels' websockets are looked into.

    `look` now and then: when something went over a websocket is known to the time between two looks.

    """

    def __init__(
        self,
        hook: RequestHook,
        clock: Callable[[], float],
        kernels: KernelTraffic,
        failed: Callable[[Exception], None] = lambda _error: None,
        shown: bool = True,
    ) -> None:
        self._clock, self._kernels, self._failed, self._shown = clock, kernels, failed, shown
        self._open: weakref.WeakKeyDictionary[WebSocketHandler, int] = weakref.WeakKeyDictionary()
        self._counted: weakref.WeakKeyDictionary[WebSocketHandler, int] = weakref.WeakKeyDictionary()
        self._said_at: float | None = None
        hook.add(self._see, lambda handler: issubclass(handler, WebSocketHandler))

    def signals(self, now: float) -> list[wire.Signal]:
        """Return how many browsers are connected and for how long they have been silent, if any ever was."""
        if not self._shown:
            return []
        self.look()
        browsers = {browser for socket, browser in list(self._open.items()) if _is_open(socket)}
        if self._said_at is None and not browsers:
            return []
        age = None if self._said_at is None else max(0.0, now - self._said_at)
        return [wire.Signal(wire.Kind.BROWSERS, "websockets", wire.Clock.NONE, age=age, count=len(browsers))]

    def look(self) -> None:
        """See over which websockets anything but pings went since the last look."""
        try:
            for socket, before in list(self._counted.items()):
                self._counted[socket] = count = _bytes_over(socket, before)
                if count != before:
                    self._said_at = self._clock()
        except Exception as error:
            self._failed(error)

    def _see(self, handler: RequestHandler) -> None:
        try:
            if is_new_socket(handler) and isinstance(handler, WebSocketHandler):
                user = authenticated_user(handler)
                if user:
                    self._open[handler] = _browser(handler, user_name(user))
                    self._watch(handler)
        except Exception as error:
            self._failed(error)

    def _watch(self, handler: WebSocketHandler) -> None:
        """See what goes over it in both directions; what only answers a page's polls says nothing."""
        kind = type(handler)
        if is_kernel_socket(kind) and self._kernels.channels:
            watch_messages(handler, self._see_question, self._failed)
            _watch_writes(handler, self._see_kernel_message, self._failed, _word_of(self._kernels.channels))
        if not self._shown or is_echo_of_polls(kind):
            return
        if has_awareness(kind):
            watch_messages(handler, self._see_message, self._failed)
            _watch_writes(handler, self._see_message, self._failed)
        else:
            self._counted[handler] = 0

    def _see_message(self, socket: WebSocketHandler, message: object) -> None:
        if not is_awareness(type(socket), message):
            self._said_at = self._clock()

    def _see_kernel_message(self, socket: WebSocketHandler, message: object) -> None:
        self._hand_on(socket, message, self._kernels.channels)

    def _see_question(self, socket: WebSocketHandler, message: object) -> None:
        self._hand_on(socket, message, self._kernels.channels | self._kernels.asked)

    def _hand_on(self, socket: WebSocketHandler, message: object, channels: frozenset[str]) -> None:
        v1 = socket.selected_subprotocol == _BINARY_PROTOCOL
        found = socket_message(message, v1, channels)
        if found is not None:
            self._kernels.on_socket(str(getattr(socket, "kernel_id", "")), *found)


def _browser(handler: WebSocketHandler, user: str | None) -> int:
    """Return what tells one browser from another; as a hash, for the number of them is all that we want."""
    request = handler.request
    return hash((user, request.remote_ip, request.headers.get("User-Agent")))


def _is_open(socket: WebSocketHandler) -> bool:
    connection = socket.ws_connection
    return connection is not None and not connection.is_closing()


def _word_of(channels: frozenset[str]) -> str:
    """Return what is in each text that goes over one of these channels; of several, that is nothing."""
    return quoted(next(iter(channels))) if len(channels) == 1 else ""


def _bytes_over(socket: WebSocketHandler, before: int) -> int:
    """Return how many bytes of messages, and not of pings, went over a websocket so far.

    Raises:
        AttributeError: where tornado does not count them any more.

    """
    connection: Any = socket.ws_connection  # None once it is closed
    return before if connection is None else connection._message_bytes_in + connection._message_bytes_out


def _watch_writes(
    handler: WebSocketHandler,
    see: Callable[[WebSocketHandler, object], None],
    failed: Callable[[Exception], None],
    word: str = "",
) -> None:
    """Put ``see`` before the instance's own ``write_message``, and hand back what that returns.

    Args:
        handler: a new websocket.
        see: called with it and each message; those in text only where ``word`` is in them, for a kernel's
            may come by the thousand.
        failed: called with what it raised; the message is sent all the same.
        word: what makes a message worth a look; the empty one is in all.

    """
    reference = weakref.ref(handler)  # a strong one would keep a closed socket alive
    function, foreign = type(handler).write_message, vars(handler).get("write_message")

    def write_message(message: Any, binary: bool = False) -> Any:
        socket = reference()
        if socket is None:
            return None
        if type(message) is not str or word in message:
            try:
                see(socket, message)
            except Exception as error:
                failed(error)
        return function(socket, message, binary) if foreign is None else foreign(message, binary)

    handler.write_message = write_message  # type: ignore[method-assign]
