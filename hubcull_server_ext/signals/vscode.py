"""VS Code in the browser, as code-server shows it: what its page sends, and a process does, by itself; pure.

The page has two connections, one for files and terminals, one for extensions. A frame holds whole messages,
each a head and a body. It looks at heads, and at the names of what is called, and keeps nothing.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence

_HEAD = struct.Struct(">BIII")
"""What kind of message it is, its number, the newest that has come in, how long the body is."""
_REGULAR, _CONTROL = 1, 2
_BARE = frozenset({3, 9, 10, 11})
"""Without a body: what acknowledges, keeps and times the connection."""
_FIRST = re.compile(rb'\x02\0{8}.{4}\{"type":"auth"', re.DOTALL)
_DONE = frozenset({5, 7})
"""Of the extensions' connection: a call has come in, a call is done and returns nothing."""
_ANSWER = 5
"""Bytes of such a body: the kind, and the number of the call."""
_CALLS = frozenset({1, 2, 3, 4})
_NAMED = 7
"""Where the name of what is called begins; its length comes before it."""
_NEWS = frozenset(
    {
        b"$onFileEvent",  # somebody, or a program, wrote a file
        b"$provideDecorations",  # and a folder shows it
        b"$onDidTunnelsChange",  # a program listens at a port, or no more
        b"$shellExecutionData",  # a program printed
        b"$acceptTerminalTitleChange",  # a shell's prompt came back
    }
)
"""What the page tells the extensions, or asks them, after the server has told it something."""
_AWAY = frozenset({b"$onDidChangeWindowActive", b"$onDidChangeWindowFocus"})
"""With the one word false: the page has seen nobody for a minute, or lies behind another."""
_OF_ITSELF = re.compile(
    rb"\x04\x04\x06[df]\x06[\x80-\xff]*[\x00-\x7f]\x01"
    rb"(\x09telemetry\x01|\x10remoteFilesystem\x01(\x04stat|\x07readdir)\x04"
    rb"|\x0eremoteterminal\x01(\x15\$acknowledgeDataEvent|\x0c\$updateTitle)\x04)"
)
"""Of the other: calls of what measures its use, looks at a folder in which a program wrote, what a terminal's
output makes the page say. Who opens a file or writes one makes other calls, too."""


_HOST = (b"bootstrap-fork", b"--type=extensionHost")
"""What is run, and as what, in the command of the process in which extensions run."""


def is_extension_host(words: Sequence[bytes]) -> bool:
    """Tell whether a process runs VS Code's extensions, by its command.

    While a page is open it searches /proc every two seconds, itself and by children, for ports to which
    somebody may want to go: all that the calls of processes read and write there is no work.
    """
    programs = [word.rpartition(b"/")[2].removesuffix(b".js") for word in words]
    return _HOST in zip(programs, words[1:], strict=False)


def begins(frame: bytes) -> bool:
    """Tell whether a websocket's first frame is that of VS Code's page."""
    return _FIRST.match(frame) is not None


def comes_by_itself(frame: bytes) -> bool:
    """Tell whether a frame holds nothing but what the page sends by itself. What can not be read, is not."""
    at = 0
    while at + _HEAD.size <= len(frame):
        kind, _number, _newest, length = _HEAD.unpack_from(frame, at)
        at += _HEAD.size + length
        if at > len(frame) or not _is_chatter(kind, frame[at - length : at]):
            return False
    return at == len(frame)


def _is_chatter(kind: int, body: bytes) -> bool:
    """Whether a message is not a person's. Control messages begin a connection, anew after a break, too."""
    if kind != _REGULAR:
        return kind == _CONTROL or (kind in _BARE and not body)
    if len(body) == _ANSWER:
        return body[0] in _DONE
    called = body[_NAMED : _NAMED + body[_NAMED - 1]] if len(body) > _NAMED and body[0] in _CALLS else b""
    if called in _NEWS or (called in _AWAY and body.endswith(b"[false]")):
        return True
    return _OF_ITSELF.match(body) is not None
