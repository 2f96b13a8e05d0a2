"""Laws of what Linux says of TCP connections: what is cut or refused is never half an answer."""

from __future__ import annotations

import json
import socket
import struct
from pathlib import Path

import pytest

from hubcull_server_ext.signals import sock_diag
from hubcull_server_ext.signals.sock_diag import INET, INET6, Answer, Connection

RECORDED = json.loads((Path(__file__).parent / "recorded" / "sock_diag.json").read_text())
"""What Linux 6.18 answered to our question on a machine with three connections to another, over IPv4, IPv6
and IPv4 within IPv6, and two ends of one to itself; one over loopback was there, too. `ss` said the same."""
SEQUENCE = 7
SOCK_DIAG, DONE, ERROR, OVERRUN = 20, 3, 2, 4


def message(kind: int, body: bytes, sequence: int = SEQUENCE) -> bytes:
    """Return a netlink message."""
    return struct.pack("=IHHII", 16 + len(body), kind, 2, sequence, 0) + body + bytes(-len(body) % 4)


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def info(acked: int, received: int, longer: int = 40) -> bytes:
    """Return what is known of a connection's traffic, and so many bytes that newer systems add."""
    return bytes(120) + struct.pack("=QQ", acked, received) + bytes(longer)


def connection(attributes: bytes, inode: int = 5, peer: str = "10.0.0.2") -> bytes:
    """Return a connection over IPv4, with attributes."""
    ports = struct.pack("!HH", 40000, 443)
    addresses = socket.inet_aton("10.0.0.1") + bytes(12) + socket.inet_aton(peer) + bytes(12)
    rest = struct.pack("=IQIIIII", 0, 99, 0, 0, 0, 1000, inode)
    return bytes([INET, 1, 0, 0]) + ports + addresses + rest + attributes


def whole(*parts: bytes) -> list[Connection]:
    """Return what is read of an answer that has to be complete."""
    answer = Answer(SEQUENCE)
    for part in parts:
        assert not answer.is_complete
        answer.take(part)
    assert answer.is_complete
    return answer.connections


def address(text: str) -> bytes:
    """Return an address as bytes."""
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def test_what_linux_recorded_is_read_in_full() -> None:
    """To the byte what `ss` told of the same connections; Linux counts the handshake as one."""
    found = {}
    for family, name in ((INET, "ipv4"), (INET6, "ipv6")):
        answer = Answer(family)
        for part in RECORDED[name]:
            answer.take(bytes.fromhex(part))
        assert answer.is_complete
        found[family] = [(c.local, c.peer, c.user, c.carried) for c in answer.connections]
        assert all(c.inode > 0 and c.key[1] > 0 and not c.is_loopback for c in answer.connections)
    here, there = address("10.77.0.1"), address("10.77.0.2")
    assert found[INET] == [(here, here, 0, 3017), (here, there, 0, 300017)]
    assert found[INET6] == [
        (address("fd77::1"), address("fd77::2"), 0, 100017),
        (here, there, 0, 3017),
        (here, here, 0, 3016),
    ]


def test_a_connection_is_read_among_other_attributes_and_in_many_parts() -> None:
    """Each part may hold many; what answers another question is no answer."""
    described = attribute(8, b"\x01") + attribute(2, info(30, 12)) + attribute(4, b"cubic\0")
    first = message(SOCK_DIAG, connection(described, 5)) + message(SOCK_DIAG, connection(described, 6))
    other = message(SOCK_DIAG, connection(described, 8), sequence=6)
    second = other + message(SOCK_DIAG, connection(described, 7)) + message(DONE, struct.pack("=i", 0))
    expected = Connection((5, 99), address("10.0.0.1"), address("10.0.0.2"), 1000, 42)
    assert whole(first, second) == [expected._replace(key=(inode, 99)) for inode in (5, 6, 7)]


def test_a_connection_whose_bytes_are_not_counted_is_left_out() -> None:
    """By an old Linux, whose figures are shorter; without them; or where they are cut."""
    good = attribute(2, info(30, 12, longer=0))
    without = [
        attribute(2, info(30, 12)[:104]),
        attribute(8, b"\x01"),
        b"",
        struct.pack("=HH", 200, 2) + bytes(150),
        struct.pack("=HH", 0, 2) + bytes(150),
        good[:2],
    ]
    part = b"".join(message(SOCK_DIAG, connection(each)) for each in [*without, good])
    assert [c.carried for c in whole(part + message(DONE, b""))] == [42]


@pytest.mark.parametrize(
    "part",
    [
        message(SOCK_DIAG, connection(b"")[:60]),
        message(SOCK_DIAG, connection(attribute(2, info(1, 1))))[:-30],
        message(DONE, b"")[:10],
        struct.pack("=IHHII", 3, SOCK_DIAG, 2, SEQUENCE, 0),
        message(ERROR, b"\0"),
    ],
    ids=["connection", "message", "head", "length", "error"],
)
def test_what_is_cut_is_no_answer(part: bytes) -> None:
    """Nor what makes no sense; it never goes on for ever."""
    with pytest.raises(ValueError, match=r"cut|without"):
        Answer(SEQUENCE).take(part)


def test_a_refusal_is_told_as_what_it_is() -> None:
    """At once or at the end; what was left out for want of room, too; no error is an end."""
    for kind in (ERROR, DONE):
        with pytest.raises(FileNotFoundError):
            whole(message(kind, struct.pack("=i", -2) + bytes(16)))
    with pytest.raises(PermissionError):
        whole(message(ERROR, struct.pack("=i", -1)))
    with pytest.raises(OSError, match="room"):
        whole(message(OVERRUN, b""))
    assert whole(message(ERROR, struct.pack("=i", 0) + bytes(16))) == []


@pytest.mark.parametrize(
    ("peer", "is_loopback"),
    [("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("128.0.0.1", False), ("7f00::1", False)],
)
def test_loopback_is_known_by_its_address(peer: str, is_loopback: bool) -> None:
    """All of 127, not what begins alike."""
    assert Connection((1, 1), address("10.0.0.1"), address(peer), 0, 0).is_loopback is is_loopback


def test_ipv4_within_ipv6_is_ipv4() -> None:
    """Loopback as well."""
    for peer, is_loopback in (("127.0.0.1", True), ("10.0.0.2", False)):
        body = bytearray(connection(attribute(2, info(1, 1))))
        body[0] = INET6
        body[8:40] = address("::ffff:10.0.0.1") + address(f"::ffff:{peer}")
        (found,) = whole(message(SOCK_DIAG, bytes(body)) + message(DONE, b""))
        assert (found.local, found.peer) == (address("10.0.0.1"), address(peer))
        assert found.is_loopback is is_loopback


def lets_through(code: bytes, family: int, peer: bytes) -> bool:
    """Run a question's program as Linux does, which lets through what ends exactly at its end."""
    at = 0
    while at < len(code):
        kind, yes, no = struct.unpack_from("=BBH", code, at)
        is_met = False
        if kind == 8:
            wanted, prefix = code[at + 4], code[at + 5]
            mapped = family == INET6 and wanted == INET and peer.startswith(bytes(10) + b"\xff\xff")
            if wanted == family or mapped:
                there = int.from_bytes((peer[12:] if mapped else peer)[: prefix // 8], "big")
                is_met = there == int.from_bytes(code[at + 12 : at + 12 + prefix // 8], "big")
        else:
            assert kind == 1, "only conditions and jumps are known here"
        at += yes if is_met else no
    return at == len(code)


def test_linux_is_asked_to_leave_out_loopback() -> None:
    """Of either family; by a program that its check takes: met conditions lead to its end."""
    for family in (INET, INET6):
        asked = sock_diag.request(family, SEQUENCE)
        length, kind, flags, sequence, _ = struct.unpack_from("=IHHII", asked)
        assert (length, kind, flags, sequence) == (len(asked), 20, 0x301, SEQUENCE)
        assert struct.unpack_from("=BBBxI", asked, 16) == (family, 6, 2, 0b100110010)
        size, wanted = struct.unpack_from("=HH", asked, 72)
        assert (size, wanted) == (len(asked) - 72, 1)
        code = asked[76:]
        peers = {"10.0.0.2": True, "127.0.0.1": False} if family == INET else {}
        peers |= {"::1": False, "::2": True, "fd00::1": True} if family == INET6 else {}
        peers |= {"::ffff:127.1.2.3": False, "::ffff:10.0.0.2": True} if family == INET6 else {}
        for peer, passes in peers.items():
            assert lets_through(code, family, address(peer)) is passes, peer
