"""Requests in flight: which there are, and through which of them bytes move.

A request is noted when its headers have come, and forgotten when it has ended; all else is done at the looks,
so that this costs a request next to nothing. It knows tornado's application and connections, and nothing of
what a request means. It keeps no content.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler

from hubcull_server_ext.signals import sock_diag

_INFO_SIZE = 256
"""Bytes, more than Linux has to tell of a connection."""
_MOST = 1000
"""Requests in flight that are known at once; where nobody looks, broken ones would pile up."""


@dataclass(slots=True, eq=False)
class Transfer:
    """A request between its headers and the last byte of its answer; its class may not have been made yet."""

    target: type[RequestHandler]
    request: HTTPServerRequest
    delegate: Any
    stream: Any
    counts: tuple[int, ...] | None = None

    @property
    def handler(self) -> RequestHandler | None:
        """What answers it, None while its body is still coming."""
        handler = getattr(self.delegate, "handler", None)
        return handler if isinstance(handler, RequestHandler) else None


class Transfers:
    """The requests in flight of one web application.

    Args:
        application: the tornado application.

    """

    def __init__(self, application: Any) -> None:
        self._application = application
        self._begun: dict[Any, tuple[type[RequestHandler], HTTPServerRequest, Any]] = {}
        """Those since the last look, as little as is needed of each: most are over by the next."""
        self._in_flight: dict[Any, Transfer] = {}  # both by the stream: on each, one comes after the other
        self._watching = False

    def __len__(self) -> int:
        """Return how many may be in flight."""
        return len(self._begun.keys() | self._in_flight.keys())

    def watch(self) -> None:
        """See requests begin from now on, by the application's own place where each gets its handler."""
        if self._watching:
            return
        self._watching = True
        make, begun = self._application.get_handler_delegate, self._begun

        def get_handler_delegate(
            request: HTTPServerRequest, target_class: type[RequestHandler], *args: Any, **kwargs: Any
        ) -> Any:
            delegate = make(request, target_class, *args, **kwargs)
            stream = getattr(request.connection, "stream", None)
            if stream is not None:
                begun[stream] = target_class, request, delegate
                if len(begun) + len(self._in_flight) > _MOST:
                    self._know()
            return delegate

        self._application.get_handler_delegate = get_handler_delegate

    def ended(self, handler: RequestHandler) -> None:
        """Forget a request whose answer is complete, if all of that is sent; else it is still in flight."""
        request = handler.request
        stream: Any = getattr(request.connection, "stream", None)
        begun = self._begun.pop(stream, None)
        if begun is None:
            found = self._in_flight.get(stream)
            if found is not None and found.request is request and not stream.writing():
                del self._in_flight[stream]
        elif begun[1] is not request or stream.writing():
            self._begun[stream] = begun
        elif self._in_flight:
            self._in_flight.pop(stream, None)

    def _know(self) -> None:
        """Know those that have begun since the last look, and forget what is over; the oldest, if many."""
        for stream, (target, request, delegate) in self._begun.items():
            self._in_flight.pop(stream, None)
            self._in_flight[stream] = Transfer(target, request, delegate, stream)
        self._begun.clear()
        over = [stream for stream, transfer in self._in_flight.items() if _is_over(transfer)]
        for stream in over or list(self._in_flight)[:-_MOST]:
            del self._in_flight[stream]

    def moving(self) -> list[Transfer]:
        """Look at all; return those through which bytes have gone, either way, since the look before."""
        self._know()
        moved = []
        for transfer in self._in_flight.values():
            before, transfer.counts = transfer.counts, _counts(transfer)
            if before is not None and before != transfer.counts:
                moved.append(transfer)
        return moved


def _is_over(transfer: Transfer) -> bool:
    """Whether the last byte is gone, or whoever asked is, or the connection is something else by now."""
    stream: Any = transfer.stream
    handler = transfer.handler
    if stream.closed() or getattr(transfer.request.connection, "stream", None) is not transfer.stream:
        return True
    return bool(handler is not None and getattr(handler, "_finished", False) and not stream.writing())


def _counts(transfer: Transfer) -> tuple[int, ...]:
    """Return how many bytes went each way: what the other side has taken, where Linux tells, and what came.

    Elsewhere what was handed to the system for sending, which takes some megabytes at a time.
    """
    try:
        info = transfer.stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_SIZE)
        return sock_diag.counts(info)
    except (OSError, AttributeError, struct.error):  # no TCP, no Linux, or one before 4.1
        came = getattr(transfer.delegate, "chunks", None) or ()
        return getattr(transfer.stream, "_total_write_done_index", 0), len(came)
