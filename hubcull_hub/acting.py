"""How verdicts are carried out, whatever they ask for: one task each, bounded, written down before and after.

A task each, so that one failure or one slow answer never delays the others; slots bound how many are at the
Hub at once, for all verbs together, since the Hub has one thread. What is done is the subclass's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

from hubcull_hub.database import DatabaseError
from hubcull_hub.hub_answers import HubError
from hubcull_hub.model import Deferral, Ended, Instant, Result

log = logging.getLogger(__name__)

LONGEST_BACK_OFF = 3600.0


class Decided(Protocol):
    """What is the same in all verdicts."""

    @property
    def key(self) -> Hashable:
        """Whom it is about."""

    @property
    def reason(self) -> Enum:
        """Why."""

    @property
    def rule(self) -> str:
        """By whose limits."""

    @property
    def text(self) -> str:
        """The reason in plain words."""


_V = TypeVar("_V", bound=Decided)
_Written_contra = TypeVar("_Written_contra", contravariant=True)


class Journal(Protocol[_Written_contra]):
    """Where decisions are written down."""

    async def record(self, verdict: _Written_contra, now: Instant) -> int:
        """Write a decision before it is acted on."""

    async def record_outcome(self, number: int, outcome: Ended[Any]) -> None:
        """Write what came of it."""


class Share:
    """A part of the slots that stops use, so that servers do not queue up behind thousands of users."""

    def __init__(self, slots: asyncio.Semaphore, part: int) -> None:
        self._slots, self._part = slots, asyncio.Semaphore(part)

    async def __aenter__(self) -> None:
        """Wait for one of the part, then for one of all."""
        await self._part.acquire()
        try:
            await self._slots.acquire()
        except BaseException:
            self._part.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        """Give both back."""
        self._slots.release()
        self._part.release()


class Acting(Generic[_V]):
    """Carries out verdicts with truly bounded concurrency. Times are monotonic seconds given by `now`."""

    verb = "act on"

    def __init__(
        self,
        journal: Journal[_V],
        now: Callable[[], Instant],
        *,
        slots: AbstractAsyncContextManager[None] | None,
        back_off: float,
    ) -> None:
        """Take what every verb needs.

        Args:
            journal: where decisions are written.
            now: the clock.
            slots: bounds how many verdicts are being carried out at once; None for no bound.
            back_off: seconds before a failure is tried again, doubled with every failure.

        """
        self._journal, self._now = journal, now
        self._slots, self._back_off = slots, back_off
        self._tasks: dict[Hashable, asyncio.Task[None]] = {}
        self._outcomes: list[Ended[_V]] = []
        self._failures: dict[Hashable, tuple[int, float]] = {}
        self._said: dict[Hashable, datetime | None] = {}
        self._ending = False

    # -- what a verb says --------------------------------------------------------------------------

    def _born(self, verdict: _V) -> datetime | None:
        """Return what tells this one from another of the same name."""
        raise NotImplementedError

    async def _act(self, verdict: _V) -> Ended[_V]:
        """Look again, then do it; a slot is held meanwhile. STOPPING means that it is to be followed."""
        raise NotImplementedError

    async def _follow(self, verdict: _V) -> Ended[_V]:
        """Follow what the Hub has accepted to its end; no slot is held."""
        raise NotImplementedError

    # -- what is the same for all -------------------------------------------------------------------

    def _waiting(self, due: Mapping[Any, datetime | None]) -> dict[Any, Deferral]:
        """Return what must not be begun now, and why, given what is ``due`` now.

        A dry run says "would" once for each time that something comes due.
        """
        self._said = {key: born for key, born in self._said.items() if due.get(key) == born}
        self._failures = {key: failure for key, failure in self._failures.items() if key in due}
        mono = self._now().mono
        waiting: dict[Any, Deferral] = dict.fromkeys(self._said, Deferral.SAID)
        waiting.update((key, Deferral.BACK_OFF) for key, (_, until) in self._failures.items() if until > mono)
        waiting.update((key, Deferral.IN_FLIGHT) for key in self._tasks)
        return waiting

    def begin(self, verdicts: Iterable[_V]) -> None:
        """Begin to carry out the verdicts, and return at once."""
        for verdict in verdicts:
            task = asyncio.create_task(self._carry_out(verdict), name=f"{self.verb} {verdict.key}")
            self._tasks[verdict.key] = task

    def take_outcomes(self) -> tuple[Ended[_V], ...]:
        """Return the outcomes since the last call."""
        outcomes, self._outcomes = tuple(self._outcomes), []
        return outcomes

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._tasks)

    def begin_nothing_more(self) -> None:
        """Let nothing further begin, not even what is planned: nobody could report against it any more."""
        self._ending = True

    async def drain(self) -> None:
        """Wait until everything that was begun has ended."""
        while self._tasks:
            await asyncio.wait(set(self._tasks.values()))

    async def close(self) -> None:
        """End every task; what the Hub has accepted goes on without us."""
        for task in self._tasks.values():
            task.cancel()
        await self.drain()

    def _too_late(self, verdict: _V) -> Ended[_V] | None:
        """Return the outcome that ends it here where the service is ending."""
        return Ended(verdict, Result.SPARED, "the service was ending") if self._ending else None

    async def _carry_out(self, verdict: _V) -> None:
        """Carry out one verdict and note what came of it; whatever goes wrong ends here."""
        outcome = Ended(verdict, Result.FAILED, "interrupted")
        try:
            outcome = await self._attempt(verdict)
        except (HubError, DatabaseError) as error:
            outcome = Ended(verdict, Result.FAILED, str(error))
        except Exception as error:  # one bad one never ends the pass for the others
            log.exception("%s %s failed", self.verb, verdict.key)
            outcome = Ended(verdict, Result.FAILED, f"{type(error).__name__}: {error}")
        finally:
            del self._tasks[verdict.key]
            self._note(outcome)

    async def _attempt(self, verdict: _V) -> Ended[_V]:
        """Write the decision down, act on it, and write down what came of it.

        The slot is held for as long as the Hub works on our request, and not while a slow one is followed.
        """
        outcome = Ended(verdict, Result.FAILED, "interrupted")
        async with self._slots or nullcontext():
            late = self._too_late(verdict)
            if late is not None:
                return late
            number = await self._journal.record(verdict, self._now())
            try:
                outcome = await self._act(verdict)
            finally:
                if outcome.result is not Result.STOPPING:
                    await self._journal.record_outcome(number, outcome)
        if outcome.result is not Result.STOPPING:
            return outcome
        try:
            outcome = await self._follow(verdict)
        finally:
            await self._journal.record_outcome(number, outcome)
        return outcome

    def _note(self, outcome: Ended[_V]) -> None:
        """Remember an outcome for the cycle report, the next plan and the log."""
        verdict, key = outcome.verdict, outcome.verdict.key
        self._outcomes.append(outcome)
        if outcome.result in {Result.WOULD_STOP, Result.WOULD_DELETE}:
            self._said[key] = self._born(verdict)
        if outcome.result in {Result.FAILED, Result.STUCK}:
            count = self._failures.get(key, (0, 0.0))[0] + 1
            wait = min(self._back_off * 2.0 ** min(count - 1, 20), LONGEST_BACK_OFF)
            self._failures[key] = (count, self._now().mono + wait)
        else:
            self._failures.pop(key, None)
        level = logging.WARNING if key in self._failures else logging.INFO
        words = "%s=%s result=%s reason=%s rule=%s: %s"
        result, reason = outcome.result.value, verdict.reason.value
        log.log(level, words, self.verb, key, result, reason, verdict.rule, outcome.detail)
