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
        self._in_flight: dict[Any, Transfer] = {}  # by the stream: on each, one comes after the other
        self._watching = False

    def __len__(self) -> int:
        """Return how many are known to be in flight."""
        return len(self._in_flight)

    def watch(self) -> None:
        """See requests begin from now on, by the application's own place where each gets its handler."""
        if self._watching:
            return
        self._watching = True
        make = self._application.get_handler_delegate

        def get_handler_delegate(
            request: HTTPServerRequest, target_class: type[RequestHandler], *args: Any, **kwargs: Any
        ) -> Any:
            delegate = make(request, target_class, *args, **kwargs)
            stream = getattr(request.connection, "stream", None)
            if stream is not None:
                self._in_flight[stream] = Transfer(target_class, request, delegate, stream)
                if len(self._in_flight) > _MOST:
                    self._forget()
            return delegate

        self._application.get_handler_delegate = get_handler_delegate

    def ended(self, handler: RequestHandler) -> None:
        """Take note that an answer is complete; it is in flight until the last byte of it was sent."""
        stream: Any = getattr(handler.request.connection, "stream", None)
        found = self._in_flight.get(stream)
        if found is not None and found.request is handler.request and not stream.writing():
            del self._in_flight[stream]

    def _forget(self) -> None:
        """Forget what is over, and if that is nothing, the oldest."""
        over = [stream for stream, transfer in self._in_flight.items() if _is_over(transfer)]
        for stream in over or [next(iter(self._in_flight))]:
            del self._in_flight[stream]

    def moving(self) -> list[Transfer]:
        """Look at all; return those through which bytes have gone, either way, since the look before."""
        moved = []
        for stream, transfer in list(self._in_flight.items()):
            if _is_over(transfer):
                del self._in_flight[stream]
                continue
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
