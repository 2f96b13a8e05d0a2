"""Deleting users, over real HTTP: who is deleted, and what every doubt leaves alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hubcull_hub.ask import plan_text
from hubcull_hub.database import DatabaseError
from hubcull_hub.model import Deferral, Limits, Policy, Result, ServerKey
from hubcull_hub.users import UserPolicy, UserReason
from tests.component.hub.fake_hub import USER_SCOPES, Fault, Seen, server_token, service_token
from tests.component.hub.test_cycle import run
from tests.component.hub.test_web import get
from tests.component.hub.world import World, post, running, world

TIMEOUT = UserPolicy(Policy(timeout=600))
AGED = UserPolicy(Policy(timeout=600, max_age=86_400))
DELETE_USERS = "/users/"


def add(w: World, *names: str, inactive: float = 9000, age: float = 90_000, admin: bool = False) -> None:
    """Add users without servers."""
    for name in names:
        w.hub.add_user(name, created=w.ago(age), last_activity=w.ago(inactive), admin=admin)


def results(w: World) -> dict[str, Result]:
    """Return what came of each user so far."""
    return {o.verdict.key: o.result for o in w.user_outcomes}


def listings(w: World) -> list[Seen]:
    """Return the pages of users without servers that were asked for."""
    return [seen for seen in w.hub.requests if seen.query.get("state") == "inactive"]


def test_who_is_inactive_and_has_no_server_is_deleted_and_nobody_else() -> None:
    """Written down before, and said in the cycle's report."""

    async def scenario() -> None:
        async with world(users=TIMEOUT) as w:
            add(w, "ina")
            add(w, "anna", inactive=599)
            token = w.add("busy")
            w.add("pending")
            w.hub.users["pending"].servers[""].ready = False
            w.hub.users["pending"].servers[""].pending = "spawn"
            async with w.web() as client:
                assert (await post(client, token, w.body("busy/", running(60))))[0] == 200
            report = await w.cycle()
            assert results(w) == {"ina": Result.DELETED}
            assert set(w.hub.users) == {"anna", "busy", "pending"}
            assert report.users is not None
            assert [v.reason for v in report.users.due] == [UserReason.INACTIVE]
            (decision,) = await w.store.decisions(ServerKey("ina", ""))
            assert (decision.action, decision.reason, decision.result) == ("delete", "inactive", "deleted")
            assert decision.started == w.ago(90_000)

    run(scenario)


def test_with_the_option_off_nothing_of_it_costs_the_hub_a_request() -> None:
    """And nobody is deleted."""

    async def scenario() -> None:
        async with world(servers=["alice"]) as w:
            add(w, "ina")
            report = await w.cycle()
            assert listings(w) == []
            assert report.users is None
            assert not w.hub.is_running("alice")
            assert "ina" in w.hub.users

    run(scenario)


@pytest.mark.parametrize("name", ["a b", "q?x#y", "a/b", "ä@é", "%2e", "..", "a&state=ready"])
def test_a_user_with_any_name_is_the_very_one_deleted(name: str) -> None:
    """The name is quoted whole (D7): `q?x#y` once deleted `q`."""

    async def scenario() -> None:
        async with world(users=TIMEOUT) as w:
            add(w, "a", "q", "b", inactive=10)
            add(w, name)
            await w.cycle()
            assert results(w) == {name: Result.DELETED}
            assert set(w.hub.users) == {"a", "q", "b"}

    run(scenario)


def test_admins_are_spared_when_told_so_max_age_included() -> None:
    """And deleted when not."""

    async def scenario(admins: bool) -> None:
        policy = replace(AGED, admins=admins)
        async with world(policy.limits, users=policy) as w:
            add(w, "root", admin=True)
            add(w, "ina")
            await w.cycle()
            assert set(w.hub.users) == (set() if admins else {"root"})

    asyncio.run(scenario(True))
    asyncio.run(scenario(False))


def test_a_server_and_later_its_user_go_by_max_age() -> None:
    """Both within a listing of each other; the stop does not make the record younger."""

    async def scenario() -> None:
        policy = Policy(timeout=600, max_age=15)
        async with world(policy, users=UserPolicy(policy)) as w:
            w.hub.add_user("tina", created=w.ago(16), last_activity=w.ago(1))
            w.add("tina", started_ago=16, idle=1)
            await w.cycle()
            assert not w.hub.is_running("tina")
            assert "tina" in w.hub.users
            w.later(10)
            await w.cycle()
            assert "tina" not in w.hub.users

    run(scenario)


def test_a_stop_is_activity_so_that_its_user_goes_one_timeout_later() -> None:
    """The Hub counts it, and the second look reads that; then the user is due like any other."""

    async def scenario() -> None:
        async with world(users=TIMEOUT) as w:
            w.add("alice")
            await w.cycle()
            assert not w.hub.is_running("alice")
            w.later(599)
            await w.cycle()
            assert "alice" in w.hub.users
            w.later(1)
            await w.cycle()
            w.later(61)
            await w.cycle()
            assert results(w) == {"alice": Result.DELETED}

    run(scenario)


def between(w: World, name: str, act: Callable[[], object]) -> None:
    """Act in the moment before the second look at a user."""

    def on_request(seen: Seen) -> None:
        if seen.method == "GET" and seen.path == f"/users/{name}":
            act()

    w.hub.on_request = on_request


@pytest.mark.parametrize(
    ("act", "result"),
    [
        (lambda w: w.hub.add_server("ina"), Result.SPARED),
        (lambda w: w.hub.add_server("ina", "gpu", ready=False, pending="stop"), Result.SPARED),
        (lambda w: w.hub.add_user("ina", created=w.ago(90_000), last_activity=w.ago(1)), Result.SPARED),
        (lambda w: w.hub.add_user("ina", created=w.ago(5)), Result.REPLACED),
        (lambda w: w.hub.users.pop("ina"), Result.GONE),
        (lambda w: w.later(3600) and w.sight.hub_lost(), Result.SPARED),
    ],
    ids=["started", "stopping", "active", "recorded again", "deleted", "outage"],
)
def test_what_happens_between_the_listing_and_the_second_look_saves_the_user(
    act: Callable[[World], Any], result: Result
) -> None:
    """The Hub's DELETE has no condition, and would stop a running server first."""

    async def scenario() -> None:
        async with world(users=TIMEOUT) as w:
            add(w, "ina", "ida")
            done = [False]

            def once() -> None:
                if not done[0]:
                    done[0] = True
                    act(w)

            between(w, "ina", once)
            await w.cycle()
            assert results(w)["ina"] is result
            assert w.hub.count("DELETE", "/users/ina") == 0
            w.hub.on_request = None
            assert done == [True]
            assert results(w)["ida"] in {Result.DELETED, Result.SPARED}
            for _ in range(3):
                w.later(661)
                await w.cycle()
            assert results(w)["ida"] is Result.DELETED

    run(scenario)


def test_a_server_that_our_own_view_shows_keeps_its_user() -> None:
    """Whatever the Hub says of users: it may be one whose stop is being followed."""

    async def scenario() -> None:
        async with world(users=TIMEOUT) as w:
            add(w, "ina", "ida")
            token = w.add("ina")
            async with w.web() as client:
                assert (await post(client, token, w.body("ina/", running(60))))[0] == 200
            w.hub.remove_server("ina")
            await w.cycle()
            assert results(w) == {"ida": Result.DELETED}
            assert "ina" in w.hub.users

    run(scenario)


def test_dry_run_says_would_delete_once_and_deletes_nobody() -> None:
    """With the second look, and without the scope to delete."""

    async def scenario() -> None:
        async with world(limits=Limits(dry_run=True), users=TIMEOUT) as w:
            scopes = [scope for scope in USER_SCOPES if not scope.startswith("delete:")]
            w.hub.tokens[w.hub.token] = service_token(scopes=scopes)
            add(w, "ina")
            w.hub.tokens["operator"] = service_token("ops")
            await w.cycle()
            report = await w.cycle()
            assert results(w) == {"ina": Result.WOULD_DELETE}
            assert report.users is not None
            assert [why for _, why in report.users.plan.deferred] == [Deferral.SAID]
            assert w.hub.count("DELETE") == 0
            async with w.web() as client:
                _, body = await get(client, "api/v1/servers", "operator")
            assert "users whose records would be deleted now: 1\n  ina " in plan_text(body)
            assert "[said]" in plan_text(body)

    run(scenario)


def test_the_api_shows_each_user_themselves_only() -> None:
    """Whoever sees all servers sees all users who are due."""

    async def scenario() -> None:
        async with world(limits=Limits(dry_run=True), users=TIMEOUT) as w:
            add(w, "ina", "ida")
            w.hub.tokens.update(operator=service_token("ops"), ida=server_token("ida"))
            await w.cycle()
            async with w.web() as client:
                seen = {}
                for token in ("operator", "ida"):
                    _, body = await get(client, "api/v1/servers", token)
                    seen[token] = sorted(user["user"] for user in body["users"])
                assert seen == {"operator": ["ida", "ina"], "ida": ["ida"]}
                _, body = await get(client, "api/v1/servers?user=ina", "operator")
                assert [d["result"] for d in body["decisions"]] == ["would_delete"]

    run(scenario)


@pytest.mark.parametrize("missing", ["delete:users", "read:users:activity", "read:users"])
def test_without_a_scope_nobody_is_deleted_and_servers_are_culled(
    missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is named with the remedy; a filtered one counts as held."""

    async def scenario(scopes: list[str], deleted: bool) -> None:
        async with world(AGED.limits, users=AGED) as w:
            w.hub.tokens[w.hub.token] = service_token(scopes=scopes)
            w.sight.hub_lost()
            w.add("alice")
            add(w, "ina")
            report = await w.cycle()
            w.later(700)
            report = await w.cycle()
            assert not w.hub.is_running("alice")
            assert ("ina" not in w.hub.users) is deleted
            named = [p for p in report.problems if f"scope {missing} is missing" in p]
            assert bool(named) is not deleted

    asyncio.run(scenario([s for s in USER_SCOPES if s != missing], deleted=False))
    assert "add it to the service's role in c.JupyterHub.load_roles. No user is deleted" in caplog.text
    asyncio.run(scenario([f"{s}!group=g" if s == missing else s for s in USER_SCOPES], deleted=True))


def test_read_users_is_needed_for_ages_only() -> None:
    """Without it the inactive are deleted; whom the Hub never saw is kept, for their age is not shown."""

    async def scenario(scopes: list[str], kept: set[str]) -> None:
        async with world(users=TIMEOUT) as w:
            w.hub.tokens[w.hub.token] = service_token(scopes=scopes)
            add(w, "ina")
            w.hub.add_user("nora", created=w.ago(90_000), last_activity=None)
            await w.cycle()
            assert results(w)["ina"] is Result.DELETED
            assert set(w.hub.users) == kept

    asyncio.run(scenario([s for s in USER_SCOPES if s != "read:users"], {"nora"}))
    asyncio.run(scenario(list(USER_SCOPES), set()))


def test_servers_shown_one_by_one_only_delete_nobody() -> None:
    """Others of the same user would not be seen."""

    async def scenario(extra: str, deleted: bool) -> None:
        async with world(users=TIMEOUT) as w:
            scopes = [s for s in USER_SCOPES if s != "read:servers"]
            w.hub.tokens[w.hub.token] = service_token(scopes=[*scopes, f"read:servers!{extra}"])
            w.sight.hub_lost()
            await w.cycle()
            w.later(700)
            add(w, "ina")
            await w.cycle()
            assert ("ina" not in w.hub.users) is deleted

    asyncio.run(scenario("server=ina/gpu", deleted=False))
    asyncio.run(scenario("group=g", deleted=True))


def test_refusals_are_understood_by_looking() -> None:
    """400, 500 and 404 by the Hub; each is tried again after a pause that doubles."""

    async def scenario() -> None:
        async with world(users=TIMEOUT) as w:
            add(w, "self", "half", "other", "ida")
            w.hub.script("DELETE", "/users/self", Fault(status=400), times=2)
            w.hub.script("DELETE", "/users/half", Fault(status=500, obey=True))
            w.hub.script("DELETE", "/users/other", Fault(status=404))
            await w.cycle()
            assert results(w) == {
                "self": Result.FAILED,
                "half": Result.GONE,
                "other": Result.FAILED,
                "ida": Result.DELETED,
            }
            report = await w.cycle()
            assert report.users is not None
            deferred = {v.key: why for v, why in report.users.plan.deferred}
            assert deferred == dict.fromkeys(("self", "other"), Deferral.BACK_OFF)
            for _ in range(3):
                w.later(61)
                await w.cycle()
            assert w.hub.users == {}
            assert w.hub.count("DELETE", "/users/self") == 3

    run(scenario)


@pytest.mark.parametrize("fault", [Fault(status=202), Fault(drop=True, obey=True), Fault(status=502)])
def test_an_unclear_answer_is_no_deletion_and_is_looked_at_again(fault: Fault) -> None:
    """No DELETE is sent twice in a row; what became of it is read later."""

    async def scenario() -> None:
        async with world(users=TIMEOUT) as w:
            add(w, "ina")
            w.hub.script("DELETE", "/users/ina", fault)
            await w.cycle()
            assert results(w) == {"ina": Result.FAILED}
            assert w.hub.count("DELETE") == 1
            w.later(61)
            await w.cycle()  # the Hub answers again, and the warm-up begins anew, if it was lost
            w.later(700)
            await w.cycle()
            w.later(61)
            await w.cycle()
            assert "ina" not in w.hub.users

    run(scenario)


def test_what_can_not_be_written_down_is_not_done() -> None:
    """The others are deleted later."""

    async def scenario() -> None:
        async with world(users=TIMEOUT) as w:
            add(w, "ina")
            record = w.store.record

            async def full(*_: Any) -> int:
                raise DatabaseError("disk full")

            w.store.record = full  # type: ignore[method-assign, assignment]
            await w.cycle()
            assert results(w) == {"ina": Result.FAILED}
            assert w.hub.count("DELETE") == 0
            w.store.record = record  # type: ignore[method-assign]
            w.later(61)
            await w.cycle()
            assert results(w) == {"ina": Result.DELETED}

    run(scenario)


def test_all_pages_are_read_before_the_first_deletion_and_the_rest_is_not_read() -> None:
    """Sorted: those never seen first, then the longest inactive; the first one too young ends it."""

    async def scenario() -> None:
        async with world(users=TIMEOUT) as w:
            add(w, *(f"young{i}" for i in range(450)), inactive=60)
            add(w, *(f"old{i}" for i in range(250)))
            w.hub.add_user("never", created=w.ago(90_000), last_activity=None)
            w.hub.add_user("unknown", created=None, last_activity=None)
            report = await w.cycle()
            assert report.users is not None
            assert report.users.listed == 400, "two pages of four"
            assert set(results(w).values()) == {Result.DELETED}
            assert len(results(w)) == 251
            assert len(w.hub.users) == 451
            order = [r.method for r in w.hub.requests if r in listings(w) or r.method == "DELETE"]
            assert order == ["GET"] * 2 + ["DELETE"] * 251
            assert {seen.query["sort"] for seen in listings(w)} == {"last_activity"}

    run(scenario)


@pytest.mark.parametrize(("version", "policy"), [("4.1.6", TIMEOUT), ("6.1.1", AGED)])
def test_a_hub_that_does_not_sort_and_max_age_take_a_full_listing(version: str, policy: UserPolicy) -> None:
    """The due one stands last."""

    async def scenario() -> None:
        async with world(policy.limits, users=policy) as w:
            w.hub.version = version
            add(w, *(f"young{i}" for i in range(450)), inactive=60, age=1000)
            add(w, "old")
            before = len(listings(w))
            await w.cycle()
            assert results(w) == {"old": Result.DELETED}
            assert len(listings(w)) - before == 3
            assert "sort" not in listings(w)[0].query or version.startswith("4")

    run(scenario)


def test_nobody_is_listed_while_nobody_can_be_due() -> None:
    """The next listing is when the first of the young ones is due, and never more often than is sensible."""

    async def scenario() -> None:
        async with world(users=TIMEOUT) as w:
            add(w, "anna", inactive=300)
            add(w, "bert", inactive=20)
            await w.cycle()
            assert len(listings(w)) == 1
            for _ in range(299):
                w.later(1)
                await w.loop.run_cycle(w.now)
            assert len(listings(w)) == 1
            w.later(1)
            await w.cycle()
            assert results(w) == {"anna": Result.DELETED}
            assert len(listings(w)) == 2
            add(w, "late", inactive=599)
            for _ in range(59):
                w.later(1)
                await w.cycle()
            assert len(listings(w)) == 2, "somebody became due; one listing a minute is enough"

    run(scenario)


def test_nothing_is_listed_during_the_warm_up_nor_without_a_scope() -> None:
    """Nobody could be deleted."""

    async def scenario() -> None:
        async with world(users=TIMEOUT, warm=0) as w:
            add(w, "ina")
            w.later(659)
            await w.cycle()
            assert listings(w) == []
            w.later(1)
            await w.cycle()
            assert results(w) == {"ina": Result.DELETED}

    run(scenario)


def test_a_page_that_can_not_be_read_deletes_nobody() -> None:
    """Servers are culled in the same cycle; the next listing is complete."""

    async def scenario() -> None:
        async with world(users=TIMEOUT, servers=["alice"]) as w:
            add(w, *(f"old{i}" for i in range(250)))
            failing = [True]

            def on_request(seen: Seen) -> None:
                if seen.query.get("offset") == "200" and seen.query.get("state") == "inactive" and failing:
                    failing.clear()
                    raise RuntimeError("the second page fails")

            w.hub.on_request = on_request
            report = await w.cycle()
            assert not w.hub.is_running("alice")
            assert results(w) == {}
            assert any("the users could not be listed" in p for p in report.problems)
            w.later(301)
            await w.cycle()
            assert len(results(w)) == 250

    run(scenario)


def test_the_budget_holds_for_users_apart() -> None:
    """As many deletions as stops."""

    async def scenario() -> None:
        async with world(limits=Limits(stops=2), users=TIMEOUT, servers=["a", "b", "c"]) as w:
            add(w, "x", "y", "z")
            report = await w.cycle()
            assert report.users is not None
            assert (len(report.plan.stop), len(report.users.plan.delete)) == (2, 2)
            assert [why for _, why in report.users.plan.deferred] == [Deferral.BUDGET]
            await w.cycle()
            assert not {"x", "y", "z"} & set(w.hub.users)

    run(scenario)


def test_deletions_take_half_of_the_slots_so_that_stops_find_one() -> None:
    """All together never more than `concurrency`."""

    async def scenario() -> None:
        async with world(users=TIMEOUT, concurrency=4) as w:
            add(w, *(f"u{i}" for i in range(10)))
            w.hub.script("DELETE", "/users/u", Fault(delay=0.05), times=10)
            await w.cycle()
            assert w.hub.peak["DELETE"] == 2
            assert len(results(w)) == 10

    run(scenario)


def test_the_log_says_what_became_of_users(caplog: pytest.LogCaptureFixture) -> None:
    """One line a cycle, one for each user."""

    async def scenario() -> None:
        async with world(users=TIMEOUT) as w:
            add(w, "ina")
            await w.cycle()

    with caplog.at_level(logging.INFO):
        run(scenario)
    assert "users_due=1 users_deleting=1 users_deferred=0 users_since_last=0" in caplog.text
    assert "delete user=ina result=deleted reason=inactive rule=default: inactive for 2:30:00" in caplog.text
