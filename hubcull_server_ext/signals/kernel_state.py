"""What one kernel is doing, told from the messages it publishes; pure.

Busy is the set of requests in flight, by their message ids: cells, and what else a front end
makes the kernel do, such as a widget's callback. The state that jupyter_server keeps lies in both
directions: one ``usage_request`` during a cell turns it to idle, and a crash in mid-cell can leave
it busy. It knows nothing of sockets.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hubcull_server_ext.signals.kernel_debugger import Debugger, Halt
from hubcull_server_ext.signals.kernel_messages import (
    DELETION,
    ECHO,
    STATUS,
    DebugEvent,
    Deletion,
    KernelMessage,
    is_later,
)
from hubcull_server_ext.signals.kernel_requests import CELL, CHATTER, Request, Run, Span, Wait

_UNCONFIRMED = "unconfirmed"
"""Stands for the request of a kernel that was already busy when we first saw it."""

_JOIN_GAP = 1.0
"""Seconds between two cells that make one run: "run all" is one piece of work, not twenty."""

_PRINTED_BEFORE = 5.0
"""Seconds after a halt within which a kernel may still publish what a cell printed before it."""

_MAX_PARENT_TYPES = 20
_MAX_IN_FLIGHT = _MAX_LEAVING = 100
ANSWER = "input_reply"


@dataclass(slots=True)
class KernelState:
    """One kernel's requests: in flight, last run, newest of each type (monotonic seconds)."""

    in_flight: dict[str, Request] = field(default_factory=dict)
    """Message id of each request that runs -> what it is; chatter is not in it."""
    runs: dict[str, Run] = field(default_factory=dict)
    """Subshell -> what runs in it, or ran a moment ago: one piece of work, whatever goes on beside it."""
    last: Span | None = None
    """The newest run that ended, in whichever shell."""
    requests: dict[str, float] = field(default_factory=dict)
    """Type of each human or unknown request -> when the newest began."""
    waiting: dict[str, Wait] = field(default_factory=dict)
    """Message id of each request that waits for a person -> since when; none of them is in flight."""
    unmatched: KernelMessage | None = None
    """The newest question of a request that we have not heard of; what it says comes another way."""
    newest: KernelMessage | None = None
    """The newest message but for a status, and for a debugger's word."""
    debugger: Debugger = field(default_factory=Debugger)
    started_at: float = float("-inf")
    """When a process last said that it starts, or another said so of it: what is in flight is of that one."""
    leaving: dict[str, str] = field(default_factory=dict)
    """Message id of each request to delete a subshell -> the subshell, until the kernel has done so."""

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
        """Whether what runs on the main shell waits for a person: the shell can not answer then."""
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
    def began(self) -> float:
        """When the youngest of what runs began: an old one past its cap must not take a new one with it."""
        return self.runs[self._youngest].began

    @property
    def label(self) -> str | None:
        """The type of what runs there: a cell, if one does, else the newest; None for a mere suspicion."""
        here = [(key, r.kind) for key, r in self.in_flight.items() if r.subshell == self._youngest]
        kinds = [kind for key, kind in here if key != _UNCONFIRMED]
        return CELL if CELL in kinds else kinds[-1] if kinds else None

    @property
    def ended_beside(self) -> Span | None:
        """What ended in another shell since the newest of what is in flight began, if something did."""
        newest = max((request.since for request in self.in_flight.values()), default=None)
        after = newest is not None and self.last is not None and self.last.ended > newest
        return self.last if after else None

    @property
    def _youngest(self) -> str:
        shells = {request.subshell for request in self.in_flight.values()}
        return max(shells, key=lambda shell: self.runs[shell].began)

    def observe(self, message: KernelMessage, now: float) -> bool:
        """Take note of a message; return whether it changed anything that a report would say."""
        if message.debug is not None:
            return self._debugged(message.debug, message.date, now)
        if message.msg_type != STATUS:
            self.newest = message
            if message.parent_id in self.waiting:
                return self._goes_on_after(message, now)
            is_echo = message.msg_type == ECHO and message.parent_type == CELL
            return is_echo and self._repair_missed_start(message, now)
        if message.state in {"starting", "restarting", "dead"}:
            self.started_at = now
            return self.clear(now)
        if message.state == "busy":
            return self._request_began(message, now)
        if message.state == "idle":
            over = [message.parent_id, *([_UNCONFIRMED] if message.parent_type == CELL else [])]
            if message.parent_type == DELETION:
                over = [*self._of_shell(self.leaving.pop(message.parent_id, None))]
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

    def deletes(self, deletion: Deletion) -> None:
        """Note that a page asks for the end of a subshell: its requests end with it, untold.

        It is over when the kernel has answered: ipykernel waits for the subshell's thread.
        """
        if deletion.subshell and len(self.leaving) < _MAX_LEAVING:
            self.leaving[deletion.request] = deletion.subshell

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
        self._resume_all(now, halted=False)

    def clear(self, now: float) -> bool:
        """Forget what is in flight: the process that ran it is gone."""
        self.unmatched, self.debugger, self.leaving = None, Debugger(), {}
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

    def _of_shell(self, subshell: str | None) -> dict[str, Request]:
        """Return what is in flight or waits on one shell, by message id."""
        known = {**self.in_flight, **{key: wait.request for key, wait in self.waiting.items()}}
        return {key: request for key, request in known.items() if request.subshell == subshell}

    def _goes_on_after(self, message: KernelMessage, now: float) -> bool:
        """Take a waiting request for work again if it published something after its question, or its halt.

        What it had published before may come in later, for it comes another way; the kernel's own dates tell.
        What it had printed before a halt may be published after it.
        """
        wait = self.waiting[message.parent_id]
        if not is_later(message.date, wait.date, _PRINTED_BEFORE if wait.halted else 0.0):
            return False
        self._resume(message.parent_id, now)
        return True

    def _debugged(self, event: DebugEvent, date: str, now: float) -> bool:
        """Take a debugger's word: what halts waits for a person, and is work again when it goes on.

        It halts the main shell's thread: ipykernel keeps those of subshells from it. A request that nobody
        knows may run elsewhere, too, and what is only suspected may be anything.
        """
        said = self.debugger.says(event)
        resumed = said is not Halt.UNTOLD and self._resume_all(now, halted=True)
        if said is not Halt.HALTED:
            return resumed
        halted = {key: r for key, r in self.in_flight.items() if key != _UNCONFIRMED and r.can_halt}
        self._end(set(halted), now)
        self.waiting.update({key: Wait(request, now, date, halted=True) for key, request in halted.items()})
        return bool(halted)

    def _resume_all(self, now: float, halted: bool) -> bool:
        keys = [key for key, wait in self.waiting.items() if wait.halted is halted]
        for key in keys:
            self._resume(key, now)
        return bool(keys)

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
        run = self.runs.get(request.subshell)
        if run is None or (run.ended is not None and now - run.ended > _JOIN_GAP):
            run = Run(now)
        if key != _UNCONFIRMED and run.label != CELL:
            run = run._replace(label=request.kind)
        joinable = {s: r for s, r in self.runs.items() if r.ended is None or now - r.ended <= _JOIN_GAP}
        self.runs = {**joinable, request.subshell: run._replace(ended=None)}
        self.in_flight.setdefault(key, request)

    def _end(self, keys: set[str], now: float) -> bool:
        present, waited = keys & set(self.in_flight), keys & set(self.waiting)
        shells = {self.in_flight.pop(key).subshell for key in present}
        kinds = [self.waiting.pop(key).request.kind for key in waited]
        shells -= {request.subshell for request in self.in_flight.values()}
        for shell in shells:
            self.runs[shell] = self.runs[shell]._replace(ended=now)
        if shells:
            run = max((self.runs[shell] for shell in shells), key=lambda run: run.began)
            self.last = Span(run.began, now, run.label)
        elif waited and not present:
            self.last = Span(now, now, kinds[0])
        return bool(present or waited)
