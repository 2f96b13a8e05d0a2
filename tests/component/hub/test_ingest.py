"""Reports over real HTTP: who is believed, what is kept, what is answered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hubcull_hub.model import Action, Limits, Reason, ServerKey
from tests.component.hub.fake_hub import Fault, server_token, service_token
from tests.component.hub.world import PREFIX, World, post, pressed, running, world

ALICE = ServerKey("alice", "")


def run(scenario: Any) -> None:
    """Run a coroutine function on a loop of its own."""
    asyncio.run(scenario())


def test_a_report_is_kept_and_answered_with_the_verdict() -> None:
    """State, reason, the next report and the deadline, in seconds."""

    async def scenario() -> None:
        async with world() as w:
            token = w.add("alice")
            async with w.web() as client:
                status, reply = await post(client, token, w.body("alice/", running(60)))
            assert status == 200
            assert (reply["service"], reply["state"], reply["reason"]) == ("hubcull", "keep", "busy")
            assert reply["report_in"] == 150
            assert reply["deadline_in"] == pytest.approx(72 * 3600 - 60 + 600)
            assert w.verdict("alice").reason is Reason.BUSY

    run(scenario)


def test_a_server_that_reports_while_it_is_being_started_is_asked_again_soon() -> None:
    """Nothing tells when it is ready: it would be shown as pending until its next report, minutes later."""

    async def scenario() -> None:
        async with world() as w:
            token = w.add("alice", started_ago=3)
            server = w.hub.users["alice"].servers[""]
            server.ready, server.pending = False, "spawn"
            async with w.web() as client:
                _, reply = await post(client, token, w.body("alice/", pressed(1), uptime=2.0))
                assert (reply["state"], reply["reason"], reply["report_in"]) == ("keep", "pending", 10)
                w.later(10)
                server.ready, server.pending = True, None
                _, reply = await post(client, token, w.body("alice/", pressed(11), uptime=12.0))
                assert (reply["state"], reply["reason"], reply["report_in"]) == ("keep", "active", 150)
            assert w.verdict("alice").reason is Reason.ACTIVE

    run(scenario)


TOKENS: dict[str, tuple[dict[str, Any] | None, str]] = {
    "junk": (None, "invalid-token"),
    "browser": ({**server_token("alice"), "session_id": "s1"}, "not-a-server"),
    "page": ({**server_token("alice"), "scopes": ["access:servers!server=alice/"]}, "not-a-server"),
    "service": (service_token(), "not-a-server"),
    "foreign": (server_token("bob"), "another-server"),
    "another": (server_token("alice", "gpu"), "another-server"),
    "hers": ({**server_token("alice"), "scopes": ["users:activity!user=alice"]}, "server-not-proven"),
}


@pytest.mark.parametrize(("model", "code"), TOKENS.values(), ids=TOKENS.keys())
def test_other_tokens_are_refused_each_with_its_code(model: dict[str, Any] | None, code: str) -> None:
    """Also while the server's own token is warm in the cache; what was known stays as it was."""

    async def scenario() -> None:
        async with world() as w:
            own = w.add("alice")
            w.add("bob")
            w.add("alice", "gpu")
            if model is not None:
                w.hub.tokens["other"] = model
            async with w.web() as client:
                assert (await post(client, own, w.body("alice/", running(60))))[0] == 200
                status, refusal = await post(client, "other", w.body("alice/"))
            assert (status, refusal["service"], refusal["code"]) == (403, "hubcull", code)
            assert w.verdict("alice").reason is Reason.BUSY
            assert w.ingest.refused == {code: 1}

    run(scenario)


def test_a_report_without_token_or_without_sense_is_refused() -> None:
    """By code, as JSON that is recognisably ours."""

    async def scenario() -> None:
        async with world() as w:
            token = w.add("alice")
            async with w.web() as client:
                assert (await post(client, None, {}))[1]["code"] == "no-token"
                status, refusal = await post(client, token, {**w.body("alice/"), "schema": 9})
                assert (status, refusal["code"]) == (400, "unreadable")
                assert "report.schema is 9; expected 1" in refusal["message"]
                url = PREFIX + "api/v1/reports"
                answer = await client.post(url, data=b"\xff{", headers={"Authorization": f"token {token}"})
                assert (answer.status, (await answer.json())["code"]) == (400, "unreadable")
                big = await client.post(
                    url, data=b"x" * 3_000_000, headers={"Authorization": f"token {token}"}
                )
                assert big.status == 413

    run(scenario)


def test_a_revoked_token_is_refused_with_a_warm_cache() -> None:
    """In other hands it does not continue the extension's run, so the Hub is asked; then it is out."""

    async def scenario() -> None:
        async with world() as w:
            token = w.add("alice")
            async with w.web() as client:
                assert (await post(client, token, w.body("alice/", running(60))))[0] == 200
                del w.hub.tokens[token]
                w.later(15)
                status, refusal = await post(client, token, w.body("alice/", boot_id="thief"))
                assert (status, refusal["code"]) == (403, "invalid-token")
                status, _ = await post(client, token, w.body("alice/", running(75)))
                assert status == 403
            assert w.verdict("alice").reason is Reason.BUSY

    run(scenario)


def test_a_revoked_token_never_leads_to_a_stop() -> None:
    """The report that would is checked with the Hub first, and refused; nothing of it is remembered."""

    async def scenario() -> None:
        async with world() as w:
            token = w.add("alice")
            w.add("bob", idle=36_000)
            async with w.web() as client:
                assert (await post(client, token, w.body("alice/", pressed(5))))[0] == 200
                del w.hub.tokens[token]
                w.later(300)
                assert (await post(client, token, w.body("alice/", pressed(5000))))[0] == 403
            assert "execute_request in kernel:a 0:00:05 before the report" in w.verdict("alice").text
            await w.cycle()
            assert w.hub.is_running("alice")
            assert not w.hub.is_running("bob"), "the idle server beside it was not stopped"

    run(scenario)


def test_an_idle_report_is_validated_once_and_then_stops_its_server() -> None:
    """Two questions about the token in all: its first use, and the report that condemns."""

    async def scenario() -> None:
        async with world() as w:
            token = w.add("alice")
            async with w.web() as client:
                await post(client, token, w.body("alice/", pressed(5)))
                for _ in range(3):
                    w.later(150)
                    await post(client, token, w.body("alice/", pressed(5)))
                assert w.hub.count("GET", "/user") - w.hub.count("GET", "/users") <= 2
                before = w.hub.count("GET", "/user") - w.hub.count("GET", "/users")
                w.later(150)
                _, reply = await post(client, token, w.body("alice/", pressed(700)))
                assert reply["state"] == "cull"
                after = w.hub.count("GET", "/user") - w.hub.count("GET", "/users")
                assert after == before + 1
            await w.cycle()
            assert not w.hub.is_running("alice")

    run(scenario)


def test_a_server_the_hub_does_not_list_is_never_acted_on() -> None:
    """Its token may still be good (a stop that failed): refused, asked about once, nothing stopped."""

    async def scenario() -> None:
        async with world() as w:
            token = w.add("alice")
            w.hub.remove_server("alice")
            async with w.web() as client:
                for _ in range(5):
                    status, refusal = await post(client, token, w.body("alice/"))
                    assert (status, refusal["code"]) == (404, "not-listed")
            assert w.hub.count("GET", "/users/alice") == 1
            await w.cycle()
            assert w.hub.count("DELETE") == 0

    run(scenario)


@pytest.mark.parametrize("listed_since", [False, True])
def test_the_token_of_a_stopped_server_is_refused_as_such(listed_since: bool) -> None:
    """Whether a listing has told us of the stop or not: the same reason."""

    async def scenario() -> None:
        async with world() as w:
            token = w.add("alice")
            async with w.web() as client:
                assert (await post(client, token, w.body("alice/", running(5))))[0] == 200
                w.hub.remove_server("alice")
                del w.hub.tokens[token]
                w.later(400)
                if listed_since:
                    await w.cycle()
                status, refusal = await post(client, token, w.body("alice/", boot_id="thief"))
            assert (status, refusal["code"]) == (403, "invalid-token")

    run(scenario)


def test_servers_that_are_not_shown_cost_the_hub_less_and_less() -> None:
    """In a pilot with filtered scopes all others may report for ever: the pause doubles up to an hour."""

    async def scenario() -> None:
        async with world() as w:
            token = w.add("alice")
            w.hub.remove_server("alice")
            pauses = []
            async with w.web() as client:
                for _ in range(12):
                    _, refusal = await post(client, token, w.body("alice/"))
                    pauses.append(refusal["retry_in"])
                    w.later(refusal["retry_in"] - 0.5)
                    await post(client, token, w.body("alice/"))
                    w.later(1)
            assert pauses[:4] == [10, 20, 40, 80]
            assert pauses[-1] == 3600
            assert w.hub.count("GET", "/users/alice") == 12
            w.add("alice")
            async with w.web() as client:
                w.later(3600)
                assert (await post(client, token, w.body("alice/", pressed(1))))[0] == 200

    run(scenario)


def test_a_due_server_that_is_left_running_costs_few_questions() -> None:
    """A dry run for an hour: the token is checked every ten minutes, not with each report."""

    async def scenario() -> None:
        async with world(limits=Limits(dry_run=True)) as w:
            token = w.add("alice")
            async with w.web() as client:
                await post(client, token, w.body("alice/", pressed(5)))
                before = w.hub.count("GET", "/user") - w.hub.count("GET", "/users")
                for i in range(24):
                    w.later(150)
                    _, reply = await post(client, token, w.body("alice/", pressed(605 + 150 * i)))
                    assert reply["state"] == "cull"
                asked = w.hub.count("GET", "/user") - w.hub.count("GET", "/users") - before
            assert asked == 6

    run(scenario)


def test_a_new_server_is_known_by_its_first_report() -> None:
    """The Hub is asked for that one user; no listing."""

    async def scenario() -> None:
        async with world() as w:
            await w.cycle()
            listings = w.hub.count("GET", "/users?") + w.hub.count("GET", "/users")
            token = w.add("carol", started_ago=5, idle=5)
            async with w.web() as client:
                status, _ = await post(client, token, w.body("carol/", pressed(1), uptime=4.0))
            assert status == 200
            assert w.hub.count("GET", "/users/carol") == 1
            assert w.hub.count("GET", "/users") == listings + 1
            assert w.verdict("carol").action is Action.KEEP

    run(scenario)


def test_a_server_restarted_since_the_listing_is_read_again() -> None:
    """A process younger than our knowledge belongs to another incarnation: its evidence must not mix."""

    async def scenario() -> None:
        async with world() as w:
            old = w.add("alice")
            async with w.web() as client:
                await post(client, old, w.body("alice/", running(60)))
                w.later(100)
                new = w.add("alice", started_ago=20, idle=20)
                await post(client, new, w.body("alice/", pressed(15), boot_id="new", uptime=15.0))
            verdict = w.verdict("alice")
            assert verdict.started == w.ago(20)
            assert verdict.reason is not Reason.BUSY

    run(scenario)


def test_the_old_token_of_a_restarted_server_is_checked_again() -> None:
    """A token is bound to the incarnation it was first seen with."""

    async def scenario() -> None:
        async with world() as w:
            old = w.add("alice")
            async with w.web() as client:
                await post(client, old, w.body("alice/", running(60)))
                del w.hub.tokens[old]
                w.later(100)
                w.add("alice", started_ago=20, idle=20)
                await w.loop.run_cycle(w.later(400))
                status, _ = await post(client, old, w.body("alice/", running(160)))
            assert status == 403

    run(scenario)


def test_a_process_that_began_anew_throws_nothing_away() -> None:
    """A new boot_id under the same start: the keystroke of before goes on counting."""

    async def scenario() -> None:
        async with world() as w:
            token = w.add("alice")
            async with w.web() as client:
                await post(client, token, w.body("alice/", pressed(5)))
                w.later(60)
                fresh = w.body("alice/", pressed(30_000), boot_id="second", uptime=10.0)
                _, reply = await post(client, token, fresh)
                assert (reply["state"], reply["reason"]) == ("keep", "active")
                assert reply["deadline_in"] == pytest.approx(600 - 65)
                w.later(60)
                _, reply = await post(client, token, w.body("alice/", pressed(30_060), boot_id="second"))
                assert reply["deadline_in"] == pytest.approx(600 - 125)

    run(scenario)


def test_whoever_waited_long_for_a_start_has_not_left() -> None:
    """The Hub's `started` is its beginning; the timeout counts from its end, a restarted process aside.

    Beside it a server that was up at once, as old and as idle, is due.
    """

    async def scenario() -> None:
        async with world() as w:
            slow, quick = w.add("alice", started_ago=1), w.add("bob", started_ago=1)
            w.later(900)
            idle = pressed(30_000)
            async with w.web() as client:
                _, reply = await post(client, slow, w.body("alice/", idle, uptime=5.0))
                assert (reply["state"], reply["reason"]) == ("keep", "started")
                assert reply["deadline_in"] == pytest.approx(595, abs=1)
                _, reply = await post(client, quick, w.body("bob/", idle, uptime=899.0))
                assert (reply["state"], reply["reason"]) == ("cull", "idle")
                w.later(500)
                fresh = w.body("alice/", idle, boot_id="second", uptime=1.0)
                _, reply = await post(client, slow, fresh)
                assert reply["deadline_in"] == pytest.approx(95, abs=1)
                w.later(150)
                _, reply = await post(client, slow, w.body("alice/", idle, boot_id="second", uptime=151.0))
                assert (reply["state"], reply["reason"]) == ("cull", "idle")

    run(scenario)


def test_a_report_that_was_overtaken_does_not_replace_a_newer_one() -> None:
    """Repetition and disorder do no harm."""

    async def scenario() -> None:
        async with world() as w:
            token = w.add("alice")
            late = w.body("alice/", pressed(50_000))
            async with w.web() as client:
                await post(client, token, w.body("alice/", running(60)))
                status, reply = await post(client, token, late)
            assert (status, reply["reason"]) == (200, "busy")

    run(scenario)


def test_a_source_left_out_is_as_good_as_failed() -> None:
    """Idleness is not known without it."""

    async def scenario() -> None:
        async with world() as w:
            token = w.add("alice")
            body = w.body("alice/")
            body["sources"] = [s for s in body["sources"] if s["name"] != "terminals"]
            async with w.web() as client:
                _, reply = await post(client, token, body)
            assert (reply["state"], reply["reason"]) == ("hold", "source_failed")
            assert "terminals" in reply["text"]

    run(scenario)


@pytest.mark.parametrize(
    ("source", "decided"),
    [
        ({"name": "background", "strength": "weak"}, ("cull", "idle")),
        ({"name": "tea_leaves", "strength": "weak"}, ("cull", "idle")),
        ({"name": "tea_leaves"}, ("hold", "source_failed")),
        ({"name": "tea_leaves", "strength": "homeopathic"}, ("hold", "source_failed")),
        ({"name": "terminals", "strength": "weak"}, ("hold", "source_failed")),
    ],
)
def test_a_weak_source_that_failed_holds_nothing(source: dict[str, object], decided: tuple[str, str]) -> None:
    """What it does not see would not have condemned; but what idleness needs can not call itself weak."""

    async def scenario() -> None:
        async with world() as w:
            token = w.add("alice")
            body = w.body("alice/")
            others = [s for s in body["sources"] if s["name"] != source["name"]]
            body["sources"] = [*others, {**source, "health": "failed", "failed_for": 5.0}]
            async with w.web() as client:
                _, reply = await post(client, token, body)
            assert (reply["state"], reply["reason"]) == decided

    run(scenario)


def test_a_user_who_proves_no_server_has_no_idle_server() -> None:
    """Unknown, not without extension; for silence_limit at most. Others are judged as ever."""

    async def scenario() -> None:
        async with world() as w:
            w.add("alice")
            w.add("bob")
            w.hub.tokens["t"] = {**server_token("alice"), "scopes": ["users:activity!user=alice"]}
            async with w.web() as client:
                assert (await post(client, "t", w.body("alice/")))[1]["code"] == "server-not-proven"
            await w.cycle()
            assert w.verdict("alice").reason is Reason.UNPROVEN
            assert w.hub.is_running("alice")
            assert not w.hub.is_running("bob")

    run(scenario)


@pytest.mark.parametrize("fault", [Fault(status=500), Fault(status=503), Fault(drop=True)])
def test_a_hub_that_can_not_be_asked_refuses_nobody_for_good(fault: Fault) -> None:
    """The report waits; the refusal says so and nothing is cached."""

    async def scenario() -> None:
        async with world() as w:
            token = w.add("alice")
            w.hub.script("GET", "/user", fault, times=2)
            async with w.web() as client:
                status, refusal = await post(client, token, w.body("alice/"))
                assert (status, refusal["code"]) == (503, "hub-unavailable")
                assert (await post(client, token, w.body("alice/", pressed(1))))[0] in (200, 503)
                assert (await post(client, token, w.body("alice/", pressed(1))))[0] == 200

    run(scenario)


def test_tokens_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever happens to them."""

    async def scenario() -> None:
        async with world() as w:
            token = w.add("alice")
            caplog.set_level("DEBUG")
            w.hub.script("GET", "/user", Fault(status=500))
            async with w.web() as client:
                for body in (w.body("alice/"), w.body("bob/"), {}, w.body("alice/")):
                    await post(client, token, body)
                await post(client, "junk-token", w.body("alice/"))
            await w.cycle()
            assert token not in caplog.text
            assert "junk-token" not in caplog.text
            assert w.hub.token not in caplog.text

    run(scenario)


def test_the_world_is_idle_by_default() -> None:
    """The premise of all the above: whoever is not protected here is stopped."""

    async def scenario() -> None:
        async with world(servers=["dora"]) as w:
            assert isinstance(w, World)
            await w.cycle()
            assert not w.hub.is_running("dora")

    run(scenario)
