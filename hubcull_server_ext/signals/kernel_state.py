"""What one kernel is doing, told from the messages it publishes; pure.

Busy is the set of requests in flight, by their message ids: cells, and what else a front end
makes the kernel do, such as a widget's callback. The state that jupyter_server keeps lies in both
directions: one ``usage_request`` during a cell turns it to idle, and a crash in mid-cell can leave
it busy. It knows nothing of sockets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from hubcull_server_ext.signals.kernel_messages import KernelMessage, is_later

HUMAN_REQUESTS = frozenset(
    {"execute_request", "complete_request", "inspect_request", "is_complete_request", "input_reply"}
)
# What a widget sends, for a person or for an animation that runs by itself in the page.
COMM_REQUESTS = frozenset({"comm_msg", "comm_open"})
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
ANSWER = "input_reply"


class Request(NamedTuple):
    """A request in flight: its type, the subshell it runs in, and since when (monotonic seconds)."""

    kind: str
    subshell: str
    since: float


class Wait(NamedTuple):
    """A request that has asked a person and waits: since when (monotonic s), and the question's own date."""

    request: Request
    since: float
    date: str


@dataclass(frozen=True, slots=True)
class Span:
    """A finished run of work, in seconds on the monotonic clock."""

    began: float
    ended: float


@dataclass(slots=True)
class KernelState:
    """One kernel's requests: in flight, last run, newest of each type (monotonic seconds)."""

    in_flight: dict[str, Request] = field(default_factory=dict)
    """Message id of each request that runs -> what it is; chatter is not in it."""
    began: float = 0.0
    last: Span | None = None
    requests: dict[str, float] = field(default_factory=dict)
    """Type of each human or unknown request -> when the newest began."""
    waiting: dict[str, Wait] = field(default_factory=dict)
    """Message id of each request that asked for input -> since when it waits; none of them is in flight."""
    unmatched: KernelMessage | None = None
    """The newest question of a request that we have not heard of; what it says comes another way."""
    newest: KernelMessage | None = None
    """The newest message but for a status."""

    def attach(self, stock_state: str, now: float) -> None:
        """Begin to watch a kernel; one already busy keeps a placeholder until it proves otherwise."""
        if stock_state == "busy":
            self.suspect(now)

    def suspect(self, since: float) -> None:
        """Take the kernel for busy since then, until its shell proves otherwise."""
        if not self.in_flight and not self.main_shell_waits:
            self._begin(_UNCONFIRMED, Request(CELL, "", since))

    def shell_is_free(self, now: float) -> bool:
        """Note that the shell answered: what was only suspected is over."""
        return self._end({_UNCONFIRMED}, now)

    def shell_was_free(self, at: float, now: float) -> bool:
        """End what the main shell had begun before a moment at which it was free: its end was not heard."""
        return self._end({key for key, request in self._of_shell("").items() if request.since < at}, now)

    @property
    def main_shell_since(self) -> float | None:
        """When the oldest request in flight on the main shell began, if there is one."""
        return min((r.since for r in self.in_flight.values() if not r.subshell), default=None)

    @property
    def main_shell_waits(self) -> bool:
        """Whether what runs on the main shell waits for input: the shell can not answer then."""
        return any(not wait.request.subshell for wait in self.waiting.values())

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
        if message.msg_type != "status":
            self.newest = message
            if message.parent_id in self.waiting:
                return self._goes_on_after(message, now)
            is_echo = message.msg_type == "execute_input" and message.parent_type == CELL
            return is_echo and self._repair_missed_start(message, now)
        if message.state in {"starting", "restarting", "dead"}:
            return self.clear(now)
        if message.state == "busy":
            return self._request_began(message, now)
        if message.state == "idle":
            over = [message.parent_id, *([_UNCONFIRMED] if message.parent_type == CELL else [])]
            return self._end(set(over), now)
        return False

    def asks(self, message: KernelMessage, now: float) -> bool:
        """Note that a request asked for input and waits: from here on it is no work.

        Only a request that is known to be in flight, and silent since, is believed to wait; return whether
        one is.
        """
        if message.msg_type != "input_request":
            return False
        request, newest = self.in_flight.get(message.parent_id), self.newest
        if request is None:
            self.unmatched = message
            return False
        spoke = newest is not None and newest.parent_id == message.parent_id
        if spoke and newest is not None and is_later(newest.date, message.date):
            return False
        self._end({message.parent_id}, now)
        self.waiting[message.parent_id] = Wait(request, now, message.date)
        return True

    def on_stdin(self, message: KernelMessage, now: float) -> bool:
        """Take a question or an answer; return whether it changed what a report would say."""
        if message.msg_type != ANSWER:
            return self.asks(message, now)
        self.answered(now)
        return True

    def answered(self, now: float) -> None:
        """Note that a person answered: whatever waited for input is at work again."""
        self._note(ANSWER, now)
        self.unmatched = None
        for key in list(self.waiting):
            self._resume(key, now)

    def clear(self, now: float) -> bool:
        """Forget what is in flight: the process that ran it is gone."""
        self.unmatched = None
        return self._end(set(self.in_flight) | set(self.waiting), now)

    def may_have_worked(self, now: float) -> None:
        """Note that until now it may have been at work, as when its process died unheard."""
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
            self._end(set(self._of_shell(message.subshell)), now)
        self._begin(message.parent_id, Request(kind, message.subshell, now))
        question, self.unmatched = self.unmatched, None
        if question is not None and question.parent_id == message.parent_id:
            self.asks(question, now)
        return True

    def _repair_missed_start(self, message: KernelMessage, now: float) -> bool:
        """Count a cell whose ``busy`` went by before our subscription was through."""
        if message.parent_id in self.in_flight:
            return False
        return self._request_began(message, now)

    def _of_shell(self, subshell: str) -> dict[str, Request]:
        """Return what is in flight or waits on one shell, by message id."""
        known = {**self.in_flight, **{key: wait.request for key, wait in self.waiting.items()}}
        return {key: request for key, request in known.items() if request.subshell == subshell}

    def _goes_on_after(self, message: KernelMessage, now: float) -> bool:
        """Take a waiting request for work again if it published something after its question.

        What it had published before may come in later, for it comes another way; the kernel's own dates tell.
        """
        if not is_later(message.date, self.waiting[message.parent_id].date):
            return False
        self._resume(message.parent_id, now)
        return True

    def _resume(self, key: str, now: float) -> None:
        self._begin(key, self.waiting.pop(key).request._replace(since=now))

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
        present, waited = keys & set(self.in_flight), keys & set(self.waiting)
        for key in present:
            del self.in_flight[key]
        for key in waited:
            del self.waiting[key]
        if (present or waited) and not self.in_flight:
            self.last = Span(self.began if present else now, now)
        return bool(present or waited)
