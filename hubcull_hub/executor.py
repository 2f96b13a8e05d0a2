"""Make a plan happen: look again, stop through the Hub, follow slow stops to their end.

It decides nothing: `confirm` does, once more. How many at once, back-off and journal are `acting`'s.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Protocol

from hubcull_hub.acting import Acting, Journal, Share
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


class Hub(Protocol):
    """What the executor needs of the Hub."""

    async def read_server(self, key: ServerKey) -> ServerState | None:
        """Return a running server as the Hub sees it now, or None."""

    async def stop(self, key: ServerKey, *, remove: bool = False) -> StopAnswer:
        """Ask the Hub to stop a server, and to remove a named one."""


Confirm = Callable[[Verdict], Awaitable[Outcome | None]]
"""Looks at a server again, at the Hub too: None to go on, or the outcome that ends it here."""


class Executor(Acting[Verdict]):
    """Stops servers."""

    verb = "cull server"

    def __init__(
        self,
        hub: Hub,
        journal: Journal[Verdict],
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
        slots = asyncio.Semaphore(concurrency) if concurrency else None
        super().__init__(journal, now, slots=slots, back_off=back_off)
        self._shared, self._concurrency = slots, concurrency
        self._hub, self._confirm, self._sleep = hub, confirm, sleep
        self._limits = limits or Limits()

    def share(self) -> Share | None:
        """Return half of the slots, for another verb; None where nothing is bounded."""
        return None if self._shared is None else Share(self._shared, max(1, self._concurrency // 2))

    def waiting(self, verdicts: Iterable[Verdict]) -> dict[ServerKey, Deferral]:
        """Return the servers whose stop must not be begun now, and why, given all verdicts."""
        due = {v.key: v.started for v in verdicts if v.action is Action.CULL}
        return self._waiting(due)

    def start(self, plan: CullPlan) -> None:
        """Begin the stops of a plan, and return at once."""
        self.begin(plan.stop)

    def _born(self, verdict: Verdict) -> datetime | None:
        return verdict.started

    async def _act(self, verdict: Verdict) -> Outcome:
        """Look again, then ask the Hub to stop the server."""
        ended = await self._confirm(verdict)
        if ended is not None:
            return ended
        late = self._too_late(verdict)
        if late is not None:
            return late
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
        log.warning("server %s is slow to stop; following it", verdict.key)
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
