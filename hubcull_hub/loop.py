"""The cycle: list now and then, decide on every server, plan, begin the stops. The stages meet only here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from hubcull_hub.executor import Executor
from hubcull_hub.fitness import Features, Owner, unfitness
from hubcull_hub.hub_answers import HubError
from hubcull_hub.judge import Judge, See
from hubcull_hub.model import (
    Basis,
    Instant,
    Limits,
    ServerState,
    Verdict,
)
from hubcull_hub.plan import plan
from hubcull_hub.report import CycleReport, summary
from hubcull_hub.roster import Roster
from hubcull_hub.sight import Sight
from hubcull_hub.store import OVER, Store

log = logging.getLogger(__name__)


class Hub(Owner, Protocol):
    """What the cycle needs of the Hub."""

    async def list_servers(self) -> list[ServerState]:
        """Return all ready servers."""


class Loop:
    """Runs cycles. `last` is the newest report, which log, API and CLI read."""

    def __init__(
        self,
        hub: Hub,
        store: Store,
        sight: Sight,
        executor: Executor,
        judge: Judge,
        *,
        features: Features,
        limits: Limits,
        cull_every: float,
    ) -> None:
        self._hub, self._store, self._sight, self._executor = hub, store, sight, executor
        self._judge, self._features, self._limits = judge, features, limits
        self._cull_every = cull_every
        self.roster: Roster | None = None
        """Who is due of the users, set before the first cycle; None where users are left alone."""
        self._listed: float | None = None
        self._since: float | None = None
        self._number = 0
        self._problems: tuple[str, ...] = ()
        self.last: CycleReport | None = None
        self.failure: str | None = None
        """What was wrong with the last cycle, if it could not be run to its end."""

    async def run_cycle(self, now: Instant) -> CycleReport:
        """Run one cycle at `now` and return its report; stops that it begins go on by themselves."""
        self._sight.look(now)
        outcomes = self._executor.take_outcomes()
        for outcome in outcomes:  # again: a listing that was on its way may have brought one back
            if outcome.result in OVER:
                self._store.drop_incarnation(outcome.verdict.key, outcome.verdict.started)
        listed = await self._reconcile(now)
        servers = tuple(self._store.servers.values())
        verdicts = await self._judge.rule_all(servers, self._see(now), now)
        planned = plan(verdicts, self._limits, self._executor.waiting(verdicts))
        self._executor.start(planned)
        users = None if self.roster is None else await self.roster.run_cycle(now)
        self._number += 1
        self.last = report = CycleReport(
            number=self._number,
            at=now,
            verdicts=verdicts,
            plan=planned,
            outcomes=outcomes,
            reporting=sum(v.basis is Basis.REPORT for v in verdicts),
            without_extension=sum(v.basis is Basis.HUB for v in verdicts),
            listed_now=listed,
            problems=self._problems + (() if users is None else users.problems),
            users=users,
        )
        log.info("%s", summary(report))
        return report

    def verdicts(self, now: Instant, user: str | None = None) -> tuple[Verdict, ...]:
        """Return the verdict on every server, or on those of one user, as of `now`."""
        see = self._see(now)
        servers = self._store.servers.values()
        chosen = servers if user is None else [s for s in servers if s.key.user == user]
        return tuple(self._judge.so_far(server, see, now) for server in chosen)

    def _see(self, now: Instant) -> See:
        watch = self._sight.watch()
        return lambda server: self._store.evidence(server, watch, now)

    async def run(self, now: Callable[[], Instant]) -> None:
        """Run a cycle at once and then every `cull_every` seconds, until cancelled; cycles never overlap."""
        while True:
            begun = now()
            try:
                await self.run_cycle(begun)
            except Exception as error:  # it must not end the service; nothing is stopped by it
                log.exception("a cycle failed")
                self.failure = f"the last cycle failed: {type(error).__name__}; see the log"
            else:
                self.failure = None
            spent = now().mono - begun.mono
            await asyncio.sleep(max(0.1, self._cull_every - spent))

    async def _reconcile(self, now: Instant) -> bool:
        """List the Hub's servers when it is time; on any fault the view stays and the fault is a problem."""
        if not self._due(now):
            return False
        try:
            problems = await unfitness(self._hub, self._features)
            self._say(tuple(p.text for p in problems))
            fatal = [p.text for p in problems if p.stops_nothing]
            self._sight.unfit = "; ".join(fatal) or None
            if self.roster is not None:
                self.roster.judge.unfit = "; ".join(p.text for p in problems if p.deletes_nobody) or None
            if not any(p.lists_nothing for p in problems):
                self._store.replace_servers(await self._hub.list_servers(), now, self._sight.heard)
            self._listed = now.mono
        except HubError as error:
            log.warning("the servers could not be listed: %s", error)
            self._problems = (f"the servers could not be listed: {error}",)
            return False
        return self._sight.unfit is None

    def _say(self, problems: tuple[str, ...]) -> None:
        """Log what is the matter when that changes; the cycle's line, the API and the prefix repeat it."""
        for text in problems if problems != self._problems else ():
            log.error("%s", text)
        self._problems = problems

    def _due(self, now: Instant) -> bool:
        """Tell whether to list: at the start, after the Hub's, and every half of the shortest limit.

        Listing 10,000 servers keeps the Hub's one thread busy for 5.5 s, so it is rare: reports and reads of
        single servers keep the view fresh in between.
        """
        since = self._sight.watch().since
        if self._sight.lost or self._since != since or self._sight.unfit is not None:
            self._since = since
            return True
        if self._listed is None:
            return True
        policy = self._judge.policy
        shortest = min(policy.timeout, policy.max_age or policy.timeout)
        return now.mono - self._listed >= max(self._cull_every, shortest / 2)
