"""Decide what is to become of one user's record at the Hub: a decision of its own, beside the one on servers.

Deleting a user can not be undone, so every doubt ends in *hold*, and a server, seen by the Hub or by us,
keeps its user whatever else is known. Pure functions over plain values; durations are seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

from hubcull_hub.model import Deferral, Ended, Instant, Policy, Reason, Received, Watch, span
from hubcull_hub.plan import pick
from hubcull_hub.policy import FORESEEABLE, FUTURE_TOLERANCE, seconds_since
from hubcull_hub.standing import standing


@dataclass(frozen=True, slots=True)
class UserState:
    """What the Hub says of a user (REST model of `GET /users`).

    ``servers`` names those that run, start or stop; None where the Hub does not show them. ``admin`` is None
    where it does not say. ``readable`` is False where a time is there and can not be read.
    """

    name: str
    created: datetime | None
    last_activity: datetime | None
    servers: frozenset[str] | None
    admin: bool | None = None
    readable: bool = True


@dataclass(frozen=True, slots=True)
class UserPolicy:
    """When users are deleted: the limits of servers (s), and whether admins are.

    ``limits`` also says what a report of one of their servers is worth.
    """

    limits: Policy
    admins: bool = True


class UserReason(str, Enum):
    """Why a verdict on a user is what it is; part of the API, the log and the audit trail."""

    # keep
    HAS_SERVER = "has_server"  # a server of theirs runs, starts or stops
    ADMIN = "admin"  # admins are not deleted
    USER_ACTIVE = "user_active"  # the Hub saw them within the timeout
    REPORTED = "reported"  # the last report of a server of theirs still protects
    # hold
    HUB_UNFIT = "hub_unfit"  # the Hub can not be reached, is too old, or a scope is missing
    HIDDEN = "hidden"  # the Hub does not show what must be known
    UNDATED = "undated"  # the Hub gives no time that could be used
    FUTURE = "future"  # a time of the Hub lies ahead
    UNPROVEN = "unproven"  # somebody reports for them whom we can not believe or understand
    WARMING_UP = "warming_up"  # the service or the Hub has not been up long enough
    # delete
    INACTIVE = "inactive"  # not seen by the Hub for the timeout
    MAX_AGE = "max_age"  # the record is older than max_age


class UserAction(str, Enum):
    """What a verdict on a user asks for."""

    KEEP = "keep"
    HOLD = "hold"
    DELETE = "delete"


class UserEvidence(NamedTuple):
    """All that a decision about one user may look at.

    ``servers`` counts those that we know of, ``reports`` are their newest ones, also of servers that are
    gone. ``unfit`` says why no user may be deleted at all.
    """

    user: UserState
    watch: Watch
    servers: int = 0
    reports: tuple[Received, ...] = ()
    doubt: Reason | None = None
    unfit: str | None = None


class UserVerdict(NamedTuple):
    """What is to become of one user, why, and when they would be deleted at the earliest (None: unknown).

    ``idle`` in seconds, None where it is not known; ``created`` tells one record from another of that name.
    """

    key: str
    created: datetime | None
    action: UserAction
    reason: UserReason
    rule: str
    deadline: datetime | None
    template: str
    args: tuple[str | float, ...] = ()
    idle: float | None = None

    @property
    def text(self) -> str:
        """Return the reason in plain words."""
        return self.template.format(*(span(a) if isinstance(a, (int, float)) else a for a in self.args))


UserOutcome = Ended[UserVerdict]
"""What came of deleting one user."""


@dataclass(frozen=True, slots=True)
class UserPlan:
    """Whom this cycle deletes, in order, and whom it leaves for later and why."""

    delete: tuple[UserVerdict, ...] = ()
    deferred: tuple[tuple[UserVerdict, Deferral], ...] = ()


@dataclass(frozen=True, slots=True)
class UserReport:
    """One cycle, as far as users are concerned: who is due, the plan, what came of earlier ones.

    ``listed`` is how many users were looked through in this cycle, None where that was not necessary.
    """

    due: tuple[UserVerdict, ...]
    plan: UserPlan
    outcomes: tuple[UserOutcome, ...]
    listed: int | None = None
    problems: tuple[str, ...] = field(default=())


def decide_user(evidence: UserEvidence, policy: UserPolicy, now: Instant) -> UserVerdict:
    """Return the verdict on one user.

    The order matters: what makes a deletion impossible, then ``max_age`` (from ``created`` alone), then
    inactivity. Neither overrides a server, nor the protection of admins.
    """
    case = _Case(evidence, policy, now)
    barred = _barred(case)
    if barred is not None:
        return barred
    limits = policy.limits
    if limits.max_age and case.age is not None and case.age >= limits.max_age and not _clock_in_doubt(case):
        words = "the record is {} old; max_age is {}"
        return case.say(UserAction.DELETE, UserReason.MAX_AGE, words, case.age, limits.max_age, ends=0.0)
    for report in evidence.reports:
        stood = standing(report, limits)
        left = stood.ends - seconds_since(report, now)
        if left > 0:
            words = "a server of theirs reported: " + stood.template
            return case.say(UserAction.KEEP, UserReason.REPORTED, words, *stood.args, ends=left)
    if evidence.doubt is not None:
        return case.hold(
            UserReason.UNPROVEN, "somebody reports for them and can not be believed; see the log"
        )
    return _by_activity(case)


class _Case:
    """One user's evidence, policy and now, with the ways to put a verdict on it."""

    def __init__(self, evidence: UserEvidence, policy: UserPolicy, now: Instant) -> None:
        self.evidence, self.policy, self.now = evidence, policy, now
        self.age = self._since(evidence.user.created)
        times = [t for t in (self._since(evidence.user.last_activity), self.age) if t is not None]
        self.idle = min(times) if times else None

    def _since(self, time: datetime | None) -> float | None:
        return None if time is None else (self.now.utc - time).total_seconds()

    def say(
        self,
        action: UserAction,
        reason: UserReason,
        template: str,
        *args: str | float,
        ends: float = math.inf,
    ) -> UserVerdict:
        """Put it in a verdict; ``ends`` seconds from now is the deadline, infinite for none."""
        user, limits = self.evidence.user, self.policy.limits
        if limits.max_age and self.age is not None:
            ends = min(ends, limits.max_age - self.age)
        deadline = self.now.utc + timedelta(seconds=ends) if ends < FORESEEABLE else None
        idle = None if self.idle is None else max(0.0, self.idle)
        return UserVerdict(
            user.name, user.created, action, reason, limits.rule, deadline, template, args, idle
        )

    def never(self, action: UserAction, reason: UserReason, template: str, *args: str | float) -> UserVerdict:
        """Put what no time changes in a verdict without a deadline."""
        return self.say(action, reason, template, *args)._replace(deadline=None)

    def hold(
        self, reason: UserReason, template: str, *args: str | float, ends: float = math.inf
    ) -> UserVerdict:
        return self.say(UserAction.HOLD, reason, template, *args, ends=ends)


def _barred(case: _Case) -> UserVerdict | None:
    """Return the verdict where nothing could make this user deletable now, max_age included."""
    evidence, user = case.evidence, case.evidence.user
    unfit = evidence.watch.unfit or evidence.unfit
    if unfit is not None:
        return case.hold(UserReason.HUB_UNFIT, "{}", unfit)
    if evidence.servers or user.servers:
        return case.never(UserAction.KEEP, UserReason.HAS_SERVER, "a server of theirs is still there")
    if user.servers is None:
        return case.never(UserAction.HOLD, UserReason.HIDDEN, "the Hub does not show their servers")
    if not case.policy.admins and user.admin is None:
        return case.never(UserAction.HOLD, UserReason.HIDDEN, "the Hub does not say whether they are admin")
    if not case.policy.admins and user.admin:
        return case.never(UserAction.KEEP, UserReason.ADMIN, "admins are not deleted (cull_admin_users)")
    if not user.readable:
        return case.never(UserAction.HOLD, UserReason.UNDATED, "the Hub gives times that can not be read")
    if case.idle is not None and case.idle < -FUTURE_TOLERANCE:
        return case.never(
            UserAction.HOLD, UserReason.FUTURE, "a time of the Hub lies {} in the future", -case.idle
        )
    return None


def _clock_in_doubt(case: _Case) -> bool:
    """Tell whether the wall clock has jumped lately: then nobody's age is believed for a warm-up."""
    jumped = case.evidence.watch.jumped
    return jumped is not None and case.now.mono - jumped < case.policy.limits.warm_up


def _by_activity(case: _Case) -> UserVerdict:
    """Judge by the Hub's ``last_activity``, or, for whom it never saw, by when the record was made."""
    limits, idle = case.policy.limits, case.idle
    if idle is None:
        return case.hold(UserReason.UNDATED, "the Hub gives no time of any activity")
    idle = max(0.0, idle)
    warm = limits.warm_up - (case.now.mono - case.evidence.watch.since)
    left = limits.timeout - idle
    words = "inactive for {}, timeout {}"
    if left > 0:
        ends = max(left, warm)
        return case.say(UserAction.KEEP, UserReason.USER_ACTIVE, words, idle, limits.timeout, ends=ends)
    if warm > 0:
        words += "; the service has not watched for warm_up yet, {} longer"
        return case.hold(UserReason.WARMING_UP, words, idle, limits.timeout, warm, ends=warm)
    return case.say(UserAction.DELETE, UserReason.INACTIVE, words, idle, limits.timeout, ends=left)


def plan_users(verdicts: Iterable[UserVerdict], budget: int, waiting: Mapping[str, Deferral]) -> UserPlan:
    """Return whom to delete in this cycle: the longest overdue first, ``budget`` at most (0: no limit)."""
    due = [v for v in verdicts if v.action is UserAction.DELETE]
    return UserPlan(*pick(due, budget, waiting))


def announcement(policy: UserPolicy, *, dry_run: bool) -> str:
    """Return what delete_idle_users means, in plain words, for the log at the start."""
    limits = policy.limits
    begin = "delete_idle_users is on"
    does = "a dry run says whose record would be deleted" if dry_run else "records of users ARE DELETED"
    age = f", or once the record is {span(limits.max_age)} old (max_age)" if limits.max_age else ""
    admins = "admins included" if policy.admins else "admins never"
    return (
        f"{begin}: {does} at the Hub, {admins}, when they have no server and the Hub has not seen them for"
        f" {span(limits.timeout)} (timeout){age}. hubcull touches no home directories and no volumes; the"
        " Hub's authenticator and spawner may do so when a user is deleted (KubeSpawner deletes the volume"
        " claim unless delete_pvc is False)"
    )
