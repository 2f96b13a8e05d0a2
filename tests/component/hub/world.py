"""The service's rooms around a `FakeHub`, with a clock that moves when a test says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from hubcull_hub.confirm import make_confirm
from hubcull_hub.database import Database
from hubcull_hub.deleter import Deleter
from hubcull_hub.directory import Directory
from hubcull_hub.executor import Executor
from hubcull_hub.fitness import Features
from hubcull_hub.hook import Hook
from hubcull_hub.hub_api import HubApi
from hubcull_hub.identity import TokenBook
from hubcull_hub.ingest import Ingest
from hubcull_hub.judge import Judge
from hubcull_hub.loop import Loop
from hubcull_hub.model import Instant, Limits, Outcome, Policy, ServerKey, Verdict
from hubcull_hub.report import CycleReport
from hubcull_hub.roster import Roster, UserJudge, make_confirm_user
from hubcull_hub.sight import Sight
from hubcull_hub.store import Store
from hubcull_hub.users import UserOutcome, UserPolicy
from hubcull_hub.web.app import make_app
from hubcull_hub.web.context import Context, Holder
from hubcull_server_ext import wire
from tests.component.hub.fake_hub import USER_SCOPES, FakeHub, server_token, service_token

BEGIN = datetime(2026, 5, 1, 12, 0, tzinfo=timezone.utc)
PREFIX = "/services/hubcull/"


class World:
    """One service and its Hub. `now` moves by `later`; nothing waits in real time."""

    def __init__(self, policy: Policy, limits: Limits, database: Database) -> None:
        self.policy, self.limits, self.database = policy, limits, database
        self.hub = FakeHub()
        self.now = Instant(BEGIN, 1000.0)
        self.hook: Hook | None = None
        self.users: UserPolicy | None = None
        self.roster: Roster | None = None
        self.user_outcomes: list[UserOutcome] = []
        self.outcomes: list[Outcome] = []
        self.sequences: dict[str, int] = {}

    def later(self, seconds: float) -> Instant:
        """Let time pass."""
        self.now = self.now.plus(seconds)
        return self.now

    def ago(self, seconds: float) -> datetime:
        """Return a time before now."""
        return self.now.utc - timedelta(seconds=seconds)

    async def build(self, api: HubApi, concurrency: int = 10) -> None:
        """Put the rooms together; done again, it is a restart of the service on the same database."""
        self.api = api
        self.store = Store(self.database)
        self.sight = Sight(self.now, heard=await self.store.load())
        judge = Judge(self.policy, self.hook)
        confirm = make_confirm(api, self.store, self.sight, judge, lambda: self.now)
        self.executor = Executor(
            api,
            self.store,
            confirm,
            lambda: self.now,
            concurrency=concurrency,
            limits=self.limits,
            sleep=self._sleep,
        )
        self.loop = Loop(
            api,
            self.store,
            self.sight,
            self.executor,
            judge,
            features=Features(
                self.limits.dry_run, self.users is not None, users_by_age=bool(self.policy.max_age)
            ),
            limits=self.limits,
            cull_every=1.0,
        )
        if self.users is not None:
            self._build_users(api, self.users)
        self.book = TokenBook(api)
        directory = Directory(api, self.store, self.sight, lambda: self.now)
        self.ingest = Ingest(
            self.book, directory, self.store, self.sight, self.policy, lambda: self.now, judge.awaits_check
        )

    def _build_users(self, api: HubApi, policy: UserPolicy) -> None:
        judge = UserJudge(self.store, self.sight, policy)
        confirm = make_confirm_user(api, self.sight, judge, lambda: self.now)
        self.deleter = Deleter(
            api,
            self.store,
            confirm,
            lambda: self.now,
            slots=self.executor.share(),
            dry_run=self.limits.dry_run,
        )
        budget = self.limits.stops
        roster = Roster(api, self.sight, judge, self.deleter, budget=budget, cull_every=1.0)
        self.loop.roster = self.roster = roster

    async def _sleep(self, seconds: float) -> None:
        self.later(seconds)
        await asyncio.sleep(0.01)

    async def cycle(self) -> CycleReport:
        """Run one cycle, and let every stop that it begins come to its end."""
        report = await self.loop.run_cycle(self.now)
        await self.executor.drain()
        self.outcomes.extend(self.executor._outcomes)
        if self.roster is not None:
            await self.deleter.drain()
            self.user_outcomes.extend(self.deleter._outcomes)
        return report

    def add(self, user: str, server: str = "", *, started_ago: float = 36_000, idle: float = 36_000) -> str:
        """Start a server at the Hub, and return its token."""
        self.hub.add_server(user, server, started=self.ago(started_ago), last_activity=self.ago(idle))
        token = f"token-of-{user}-{server}-{started_ago}"
        self.hub.tokens[token] = server_token(user, server)
        return token

    def verdict(self, user: str, server: str = "") -> Verdict:
        """Return the verdict on one server as of now."""
        found = {v.key: v for v in self.loop.verdicts(self.now)}
        return found[ServerKey(user, server)]

    def body(self, server: str, *signals: wire.Signal, **changes: Any) -> dict[str, Any]:
        """Return a report as JSON; without signals it shows a server that is long idle."""
        self.sequences[server] = self.sequences.get(server, 0) + 1
        healthy = tuple(
            wire.Source(n, wire.Health.OK) for n in ("kernels", "terminals", "requests", "foreign")
        )
        report = wire.Report(
            boot_id=f"boot of {server}",
            sequence=self.sequences[server],
            uptime=36_000.0,
            server=server,
            sources=healthy,
            signals=signals or (pressed(20_000),),
        )
        read: dict[str, Any] = json.loads(json.dumps(wire.to_json(replace(report, **changes))))
        return read

    @asynccontextmanager
    async def web(self) -> AsyncIterator[TestClient[Any, Any]]:
        """Serve the application."""
        context = Context(
            hub=self.api,
            store=self.store,
            sight=self.sight,
            ingest=self.ingest,
            loop=self.loop,
            now=lambda: self.now,
            cull_every=1.0,
            dry_run=self.limits.dry_run,
        )
        async with TestClient(TestServer(make_app(Holder(context), PREFIX))) as client:
            yield client


async def post(client: TestClient[Any, Any], token: str | None, body: object) -> tuple[int, dict[str, Any]]:
    """Post a report as an extension does."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    answer: ClientResponse = await client.post(PREFIX + wire.REPORTS_PATH, json=body, headers=headers)
    return answer.status, await answer.json()


def pressed(age: float) -> wire.Signal:
    """Return a cell executed that long ago."""
    return wire.Signal("kernel_request", "kernel:a", wire.Clock.PRESENCE, age=age, label="execute_request")


def running(going_on_for: float) -> wire.Signal:
    """Return a cell that runs."""
    return wire.Signal("kernel_busy", "kernel:a", wire.Clock.WORK, going_on_for=going_on_for)


@asynccontextmanager
async def world(
    policy: Policy | None = None,
    limits: Limits | None = None,
    *,
    warm: float = 5000.0,
    concurrency: int = 10,
    servers: Iterable[str] = (),
    hook: Callable[..., object] | None = None,
    hook_time_limit: float = 5.0,
    users: UserPolicy | None = None,
) -> AsyncIterator[World]:
    """Build a world that has been up for `warm` seconds, with idle servers of these users.

    By default a service that has watched for long: a due server is stopped in the next cycle.
    """
    database = Database.open("sqlite://")
    made = World(policy or Policy(timeout=600), limits or Limits(), database)
    made.hub.clock = lambda: made.now.utc
    if users is not None:
        made.users = users
        made.hub.tokens[made.hub.token] = service_token(scopes=USER_SCOPES)
    if hook is not None:
        made.hook = Hook(hook, limit=made.policy.timeout, time_limit=hook_time_limit)
    try:
        async with (
            made.hub.serve() as url,
            HubApi(
                url,
                made.hub.token,
                whole_models=hook is not None,
                on_answer=lambda _: made.sight.hub_answered(made.now),
                on_lost=lambda: made.sight.hub_lost(),  # noqa: PLW0108 - a restart makes another sight
                on_silence=lambda: made.sight.hub_silent(made.now),
            ) as api,
        ):
            await made.build(api, concurrency)
            await made.cycle()
            made.later(warm)
            for user in servers:
                made.add(user)
            yield made
            await made.executor.close()
            if made.roster is not None:
                await made.deleter.close()
            await made.book.close()
            if made.hook is not None:
                made.hook.close()
    finally:
        database.close()
