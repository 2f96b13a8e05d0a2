"""What the hook is asked, and what its answer may change: never a doubt into a stop."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hubcull_hub.model import Action, Evidence, Reason
from hubcull_hub.policy import decide
from hubcull_hub.ruling import Opinion, question, ruled
from tests.unit.hub.builders import NOW, POLICY, ago, busy, evidence, hub_only, report, request, state, watch
from tests.unit.hub.test_policy import HELD

YES, NO, NONE = Opinion(True), Opinion(False), Opinion(None)
AGED = replace(POLICY, max_age=3600)


def after(found: Evidence, opinion: Opinion, policy: object = POLICY) -> tuple[Action, Reason]:
    """Return the verdict after the hook, or the policy's where it is not asked."""
    assert isinstance(policy, type(POLICY))
    asked = question(found, policy, NOW)
    verdict = decide(found, policy, NOW) if asked is None else ruled(asked, opinion, NOW)
    return verdict.action, verdict.reason


ACTIVE = {
    "a person acted": evidence(report(request(30))),
    "a cell runs": evidence(report(busy(8000))),
    "past its deadline since the report": evidence(report(request(599))),
    "active by the Hub": hub_only(server=state(last_activity=ago(30))),
}


@pytest.mark.parametrize("found", ACTIVE.values(), ids=ACTIVE.keys())
def test_its_yes_culls_what_the_policy_keeps(found: Evidence) -> None:
    """It decides instead of the timeout; without a word of it the policy's verdict stands."""
    assert after(found, YES) == (Action.CULL, Reason.HOOK_CULLS)
    assert after(found, NO)[0] is not Action.CULL
    assert after(found, NONE) == after(found, NO)


@pytest.mark.parametrize("found", [evidence(), hub_only()])
def test_its_no_keeps_what_the_policy_culls(found: Evidence) -> None:
    """Its yes leaves the policy's own words."""
    assert after(found, NO) == (Action.KEEP, Reason.HOOK_KEEPS)
    assert after(found, YES)[1] in {Reason.IDLE, Reason.HUB_IDLE}


@pytest.mark.parametrize("found", HELD.values(), ids=HELD.keys())
def test_no_doubt_becomes_a_stop(found: tuple[Evidence, Reason]) -> None:
    """Only where enough is known for a stop does its yes count; a report past its deadline is enough."""
    action, reason = after(found[0], YES)
    if found[1] is Reason.AWAITING_REPORT:
        assert (action, reason) == (Action.CULL, Reason.HOOK_CULLS)
    else:
        assert (action, reason) == (Action.HOLD, found[1])


def test_young_services_do_not_stop_on_its_word_either() -> None:
    """A server that the Hub calls active now may have been called so before an outage."""
    active = state(last_activity=ago(30))
    assert after(hub_only(server=active, watch=watch(since=NOW.mono - 600)), YES)[0] is Action.KEEP
    assert after(hub_only(server=active, watch=watch(since=NOW.mono - 700)), YES)[0] is Action.CULL


def test_its_no_holds_against_max_age_and_no_opinion_does_not() -> None:
    """Whoever exempts a server means it."""
    for found in (evidence(report(request(30))), evidence(report(received_ago=301)), hub_only()):
        assert after(found, YES, AGED) == (Action.CULL, Reason.MAX_AGE)
        assert after(found, NO, AGED) == (Action.KEEP, Reason.HOOK_KEEPS)
        assert after(found, NONE, AGED) == (Action.CULL, Reason.MAX_AGE)


@pytest.mark.parametrize("policy", [POLICY, AGED])
def test_its_failure_keeps(policy: object) -> None:
    """Whatever the policy says."""
    for found in (evidence(), hub_only(), *ACTIVE.values()):
        assert after(found, Opinion(None, "ValueError", failed=True), policy) == (
            Action.KEEP,
            Reason.HOOK_FAILED,
        )


@pytest.mark.parametrize(
    "found",
    [
        evidence(server=state(pending="stop")),
        evidence(server=state(ready=False)),
        evidence(server=state(started=None)),
        evidence(watch=watch(unfit="too old")),
    ],
)
def test_it_is_not_asked_where_nothing_may_be_stopped(found: Evidence) -> None:
    """Its answer could change nothing, max_age or not."""
    assert question(found, AGED, NOW) is None


def test_inactive_is_what_the_report_shows() -> None:
    """Running work is no idleness, and time since the report does not count."""
    for signal, expected in ((request(500), 500.0), (busy(8000), 0.0)):
        asked = question(evidence(report(signal, received_ago=100)), POLICY, NOW)
        assert asked is not None
        assert asked.inactive == expected
    asked = question(hub_only(), POLICY, NOW)
    assert asked is not None
    assert asked.inactive == 9000.0


def test_inactive_is_the_hubs_where_a_hold_has_come_of_age() -> None:
    """There is nothing better to tell a hook that may keep a server from max_age."""
    asked = question(evidence(report(received_ago=301)), AGED, NOW)
    assert asked is not None
    assert (asked.inactive, asked.firm) == (9000.0, False)


def test_its_reason_is_told() -> None:
    """In the verdict's text, with braces as they are."""
    asked = question(evidence(), POLICY, NOW)
    assert asked is not None
    assert ruled(asked, Opinion(False, "exam {week}"), NOW).text == "cull_arbiter_hook says no (exam {week})"
