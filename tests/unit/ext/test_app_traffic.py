"""Laws of apps' traffic: acts of people are told from what a page, a viewer or an editor does by itself."""

from __future__ import annotations

import re

import pytest

from hubcull_server_ext.signals.app_traffic import HEARTBEATS, AppTraffic, Request, SocketTraffic

UNEVEN = (0.0, 3.1, 17.4, 19.0, 42.5, 44.2, 81.9)


def traffic() -> AppTraffic:
    """Return an app of which only the known heartbeats are known."""
    return AppTraffic([re.compile(pattern) for pattern in HEARTBEATS])


def get(at: float, path: str = "/page", **more: object) -> Request:
    """Return a request that was answered at once."""
    return Request(at, at + 0.01, "GET", path, **more)  # type: ignore[arg-type]


def test_each_request_counts_until_it_keeps_a_beat() -> None:
    """And others count while it does."""
    app = traffic()
    beats = [app.act(get(4.0 * i, "/poll")) for i in range(8)]
    assert [at is None for at in beats] == [False] * 3 + [True] * 5
    assert app.act(get(29.0)) == pytest.approx(29.01)


def test_arguments_that_change_do_not_hide_a_beat() -> None:
    """A page that appends the time to its polls."""
    app = traffic()
    found = [app.act(get(4.0 * i, arguments=frozenset({"_"}))) for i in range(8)]
    assert found[3:] == [None] * 5


def test_another_length_is_another_content() -> None:
    """One address that is posted to for everything: what differs in length does not share the beat."""
    app = traffic()
    for i in range(8):
        app.act(Request(5.0 * i, 5.0 * i + 0.1, "POST", "/rpc", length=40))
    assert app.act(Request(36.0, 36.1, "POST", "/rpc", length=97)) == 36.1


@pytest.mark.parametrize(
    "path",
    [
        "/events/get_events",
        "_stcore/health",
        "/_stcore/host-config",
        "/_reload-hash",
        "/heartbeat/a1b2c3",
        "/healthz",
    ],
)
def test_known_heartbeats_never_count(path: str) -> None:
    """At whatever time they come; what only looks like one does."""
    app = traffic()
    assert [app.act(get(at, path)) for at in UNEVEN] == [None] * len(UNEVEN)
    assert app.act(get(100.0, f"{path}/details")) is not None


def test_a_stream_of_events_counts_when_it_was_asked_for() -> None:
    """It is seen when it ends, which may be hours after its reader had left."""
    assert traffic().act(Request(10.0, 7210.0, "GET", "/events", stream=True)) == 10.0
    assert traffic().act(Request(10.0, 70.0, "POST", "/compute")) == 70.0


def test_memory_is_bounded() -> None:
    """However many addresses an app has."""
    app = traffic()
    for i in range(2000):
        app.act(get(float(i), f"/{i}"))
    assert len(app._seen) == 300


def test_frames_count_until_those_of_their_length_keep_a_beat() -> None:
    """Text and binary apart; what is empty is nothing."""
    socket = SocketTraffic()
    assert [socket.act("ping", 5.0 * i) for i in range(6)] == [True] * 3 + [False] * 3
    assert socket.act("rerun", 31.0)
    assert socket.act(b"ping", 32.0)
    assert not socket.act("", 33.0)


def bokeh(socket: SocketTraffic, at: float, length: int) -> bool:
    """Send a message as Bokeh's page does, in three frames; return whether any of them is a person's."""
    frames = ('{"msgid":"1001","msgtype":"PATCH-DOC"}', "{}", "x" * length)
    found = [socket.act(frame, at + 0.002 * i) for i, frame in enumerate(frames)]
    return any(found)


def test_a_body_belongs_to_the_head_that_keeps_a_beat() -> None:
    """A plot that the server moves: its page answers each time with the range that it then shows."""
    socket = SocketTraffic()
    answers = [bokeh(socket, 1.0 * i, 150 + 3 * (i % 17) + i) for i in range(60)]
    assert answers == [True] * 3 + [False] * 57
    assert bokeh(socket, 59.4, 180), "somebody zooms"
    assert socket.act("x" * 500, 60.2), "without a head it is another message"


def test_a_body_alone_counts_however_it_comes() -> None:
    """What keeps no beat of its own is a person's, unless what it came with does."""
    socket = SocketTraffic()
    assert all(socket.act("x" * (100 + i), 1.0 * i) for i in range(30))


def test_typing_counts_every_key() -> None:
    """Frames of one length, fast and at uneven times."""
    socket = SocketTraffic()
    assert all(socket.act("0x", at) for at in (0.0, 0.2, 0.35, 0.8, 0.95, 1.3, 1.4, 1.9, 2.0))


def test_a_desktop_counts_by_its_input() -> None:
    """A viewer asks for each picture after the one before; keys, pointer and clipboard are a person's."""
    socket = SocketTraffic()
    assert not socket.act(b"RFB 003.008\n", 0.0)
    update = bytes([3, 1, 0, 0, 0, 0, 4, 0, 3, 0])
    assert not any(socket.act(update, at) for at in UNEVEN)
    assert all(socket.act(bytes([kind, 0, 0, 1]), at) for at in UNEVEN for kind in (4, 5, 6, 255))


def clipboard(flags: int, formats: int = 1, data: bytes = b"") -> bytes:
    """Return a clipboard message of the extension, as noVNC 1.4 and newer write it."""
    body = bytes([flags, 0, 0, formats]) + data
    return bytes([6, 0, 0, 0]) + (-len(body)).to_bytes(4, "big", signed=True) + body


def test_a_desktops_programs_copy_by_themselves() -> None:
    """A viewer asks for what they copied, and says at its beginning what it can; only its own news count."""
    socket = SocketTraffic()
    socket.act(b"RFB 003.008\n", 0.0)
    said = [clipboard(0x1F, data=bytes(4)), clipboard(0x02), clipboard(0x04), clipboard(0x10, data=b"zip")]
    assert not any(socket.act(frame, at) for frame in said for at in UNEVEN)
    assert all(socket.act(clipboard(0x08), at) for at in UNEVEN), "somebody copied"
    assert socket.act(bytes([6, 0, 0, 0, 0, 0, 0, 4]) + b"\x02\x02\x02\x02", 200.0), "a plain text"


def test_vscodes_acknowledgements_are_nothing() -> None:
    """Frames without a body; those with one count, and so does what only has their length."""
    socket = SocketTraffic()
    for kind in (3, 9, 10, 11):
        assert not any(socket.act(bytes([kind, *range(8), 0, 0, 0, 0]), at) for at in UNEVEN)
    assert socket.act(bytes([1, *range(8), 0, 0, 0, 0]), 100.0)
    assert socket.act(bytes([3, *range(8), 0, 0, 0, 7]), 101.0)
