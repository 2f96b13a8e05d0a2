"""Chains of events that once stopped a server in use, kept an idle one, or brought the service down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from hubcull_hub.model import Action, Fact, Policy, Reason, Result, ServerKey, ServerState
from hubcull_hub.standing import carry, standing
from hubcull_server_ext import wire
from tests.component.hub.fake_hub import Fault, Seen, server_token
from tests.component.hub.world import World, post, pressed, running, world
from tests.unit.hub.builders import POLICY, report, worked

WORKS = [Reason.BUSY, Reason.SILENT_AT_WORK, Reason.STARTED, Reason.ACTIVE]


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine function on a loop of its own."""

    async def wrapped() -> None:
        await scenario()

    asyncio.run(wrapped())


async def quiet_cycle(w: World) -> None:
    """Run a cycle; nothing must be stopped by it but the idle control."""
    await w.cycle()
    assert w.hub.is_running("alice")


def test_a_report_is_never_filed_under_an_earlier_incarnation() -> None:
    """The token is that of before (a resumed container), the process is younger than our view: read anew."""

    async def scenario() -> None:
        async with world(Policy(timeout=600)) as w:
            token = w.add("alice")
            async with w.web() as client:
                await post(client, token, w.body("alice/", pressed(5)))
                w.later(100)
                w.hub.add_server("alice", started=w.now.utc, last_activity=w.now.utc)
                for i in range(8):
                    w.later(100)
                    body = w.body("alice/", running(100.0 * i), boot_id="second", uptime=100.0 * (i + 1))
                    await post(client, token, body)
                await quiet_cycle(w)
            assert w.verdict("alice").reason is Reason.BUSY

    run(scenario)


def test_a_slow_listing_does_not_overwrite_what_was_read_since() -> None:
    """Alice restarts while the pages come in, and her new server reports before the last one."""

    async def scenario() -> None:
        async with world(Policy(timeout=600)) as w:
            old = w.add("alice")
            async with w.web() as client:
                await post(client, old, w.body("alice/", pressed(5)))
                w.later(400)
                listing = w.api.list_servers

                async def slow() -> list[ServerState]:
                    found = await listing()
                    w.later(10)
                    new = w.add("alice", started_ago=0, idle=0)
                    w.later(3)
                    await post(client, new, w.body("alice/", running(1), boot_id="second", uptime=2.0))
                    return found

                w.api.list_servers = slow  # type: ignore[method-assign]
                await w.cycle()
            verdict = w.verdict("alice")
            assert verdict.started == w.ago(3)
            assert verdict.reason is Reason.BUSY

    run(scenario)


@pytest.mark.parametrize(
    "change", [{"schema": 2}, {"server": "renamed/"}, {"signals": [{}] * 600}, {"x": "y" * 3_000_000}]
)
def test_a_server_whose_reports_can_not_be_read_is_unknown(change: dict[str, object]) -> None:
    """Not without extension: held, while the idle server beside it is stopped."""

    async def scenario() -> None:
        async with world() as w:
            token = w.add("alice")
            w.add("bob")
            async with w.web() as client:
                status, _ = await post(client, token, {**w.body("alice/", running(5)), **change})
            assert status in (400, 403, 413)
            await quiet_cycle(w)
            assert w.verdict("alice").reason is Reason.UNREADABLE
            assert not w.hub.is_running("bob")

    run(scenario)


def test_a_machine_that_slept_during_the_second_look_stops_nobody() -> None:
    """Eight hours pass between plan and stop; the report that condemned is no longer fresh."""

    async def scenario() -> None:
        async with world() as w:
            token = w.add("alice")
            async with w.web() as client:
                await post(client, token, w.body("alice/", pressed(5000)))

            def sleep(seen: Seen) -> None:
                if seen.method == "GET" and seen.path == "/users/alice":
                    w.now = w.now._replace(utc=w.now.utc + timedelta(hours=8), mono=w.now.mono + 1)
                    w.hub.users["alice"].servers[""].last_activity = w.now.utc

            w.hub.on_request = sleep
            await quiet_cycle(w)
            assert [o.result for o in w.outcomes] == [Result.SPARED]

    run(scenario)


@pytest.mark.parametrize(
    "fault", [Fault(status=503, body=b"<html>"), Fault(status=502), Fault(status=200, body=b"<p>")]
)
def test_somebody_who_speaks_for_an_absent_hub_is_no_hub(fault: Fault) -> None:
    """A gateway's error page is an outage: the warm-up begins anew after it."""

    async def scenario() -> None:
        async with world() as w:
            w.add("alice", idle=5)
            await w.cycle()
            w.hub.script("GET", "/", fault, times=1)
            w.later(610)
            await w.cycle()
            w.later(5)
            await quiet_cycle(w)
            assert w.verdict("alice").reason is Reason.WARMING_UP

    run(scenario)


def test_a_hub_that_answers_nothing_for_minutes_was_away() -> None:
    """Time-outs alone, without an answer in between."""

    async def scenario() -> None:
        async with world() as w:
            for _ in range(5):
                w.sight.hub_silent(w.later(60))
            assert w.sight.lost
            w.add("alice")
            await quiet_cycle(w)
            assert w.verdict("alice").reason is Reason.WARMING_UP

    run(scenario)


def test_clocks_that_differ_condemn_nobody() -> None:
    """The Hub's times are by its clock; a quarter of an hour apart, nothing is stopped and it is said."""

    async def scenario() -> None:
        async with world(servers=["alice"]) as w:
            await w.loop._reconcile(w.now)
            w.sight.hub_answered(w.now, w.ago(900))
            verdict = w.verdict("alice")
            assert verdict.reason is Reason.HUB_UNFIT
            assert "the Hub's clock is -900 s from ours" in verdict.text
            w.sight.hub_answered(w.now, w.ago(30))
            assert w.verdict("alice").action is Action.CULL

    run(scenario)


def test_a_jump_of_the_clock_makes_nobody_old() -> None:
    """max_age goes by the wall clock: it waits a warm-up after a jump."""

    async def scenario() -> None:
        async with world(Policy(timeout=600, max_age=7 * 86_400)) as w:
            token = w.add("alice")
            async with w.web() as client:
                await post(client, token, w.body("alice/", running(5)))
                w.now = w.now._replace(utc=w.now.utc + timedelta(days=30), mono=w.now.mono + 1)
                await quiet_cycle(w)
                w.later(661)
                assert w.verdict("alice").reason is Reason.MAX_AGE

    run(scenario)


def test_work_goes_on_while_its_source_can_not_be_read() -> None:
    """The newest report can not show it; it is held until its own cap, not only for silence_limit."""

    async def scenario() -> None:
        async with world(Policy(timeout=600, silence_limit=3600)) as w:
            token = w.add("alice")
            failed = (
                wire.Source("kernels", wire.Health.FAILED, "OSError", 1.0),
                *(wire.Source(n, wire.Health.OK) for n in ("terminals", "requests", "foreign")),
            )
            async with w.web() as client:
                await post(client, token, w.body("alice/", running(60)))
                for i in range(1, 50):
                    w.later(150)
                    sources = (wire.Source("kernels", wire.Health.FAILED, "OSError", 150.0 * i), *failed[1:])
                    _, reply = await post(client, token, w.body("alice/", pressed(9000), sources=sources))
                    assert (reply["state"], reply["reason"]) == ("keep", "busy")
                await quiet_cycle(w)
                w.later(150)
                _, reply = await post(client, token, w.body("alice/", pressed(9000)))
                assert reply["state"] == "cull", "the source is back and shows no work"

    run(scenario)


def test_no_stop_begins_once_the_service_is_ending() -> None:
    """The port is closed: nobody could report against it."""

    async def scenario() -> None:
        users = [f"u{i}" for i in range(10)]
        async with world(servers=users, concurrency=1) as w:
            w.hub.script("DELETE", "/users", Fault(delay=0.05), times=10)
            await w.loop.run_cycle(w.now)
            for _ in range(1000):
                if w.hub.count("DELETE"):
                    break
                await asyncio.sleep(0.005)
            w.executor.begin_nothing_more()
            await w.executor.drain()
            assert w.hub.count("DELETE") == 1
            results = [o.result for o in w.executor.take_outcomes()]
            assert results.count(Result.SPARED) == 9

    run(scenario)


def test_carrying_keeps_what_protects_longest() -> None:
    """A runaway kernel past its cap does not hide the run beside it; both ended with the process."""
    fine, runaway = worked(5, 1800), worked(5, 80 * 3600)
    both = carry(report(runaway, fine), uptime=1.0, elapsed=1.0)
    alone = carry(report(fine), uptime=1.0, elapsed=1.0)
    assert standing(report(*both), POLICY).ends >= standing(report(*alone), POLICY).ends > 0


def test_what_is_carried_is_bounded() -> None:
    """Whatever kinds a user invents, and however often the process begins anew."""
    found = report(*(pressed_as(f"kind {i}", 10.0 + i) for i in range(500)))
    for _ in range(5):
        found = found._replace(carried=carry(found, 1.0, 1.0))
    assert len(found.carried) == 1


def pressed_as(kind: str, age: float) -> Fact:
    """Return a presence signal of any kind."""
    return Fact(kind, "s", "presence", age=age)


def test_a_time_that_can_not_be_read_is_not_an_old_one() -> None:
    """Held; without any time at all the start counts, as ever."""

    async def scenario() -> None:
        async with world() as w:
            w.hub.add_server("alice", started=w.ago(9000), last_activity="yesterday at noon")
            w.hub.add_server("bob", started=w.ago(9000), last_activity=None)
            await quiet_cycle(w)
            assert w.verdict("alice").reason is Reason.UNDATED
            assert not w.hub.is_running("bob")

    run(scenario)


@pytest.mark.parametrize(
    "change",
    [{"uptime": 1e300}, {"signals": [{"kind": "k", "source": "s", "clock": "work", "going_on_for": 1e300}]}],
)
def test_no_number_of_a_user_breaks_anything(change: dict[str, object]) -> None:
    """300 years are enough; what is beyond is refused."""

    async def scenario() -> None:
        async with world() as w:
            token = w.add("alice")
            async with w.web() as client:
                status, _ = await post(client, token, {**w.body("alice/"), **change})
                assert status == 400
            await quiet_cycle(w)
            assert w.loop.failure is None

    run(scenario)


@pytest.mark.parametrize("label", ["a\nb", "\x1b[2J", "\ud800", "a\x00"])
def test_no_label_of_a_user_reaches_a_terminal_that_it_could_move(label: str) -> None:
    """Control characters and halves of surrogate pairs are refused with the report."""

    async def scenario() -> None:
        async with world() as w:
            token = w.add("alice")
            body = w.body("alice/")
            body["signals"] = [{"kind": "k", "source": "s", "clock": "presence", "age": 1, "label": label}]
            async with w.web() as client:
                status, refusal = await post(client, token, body)
            assert status == 400
            assert refusal["message"].isprintable()

    run(scenario)


def test_a_thousand_failures_are_only_that() -> None:
    """Back-off has a longest pause, and no exponent that overflows."""

    async def scenario() -> None:
        async with world(servers=["alice"]) as w:
            key = ServerKey("alice", "")
            w.executor._failures[key] = (2000, 0.0)
            w.hub.script_stop("alice", "", 500)
            await w.cycle()
            assert w.executor._failures[key][1] - w.now.mono == 3600
            w.ingest._directory._absent[key] = (2000, w.now.mono)
            assert w.ingest._directory.pause(key) == 3600

    run(scenario)


def test_one_server_that_can_not_be_decided_on_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is held, with a word in the log."""

    async def scenario() -> None:
        async with world(servers=["alice", "bob"]) as w:
            fine = w.store.evidence

            def evidence(server: ServerState, *args: object) -> object:
                if server.key.user == "alice":
                    raise OverflowError("odd")
                return fine(server, *args)  # type: ignore[arg-type]

            monkeypatch.setattr(w.store, "evidence", evidence)
            await quiet_cycle(w)
            assert w.verdict("alice").action is Action.HOLD
            assert not w.hub.is_running("bob")

    run(scenario)


def test_a_stop_that_our_scopes_do_not_reach_is_no_stop() -> None:
    """404 to the DELETE, and the server is still shown: said with the scope, tried again later."""

    async def scenario() -> None:
        async with world(servers=["alice"]) as w:
            w.hub.script("DELETE", "/users/alice", Fault(status=404), times=1)
            await w.cycle()
            (outcome,) = w.outcomes
            assert outcome.result is Result.FAILED
            assert "delete:servers" in outcome.detail

    run(scenario)


def test_a_server_started_again_since_its_stop_stays_in_view() -> None:
    """The outcome of the old one does not drop the new one."""

    async def scenario() -> None:
        async with world(servers=["alice"]) as w:
            await w.cycle()
            w.later(5)
            token = w.add("alice", started_ago=1, idle=1)
            async with w.web() as client:
                await post(client, token, w.body("alice/", running(1), boot_id="new", uptime=0.5))
            await w.loop.run_cycle(w.now)
            assert w.verdict("alice").reason is Reason.BUSY

    run(scenario)


def test_a_flood_of_junk_leaves_known_servers_their_turn() -> None:
    """Beyond a thousand open questions unknown tokens are turned away; proven ones are not."""
    let_go = asyncio.Event()

    async def held(seen: Seen) -> None:
        if "junk" in (seen.authorization or ""):
            await let_go.wait()

    async def scenario() -> None:
        async with world() as w:
            token = w.add("alice")
            async with w.web() as client:
                assert (await post(client, token, w.body("alice/", running(5))))[0] == 200
                w.hub.on_request = held
                junk = [asyncio.create_task(w.book.look(f"junk{i}", 0.0)) for i in range(1000)]
                await asyncio.sleep(0.05)
                status, refusal = await post(client, "one more", w.body("alice/"))
                assert (status, refusal["code"]) == (503, "hub-unavailable")
                w.later(1)
                again = w.body("alice/", running(6), boot_id="second", uptime=3.0)
                assert (await asyncio.wait_for(post(client, token, again), 20.0))[0] == 200
                assert not any(task.done() for task in junk)
                for task in junk:
                    task.cancel()
                let_go.set()
                await w.book.close()
                await asyncio.gather(*junk, return_exceptions=True)

    run(scenario)


def test_the_world_is_as_hostile_as_it_says() -> None:
    """The premise: without the change, alice would be stopped."""

    async def scenario() -> None:
        async with world(servers=["alice"]) as w:
            w.hub.tokens["t"] = server_token("alice")
            await w.cycle()
            assert not w.hub.is_running("alice")

    run(scenario)
