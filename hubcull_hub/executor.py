"""Make a plan happen: look again, stop through the Hub, follow slow stops to their end.

Every server has a task of its own, so that one failure or one slow stop never delays the others; a
semaphore bounds how many are being stopped at once. It decides nothing: `confirm` does, once more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import nullcontext
from datetime import datetime
from typing import Protocol

from hubcull_hub.database import DatabaseError
from hubcull_hub.hub_answers import HubError, StopAnswer
from hubcull_hub.model import (
    Action,
    CullPlan,
    Deferral,
    Instant,
    Limits,
    Outcome,
    Result,
    ServerKey,
    ServerState,
    Verdict,
)

log = logging.getLogger(__name__)

FOLLOW_EVERY = (1.0, 10.0)
"""Seconds between two looks at a slow stop: the first pause, doubled up to the last."""
FOLLOW_FOR = 600.0
"""Seconds after which a slow stop counts as stuck; it is then left to a later cycle."""
LONGEST_BACK_OFF = 3600.0


class Hub(Protocol):
    """What the executor needs of the Hub."""

    async def read_server(self, key: ServerKey) -> ServerState | None:
        """Return a running server as the Hub sees it now, or None."""

    async def stop(self, key: ServerKey, *, remove: bool = False) -> StopAnswer:
        """Ask the Hub to stop a server, and to remove a named one."""


class Journal(Protocol):
    """Where decisions are written down."""

    async def record(self, verdict: Verdict, now: Instant) -> int:
        """Write a decision before it is acted on."""

    async def record_outcome(self, number: int, outcome: Outcome) -> None:
        """Write what came of it."""


Confirm = Callable[[Verdict], Awaitable[Outcome | None]]
"""Looks at a server again, at the Hub too: None to go on, or the outcome that ends it here."""


class Executor:
    """Runs plans with truly bounded concurrency. Times are monotonic seconds given by `now`."""

    def __init__(
        self,
        hub: Hub,
        journal: Journal,
        confirm: Confirm,
        now: Callable[[], Instant],
        *,
        concurrency: int = 10,
        limits: Limits | None = None,
        back_off: float = 60.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Take what a stop needs.

        Args:
            hub: where servers are stopped.
            journal: where decisions are written.
            confirm: the second look.
            now: the clock.
            concurrency: how many servers are being stopped at once; 0 for no bound.
            limits: whether it is a dry run, and whether named servers are removed.
            back_off: seconds before a failed stop is tried again, doubled with every failure.
            sleep: waits between two looks at a slow stop.

        """
        self._hub, self._journal, self._confirm = hub, journal, confirm
        self._now, self._sleep = now, sleep
        self._limits, self._back_off = limits or Limits(), back_off
        self._slots = asyncio.Semaphore(concurrency) if concurrency else None
        self._tasks: dict[ServerKey, asyncio.Task[None]] = {}
        self._outcomes: list[Outcome] = []
        self._failures: dict[ServerKey, tuple[int, float]] = {}
        self._said: dict[ServerKey, datetime | None] = {}
        self._ending = False

    def waiting(self, verdicts: Iterable[Verdict]) -> dict[ServerKey, Deferral]:
        """Return the servers whose stop must not be begun now, and why.

        A dry run says "would stop" once for each time a server comes due, so it is told what is due now.
        """
        due = {v.key: v.started for v in verdicts if v.action is Action.CULL}
        self._said = {key: started for key, started in self._said.items() if due.get(key) == started}
        self._failures = {key: failure for key, failure in self._failures.items() if key in due}
        mono = self._now().mono
        waiting = dict.fromkeys(self._said, Deferral.SAID)
        waiting.update((key, Deferral.BACK_OFF) for key, (_, until) in self._failures.items() if until > mono)
        waiting.update((key, Deferral.IN_FLIGHT) for key in self._tasks)
        return waiting

    def start(self, plan: CullPlan) -> None:
        """Begin the stops of a plan, and return at once."""
        for verdict in plan.stop:
            task = asyncio.create_task(self._cull(verdict), name=f"cull {verdict.key}")
            self._tasks[verdict.key] = task

    def take_outcomes(self) -> tuple[Outcome, ...]:
        """Return the outcomes since the last call."""
        outcomes, self._outcomes = tuple(self._outcomes), []
        return outcomes

    def begin_nothing_more(self) -> None:
        """Let no further stop begin, not even a planned one: nobody could report against it any more."""
        self._ending = True

    async def drain(self) -> None:
        """Wait until every stop that was begun has ended."""
        while self._tasks:
            await asyncio.wait(set(self._tasks.values()))

    async def close(self) -> None:
        """End every task; a stop that the Hub has accepted goes on without us."""
        for task in self._tasks.values():
            task.cancel()
        await self.drain()

    async def _cull(self, verdict: Verdict) -> None:
        """Cull one server and note what came of it; whatever goes wrong ends here."""
        outcome = Outcome(verdict, Result.FAILED, "interrupted")
        try:
            outcome = await self._attempt(verdict)
        except (HubError, DatabaseError) as error:
            outcome = Outcome(verdict, Result.FAILED, str(error))
        except Exception as error:  # one bad server never ends the pass for the others
            log.exception("culling %s failed", verdict.key)
            outcome = Outcome(verdict, Result.FAILED, f"{type(error).__name__}: {error}")
        finally:
            del self._tasks[verdict.key]
            self._note(outcome)

    async def _attempt(self, verdict: Verdict) -> Outcome:
        """Write the decision down, act on it, and write down what came of it.

        The slot is held for as long as the Hub works on our request, and not while a slow stop is followed.
        """
        outcome = Outcome(verdict, Result.FAILED, "interrupted")
        async with self._slots or nullcontext():
            if self._ending:
                return Outcome(verdict, Result.SPARED, "the service was ending")
            number = await self._journal.record(verdict, self._now())
            try:
                outcome = await self._stop(verdict)
            finally:
                if outcome.result is not Result.STOPPING:
                    await self._journal.record_outcome(number, outcome)
        if outcome.result is not Result.STOPPING:
            return outcome
        log.warning("server %s is slow to stop; following it", verdict.key)
        try:
            outcome = await self._follow(verdict)
        finally:
            await self._journal.record_outcome(number, outcome)
        return outcome

    async def _stop(self, verdict: Verdict) -> Outcome:
        """Look again, then ask the Hub to stop the server."""
        ended = await self._confirm(verdict)
        if ended is not None:
            return ended
        if self._ending:
            return Outcome(verdict, Result.SPARED, "the service was ending")
        if self._limits.dry_run:
            return Outcome(verdict, Result.WOULD_STOP, verdict.text)
        answer = await self._hub.stop(verdict.key, remove=self._limits.remove_named_servers)
        if answer is StopAnswer.STOPPED:
            return Outcome(verdict, Result.STOPPED, verdict.text)
        if answer is StopAnswer.STOPPING:
            return Outcome(verdict, Result.STOPPING, verdict.text)
        if await self._hub.read_server(verdict.key) is None:
            return Outcome(verdict, Result.GONE, "the Hub no longer knew it")
        text = "the Hub shows it and does not let us stop it: is delete:servers filtered as read:servers is?"
        return Outcome(verdict, Result.FAILED, text)

    async def _follow(self, verdict: Verdict) -> Outcome:
        """Follow a stop that the Hub accepted (202) until the server is gone."""
        begun, pause = self._now().mono, FOLLOW_EVERY[0]
        while self._now().mono - begun < FOLLOW_FOR:
            await self._sleep(pause)
            pause = min(2 * pause, FOLLOW_EVERY[1])
            try:
                server = await self._hub.read_server(verdict.key)
            except HubError as error:
                log.warning("following the stop of %s: %s", verdict.key, error)
                continue
            if server is None:
                return Outcome(verdict, Result.STOPPED, verdict.text)
            if server.started != verdict.started:
                return Outcome(verdict, Result.STOPPED, "stopped, and started again since")
            if server.pending is None and server.ready:
                return Outcome(verdict, Result.FAILED, "the Hub gave up stopping it")
        return Outcome(verdict, Result.STUCK, f"the Hub has not stopped it in {FOLLOW_FOR:.0f} s")

    def _note(self, outcome: Outcome) -> None:
        """Remember an outcome for the cycle report, the next plan and the log."""
        verdict = outcome.verdict
        self._outcomes.append(outcome)
        if outcome.result is Result.WOULD_STOP:
            self._said[verdict.key] = verdict.started
        if outcome.result in {Result.FAILED, Result.STUCK}:
            count = self._failures.get(verdict.key, (0, 0.0))[0] + 1
            wait = min(self._back_off * 2.0 ** min(count - 1, 20), LONGEST_BACK_OFF)
            self._failures[verdict.key] = (count, self._now().mono + wait)
        else:
            self._failures.pop(verdict.key, None)
        level = logging.WARNING if verdict.key in self._failures else logging.INFO
        log.log(
            level,
            "cull server=%s result=%s reason=%s rule=%s: %s",
            verdict.key,
            outcome.result.value,
            verdict.reason.value,
            verdict.rule,
            outcome.detail,
        )
