"""What the API shows, and to whom."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from hubcull_hub import __version__
from hubcull_hub.web.app import make_broken_app
from tests.component.hub.fake_hub import server_token, service_token
from tests.component.hub.world import PREFIX, post, pressed, running, world


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine function on a loop of its own."""

    async def wrapped() -> None:
        await scenario()

    asyncio.run(wrapped())


async def get(
    client: TestClient[Any, Any], path: str, token: str | None = None
) -> tuple[int, dict[str, Any]]:
    """Get a page of the API."""
    headers = {} if token is None else {"Authorization": f"token {token}"}
    answer = await client.get(PREFIX + path, headers=headers)
    return answer.status, await answer.json()


def test_the_prefix_answers_without_a_token() -> None:
    """The Hub's check of a managed service must find it, and below 500."""

    async def scenario() -> None:
        async with world() as w, w.web() as client:
            assert await get(client, "") == (
                200,
                {"service": "hubcull", "schema": 1, "version": __version__, "problems": []},
            )

    run(scenario)


def test_who_sees_which_servers() -> None:
    """Whoever may list and read all at the Hub sees all; a user their own; a bare service nothing."""

    async def scenario() -> None:
        async with world() as w:
            for user in ("alice", "bob"):  # in use: one that is stopped is shown no longer
                w.add(user, idle=5)
            w.hub.tokens.update(
                operator=service_token("ops", ["list:users", "read:servers"]),
                pilot=service_token("ops", ["list:users!group=g", "read:servers!group=g"]),
                alice=server_token("alice"),
            )
            await w.loop.run_cycle(w.now)
            async with w.web() as client:
                seen = {}
                for token in ("operator", "alice"):
                    status, body = await get(client, "api/v1/servers", token)
                    assert status == 200
                    seen[token] = sorted(s["user"] for s in body["servers"])
                assert seen == {"operator": ["alice", "bob"], "alice": ["alice"]}
                assert (await get(client, "api/v1/servers", "pilot"))[1]["code"] == "missing-scope"
                assert (await get(client, "api/v1/servers", "junk"))[1]["code"] == "invalid-token"
                assert (await get(client, "api/v1/servers"))[1]["code"] == "invalid-token"
                assert (await get(client, "api/v1/servers?user=bob", "alice"))[0] == 403

    run(scenario)


def test_a_server_in_short_and_in_detail() -> None:
    """Verdict, reason, rule, deadline for all; signals and earlier decisions for one."""

    async def scenario() -> None:
        async with world() as w:
            w.hub.tokens["operator"] = service_token("ops")
            token = w.add("alice")
            async with w.web() as client:
                await post(client, token, w.body("alice/", running(60), pressed(60)))
                w.later(10)
                _, body = await get(client, "api/v1/servers", "operator")
                (short,) = body["servers"]
                assert short["action"] == "keep"
                assert short["text"] == "kernel_busy in kernel:a going on for 0:01:00"
                assert short["last_report_ago"] == 10
                assert short["deadline_in"] == 72 * 3600 - 60 + 600 - 10
                assert "signals" not in short
                _, body = await get(client, "api/v1/servers?user=alice&server=", "operator")
                (full,) = body["servers"]
                assert [s["kind"] for s in full["signals"]] == ["kernel_busy", "kernel_request"]
                assert full["decisions"] == []

    run(scenario)


def test_a_stopped_server_can_still_be_explained() -> None:
    """By the decision that was written down before it was stopped."""

    async def scenario() -> None:
        async with world(servers=["alice"]) as w:
            w.hub.tokens["operator"] = service_token("ops")
            await w.cycle()
            await w.cycle()
            async with w.web() as client:
                _, body = await get(client, "api/v1/servers?user=alice", "operator")
                assert body["servers"] == []
                (made,) = body["decisions"]
                assert (made["reason"], made["result"]) == ("hub_idle", "stopped")
                assert "by the Hub's last_activity idle for" in made["text"]
                _, status = await get(client, "api/v1/status")
                assert status["listed"] == 0

    run(scenario)


def test_a_broken_service_answers_and_says_why() -> None:
    """200 for the Hub's check, 503 for reporters, the error for both."""

    async def scenario() -> None:
        app = make_broken_app("hubcull: unknown option --timeuot; did you mean --timeout?")
        async with TestClient(TestServer(app)) as client:
            status, body = await get(client, "")
            assert (status, body["service"]) == (200, "hubcull")
            assert "--timeuot" in body["problems"][0]
            status, body = await post(client, "t", {})
            assert (status, body["code"], body["retry_in"]) == (503, "misconfigured", 300.0)

    run(scenario)
