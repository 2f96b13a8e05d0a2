"""The operator's hook, called for real: every kind of function, and every way in which one goes wrong."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from hubcull_hub.model import Action, Policy, Reason, Result
from tests.component.hub.fake_hub import service_token
from tests.component.hub.test_cycle import results, run
from tests.component.hub.world import World, post, pressed, running, world

AGED = Policy(timeout=600, max_age=3600)
LIMIT = 1.0
"""Seconds for a hook, of which one that answers at once needs some on a busy machine."""


def classic(inactive: timedelta, inactive_limit: int, server: dict[str, Any]) -> bool:
    """Spare one profile, as a hook of idle-culler does."""
    if server["name"] == "unlimited":
        return False
    return inactive.total_seconds() >= inactive_limit


async def waiting(*, inactive: timedelta, inactive_limit: int, server: dict[str, Any]) -> bool:
    """Answer after a while, as one that asks another service."""
    await asyncio.sleep(0.01)
    return classic(inactive, inactive_limit, server)


def promised(**asked: Any) -> concurrent.futures.Future[bool]:
    """Answer with a future."""
    future: concurrent.futures.Future[bool] = concurrent.futures.Future()
    future.set_result(classic(asked["inactive"], asked["inactive_limit"], asked["server"]))
    return future


@pytest.mark.parametrize("hook", [classic, waiting, promised])
@pytest.mark.parametrize("policy", [Policy(timeout=600), AGED])
def test_a_hook_of_idle_culler_runs_unchanged(hook: Callable[..., object], policy: Policy) -> None:
    """Sync, async and with a future: what it spares stays, max_age included, and the rest is stopped."""

    async def scenario() -> None:
        async with world(policy, hook=hook) as w:
            w.add("alice")
            w.add("alice", "unlimited")
            w.add("bob", idle=30)
            await w.cycle()
            assert results(w) == {"alice/": Result.STOPPED}
            assert w.hub.is_running("alice", "unlimited")
            assert w.hub.is_running("bob")

    run(scenario)


def test_a_hook_may_take_the_groups_and_give_a_reason() -> None:
    """And leave the rest to the policy."""

    def hook(inactive: timedelta, groups: frozenset[str], verdict: Any, **_: object) -> object:
        if "exam" in groups:
            return False, "exam week"
        return (True, "short") if inactive > timedelta(seconds=20) and verdict.action is Action.KEEP else None

    async def scenario() -> None:
        async with world(hook=hook) as w:
            for user, idle in (("alice", 9000), ("bob", 9000), ("carol", 30), ("dan", 10)):
                w.add(user, idle=idle)
            w.hub.users["alice"].groups = ["exam"]
            await w.cycle()
            assert results(w) == {"bob/": Result.STOPPED, "carol/": Result.STOPPED}
            assert w.verdict("alice").text == "cull_arbiter_hook says no (exam week)"
            assert {o.verdict.reason for o in w.outcomes} == {Reason.HUB_IDLE, Reason.HOOK_CULLS}

    run(scenario)


def test_groups_that_are_not_shown_are_none_and_never_empty() -> None:
    """A hook that looks into them fails, and keeps, where an empty set would have let it cull."""

    async def scenario() -> None:
        async with world(hook=lambda groups, **_: "exam" not in groups) as w:
            w.add("alice")
            scopes = ["list:users", "read:servers", "delete:servers"]
            w.hub.tokens[w.hub.token] = service_token(scopes=scopes)
            await w.cycle()
            assert results(w) == {}
            assert w.verdict("alice").reason is Reason.HOOK_FAILED
            w.hub.tokens[w.hub.token] = service_token(scopes=[*scopes, "read:users:groups"])
            w.later(1000)
            await w.cycle()
            assert results(w) == {"alice/": Result.STOPPED}

    run(scenario)


def failing(server: dict[str, Any], **_: object) -> object:
    """Fail for some, in several ways."""
    if server["name"] == "raise":
        raise KeyError("state")
    return {"text": "no", "triple": (True, "why", 3), "odd": (True, 5)}.get(server["name"], True)


def test_a_hook_that_raises_keeps_that_server_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """Counted in the cycle's line; its traceback is logged; an answer that can only be a mistake is one."""

    async def scenario() -> None:
        async with world(AGED, hook=failing) as w:
            for name in ("", "raise", "text", "triple", "odd"):
                w.add("alice", name)
            await w.cycle()
            assert results(w) == {"alice/": Result.STOPPED}
            assert "hook_failed=4" in caplog.text
            assert "KeyError: 'state'" in caplog.text
            assert {w.verdict("alice", n).reason for n in ("raise", "text", "triple", "odd")} == {
                Reason.HOOK_FAILED
            }

    caplog.set_level("INFO")
    run(scenario)


@pytest.mark.parametrize("blocks", [True, False], ids=["blocks its thread", "waits for ever"])
def test_a_hook_that_hangs_keeps_and_holds_nothing_up(blocks: bool) -> None:
    """Each server waits for its answer's time limit only, and the other servers are answered for."""
    let_go = threading.Event()

    async def hook(server: dict[str, Any], **_: object) -> bool:
        if server["name"] == "hang":
            if blocks:
                let_go.wait(20)
            else:
                await asyncio.sleep(20)
        return True

    async def scenario() -> None:
        async with world(hook=hook, hook_time_limit=LIMIT) as w:
            w.add("alice", "hang")
            await w.cycle()
            assert w.verdict("alice", "hang").reason is Reason.HOOK_FAILED
            assert "no answer in 1 s" in w.verdict("alice", "hang").text
            w.hub.users["alice"].servers.clear()
            w.store.drop_server(w.verdict("alice", "hang").key)
            w.add("bob")
            w.later(1000)
            await w.cycle()
            assert results(w) == {"bob/": Result.STOPPED}

    try:
        run(scenario)
    finally:
        let_go.set()


def test_a_hook_that_hangs_on_one_server_is_heard_about_the_others() -> None:
    """Those that waited behind it in the same pass are asked about again."""
    let_go = threading.Event()

    def hook(server: dict[str, Any], **_: object) -> bool:
        if server["full_name"] == "u0/":
            let_go.wait(20)
        return True

    async def scenario() -> None:
        async with world(hook=hook, hook_time_limit=LIMIT, servers=[f"u{n}" for n in range(8)]) as w:
            await w.cycle()
            assert w.verdict("u0").reason is Reason.HOOK_FAILED
            assert results(w) == {f"u{n}/": Result.STOPPED for n in range(1, 8)}

    try:
        run(scenario)
    finally:
        let_go.set()


def test_a_hook_that_answers_nobody_is_not_waited_for_again_and_again() -> None:
    """A hundred servers do not cost a hundred time limits; none of them is stopped."""
    asked = []

    async def hook(**_: object) -> bool:
        asked.append(1)
        await asyncio.sleep(20)
        return True

    async def scenario() -> None:
        async with world(hook=hook, hook_time_limit=0.05, servers=[f"u{n}" for n in range(100)]) as w:
            report = await w.cycle()
            assert len(report.verdicts) == 100
            assert {v.reason for v in report.verdicts} == {Reason.HOOK_FAILED}
            assert len(asked) <= 20
            assert results(w) == {}

    run(scenario)


def test_what_is_shown_knows_its_last_word() -> None:
    """A server that comes of age between two cycles is shown as spared, not as about to be stopped."""

    async def scenario() -> None:
        async with world(AGED, hook=classic) as w:
            w.add("alice", "unlimited", started_ago=3500, idle=30)
            w.add("bob", started_ago=3500, idle=30)
            await w.cycle()
            w.later(200)
            assert w.verdict("alice", "unlimited").reason is Reason.HOOK_KEEPS
            w.later(2000)
            await w.cycle()
            assert results(w) == {"bob/": Result.STOPPED}

    run(scenario)


def test_it_is_asked_again_right_before_the_stop() -> None:
    """What it says then counts."""
    answers = iter([True, False])

    async def scenario() -> None:
        async with world(hook=lambda **_: next(answers), servers=["alice"]) as w:
            await w.cycle()
            assert results(w) == {"alice/": Result.SPARED}
            assert w.hub.is_running("alice")

    run(scenario)


async def report_in(w: World, token: str, *signals: Any) -> None:
    async with w.web() as client:
        status, _ = await post(client, token, w.body("alice", *signals))
        assert status == 200


def test_on_its_word_a_reporting_server_is_stopped_only_by_a_checked_token() -> None:
    """The policy would not have had the token checked for hours: the next report's is."""

    async def scenario() -> None:
        async with world(hook=lambda **_: True) as w:
            token = w.add("alice")
            for _ in range(4):  # so that the service has watched for two intervals
                w.later(140)
                await report_in(w, token, running(5000), pressed(10))
            await w.cycle()
            assert w.verdict("alice").reason is Reason.UNCONFIRMED
            assert results(w) == {}
            w.later(140)
            await report_in(w, token, running(5140), pressed(10))
            await w.cycle()
            assert results(w) == {"alice/": Result.STOPPED}
            assert w.outcomes[0].verdict.reason is Reason.HOOK_CULLS

    run(scenario)


def test_no_hook_is_called_about_a_server_whose_reports_are_missing() -> None:
    """Unknown is never idle, whatever it would say; another server is stopped on its word."""
    seen = []

    def hook(server: dict[str, Any], **_: object) -> bool:
        seen.append(server["full_name"])
        return True

    async def scenario() -> None:
        async with world(hook=hook) as w:
            token = w.add("alice")
            await report_in(w, token)
            w.later(1000)
            w.add("bob")
            await w.cycle()
            assert w.verdict("alice").reason is Reason.SILENT
            assert set(seen) == {"bob/"}
            assert results(w) == {"bob/": Result.STOPPED}

    run(scenario)
