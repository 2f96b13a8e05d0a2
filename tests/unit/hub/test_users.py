"""Laws of the decision about users: each case is a user who would be deleted, with one thing changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubcull_hub.model import Deferral, Policy, Reason
from hubcull_hub.users import (
    UserAction,
    UserEvidence,
    UserPolicy,
    UserReason,
    UserState,
    UserVerdict,
    announcement,
    decide_user,
    plan_users,
)
from tests.unit.hub.builders import NOW, ago, busy, report, request, watch

DUE = UserPolicy(Policy(timeout=600, warm_up=660))
AGED = UserPolicy(Policy(timeout=600, warm_up=660, max_age=86_400))


def user(**changes: Any) -> UserState:
    """Return a user without servers whom the Hub has not seen for long."""
    made = UserState("alice", created=ago(90_000), last_activity=ago(9000), servers=frozenset(), admin=False)
    return replace(made, **changes)


def evidence(state: UserState | None = None, **changes: Any) -> UserEvidence:
    """Return evidence that leads to a deletion; `changes` are fields of UserEvidence."""
    return UserEvidence(user=state or user(), watch=watch())._replace(**changes)


def decide(given: UserEvidence, policy: UserPolicy = DUE) -> tuple[UserAction, UserReason]:
    """Return action and reason."""
    verdict = decide_user(given, policy, NOW)
    return verdict.action, verdict.reason


def test_the_user_of_these_tests_would_be_deleted() -> None:
    """By either limit: the premise of every other test here."""
    assert decide(evidence()) == (UserAction.DELETE, UserReason.INACTIVE)
    assert decide(evidence(), AGED) == (UserAction.DELETE, UserReason.MAX_AGE)
    words = decide_user(evidence(), DUE, NOW).text
    assert words == "inactive for 2:30:00, timeout 0:10:00"


WHATEVER_THE_LIMIT = {
    UserReason.HAS_SERVER: evidence(user(servers=frozenset({""}))),
    UserReason.HIDDEN: evidence(user(servers=None)),
    UserReason.UNDATED: evidence(user(readable=False)),
    UserReason.FUTURE: evidence(user(last_activity=NOW.utc + timedelta(seconds=61))),
    UserReason.HUB_UNFIT: evidence(watch=watch(unfit="the Hub can not be reached")),
}


@pytest.mark.parametrize("policy", [DUE, AGED], ids=["timeout", "max_age"])
@pytest.mark.parametrize(("reason", "given"), WHATEVER_THE_LIMIT.items(), ids=lambda v: str(v)[:20])
def test_what_keeps_or_holds_a_user_whatever_the_limit(
    reason: UserReason, given: UserEvidence, policy: UserPolicy
) -> None:
    """max_age overrides none of it (D6)."""
    assert decide(evidence(), policy)[0] is UserAction.DELETE
    action, why = decide(given, policy)
    assert (action is not UserAction.DELETE, why) == (True, reason)


@pytest.mark.parametrize("policy", [DUE, AGED], ids=["timeout", "max_age"])
def test_a_server_that_only_we_know_of_keeps_its_user(policy: UserPolicy) -> None:
    """One that is kept or held, or whose stop is being followed, is in our view."""
    assert decide(evidence(servers=1), policy) == (UserAction.KEEP, UserReason.HAS_SERVER)
    assert decide(evidence(servers=0), policy)[0] is UserAction.DELETE


@pytest.mark.parametrize("policy", [DUE, AGED], ids=["timeout", "max_age"])
def test_admins_are_protected_when_told_so_max_age_included(policy: UserPolicy) -> None:
    """And somebody of whom that is not known is held; with admins included neither matters."""
    admin, unknown = evidence(user(admin=True)), evidence(user(admin=None))
    spared = replace(policy, admins=False)
    assert decide(admin, spared) == (UserAction.KEEP, UserReason.ADMIN)
    assert decide(unknown, spared) == (UserAction.HOLD, UserReason.HIDDEN)
    assert decide(evidence(), spared)[0] is UserAction.DELETE
    assert decide(admin, policy)[0] is decide(unknown, policy)[0] is UserAction.DELETE


def test_both_limits_are_reached_at_their_very_second() -> None:
    """At the timeout, not after it."""
    seen = [decide(evidence(user(last_activity=ago(s))))[0].value for s in (599, 600)]
    assert seen == ["keep", "delete"]
    recent = user(last_activity=ago(1))
    made = [decide(evidence(replace(recent, created=ago(s))), AGED)[0].value for s in (86_399, 86_400)]
    assert made == ["keep", "delete"]


def test_whom_the_hub_never_saw_is_judged_by_the_age_of_the_record_and_unknown_is_never_idle() -> None:
    """Without either time nobody is deleted, ever (D5)."""
    never_seen = user(last_activity=None)
    assert decide(evidence(never_seen)) == (UserAction.DELETE, UserReason.INACTIVE)
    assert decide(evidence(replace(never_seen, created=ago(599))))[0] is UserAction.KEEP
    assert decide(evidence(replace(never_seen, created=None))) == (UserAction.HOLD, UserReason.UNDATED)
    assert decide(evidence(user(created=None))) == (UserAction.DELETE, UserReason.INACTIVE)


def test_a_service_that_has_just_begun_to_watch_deletes_nobody_for_inactivity() -> None:
    """After its start, an outage of the Hub, a jump of the clock; with warm_up=0 nothing waits."""
    young = evidence(watch=watch(since=NOW.mono - 659))
    verdict = decide_user(young, DUE, NOW)
    assert (verdict.action, verdict.reason) == (UserAction.HOLD, UserReason.WARMING_UP)
    assert verdict.deadline == NOW.utc + timedelta(seconds=1)
    assert decide(evidence(watch=watch(since=NOW.mono - 660)))[0] is UserAction.DELETE
    assert decide(young, UserPolicy(Policy(timeout=600, warm_up=0)))[0] is UserAction.DELETE


def test_max_age_needs_no_warm_up_but_a_clock_that_can_be_believed() -> None:
    """An age rests on nothing that an outage could make old."""
    active = user(last_activity=ago(1))
    assert decide(evidence(active, watch=watch(since=NOW.mono)), AGED) == (
        UserAction.DELETE,
        UserReason.MAX_AGE,
    )
    assert decide(evidence(active, watch=watch(jumped=NOW.mono - 659)), AGED)[0] is UserAction.KEEP
    assert decide(evidence(active, watch=watch(jumped=NOW.mono - 660)), AGED)[0] is UserAction.DELETE


def test_what_a_server_reported_protects_its_user_also_when_the_server_is_gone() -> None:
    """Whatever the Hub says; a report of idleness does not."""
    silent_cell = report(busy(7000), received_ago=300)
    verdict = decide_user(evidence(reports=(silent_cell,)), DUE, NOW)
    assert (verdict.action, verdict.reason) == (UserAction.KEEP, UserReason.REPORTED)
    assert verdict.text == "a server of theirs reported: kernel_busy in kernel:a going on for 1:56:40"
    idle = report(request(5000), received_ago=300)
    assert decide(evidence(reports=(idle,)))[0] is UserAction.DELETE
    assert decide(evidence(reports=(idle, silent_cell)))[0] is UserAction.KEEP


def test_reports_that_can_not_be_believed_hold_their_user() -> None:
    """Somebody is there who may be that user."""
    assert decide(evidence(doubt=Reason.UNPROVEN)) == (UserAction.HOLD, UserReason.UNPROVEN)
    assert decide(evidence(doubt=None))[0] is UserAction.DELETE


def test_users_unfit_holds_users_and_says_why() -> None:
    """A missing scope, say: servers go on being culled, which is the other decision."""
    verdict = decide_user(evidence(unfit="scope delete:users is missing"), AGED, NOW)
    assert (verdict.reason, verdict.text) == (UserReason.HUB_UNFIT, "scope delete:users is missing")


times = st.none() | st.floats(-1e6, 1e6).map(ago)
states = st.builds(
    UserState,
    name=st.just("alice"),
    created=times,
    last_activity=times,
    servers=st.none() | st.frozensets(st.sampled_from(["", "gpu"])),
    admin=st.sampled_from([None, False, True]),
    readable=st.booleans(),
)
policies = st.builds(
    UserPolicy,
    limits=st.builds(
        Policy,
        timeout=st.floats(1, 1e5),
        max_age=st.just(0) | st.floats(1, 1e5),
        warm_up=st.just(0) | st.floats(1, 1e5),
    ),
    admins=st.booleans(),
)
cases = st.builds(
    UserEvidence,
    user=states,
    watch=st.builds(
        lambda up, unfit, jumped: watch(since=NOW.mono - up, unfit=unfit, jumped=jumped),
        st.floats(0, 1e5),
        st.none() | st.just("unfit"),
        st.none() | st.floats(0, 1e5).map(lambda s: NOW.mono - s),
    ),
    servers=st.integers(0, 2),
    reports=st.lists(
        st.builds(lambda s, r: report(request(s), received_ago=r), st.floats(0, 1e5), st.floats(0, 1e5))
    ).map(tuple),
    doubt=st.sampled_from([None, Reason.UNPROVEN, Reason.UNREADABLE]),
    unfit=st.none() | st.just("unfit"),
)


@given(cases, policies)
def test_a_deletion_always_rests_on_all_of_this(given_: UserEvidence, policy: UserPolicy) -> None:
    """Whatever the case: what a deletion implies, so that no order of the questions can lose one."""
    verdict = decide_user(given_, policy, NOW)
    assert verdict.text
    if verdict.action is not UserAction.DELETE:
        return
    state, limits = given_.user, policy.limits
    assert state.servers == frozenset()
    assert given_.servers == 0
    assert given_.watch.unfit is given_.unfit is None
    assert state.readable
    assert policy.admins or state.admin is False
    assert verdict.deadline is not None
    assert verdict.deadline <= NOW.utc
    ages = [(NOW.utc - t).total_seconds() for t in (state.created, state.last_activity) if t is not None]
    assert min(ages) >= -60
    if verdict.reason is UserReason.MAX_AGE:
        assert limits.max_age
        assert state.created is not None
        assert (NOW.utc - state.created).total_seconds() >= limits.max_age
    else:
        assert min(ages) >= limits.timeout
        assert NOW.mono - given_.watch.since >= limits.warm_up
        assert given_.doubt is None


@given(cases, policies, st.floats(1, 1e5))
def test_more_time_never_makes_a_due_user_younger(
    given_: UserEvidence, policy: UserPolicy, later: float
) -> None:
    """Who is deleted now would be deleted later, if nothing happens: a deadline once past stays past."""
    if decide_user(given_, policy, NOW).action is UserAction.DELETE:
        assert decide_user(given_, policy, NOW.plus(later)).action is UserAction.DELETE


def verdict(name: str, overdue: float) -> UserVerdict:
    """Return a verdict due `overdue` seconds ago."""
    return decide_user(evidence(user(name=name, last_activity=ago(600 + overdue))), DUE, NOW)


def test_the_plan_takes_the_longest_overdue_first_within_the_budget() -> None:
    """And leaves those that wait, who use up no budget."""
    verdicts = [verdict("a", 5), verdict("b", 50), verdict("c", 500), verdict("d", -1)]
    made = plan_users(verdicts, 1, {"c": Deferral.IN_FLIGHT})
    assert [v.key for v in made.delete] == ["b"]
    assert {v.key: why for v, why in made.deferred} == {"c": Deferral.IN_FLIGHT, "a": Deferral.BUDGET}
    assert [v.key for v in plan_users(verdicts, 0, {}).delete] == ["c", "b", "a"]


def test_the_announcement_says_who_when_and_what_of_their_files() -> None:
    """In one sentence for the log."""
    said = announcement(replace(AGED, admins=False), dry_run=False)
    for words in ("ARE DELETED", "0:10:00 (timeout)", "1 day, 0:00:00 old (max_age)", "admins never", "home"):
        assert words in said
    said = announcement(DUE, dry_run=True)
    assert "would be deleted" in said
    assert "admins included" in said
    assert "max_age" not in said
