"""What one kernel is doing, told from the messages it publishes; pure.

Busy is the set of requests in flight, by their message ids: cells, and what else a front end
makes the kernel do, such as a widget's callback. The state that jupyter_server keeps lies in both
directions: one ``usage_request`` during a cell turns it to idle, and a crash in mid-cell can leave
it busy. It knows nothing of sockets.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

DELIMITER = b"<IDS|MSG>"

HUMAN_REQUESTS = frozenset(
    {"execute_request", "complete_request", "inspect_request", "is_complete_request", "comm_msg", "comm_open"}
)
# What front ends and the server ask by themselves: opening a notebook, reconnecting, a side panel.
CHATTER = frozenset(
    {
        "kernel_info_request",
        "comm_info_request",
        "comm_close",
        "history_request",
        "debug_request",
        "usage_request",
        "connect_request",
        "shutdown_request",
        "interrupt_request",
        "create_subshell_request",
        "delete_subshell_request",
        "list_subshell_request",
    }
)
_UNCONFIRMED = "unconfirmed"
"""Stands for the request of a kernel that was already busy when we first saw it."""

_JOIN_GAP = 1.0
"""Seconds between two cells that make one run: "run all" is one piece of work, not twenty."""

_MAX_PARENT_TYPES = 20
_MAX_IN_FLIGHT = 100
CELL = "execute_request"


class UnreadableMessageError(ValueError):
    """A published message whose frames or headers do not follow the Jupyter protocol as JSON."""


@dataclass(frozen=True, slots=True)
class KernelMessage:
    """The little we read of a published message; never its content, but for the kernel's state."""

    msg_type: str
    parent_type: str
    parent_id: str
    subshell: str
    state: str


class Request(NamedTuple):
    """A request in flight: its type, the subshell it runs in, and since when (monotonic seconds)."""

    kind: str
    subshell: str
    since: float


@dataclass(frozen=True, slots=True)
class Span:
    """A finished run of work, in seconds on the monotonic clock."""

    began: float
    ended: float


def parse(frames: Sequence[bytes]) -> KernelMessage:
    """Read the headers of one iopub message; 9 us, a sixth of a full, verified one.

    Raises:
        UnreadableMessageError: when it is not JSON in the Jupyter protocol's frames.

    """
    try:
        start = list(frames).index(DELIMITER) + 2
        msg_type = str(json.loads(frames[start])["msg_type"])
        parent: dict[str, Any] = json.loads(frames[start + 1]) or {}
        state = json.loads(frames[start + 3]).get("execution_state", "") if msg_type == "status" else ""
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableMessageError(type(error).__name__) from error
    return KernelMessage(
        msg_type=msg_type,
        parent_type=str(parent.get("msg_type") or ""),
        parent_id=str(parent.get("msg_id") or ""),
        subshell=str(parent.get("subshell_id") or ""),
        state=str(state),
    )


@dataclass(slots=True)
class KernelState:
    """One kernel's requests: in flight, last run, newest of each type (monotonic seconds)."""

    in_flight: dict[str, Request] = field(default_factory=dict)
    """Message id of each request that runs -> what it is; chatter is not in it."""
    began: float = 0.0
    last: Span | None = None
    requests: dict[str, float] = field(default_factory=dict)
    """Type of each human or unknown request -> when the newest began."""

    def attach(self, stock_state: str, now: float) -> None:
        """Begin to watch a kernel; one already busy keeps a placeholder until it proves otherwise."""
        if stock_state == "busy":
            self.suspect(now)

    def suspect(self, since: float) -> None:
        """Take the kernel for busy since then, until its shell proves otherwise."""
        if not self.in_flight:
            self._begin(_UNCONFIRMED, Request(CELL, "", since))

    def shell_is_free(self, now: float) -> bool:
        """Note that the shell answered: what was only suspected is over."""
        return self._end({_UNCONFIRMED}, now)

    def shell_was_free(self, at: float, now: float) -> bool:
        """End what the main shell had begun before a moment at which it was free: its end was not heard."""
        older = {
            key for key, request in self.in_flight.items() if request.since < at and not request.subshell
        }
        return self._end(older, now)

    @property
    def main_shell_since(self) -> float | None:
        """When the oldest request in flight on the main shell began, if there is one."""
        return min((r.since for r in self.in_flight.values() if not r.subshell), default=None)

    @property
    def only_suspected(self) -> bool:
        """Whether nothing is known to be in flight, at most suspected."""
        return not set(self.in_flight) - {_UNCONFIRMED}

    @property
    def free_since(self) -> float | None:
        """Since when nothing is in flight, minus infinite where nothing ever was, None while something is."""
        if self.in_flight:
            return None
        return float("-inf") if self.last is None else self.last.ended

    @property
    def label(self) -> str | None:
        """The type of what is in flight, where no cell is."""
        kinds = [request.kind for request in self.in_flight.values()]
        return None if not kinds or CELL in kinds else kinds[-1]

    def observe(self, message: KernelMessage, now: float) -> bool:
        """Take note of a message; return whether it changed anything that a report would say."""
        if message.msg_type == "execute_input" and message.parent_type == CELL:
            return self._repair_missed_start(message, now)
        if message.msg_type != "status":
            return False
        if message.state in {"starting", "restarting", "dead"}:
            return self.clear(now)
        if message.state == "busy":
            return self._request_began(message, now)
        if message.state == "idle":
            over = [message.parent_id, *([_UNCONFIRMED] if message.parent_type == CELL else [])]
            return self._end(set(over), now)
        return False

    def clear(self, now: float) -> bool:
        """Forget what is in flight: the process that ran it is gone."""
        return self._end(set(self.in_flight), now)

    def died_unheard(self, now: float) -> None:
        """Note the death of a process that may have been at work: until then it is taken to have been."""
        self.last = Span(now, now)

    def _request_began(self, message: KernelMessage, now: float) -> bool:
        kind = message.parent_type
        if not kind or kind in CHATTER:
            return False
        self._note(kind, now)
        if kind == CELL:
            # A shell runs one cell at a time: a new one proves the older requests of its shell ended,
            # even where the message that said so was lost. Nothing else proves it: a cell may have a
            # widget's messages handled in its midst, and an unknown type may come on another channel.
            self._end({key for key, r in self.in_flight.items() if r.subshell == message.subshell}, now)
        self._begin(message.parent_id, Request(kind, message.subshell, now))
        return True

    def _repair_missed_start(self, message: KernelMessage, now: float) -> bool:
        """Count a cell whose ``busy`` went by before our subscription was through."""
        if message.parent_id in self.in_flight:
            return False
        return self._request_began(message, now)

    def _note(self, kind: str, now: float) -> None:
        self.requests.pop(kind, None)
        self.requests[kind] = now
        while len(self.requests) > _MAX_PARENT_TYPES:
            del self.requests[next(iter(self.requests))]

    def _begin(self, key: str, request: Request) -> None:
        now = request.since
        if len(self.in_flight) >= _MAX_IN_FLIGHT:
            return  # so many protect by themselves
        if not self.in_flight:
            joined = self.last is not None and now - self.last.ended <= _JOIN_GAP
            self.began = self.last.began if self.last is not None and joined else now
        self.in_flight.setdefault(key, request)

    def _end(self, keys: set[str], now: float) -> bool:
        present = keys & set(self.in_flight)
        for key in present:
            del self.in_flight[key]
        if present and not self.in_flight:
            self.last = Span(self.began, now)
        return bool(present)
