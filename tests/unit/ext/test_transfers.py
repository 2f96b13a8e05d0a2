"""Laws of requests in flight: on each connection one, until its last byte is gone."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.web import RequestHandler

from hubcull_server_ext.signals.transfers import Transfers


class Stream:
    """A connection's stream; without a socket, what was sent is what tornado has counted."""

    def __init__(self, socket: object = None) -> None:
        self.socket = socket
        self.is_closed = self.is_writing = False
        self._total_write_done_index = 0

    def sends(self, size: int) -> None:
        """Have the system take so many bytes."""
        self._total_write_done_index += size

    def closed(self) -> bool:
        """Whether it is."""
        return self.is_closed

    def writing(self) -> bool:
        """Whether bytes wait."""
        return self.is_writing


class Socket:
    """A TCP connection on Linux."""

    def __init__(self) -> None:
        self.acknowledged = self.received = 0
        self.size = 200

    def getsockopt(self, *_: int) -> bytes:
        """Return what Linux tells."""
        return (bytes(120) + struct.pack("=QQ", self.acknowledged, self.received)).ljust(self.size, b"x")[
            : self.size
        ]


def request(stream: Stream | None) -> Any:
    """Return a request on a connection of its own, as tornado makes one for each."""
    return SimpleNamespace(connection=SimpleNamespace(stream=stream))


class Server:
    """A web application, and what is in flight there."""

    def __init__(self) -> None:
        self.application: Any = SimpleNamespace(
            get_handler_delegate=lambda _request, _target, **_: SimpleNamespace(chunks=bytearray())
        )
        self.transfers = Transfers(self.application)
        self.transfers.watch()

    def begin(self, stream: Stream | None) -> Any:
        """Have a request begin; return its delegate, which has no handler yet."""
        asked = request(stream)
        delegate = self.application.get_handler_delegate(asked, RequestHandler, target_kwargs={})
        delegate.request = asked
        return delegate

    def moving(self) -> int:
        """Look."""
        return len(self.transfers.moving())


def handle(delegate: Any, finished: bool = False) -> Any:
    """Give a request its handler."""
    handler = RequestHandler.__new__(RequestHandler)
    vars(handler).update(request=delegate.request, _finished=finished)
    delegate.handler = handler
    return handler


def test_bytes_that_went_since_the_last_look_are_movement() -> None:
    """The first look has nothing to compare with; what stands still says nothing."""
    server, stream = Server(), Stream()
    handle(server.begin(stream))
    assert server.moving() == 0
    stream.sends(5)
    assert (server.moving(), server.moving()) == (1, 0)
    stream.sends(5)
    assert server.moving() == 1


def test_a_body_that_comes_is_movement_before_there_is_a_handler() -> None:
    """Whoever looks is told that there is none."""
    server, stream = Server(), Stream()
    delegate = server.begin(stream)
    server.moving()
    delegate.chunks += b"abc"
    (found,) = server.transfers.moving()
    assert (found.handler, found.target) == (None, RequestHandler)


def test_linux_tells_what_the_other_side_has_taken() -> None:
    """And an old one, or another system, leaves it to what tornado has handed over."""
    server, socket = Server(), Socket()
    stream = Stream(socket)
    handle(server.begin(stream))
    server.moving()
    stream.sends(1000)
    assert server.moving() == 0, "it only went into a buffer"
    socket.acknowledged = 10
    assert server.moving() == 1
    socket.received = 10
    assert server.moving() == 1
    socket.size = 100
    server.moving()
    stream.sends(1000)
    assert server.moving() == 1


def test_an_answer_is_in_flight_until_its_last_byte_is_gone() -> None:
    """Tornado says that it is finished when it is complete; the rest may take an hour."""
    server, stream = Server(), Stream()
    handler = handle(server.begin(stream))
    server.moving()
    vars(handler)["_finished"] = stream.is_writing = True
    server.transfers.ended(handler)
    stream.sends(5)
    assert (server.moving(), len(server.transfers)) == (1, 1)
    stream.is_writing = False
    stream.sends(5)
    assert (server.moving(), len(server.transfers)) == (0, 0)


def test_what_ends_at_once_is_forgotten_at_once() -> None:
    """Without a look."""
    server, stream = Server(), Stream()
    server.transfers.ended(handle(server.begin(stream), finished=True))
    assert len(server.transfers) == 0


def test_a_connections_next_request_takes_the_place_of_the_one_before() -> None:
    """Its end is not the next one's; nor are its bytes."""
    server, stream = Server(), Stream()
    first = handle(server.begin(stream))
    server.moving()
    stream.sends(5)
    server.begin(stream)
    assert server.moving() == 0, "what went before it began is not its own"
    server.transfers.ended(first)
    assert len(server.transfers) == 1


@pytest.mark.parametrize("how", ["closed", "detached"])
def test_a_connection_that_is_gone_is_forgotten(how: str) -> None:
    """At the next look, whoever closed it, or made a websocket of it; the other one stays."""
    server, stream, other = Server(), Stream(), Stream()
    delegate = server.begin(stream)
    server.begin(other)
    server.moving()
    if how == "closed":
        stream.is_closed = True
    else:
        delegate.request.connection.stream = None
    stream.sends(5)
    other.sends(5)
    assert (server.moving(), len(server.transfers)) == (1, 1)


def test_what_was_broken_off_is_forgotten_also_where_nobody_looks() -> None:
    """At most a thousand are known; what is over goes first, and then the oldest."""
    server = Server()
    first, streams = Stream(), [Stream() for _ in range(999)]
    for stream in (first, *streams):
        server.begin(stream)
    streams[7].is_closed = True
    server.begin(Stream())
    assert len(server.transfers) == 1000
    server.begin(Stream())
    assert len(server.transfers) == 1000
    server.moving()
    first.sends(5)
    streams[8].sends(5)
    (found,) = server.transfers.moving()
    assert found.stream is streams[8]


def test_a_request_without_a_stream_is_left_alone_and_watching_twice_is_watching_once() -> None:
    """As tests of handlers have it."""
    server = Server()
    server.transfers.watch()
    server.begin(None)
    assert len(server.transfers) == 0
    server.begin(Stream())
    assert len(server.transfers) == 1
