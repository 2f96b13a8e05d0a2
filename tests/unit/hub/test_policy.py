"""Laws of the decision: from a server that would be culled, one change at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubcull_hub.model import Action, Basis, Clock, Evidence, Fact, Policy, Reason, ServerKey, SourceFault
from hubcull_hub.policy import decide, report_interval
from tests.unit.hub.builders import (
    INTERVAL,
    NOW,
    POLICY,
    STARTED,
    ago,
    busy,
    evidence,
    hub_only,
    report,
    request,
    state,
    tab,
    watch,
    worked,
)

DAY = 86_400.0
FAULT = SourceFault("kernels", failed_for=60.0, detail="OSError")


def reason(found: Evidence, policy: Policy = POLICY) -> Reason:
    """Return the reason of the verdict as of NOW."""
    return decide(found, policy, NOW).reason


def test_an_idle_server_is_culled() -> None:
    """The baseline: a fresh report whose own figures reach the timeout."""
    verdict = decide(evidence(), POLICY, NOW)
    assert (verdict.action, verdict.reason, verdict.basis) == (Action.CULL, Reason.IDLE, Basis.REPORT)
    assert verdict.idle == 5010.0
    assert verdict.deadline == ago(5010 - 600)
    assert "idle for 1:23:30, timeout 0:10:00; last: execute_request in kernel:a" in verdict.text


def test_a_server_without_extension_is_culled_by_last_activity() -> None:
    """The other baseline: no report since it started, everything up for long, last_activity old."""
    verdict = decide(hub_only(), POLICY, NOW)
    assert (verdict.action, verdict.reason, verdict.basis) == (Action.CULL, Reason.HUB_IDLE, Basis.HUB)
    assert verdict.idle == 9000.0


KEPT = {
    "a person acted": (evidence(report(request(30))), Reason.ACTIVE),
    "a silent cell runs": (evidence(report(busy(8000))), Reason.BUSY),
    "a long run has just ended": (evidence(report(worked(30, 8000))), Reason.WORKED),
    "a stop is pending": (evidence(server=state(pending="stop")), Reason.PENDING),
    "not ready": (evidence(server=state(ready=False)), Reason.NOT_READY),
    "active by the Hub": (hub_only(server=state(last_activity=ago(30))), Reason.HUB_ACTIVE),
    "active by an old report": (evidence(report(request(0), received_ago=500)), Reason.ACTIVE),
}


@pytest.mark.parametrize(("found", "expected"), KEPT.values(), ids=KEPT.keys())
def test_what_keeps_a_server(found: Evidence, expected: Reason) -> None:
    """Activity on either clock keeps, and so does whatever the Hub is doing with the server."""
    verdict = decide(found, POLICY, NOW)
    assert (verdict.action, verdict.reason) == (Action.KEEP, expected)


@pytest.mark.parametrize("server", ["", "gpu"])
def test_a_kind_that_is_not_culled_is_not_culled_by_age_either(server: str) -> None:
    """Default and named servers are switched one by one, and max_age overrides neither switch."""
    found = evidence(server=state(key=ServerKey("alice", server)))
    this = replace(POLICY, max_age=3600, default_servers=not server, named_servers=bool(server))
    other = replace(this, default_servers=bool(server), named_servers=not server)
    assert reason(found, this) is Reason.MAX_AGE
    verdict = decide(found, other, NOW)
    assert (verdict.action, verdict.reason) == (Action.KEEP, Reason.EXCLUDED)
    assert verdict.deadline is None


HELD = {
    "the Hub is unfit": (evidence(watch=watch(unfit="too old")), Reason.HUB_UNFIT),
    "no start time": (evidence(server=state(started=None)), Reason.UNDATED),
    "a start in the future": (evidence(server=state(started=ago(-3600))), Reason.UNDATED),
    "just started watching": (evidence(watch=watch(since=NOW.mono - 290)), Reason.WARMING_UP),
    "no report after the deadline": (evidence(report(request(599))), Reason.AWAITING_REPORT),
    "an unchecked token": (evidence(report(validated=False)), Reason.UNCONFIRMED),
    "silent": (evidence(report(received_ago=301)), Reason.SILENT),
    "silent at work": (evidence(report(busy(10), received_ago=DAY)), Reason.SILENT_AT_WORK),
    "read back from disk": (evidence(report(mono=None)), Reason.SILENT),
    "seen before the clock jumped": (evidence(watch=watch(since=NOW.mono - 5)), Reason.SILENT),
    "a source failed": (evidence(report(faults=(FAULT,))), Reason.SOURCE_FAILED),
    "an unproven reporter": (hub_only(doubt=Reason.UNPROVEN), Reason.UNPROVEN),
    "last_activity in the future": (hub_only(server=state(last_activity=ago(-120))), Reason.FUTURE),
    "a young service": (hub_only(watch=watch(since=NOW.mono - 659)), Reason.WARMING_UP),
    "a young server": (hub_only(server=state(started=ago(659), last_activity=ago(659))), Reason.WARMING_UP),
}


@pytest.mark.parametrize(("found", "expected"), HELD.values(), ids=HELD.keys())
def test_unknown_is_never_idle(found: Evidence, expected: Reason) -> None:
    """Every doubt holds, each with its own reason."""
    verdict = decide(found, POLICY, NOW)
    assert (verdict.action, verdict.reason) == (Action.HOLD, expected)


def test_a_report_of_another_incarnation_is_no_report() -> None:
    """Evidence belongs to one start of the server: a restarted server begins with a clean slate."""
    found = evidence(server=state(started=ago(60), last_activity=ago(60)))
    assert reason(found) is Reason.HUB_ACTIVE


def test_time_since_receipt_never_ends_the_countdown() -> None:
    """A report that showed 595 s of idleness condemns nobody, however long ago it came in."""
    verdicts = {reason(evidence(report(request(595), received_ago=t))) for t in (6, 100, 300, 301, 5000)}
    assert verdicts == {Reason.AWAITING_REPORT, Reason.SILENT}


@pytest.mark.parametrize(
    ("since", "expected"), [(2 * INTERVAL, Reason.IDLE), (2 * INTERVAL - 1, Reason.WARMING_UP)]
)
def test_idle_stops_wait_two_intervals_after_the_service_started(since: float, expected: Reason) -> None:
    """Whoever was busy before the service started has had the time to say so."""
    assert reason(evidence(watch=watch(since=NOW.mono - since))) is expected


class TestMaxAge:
    """max_age counts from `started` alone."""

    policy = Policy(timeout=600, max_age=36_000)

    @pytest.mark.parametrize(
        "found",
        [
            evidence(report(busy(8000))),
            evidence(report(request(1))),
            evidence(report(faults=(FAULT,))),
            evidence(report(received_ago=9000)),
            evidence(watch=watch(since=NOW.mono)),
            hub_only(doubt=Reason.UNPROVEN),
        ],
    )
    def test_nothing_outlives_it(self, found: Evidence) -> None:
        """Neither work, presence, doubt, silence nor warm-up."""
        assert reason(found, self.policy) is Reason.MAX_AGE

    @pytest.mark.parametrize(
        "found",
        [
            evidence(server=state(pending="spawn")),
            evidence(watch=watch(unfit="too old")),
            evidence(server=state(started=None)),
        ],
    )
    def test_what_can_not_be_stopped_is_not(self, found: Evidence) -> None:
        """A pending server, an unfit Hub and an unknown start come before it."""
        assert decide(found, self.policy, NOW).action is not Action.CULL

    def test_it_caps_every_deadline(self) -> None:
        """A server that works on is told when it will be stopped all the same."""
        policy = Policy(timeout=600, max_age=40_000)
        assert decide(evidence(report(busy(10))), policy, NOW).deadline == STARTED + timedelta(seconds=40_000)

    def test_off_by_default(self) -> None:
        """A server of ten years is kept while it works."""
        assert reason(evidence(report(busy(10)), server=state())) is Reason.BUSY


class TestWork:
    """Work keeps for as long as it goes on, up to its cap."""

    def test_its_end_is_a_deadline_from_the_first_minute(self) -> None:
        """A cell begun a minute ago names the moment at which its server would be stopped."""
        verdict = decide(evidence(report(busy(50), received_ago=10)), POLICY, NOW)
        assert verdict.deadline == ago(60) + timedelta(seconds=POLICY.max_busy + POLICY.timeout)

    def test_past_its_cap_it_counts_as_ended(self) -> None:
        """One timeout after max_busy the server is idle."""
        cap = POLICY.max_busy
        assert reason(evidence(report(busy(cap + 590), received_ago=5))) is Reason.BUSY
        assert reason(evidence(report(busy(cap + 600)))) is Reason.IDLE

    def test_without_a_cap_it_has_no_deadline(self) -> None:
        """max_busy = 0: for ever."""
        verdict = decide(evidence(report(busy(1000 * DAY))), Policy(max_busy=0), NOW)
        assert (verdict.reason, verdict.deadline) == (Reason.BUSY, None)

    def test_a_capped_run_does_not_restart_the_idle_clock_when_it_ends(self) -> None:
        """Its end counted when it reached the cap."""
        assert reason(evidence(report(worked(10, POLICY.max_busy + 600)))) is Reason.IDLE

    def test_silence_during_work_is_held_until_the_cap_then_the_hub_decides(self) -> None:
        """Also far beyond silence_limit."""
        silent = evidence(report(busy(10), received_ago=2 * DAY), watch=watch(heard=5000 + 2 * DAY))
        assert reason(silent) is Reason.SILENT_AT_WORK
        later = evidence(report(busy(10), received_ago=4 * DAY), watch=watch(heard=5000 + 4 * DAY))
        later = later._replace(server=state(started=STARTED))
        assert reason(later) is Reason.HUB_IDLE


class TestSilence:
    """A hold is bounded, or silencing the reports would buy eternal life."""

    def silent(self, heard: float, **server: object) -> Evidence:
        """Return a server silent for two days, of which the service listened to others for `heard` s."""
        quiet = report(received_ago=2 * DAY, heard=0.0)
        return evidence(quiet, watch=watch(heard=heard), server=state(**server))

    def test_held_while_nobody_else_was_heard(self) -> None:
        """Where no other server's report came in either, the fault is ours."""
        assert reason(self.silent(DAY - 1)) is Reason.SILENT

    def test_then_the_hub_decides(self) -> None:
        """By last_activity, both ways."""
        assert reason(self.silent(DAY)) is Reason.HUB_IDLE
        assert reason(self.silent(DAY, last_activity=ago(5))) is Reason.HUB_ACTIVE

    def test_a_failed_source_is_bounded_too(self) -> None:
        """A source that fails for good hands the decision to the Hub, unless other sources protect."""
        dead = replace(FAULT, failed_for=DAY)
        assert reason(evidence(report(faults=(dead,)))) is Reason.HUB_IDLE
        assert reason(evidence(report(request(5), faults=(dead,)))) is Reason.ACTIVE
        assert reason(evidence(report(faults=(dead, FAULT)))) is Reason.SOURCE_FAILED

    def test_an_unproven_reporter_is_bounded_too(self) -> None:
        """Bad tokens can hold their own user's servers for silence_limit at most."""
        assert (
            reason(hub_only(doubt=Reason.UNPROVEN, watch=watch(heard=DAY), first_heard=0.0))
            is Reason.HUB_IDLE
        )


class TestVisibleTab:
    """A tab that polls is perhaps read by a person; for visible_tab_grace in all."""

    def test_it_keeps_a_reader(self) -> None:
        """Half an hour of reading is within the grace."""
        assert reason(evidence(report(request(1800), tab(4)))) is Reason.READING

    def test_a_forgotten_tab_is_stopped(self) -> None:
        """The grace counts from the last real activity, however fresh the polls."""
        assert reason(evidence(report(request(3600), tab(0)))) is Reason.IDLE

    def test_hiding_it_leaves_the_ordinary_timeout(self) -> None:
        """Nobody is stopped at the moment when they look away, nor kept longer than the timeout then."""
        assert reason(evidence(report(request(1800), tab(585), received_ago=5))) is Reason.READING
        assert reason(evidence(report(request(1800), tab(600)))) is Reason.IDLE

    def test_its_deadline_is_told(self) -> None:
        """A reader is told when the grace ends."""
        verdict = decide(evidence(report(request(3300), tab(1), received_ago=0)), POLICY, NOW)
        assert verdict.deadline == ago(-300)

    def test_off(self) -> None:
        """visible_tab_grace = 0."""
        assert reason(evidence(report(request(1800), tab(4))), Policy(visible_tab_grace=0)) is Reason.IDLE


def test_what_moves_no_clock_is_worth_nothing() -> None:
    """Connections, output and pings are shown, and protect nobody."""
    shown = request(5, clock=Clock.NONE, kind="kernel_connections")
    assert reason(evidence(report(shown, request(5000)))) is Reason.IDLE


def test_an_unknown_kind_is_valued_by_its_clock() -> None:
    """A newer extension's signals protect, whatever they are called."""
    assert reason(evidence(report(request(5, kind="brain_waves")))) is Reason.ACTIVE
    assert reason(evidence(report(busy(5, kind="quantum_job")))) is Reason.BUSY


def test_the_start_of_the_server_counts_as_presence() -> None:
    """A server started a minute ago is kept although nobody has touched it."""
    young = ago(60)
    made = report(received_ago=1.0)._replace(signals=(), started=young)
    assert reason(evidence(made, server=state(started=young))) is Reason.STARTED


@pytest.mark.parametrize(("timeout", "expected"), [(1, 1), (4, 1), (60, 15), (600, 150), (86_400, 300)])
def test_the_report_interval_follows_the_timeout(timeout: float, expected: float) -> None:
    """A quarter of it, between 1 s and 300 s."""
    assert report_interval(Policy(timeout=timeout)) == expected


ages = st.floats(min_value=0, max_value=10 * DAY)
signals = st.one_of(
    ages.map(request), ages.map(busy), st.tuples(ages, ages).map(lambda t: worked(*t)), ages.map(tab)
)
reports = st.lists(signals, min_size=1, max_size=5).map(tuple)
policies = st.builds(
    Policy,
    timeout=st.floats(1, 5 * DAY),
    max_busy=st.one_of(st.just(0.0), st.floats(1, 5 * DAY)),
    visible_tab_grace=st.one_of(st.just(0.0), st.floats(1, 5 * DAY)),
)


@given(reports, signals, policies)
def test_more_evidence_of_activity_never_condemns(seen: tuple[Fact, ...], more: Fact, policy: Policy) -> None:
    """A signal added to a report can only turn a cull into a keep, never the other way round."""
    before = decide(evidence(report(*seen)), policy, NOW).action
    after = decide(evidence(report(*seen, more)), policy, NOW).action
    assert not (after is Action.CULL and before is not Action.CULL)


@given(reports, policies, st.floats(0, 5 * DAY))
def test_a_longer_timeout_never_culls_sooner(seen: tuple[Fact, ...], policy: Policy, longer: float) -> None:
    """Whoever survives a timeout survives a longer one."""
    found = evidence(report(*seen))
    if decide(found, policy, NOW).action is not Action.CULL:
        assert decide(found, replace(policy, timeout=policy.timeout + longer), NOW).action is not Action.CULL


@given(reports, policies, st.floats(0, 10 * DAY))
def test_an_idle_cull_always_rests_on_a_fresh_report(
    seen: tuple[Fact, ...], policy: Policy, received_ago: float
) -> None:
    """None when it is older than two intervals, not validated, or from before the deadline."""
    found = evidence(report(*seen, received_ago=received_ago))
    verdict = decide(found, policy, NOW)
    if verdict.reason is Reason.IDLE:
        assert received_ago <= 2 * INTERVAL
        assert verdict.idle is not None
        assert verdict.idle - received_ago >= policy.timeout - 1e-6
    assert (
        decide(found._replace(report=report(*seen, validated=False)), policy, NOW).reason is not Reason.IDLE
    )


@given(reports, policies)
def test_what_is_kept_by_its_report_has_a_deadline_in_the_future(
    seen: tuple[Fact, ...], policy: Policy
) -> None:
    """Stops at T because R is always computable; None only for work without a cap."""
    verdict = decide(evidence(report(*seen)), policy, NOW)
    if verdict.action is Action.KEEP:
        assert verdict.deadline is None or verdict.deadline >= NOW.utc
        assert verdict.deadline is not None or policy.max_busy == 0
    assert verdict.text
