"""Users who are due: who is looked through and when, decided on, planned, and handed over for deletion.

Only with `delete_idle_users`. Listing is the Hub's work, so it is done only when somebody can be due, and of
each listing only those who are due are remembered. A listing may skip somebody, for offsets shift; a later
one finds them. It may show somebody as due who is not any more; the second look finds that.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime, timedelta, timezone
from typing import Protocol

from hubcull_hub.deleter import ConfirmUser, Deleter
from hubcull_hub.hub_answers import HubError
from hubcull_hub.model import Instant, Result
from hubcull_hub.sight import Sight
from hubcull_hub.store import Store
from hubcull_hub.users import (
    UserAction,
    UserEvidence,
    UserOutcome,
    UserPolicy,
    UserReport,
    UserState,
    UserVerdict,
    decide_user,
    plan_users,
)

log = logging.getLogger(__name__)

SORTS_SINCE = 5
"""Major version of the first Hub that lists users by ``last_activity``."""

SORTED_EVERY = 60.0
"""Seconds between two sorted listings at least, where half of the timeout is longer: one page as a rule."""


class Hub(Protocol):
    """What is needed of the Hub."""

    async def version(self) -> str:
        """Return the Hub's version."""

    def pages_of_users(self, *, longest_inactive_first: bool) -> AsyncIterator[list[UserState]]:
        """Yield the users without an active server, page by page."""

    async def read_account(self, name: str) -> UserState | None:
        """Return a user as the Hub shows them now, or None."""


class UserJudge:
    """Decides on users by all that the service knows."""

    def __init__(self, store: Store, sight: Sight, policy: UserPolicy) -> None:
        self.policy = policy
        self.unfit: str | None = "the Hub has not been asked about scopes yet"
        """Why no user may be deleted, or None; servers may be stopped all the same."""
        self._store, self._sight = store, sight

    def verdicts(self, users: Iterable[UserState], now: Instant) -> list[UserVerdict]:
        """Return the verdicts on these users; whatever is wrong with one, the others are decided on."""
        chosen = {user.name: user for user in users}
        known, watch = self._store.of_users(chosen, now), self._sight.watch()
        made = []
        for name, user in chosen.items():
            evidence = UserEvidence(user, watch, *known[name], unfit=self.unfit)
            try:
                made.append(decide_user(evidence, self.policy, now))
            except Exception:
                log.exception("no decision on user %s could be made", name)
        return made


def make_confirm_user(hub: Hub, sight: Sight, judge: UserJudge, now: Callable[[], Instant]) -> ConfirmUser:
    """Return the second look, right before a deletion.

    The Hub has no conditional deletion, so the user is read right before: the same record, no server, and
    everything known by then must still say *delete*.
    """

    async def confirm(verdict: UserVerdict) -> UserOutcome | None:
        user = await hub.read_account(verdict.key)
        moment = now()
        sight.look(moment)
        if user is None:
            return UserOutcome(verdict, Result.GONE, "somebody else deleted them")
        if user.created != verdict.created:
            return UserOutcome(verdict, Result.REPLACED, f"recorded again at {user.created}")
        again = next(iter(judge.verdicts([user], moment)), None)
        if again is None or again.action is not UserAction.DELETE:
            detail = "no decision" if again is None else f"{again.reason.value}: {again.text}"
            return UserOutcome(verdict, Result.SPARED, detail)
        return None

    return confirm


class Roster:
    """The users who are due. Times are monotonic seconds."""

    def __init__(
        self, hub: Hub, sight: Sight, judge: UserJudge, deleter: Deleter, *, budget: int, cull_every: float
    ) -> None:
        self._hub, self._sight, self._judge, self._deleter = hub, sight, judge, deleter
        self._budget, self._cull_every = budget, cull_every
        self._due: dict[str, UserState] = {}
        self._next: float | None = None
        self._since: float | None = None

    @property
    def judge(self) -> UserJudge:
        """Who decides on users."""
        return self._judge

    async def run_cycle(self, now: Instant) -> UserReport:
        """List if somebody can be due, decide, and begin the deletions of this cycle."""
        outcomes = self._deleter.take_outcomes()
        for outcome in outcomes:
            if outcome.result not in {Result.FAILED, Result.WOULD_DELETE}:
                self._due.pop(outcome.verdict.key, None)
        listed: int | None = None
        problems: tuple[str, ...] = ()
        if self._may_list(now):
            try:
                listed = await self._list(now)
            except HubError as error:
                self._next = now.mono + self._floor(stops_early=False)
                problems = (f"the users could not be listed: {error}",)
                log.warning("%s", problems[0])
        due = self.verdicts(now)
        self._due = {v.key: self._due[v.key] for v in due}
        planned = plan_users([] if problems else due, self._budget, self._deleter.waiting(due))
        self._deleter.begin(planned.delete)
        return UserReport(due, planned, outcomes, listed, problems)

    def verdicts(self, now: Instant) -> tuple[UserVerdict, ...]:
        """Return the verdicts on all who are due by the last listing, or were."""
        return tuple(v for v in self._judge.verdicts(self._due.values(), now) if not _kept(v))

    def _may_list(self, now: Instant) -> bool:
        """Tell whether it is time: not while nobody could be deleted, nor while nobody can be due."""
        watch, limits = self._sight.watch(), self._judge.policy.limits
        if watch.unfit is not None or self._judge.unfit is not None:
            return False
        if not limits.max_age and now.mono - watch.since < limits.warm_up:
            return False
        if self._since != watch.since:
            self._since, self._next = watch.since, None
        return self._next is None or now.mono >= self._next

    async def _list(self, now: Instant) -> int:
        """Look through the users, remember who is due, and when the next one can be; return how many."""
        limits = self._judge.policy.limits
        is_sorted = not limits.max_age and _major(await self._hub.version()) >= SORTS_SINCE
        timeout = timedelta(seconds=limits.timeout)
        due: dict[str, UserState] = {}
        deadlines: set[datetime] = set()
        listed, order = 0, _Order()
        async for page in self._hub.pages_of_users(longest_inactive_first=is_sorted):
            listed += len(page)
            verdicts = {v.key: v for v in self._judge.verdicts(page, now)}
            due.update((u.name, u) for u in page if u.name in verdicts and _is_due(verdicts[u.name]))
            deadlines |= {v.deadline for v in verdicts.values() if v.deadline and v.deadline > now.utc}
            last = order.last_of(page)
            if is_sorted and last is not None and last + timeout > now.utc:
                deadlines.add(last + timeout)  # of whom it was, or of those after
                break
            deadlines = {min(deadlines)} if deadlines else set()
        self._due = due
        coming = (min(deadlines) - now.utc).total_seconds() if deadlines else limits.timeout
        self._next = now.mono + self._pause(coming, stops_early=is_sorted)
        return listed

    def _pause(self, coming: float, *, stops_early: bool) -> float:
        """Return for how long not to list again (s), where the next one listed is due ``coming`` s from now.

        A server's end counts as its user's activity at the Hub, so whoever was not listed for having one is
        not due before a timeout from now; by max_age they are due at once.
        """
        limits = self._judge.policy.limits
        wait = 0.0 if limits.max_age else min(coming, limits.timeout)
        if self._due:
            wait = min(wait, limits.timeout / 2)
        return max(wait, self._floor(stops_early=stops_early))

    def _floor(self, *, stops_early: bool) -> float:
        """Return the time between two listings at least (s)."""
        limits = self._judge.policy.limits
        half = min(limits.timeout, limits.max_age or limits.timeout) / 2
        return max(self._cull_every, min(half, SORTED_EVERY) if stops_early else half)


class _Order:
    """Watches that a listing is in the order that was asked for."""

    def __init__(self) -> None:
        self._latest = datetime.min.replace(tzinfo=timezone.utc)
        self._kept = True

    def last_of(self, page: list[UserState]) -> datetime | None:
        """Return the newest activity on this page, before which nobody on a later one was seen last.

        None where there is none, or where the order has not been kept.
        """
        for user in page:
            if user.last_activity is not None:
                self._kept = self._kept and user.last_activity >= self._latest
                self._latest = user.last_activity
        seen = any(user.last_activity is not None for user in page)
        return self._latest if seen and self._kept else None


def _is_due(verdict: UserVerdict) -> bool:
    return verdict.action is UserAction.DELETE


def _kept(verdict: UserVerdict) -> bool:
    return verdict.action is UserAction.KEEP


def _major(version: str) -> int:
    """Return the first number of a version, 0 where there is none."""
    first = version.partition(".")[0]
    return int(first) if first.isdigit() else 0
