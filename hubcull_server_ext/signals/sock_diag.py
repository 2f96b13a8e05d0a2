"""How Linux is asked for its TCP connections, and how it writes its answer; pure.

That is `NETLINK_SOCK_DIAG`: linux/netlink.h, linux/inet_diag.h and linux/tcp.h say how. It knows nothing of
sockets of our own, of processes, or of which connections matter.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

INET, INET6 = 2, 10
"""The two families, by Linux's numbers."""

_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI4x32x4x8s")
_MESSAGE = struct.Struct("=BBxx2x2x16s16s4xQ12xII")
_ATTRIBUTE = struct.Struct("=HH")
_CONDITION = struct.Struct("=BBHBBxxi")
_JUMP = struct.Struct("=BBH")
_ERROR = struct.Struct("=i")
_COUNTS = struct.Struct("=QQ")
_COUNTS_AT = 120
"""Where `tcp_info` counts the bytes that were acknowledged, and those received; not before Linux 4.1."""

_ERROR_TYPE, _DONE_TYPE, _OVERRUN_TYPE, _SOCK_DIAG = 2, 3, 4, 20
_DUMP = 0x001 | 0x300
_BYTECODE, _INFO = 1, 2
_TCP = 6
_STATES = sum(1 << state for state in (1, 4, 5, 8))
"""Those in which data can move: ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT."""
_ANY_COOKIE = b"\xff" * 8
_JUMP_CODE, _PEER_IS = 1, 8

_MAPPED = bytes(10) + b"\xff\xff"
_LOOPBACK4, _LOOPBACK6 = b"\x7f", bytes(15) + b"\x01"
_LOOPBACKS = ((INET, 8, bytes([127, 0, 0, 0])), (INET6, 128, _LOOPBACK6))


class Connection(NamedTuple):
    """One end of a TCP connection: addresses as bytes, IPv4 ones within IPv6 as IPv4; of what user.

    ``key``, its inode and Linux's cookie, is never another's; the inode is 0 where no process holds it.
    ``carried`` is how many bytes went through it so far, both ways.
    """

    key: tuple[int, int]
    local: bytes
    peer: bytes
    user: int
    carried: int

    @property
    def inode(self) -> int:
        """The inode by which descriptors of processes refer to it."""
        return self.key[0]

    @property
    def is_loopback(self) -> bool:
        """Whether the peer is this machine by its address alone."""
        return self.peer == _LOOPBACK6 or (len(self.peer) == 4 and self.peer[:1] == _LOOPBACK4)


def request(family: int, sequence: int) -> bytes:
    """Return the question for all connections of a family whose peer is no loopback address."""
    body = _REQUEST.pack(family, _TCP, 1 << (_INFO - 1), _STATES, _ANY_COOKIE)
    code = _no_loopback()
    body += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(code), _BYTECODE) + code
    return _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG, _DUMP, sequence, 0) + body


def _no_loopback() -> bytes:
    """Return the program that Linux runs for each connection: to jump past its end is to leave it out.

    Each condition that is not met jumps over the jump behind it.
    """
    conditions = [
        (family, prefix, address, _CONDITION.size + len(address)) for family, prefix, address in _LOOPBACKS
    ]
    left = sum(size + _JUMP.size for *_, size in conditions)
    code = b""
    for family, prefix, address, size in conditions:
        code += _CONDITION.pack(_PEER_IS, size, size + _JUMP.size, family, prefix, -1) + address
        left -= size
        code += _JUMP.pack(_JUMP_CODE, _JUMP.size, left + 4)
        left -= _JUMP.size
    return code


class Answer:
    """What came in answer to one question, in as many parts as Linux likes."""

    def __init__(self, sequence: int) -> None:
        self._sequence = sequence
        self.connections: list[Connection] = []
        self.is_complete = False

    def take(self, part: bytes) -> None:
        """Take a part.

        Raises:
            OSError: when it says that Linux could not, or would not, answer all of it.
            ValueError: when it is cut, or not written as Linux does.

        """
        for kind, sequence, body in _messages(part):
            if sequence != self._sequence or self.is_complete:
                continue
            if kind == _SOCK_DIAG:
                found = _connection(body)
                if found is not None:
                    self.connections.append(found)
            elif kind in (_DONE_TYPE, _ERROR_TYPE):
                _raise_for(body, kind)
                self.is_complete = True
            elif kind == _OVERRUN_TYPE:
                raise OSError("Linux had more to say than there was room for")


def _messages(part: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield kind, sequence and body of each message."""
    at = 0
    while at < len(part):
        if len(part) - at < _HEADER.size:
            raise ValueError("a message without its head")
        length, kind, _, sequence, _ = _HEADER.unpack_from(part, at)
        if not _HEADER.size <= length <= len(part) - at:
            raise ValueError("a message that is cut")
        yield kind, sequence, part[at + _HEADER.size : at + length]
        at += _aligned(length)


def _raise_for(body: bytes, kind: int) -> None:
    """Raise what Linux says went wrong, if it says so."""
    if len(body) < _ERROR.size:
        if kind == _ERROR_TYPE:
            raise ValueError("an error that is cut")
        return
    (number,) = _ERROR.unpack_from(body)
    if number < 0:
        raise OSError(-number, "Linux does not tell of its connections")


def _connection(body: bytes) -> Connection | None:
    """Read one connection; None where its bytes are not counted."""
    if len(body) < _MESSAGE.size:
        raise ValueError("a connection that is cut")
    family, _, local, peer, cookie, user, inode = _MESSAGE.unpack_from(body)
    info = _attribute(body, _MESSAGE.size, _INFO)
    if info is None or len(info) < _COUNTS_AT + _COUNTS.size:
        return None
    carried = sum(counts(info))
    return Connection((inode, cookie), _address(family, local), _address(family, peer), user, carried)


def counts(info: bytes) -> tuple[int, ...]:
    """Return of a `tcp_info` how many bytes were acknowledged, and received.

    Raises:
        struct.error: when it is too short to say.

    """
    return _COUNTS.unpack_from(info, _COUNTS_AT)


def _attribute(body: bytes, at: int, wanted: int) -> bytes | None:
    """Return an attribute's value, or None where there is none, or what there is is cut."""
    while len(body) - at >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if not _ATTRIBUTE.size <= length <= len(body) - at:
            return None
        if kind == wanted:
            return body[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)
    return None


def _address(family: int, address: bytes) -> bytes:
    if family == INET:
        return address[:4]
    return address[12:] if address.startswith(_MAPPED) else address


def _aligned(length: int) -> int:
    return (length + 3) & ~3
