"""The messages of kernels, in ZMQ's frames and on websockets: their headers, next to nothing else; pure.

It knows how the Jupyter protocol is written, and nothing of what a message means.
"""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

DELIMITER = b"<IDS|MSG>"
STATUS, ECHO = "status", "execute_input"
STDIN, IOPUB, CONTROL = "stdin", "iopub", "control"
DELETION = "delete_subshell_request"
_DEBUG = "debug_event"
_TOLD_BY_CONTENT = frozenset({STATUS, _DEBUG, DELETION})
_MOST_PARTS = 20
_BEGIN = struct.Struct("<QQQ")
"""Of a binary message: how many offsets there are, and the first two."""


class UnreadableMessageError(ValueError):
    """A published message whose frames or headers do not follow the Jupyter protocol as JSON."""


class DebugEvent(NamedTuple):
    """What a debugger tells: its word for it, whether of all threads, and the number it gives it."""

    name: str
    all_threads: bool = False
    number: float = 0.0


class Deletion(NamedTuple):
    """What a page asks that closes a console with a subshell: this request's id, and the subshell's."""

    request: str
    subshell: str


@dataclass(frozen=True, slots=True)
class KernelMessage:
    """The little we read of a message: of its content the state, a debugger's word, a subshell's end."""

    msg_type: str
    parent_type: str
    parent_id: str
    subshell: str
    state: str
    date: str = ""
    """When the kernel made it, by the kernel's own clock, as it is written there."""
    debug: DebugEvent | None = None
    deletion: Deletion | None = None


def family(topic: bytes, msg_type: str) -> bytes:
    """Return how the topics of all that a kernel's shell publishes begin, empty where a topic tells nothing.

    ipykernel's are `kernel.ID.status`, `kernel.ID.execute_input` and so on (`Kernel._topic`), with an id for
    each process; streams, displays and comms have others.
    """
    first, dot, rest = topic.partition(b".")
    return first + dot if rest.endswith(b"." + msg_type.encode()) else b""


def tells_little(header: bytes) -> bool:
    """Whether a message is neither a status, a cell's echo nor a debugger's; told without reading its header.

    JSON could spell these words in other ways, but not without a backslash.
    """
    telling = b"status" in header or b"execute_input" in header or b"debug_event" in header
    return not (telling or b"\\" in header)


def headers(frames: list[bytes]) -> tuple[bytes, bytes]:
    """Return the frames of a message's header and of its parent's, unread.

    Raises:
        UnreadableMessageError: when there are none.

    """
    try:
        start = frames.index(DELIMITER) + 2
        return frames[start], frames[start + 1]
    except (ValueError, IndexError) as error:
        raise UnreadableMessageError(type(error).__name__) from error


def type_in(header: bytes) -> str:
    """Return the type of message that a header names, empty where it names none.

    Raises:
        UnreadableMessageError: when it is not JSON in the Jupyter protocol's form.

    """
    try:
        return str((json.loads(header) or {}).get("msg_type") or "")
    except (ValueError, AttributeError) as error:
        raise UnreadableMessageError(type(error).__name__) from error


def parse(frames: Sequence[bytes]) -> KernelMessage:
    """Read the headers of one iopub message; 9 us, a sixth of a full, verified one.

    Raises:
        UnreadableMessageError: when it is not JSON in the Jupyter protocol's frames.

    """
    try:
        start = list(frames).index(DELIMITER) + 2
        header: dict[str, Any] = json.loads(frames[start])
        parent: dict[str, Any] = json.loads(frames[start + 1]) or {}
        content = json.loads(frames[start + 3]) if header["msg_type"] in _TOLD_BY_CONTENT else {}
        return _message(header, parent, content)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableMessageError(type(error).__name__) from error


def socket_message(frame: object, v1: bool, channels: frozenset[str]) -> tuple[str, KernelMessage] | None:
    """Read a websocket's message, and its channel, if it goes over one of these channels.

    Args:
        frame: the message, as the browser sends it or is sent it.
        v1: whether it is in the protocol's binary form of that name, and not in JSON.
        channels: those that matter; what goes over any other is left alone.

    Raises:
        UnreadableMessageError: when it should be on such a channel and can not be read.

    """
    try:
        if v1:
            return _of_binary(frame, channels) if isinstance(frame, bytes) else None
        if not isinstance(frame, str) or not any(quoted(channel) in frame for channel in channels):
            return None
        body: dict[str, Any] = json.loads(frame)
        if body.get("channel") not in channels:
            return None
        header, content = body["header"], body.get("content") or {}
        return body["channel"], _message(header, body.get("parent_header") or {}, content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableMessageError(type(error).__name__) from error


def quoted(channel: str) -> str:
    """Return how a channel stands in JSON: only as a value of its own has it quotes that are not escaped."""
    return f'"{channel}"'


def _of_binary(frame: bytes, channels: frozenset[str]) -> tuple[str, KernelMessage] | None:
    """Read numbers of 8 bytes, how many offsets follow and these; then the channel's name and the parts."""
    if len(frame) < _BEGIN.size:
        return None
    count, first, second = _BEGIN.unpack_from(frame)
    channel = frame[first:second].decode("utf-8", "replace")
    if channel not in channels:
        return None
    places = range(16, 8 * min(count, _MOST_PARTS) + 8, 8)
    offsets = [int.from_bytes(frame[place : place + 8], "little") for place in places]
    parts = [frame[begin:end] for begin, end in itertools.pairwise(offsets)]
    return channel, parse([DELIMITER, b"", *parts])


def _message(header: dict[str, Any], parent: dict[str, Any], content: dict[str, Any]) -> KernelMessage:
    msg_type = str(header["msg_type"])
    return KernelMessage(
        msg_type=msg_type,
        parent_type=str(parent.get("msg_type") or ""),
        parent_id=str(parent.get("msg_id") or ""),
        subshell=str(parent.get("subshell_id") or ""),
        state=str(content.get("execution_state", "")) if msg_type == STATUS else "",
        date=str(header.get("date") or ""),
        debug=_debug_event(content) if msg_type == _DEBUG else None,
        deletion=_deletion(header, content) if msg_type == DELETION else None,
    )


def _deletion(header: dict[str, Any], content: dict[str, Any]) -> Deletion:
    return Deletion(str(header.get("msg_id") or ""), str(content.get("subshell_id") or ""))


def _debug_event(content: dict[str, Any]) -> DebugEvent:
    body, number = content.get("body"), content.get("seq")
    return DebugEvent(
        name=str(content.get("event") or ""),
        all_threads=isinstance(body, dict) and body.get("allThreadsStopped") is True,
        number=float(number) if isinstance(number, (int, float)) else 0.0,
    )


def is_later(date: str, than: str, by: float = 0.0) -> bool:
    """Whether a date of the kernel's is later than another, by so many seconds; also where none can tell."""
    try:
        one, other = (datetime.fromisoformat(text.replace("Z", "+00:00")) for text in (date, than))
        return one > other + timedelta(seconds=by)
    except (ValueError, TypeError):
        return True
