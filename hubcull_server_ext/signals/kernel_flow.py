"""How what a kernel publishes is taken from its socket: all that waits at once, and in a flood now and then.

To wake the server's loop for a message costs many times what taking it does. Where a flood is of other topics
than those that must be heard, the kernel is asked to leave it out for some seconds: what nobody asked for is
not even sent (ADR 32). It knows sockets, streams and topics, and nothing of what a message says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import zmq
from zmq.eventloop.zmqstream import ZMQStream

_AT_ONCE = int(zmq.NOBLOCK)
_WINDOW = 0.1
"""Seconds over which messages are counted."""
_MANY = 20
"""Messages in a window from which on it is a flood."""
_FEW = 5
"""Messages between two looks below which the flood is over."""
_BETWEEN = 0.1
"""Seconds between two looks in a flood: the more messages are taken in a row, the less each costs."""
_MOST, _SOON = 1000, 0.05
"""Messages taken in a row, so that nobody else waits for long, and seconds until the next row."""
_WITHOUT = 5.0
"""Seconds for which a flood is left out; then it is looked at again, whether it goes on and what it is."""
_ALL = b""


class Flow:
    """What one subscription receives.

    Args:
        stream: the subscription.
        take: called with the frames of each message, in order; it must not raise.
        clock: monotonic seconds.
        enough: returns how the topics begin that must be heard, None while all must.

    """

    def __init__(
        self,
        stream: ZMQStream,
        take: Callable[[list[bytes]], None],
        clock: Callable[[], float],
        enough: Callable[[], bytes | None] = lambda: None,
    ) -> None:
        self._stream, self._take, self._clock, self._enough = stream, take, clock, enough
        self._begin, self._came = 0.0, 0
        self._flooded = False
        self._heard = _ALL
        self._newest: list[bytes] = []
        stream.on_recv(self._on_message)

    def catch_up(self) -> None:
        """Take what waits in a flood; without one nothing does."""
        if self._flooded and not self._stream.closed():
            self._drain()

    def hear_all(self) -> None:
        """Hear everything again, and take it for a flood until the next look says that it is none."""
        if self._stream.closed() or self._heard == _ALL:
            return
        self._subscribe(_ALL)
        if not self._flooded:
            self._begin_flood()

    def _on_message(self, frames: list[bytes]) -> None:
        self._take(frames)
        now = self._clock()
        if now - self._begin > _WINDOW:
            self._begin, self._came = now, 0
        self._came += 1 + self._drain()
        if self._came > _MANY and not (self._flooded or self._stream.closed()):
            self._begin_flood()

    def _begin_flood(self) -> None:
        """Look from time to time: a socket that nobody reads from wakes the loop once, however much comes."""
        self._flooded = True
        self._stream.stop_on_recv()
        self._look_later()

    def _look_later(self, delay: float = _BETWEEN) -> None:
        self._stream.io_loop.call_later(delay, self._look)

    def _look(self) -> None:
        if self._stream.closed():
            return
        came = self._drain()
        if came >= _MANY:
            self._leave_out()
        if came >= _FEW:
            self._look_later(_BETWEEN if came < _MOST else _SOON)
        elif not self._stream.closed():
            self._flooded = False
            self._stream.on_recv(self._on_message)

    def _leave_out(self) -> None:
        """Have the kernel leave the flood out, if what must be heard is told from it by its topic."""
        enough = self._enough()
        if self._stream.closed() or self._heard or not enough or self._newest[0].startswith(enough):
            return
        self._subscribe(enough)
        self._stream.io_loop.call_later(_WITHOUT, self.hear_all)

    def _subscribe(self, topics: bytes) -> None:
        """Hear these, and no others: first the one, then not the other, so that nothing is missed between."""
        self._stream.socket.subscribe(topics)
        self._stream.socket.unsubscribe(self._heard)
        self._heard = topics

    def _drain(self) -> int:
        """Take what waits; return how many messages it were."""
        if self._stream.closed():
            return 0
        receive = self._stream.socket.recv
        for count in range(_MOST):
            try:
                frames = _message(receive)
            except zmq.ZMQError:  # nothing waits any more, or what was taken last has closed it
                return count
            self._newest = frames
            self._take(frames)
        return _MOST


def _message(receive: Callable[[int, bool], Any]) -> list[bytes]:
    """Return the frames of a message that waits; in half of the time that `recv_multipart` takes.

    Raises:
        zmq.ZMQError: when none waits.

    """
    frame = receive(_AT_ONCE, False)
    frames = [frame.bytes]
    while frame.more:
        frame = receive(_AT_ONCE, False)
        frames.append(frame.bytes)
    return frames
