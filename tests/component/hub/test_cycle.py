"""Cycles against a Hub over real HTTP: what is stopped, and what every doubt leaves alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from hubcull_hub.database import DatabaseError
from hubcull_hub.model import Action, Deferral, Limits, Policy, Reason, Result
from tests.component.hub.fake_hub import Fault, Seen, service_token
from tests.component.hub.world import World, post, pressed, running, world


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine function on a loop of its own."""

    async def wrapped() -> None:
        await scenario()

    asyncio.run(wrapped())


def results(w: World) -> dict[str, Result]:
    """Return the outcomes so far, by server."""
    return {str(o.verdict.key): o.result for o in w.outcomes}


def test_idle_servers_are_stopped_default_and_named_apart() -> None:
    """Each by its own last_activity; what came of each is written down."""

    async def scenario() -> None:
        async with world(servers=["alice"]) as w:
            w.add("alice", "gpu", idle=5)
            w.add("bob", "gpu")
            w.add("bob", "", idle=5)
            await w.cycle()
            running_now = [
                w.hub.is_running(u, s)
                for u, s in [("alice", ""), ("alice", "gpu"), ("bob", "gpu"), ("bob", "")]
            ]
            assert running_now == [False, True, False, True]
            assert results(w) == {"alice/": Result.STOPPED, "bob/gpu": Result.STOPPED}
            (decision,) = await w.store.decisions(w.outcomes[0].verdict.key)
            assert (decision.reason, decision.result) == ("hub_idle", "stopped")
            shown = {str(verdict.key) for verdict in w.loop.verdicts(w.now)}
            assert shown == {"alice/gpu", "bob/"}, "what was stopped is not shown as due until the next cycle"

    run(scenario)


def test_culled_named_servers_are_removed_where_that_is_wanted() -> None:
    """The Hub is told to; a default server is stopped as ever."""

    async def scenario() -> None:
        async with world(limits=Limits(remove_named_servers=True), servers=["alice"]) as w:
            w.add("alice", "gpu")
            await w.cycle()
            sent = {seen.path: seen.body for seen in w.hub.requests if seen.method == "DELETE"}
            assert sent == {"/users/alice/server": b"", "/users/alice/servers/gpu": b'{"remove": true}'}

    run(scenario)


def test_a_slow_stop_is_followed_to_its_end() -> None:
    """202, then read until the server is gone; it is not asked to stop twice."""

    async def scenario() -> None:
        async with world(servers=["alice"]) as w:
            w.hub.script_stop("alice", "", 202, takes=0.03)
            await w.cycle()
            assert results(w) == {"alice/": Result.STOPPED}
            assert w.hub.count("DELETE") == 1
            assert w.hub.count("GET", "/users/alice") >= 2

    run(scenario)


def test_a_slow_stop_delays_nobody_and_holds_no_slot() -> None:
    """With one slot the next server is stopped while the first is still being followed."""

    async def scenario() -> None:
        async with world(servers=["alice", "bob"], concurrency=1) as w:
            w.hub.script_stop("alice", "", 202, takes=None)
            report = await w.loop.run_cycle(w.now)
            assert len(report.plan.stop) == 2
            for _ in range(1000):
                if not w.hub.is_running("bob"):
                    break
                await asyncio.sleep(0.005)
            assert not w.hub.is_running("bob")
            assert w.executor.waiting(report.verdicts)[report.plan.stop[0].key] is Deferral.IN_FLIGHT

    run(scenario)


def test_a_stop_that_never_ends_is_called_stuck() -> None:
    """And is tried again after a while, not at once."""

    async def scenario() -> None:
        async with world(servers=["alice"]) as w:
            w.hub.script_stop("alice", "", 202, takes=None)
            await w.cycle()
            assert results(w) == {"alice/": Result.STUCK}

    run(scenario)


def test_one_failure_never_ends_the_rest_and_is_tried_again_later() -> None:
    """With a pause that doubles."""

    async def scenario() -> None:
        async with world(servers=["alice", "bob", "carol"]) as w:
            w.hub.script_stop("bob", "", 500)
            await w.cycle()
            assert results(w) == {"alice/": Result.STOPPED, "bob/": Result.FAILED, "carol/": Result.STOPPED}
            report = await w.cycle()
            assert [why for _, why in report.plan.deferred] == [Deferral.BACK_OFF]
            w.later(61)
            await w.cycle()
            assert w.hub.count("DELETE", "/users/bob") == 2
            w.later(61)
            await w.cycle()
            assert w.hub.count("DELETE", "/users/bob") == 2, "the second pause is longer"
            w.later(61)
            w.hub.script_stop("bob", "", 204)
            await w.cycle()
            assert not w.hub.is_running("bob")

    run(scenario)


@pytest.mark.parametrize("concurrency", [1, 3])
def test_concurrency_is_bounded_and_used(concurrency: int) -> None:
    """So many stops are under way at once, no more and no fewer."""

    async def scenario() -> None:
        users = [f"u{i}" for i in range(12)]
        async with world(servers=users, concurrency=concurrency) as w:
            w.hub.script("DELETE", "/users", Fault(delay=0.02), times=len(users))
            await w.cycle()
            assert w.hub.peak["DELETE"] == concurrency
            assert set(results(w).values()) == {Result.STOPPED}

    run(scenario)


def test_the_budget_of_a_cycle() -> None:
    """The rest follows in the next cycles."""

    async def scenario() -> None:
        async with world(limits=Limits(stops=2), servers=["a", "b", "c", "d", "e"]) as w:
            stopped = []
            for _ in range(3):
                await w.cycle()
                stopped.append(w.hub.count("DELETE"))
            assert stopped == [2, 4, 5]

    run(scenario)


def test_a_dry_run_takes_the_same_path_up_to_the_last_call() -> None:
    """It looks again, writes its decision down, says so once, and stops nothing."""

    async def scenario() -> None:
        async with world(limits=Limits(dry_run=True), servers=["alice"]) as w:
            await w.cycle()
            assert results(w) == {"alice/": Result.WOULD_STOP}
            assert w.hub.count("GET", "/users/alice") == 1
            assert w.hub.count("DELETE") == 0
            report = await w.cycle()
            assert [why for _, why in report.plan.deferred] == [Deferral.SAID]
            (decision,) = await w.store.decisions(w.outcomes[0].verdict.key)
            assert decision.result == "would_stop"

    run(scenario)


class TestTheSecondLook:
    """Right before the stop the Hub is read again."""

    def between(self, w: World, user: str, change: Callable[[], object]) -> None:
        """Do something when the second look at this user's server comes in, before it is answered."""

        def hook(seen: Seen) -> None:
            if seen.method == "GET" and seen.path == f"/users/{user}":
                change()

        w.hub.on_request = hook

    def test_a_server_its_user_restarted_is_not_stopped(self) -> None:
        """It has the same name and another start."""

        async def scenario() -> None:
            async with world(servers=["alice", "bob"]) as w:
                self.between(w, "alice", lambda: w.hub.add_server("alice", started=w.ago(1)))
                await w.cycle()
                assert results(w) == {"alice/": Result.REPLACED, "bob/": Result.STOPPED}
                assert w.hub.is_running("alice")

        run(scenario)

    def test_a_server_stopped_by_somebody_else_is_left_alone(self) -> None:
        """No second stop of what may be starting again."""

        async def scenario() -> None:
            async with world(servers=["alice", "bob"]) as w:
                self.between(w, "alice", lambda: w.hub.remove_server("alice"))
                await w.cycle()
                assert results(w) == {"alice/": Result.GONE, "bob/": Result.STOPPED}
                assert w.hub.count("DELETE", "/users/alice") == 0

        run(scenario)

    @pytest.mark.parametrize("change", [{"pending": "stop"}, {"ready": False}, {"last_activity": "now"}])
    def test_what_changed_since_the_listing_spares(self, change: dict[str, object]) -> None:
        """Pending, not ready, active again; and its deadline is armed anew."""

        async def scenario() -> None:
            async with world(servers=["alice", "bob"]) as w:
                values = {k: w.now.utc if v == "now" else v for k, v in change.items()}
                kept = w.ago(36_000)
                self.between(
                    w,
                    "alice",
                    lambda: w.hub.add_server("alice", **{"started": kept, "last_activity": kept, **values}),  # type: ignore[arg-type]
                )
                await w.cycle()
                assert results(w) == {"alice/": Result.SPARED, "bob/": Result.STOPPED}
                assert w.verdict("alice").action is Action.KEEP

        run(scenario)

    def test_a_report_that_comes_in_between_spares(self) -> None:
        """The last moment at which a person can act."""

        async def scenario() -> None:
            async with world(servers=["bob"]) as w:
                token = w.add("alice")
                async with w.web() as client:
                    await post(client, token, w.body("alice/", pressed(5000)))
                    assert w.verdict("alice").action is Action.CULL

                    async def press(seen: Seen) -> None:
                        if seen.method == "GET" and seen.path == "/users/alice":
                            w.later(1)
                            await post(client, token, w.body("alice/", pressed(0)))

                    w.hub.on_request = press
                    await w.cycle()
                assert results(w) == {"alice/": Result.SPARED, "bob/": Result.STOPPED}

        run(scenario)

    def test_a_decision_that_can_not_be_written_is_not_acted_on(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A stop that nobody could explain later does not happen."""

        async def scenario() -> None:
            async with world(servers=["alice"]) as w:

                def full(*_: object) -> int:
                    raise DatabaseError("the disk is full")

                monkeypatch.setattr(w.database, "record_decision", full)
                await w.cycle()
                assert results(w) == {"alice/": Result.FAILED}
                assert w.hub.count("DELETE") == 0

        run(scenario)


class TestRestart:
    """A service that was killed comes back and stops nobody it should not."""

    def test_evidence_from_before_only_protects(self) -> None:
        """The busy one and the idle one wait for their next reports; the report decides."""

        async def scenario() -> None:
            async with world() as w:
                tokens = {user: w.add(user) for user in ("busy", "idle")}
                async with w.web() as client:
                    await post(client, tokens["busy"], w.body("busy/", running(5000)))
                    await post(client, tokens["idle"], w.body("idle/", pressed(5000)))
                await w.store.flush(w.sight.heard)
                w.later(30)
                await w.build(w.api)
                await w.cycle()
                assert w.verdict("busy").reason is Reason.SILENT_AT_WORK
                assert w.verdict("idle").reason is Reason.SILENT
                async with w.web() as client:
                    for _ in range(2):
                        await post(client, tokens["idle"], w.body("idle/", pressed(5000)))
                        await post(client, tokens["busy"], w.body("busy/", running(5000)))
                        await w.cycle()
                        assert w.hub.is_running("idle"), "two report intervals have not passed"
                        w.later(150)
                    await post(client, tokens["idle"], w.body("idle/", pressed(5900)))
                    await w.cycle()
                assert not w.hub.is_running("idle")
                assert w.hub.is_running("busy")

        run(scenario)

    def test_servers_without_extension_wait_for_the_warm_up(self) -> None:
        """11 minutes, for the Hub's own times may be those of before its outage."""

        async def scenario() -> None:
            async with world(warm=0.0, servers=["alice"]) as w:
                w.later(655)
                await w.cycle()
                assert w.verdict("alice").reason is Reason.WARMING_UP
                w.later(10)
                await w.cycle()
                assert not w.hub.is_running("alice")

        run(scenario)

    def test_after_an_outage_of_the_hub_the_warm_up_begins_anew(self) -> None:
        """While it is away nothing is stopped; when it is back nobody looks idle because of it."""

        async def scenario() -> None:
            async with world(servers=["alice"]) as w:
                w.hub.script("GET", "/", Fault(drop=True), times=2)
                report = await w.cycle()
                assert not report.listed_now
                assert report.plan.stop == ()
                w.later(30)
                await w.cycle()
                assert w.verdict("alice").reason is Reason.WARMING_UP
                w.later(661)
                await w.cycle()
                assert not w.hub.is_running("alice")

        run(scenario)

    def test_a_jump_of_the_wall_clock_condemns_nobody(self) -> None:
        """Eight hours forward in one second: every last_activity looks old, and is not believed."""

        async def scenario() -> None:
            async with world() as w:
                w.add("alice", idle=5)
                token = w.add("bob")
                async with w.web() as client:
                    await post(client, token, w.body("bob/", pressed(5)))
                await w.cycle()
                w.now = w.now._replace(utc=w.now.utc + timedelta(hours=8))
                await w.cycle()
                assert w.verdict("alice").reason is Reason.WARMING_UP
                assert w.verdict("bob").action is not Action.CULL
                assert w.hub.count("DELETE") == 0

        run(scenario)


class TestFitness:
    """What the Hub is, and lets us do."""

    @pytest.mark.parametrize("version", ["3.1.1", "2.3.0", "banana"])
    def test_on_an_older_hub_nothing_is_stopped_and_it_says_so(self, version: str) -> None:
        """Its tokens do not name servers."""

        async def scenario() -> None:
            async with world(servers=["alice"]) as w:
                w.hub.version = version
                w.later(1000)
                report = await w.cycle()
                assert version in report.problems[0]
                assert w.verdict("alice").reason is Reason.HUB_UNFIT
                assert w.hub.is_running("alice")

        run(scenario)

    @pytest.mark.parametrize("missing", ["list:users", "read:servers", "delete:servers"])
    def test_a_missing_scope_is_named_with_its_feature(self, missing: str) -> None:
        """And nothing is stopped until it is there; no restart of the service is needed then."""

        async def scenario() -> None:
            async with world(servers=["alice"]) as w:
                everything = ("list:users", "read:servers", "delete:servers")
                w.hub.tokens[w.hub.token] = service_token(scopes=[s for s in everything if s != missing])
                w.later(1000)
                report = await w.cycle()
                assert any(f"scope {missing} is missing, needed for" in p for p in report.problems)
                assert w.hub.count("DELETE") == 0
                w.hub.tokens[w.hub.token] = service_token(scopes=everything)
                await w.cycle()
                assert not w.hub.is_running("alice")

        run(scenario)

    def test_a_dry_run_needs_no_scope_to_stop(self) -> None:
        """So that it can be tried without any risk."""

        async def scenario() -> None:
            async with world(limits=Limits(dry_run=True), servers=["alice"]) as w:
                w.hub.tokens[w.hub.token] = service_token(scopes=["list:users", "read:servers"])
                w.later(1000)
                assert (await w.cycle()).problems == ()
                assert results(w) == {"alice/": Result.WOULD_STOP}

        run(scenario)

    def test_filtered_scopes_count(self) -> None:
        """A pilot with one group."""

        async def scenario() -> None:
            async with world(servers=["alice"]) as w:
                scopes = [f"{s}!group=pilot" for s in ("list:users", "read:servers", "delete:servers")]
                w.hub.tokens[w.hub.token] = service_token(scopes=scopes)
                w.later(1000)
                assert (await w.cycle()).problems == ()
                assert not w.hub.is_running("alice")

        run(scenario)

    def test_an_unknown_token_of_our_own_is_a_problem(self) -> None:
        """Not a crash."""

        async def scenario() -> None:
            async with world(servers=["alice"]) as w:
                del w.hub.tokens[w.hub.token]
                w.later(1000)
                assert "JUPYTERHUB_API_TOKEN" in (await w.cycle()).problems[0]
                assert w.hub.is_running("alice")

        run(scenario)


def test_listing_is_seldom() -> None:
    """At the start, and every half of the smallest limit; in between cycles cost the Hub nothing."""

    async def scenario() -> None:
        async with world(Policy(timeout=600, max_age=100_000)) as w:
            w.add("alice", idle=5)
            begin = w.hub.count("GET", "/users")
            for _ in range(60):
                w.later(60)
                w.hub.users["alice"].servers[""].last_activity = w.now.utc
                await w.cycle()
            assert w.hub.count("GET", "/users") - begin == 12

    run(scenario)


def test_servers_are_listed_page_by_page_each_once() -> None:
    """450 users are three pages of 200."""

    async def scenario() -> None:
        async with world() as w:
            for i in range(450):
                w.add(f"u{i}", idle=5)
            begin = w.hub.count("GET", "/users")
            report = await w.cycle()
            assert len(report.verdicts) == 450
            assert w.hub.count("GET", "/users") - begin == 3

    run(scenario)


def test_a_server_that_does_not_report_is_read_alone_at_its_deadline_and_armed_again() -> None:
    """Its last_activity moved since the listing: one read, no stop, a new deadline."""

    async def scenario() -> None:
        async with world() as w:
            w.add("alice", idle=310)
            await w.cycle()
            listings = w.hub.count("GET", "/users")
            w.later(295)
            w.hub.users["alice"].servers[""].last_activity = w.ago(2)
            await w.cycle()
            assert results(w) == {"alice/": Result.SPARED}
            assert w.hub.count("GET", "/users") == listings + 1
            assert w.verdict("alice").deadline == w.ago(-598)

    run(scenario)


def test_the_log_line_of_a_cycle(caplog: pytest.LogCaptureFixture) -> None:
    """Listed, reporting, without extension, held by reason, stopped."""

    async def scenario() -> None:
        async with world(servers=["alice"]) as w:
            token = w.add("bob")
            async with w.web() as client:
                await post(client, token, w.body("bob/", running(5)))
            w.hub.tokens["t"] = {
                "kind": "user",
                "name": "eve",
                "session_id": None,
                "scopes": ["users:activity!user=eve"],
            }
            w.add("eve")
            async with w.web() as client:
                await post(client, "t", w.body("eve/"))
            caplog.set_level("INFO")
            await w.cycle()
            assert (
                "listed=3 reporting=1 without_extension=1 held=1(unproven:1) stopping=1 deferred=0"
                in caplog.text
            )
            caplog.clear()
            await w.cycle()
            assert "since_last=1(stopped:1)" in caplog.text

    run(scenario)
