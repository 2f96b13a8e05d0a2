"""How much of the Hub's time an hour of the service costs, with 10,000 servers that report.

The real rooms (ingest, token book, store, loop, executor) live through one hour of virtual time against a Hub
that only counts what it is asked; the counts are multiplied with what each request costs a real Hub. Those
costs are constants, measured elsewhere (see the README); DELETE is not counted, for it is what was wanted.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import logging
import random
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from benchmarks.figures import Figure
from benchmarks.populations import report_json, token_of, user_name
from hubcull_hub.confirm import make_confirm
from hubcull_hub.database import Database
from hubcull_hub.directory import Directory
from hubcull_hub.executor import Executor
from hubcull_hub.fitness import Features
from hubcull_hub.hub_answers import StopAnswer, TokenOwner
from hubcull_hub.identity import TokenBook, share_of_lifetime
from hubcull_hub.ingest import Ingest
from hubcull_hub.judge import Judge
from hubcull_hub.loop import Loop
from hubcull_hub.model import Instant, Limits, Policy, ServerKey, ServerState
from hubcull_hub.policy import report_interval
from hubcull_hub.sight import Sight
from hubcull_hub.store import Store

SERVERS = 10_000
CHURN = 100
"""Servers that fall idle in the hour and are stopped, and as many that are started: 1 %."""
TIMEOUT = 3600.0
CULL_EVERY = 60.0
HOUR = 3600.0
PROOF_LIFETIME = 4 * HOUR
"""For how long the token book believes a proof, so that a Hub of long standing has proofs of every age."""
AIM_S = 18.0

COSTS = {"list": 5.5, "token": 0.0018, "user": 0.0039, "version": 0.0018}
"""Seconds of the Hub's one thread per full listing of 10,000 servers and per request of each other kind."""
IDLE_CULLER_S = 60 * 6.0
"""What jupyterhub-idle-culler costs the same Hub per hour with ``cull_every=60``: a listing a minute."""


class CountingHub:
    """A Hub that knows its servers, answers at once, and counts."""

    def __init__(self, now: Instant) -> None:
        self.asked: Counter[str] = Counter()
        self.servers: dict[str, ServerState] = {}
        self.now = now

    def start(self, number: int, age: float) -> None:
        """Start the server of a user, ``age`` seconds ago."""
        started = self.now.utc - timedelta(seconds=age)
        user = user_name(number)
        self.servers[user] = ServerState(ServerKey(user, ""), started, started, ready=True)

    async def version(self) -> str:
        """Return a version that hubcull takes."""
        self.asked["version"] += 1
        return "6.1.1"

    async def own(self) -> TokenOwner:
        """Return the service itself, with all it needs."""
        self.asked["token"] += 1
        scopes = frozenset({"list:users", "read:servers", "delete:servers"})
        return TokenOwner("service", "hubcull", scopes, None)

    async def token_owner(self, token: str) -> TokenOwner | None:
        """Return the user whose server's token it is, as `token_of` makes them."""
        self.asked["token"] += 1
        user = user_name(int(token[9:14]))
        scopes = frozenset({f"access:servers!server={user}/", f"users:activity!user={user}"})
        return TokenOwner("user", user, scopes, None)

    async def list_servers(self) -> list[ServerState]:
        """Return all servers; one listing, however many pages."""
        self.asked["list"] += 1
        return list(self.servers.values())

    async def read_user(self, name: str) -> list[ServerState]:
        """Return a user's server."""
        self.asked["user"] += 1
        return [self.servers[name]] if name in self.servers else []

    async def read_server(self, key: ServerKey) -> ServerState | None:
        """Return one server, which is read as its user is."""
        return next(iter(await self.read_user(key.user)), None)

    async def stop(self, key: ServerKey, *, remove: bool = False) -> StopAnswer:
        """Stop a server at once; the load removes none."""
        if remove:
            raise ValueError("no named servers here")
        self.asked["stop"] += 1
        del self.servers[key.user]
        return StopAnswer.STOPPED


@dataclass
class _User:
    """One server as its extension sees it: when it last was used, how often it has reported."""

    number: int
    begun: float
    used: float
    sequence: int = 0
    leaves: bool = False


class _Hour:
    """One hour of virtual time; ``begin`` is its monotonic start."""

    def __init__(self, database: Database) -> None:
        self.dice = random.Random(20261121)  # noqa: S311 - the same hour every time
        self.now = Instant(datetime(2026, 5, 1, 12, 0, tzinfo=timezone.utc), 1_000_000.0)
        self.begin = self.now.mono
        self.hub = CountingHub(self.now)
        self.policy = Policy(timeout=TIMEOUT)
        self.store, self.sight = Store(database), Sight(self.now)
        self.book = TokenBook(self.hub)
        judge = Judge(self.policy)
        confirm = make_confirm(self.hub, self.store, self.sight, judge, self._clock)
        self.executor = Executor(self.hub, self.store, confirm, self._clock)
        self.loop = Loop(
            self.hub,
            self.store,
            self.sight,
            self.executor,
            judge,
            features=Features(),
            limits=Limits(),
            cull_every=CULL_EVERY,
        )
        directory = Directory(self.hub, self.store, self.sight, self._clock)
        self.ingest = Ingest(self.book, directory, self.store, self.sight, self.policy, self._clock)
        self.template = report_json(0)
        self.due: list[tuple[float, int]] = []
        self.users: dict[int, _User] = {}
        self.reports = 0

    def _clock(self) -> Instant:
        return self.now

    def _move(self, mono: float) -> None:
        self.now = self.now.plus(mono - self.now.mono)
        self.hub.now = self.now

    def people(self) -> None:
        """Fill the Hub: servers some hours old, 1 % of which are left alone at some time in the hour."""
        for number in range(SERVERS):
            age = self.dice.uniform(TIMEOUT, 12 * HOUR)
            self.hub.start(number, age)
            used = self.begin - self.dice.uniform(0, HOUR) if number < CHURN else self.begin
            self.users[number] = _User(number, self.begin - age, used, leaves=number < CHURN)
            heapq.heappush(self.due, (self.begin + self.dice.uniform(0.0, 300.0), number))
        for number in range(SERVERS, SERVERS + CHURN):
            heapq.heappush(self.due, (self.begin + self.dice.uniform(0.0, HOUR), number))

    async def settle(self) -> None:
        """Let every token have been proved some time in the last four hours, as on a Hub of long standing."""
        for number in range(SERVERS):
            # Renewed at the first report after its end, so half an interval later on average.
            believed = PROOF_LIFETIME * share_of_lifetime(token_of(number)) + 0.5 * report_interval(
                self.policy
            )
            proved = self.begin - self.dice.uniform(0.0, believed)
            await self.book.look(token_of(number), proved)
            started = self.hub.servers[user_name(number)].started
            assert started is not None  # noqa: S101 - made above
            self.book.bind(token_of(number), started)
        self.hub.asked.clear()

    async def live(self) -> None:
        """Let the hour pass: reports when they are due, and a cycle every `CULL_EVERY` seconds."""
        cycle = self.begin
        while min(cycle, self.due[0][0]) < self.begin + HOUR:
            at, number = self.due[0]
            if cycle <= at:
                self._move(cycle)
                await self.loop.run_cycle(self.now)
                await self.executor.drain()
                cycle += CULL_EVERY
                continue
            heapq.heappop(self.due)
            self._move(at)
            await self._report(number)

    async def _report(self, number: int) -> None:
        """Let one server report, and come back when the reply says so; a stopped one is gone."""
        if number not in self.users:
            self.hub.start(number, age=5.0)
            self.users[number] = _User(number, self.now.mono - 5.0, self.now.mono)
        user = self.users[number]
        if user_name(number) not in self.hub.servers:
            return
        reply = await self.ingest.accept(token_of(number), json.dumps(self._body(user)).encode())
        self.reports += 1
        wait = reply.report_in * self.dice.uniform(0.9, 1.0)
        if reply.deadline_in:
            wait = min(wait, reply.deadline_in + 0.1)
        heapq.heappush(self.due, (self.now.mono + max(1.0, wait), number))

    def _body(self, user: _User) -> dict[str, Any]:
        user.sequence += 1
        if not user.leaves:
            user.used = self.now.mono - 60.0
        age = max(0.0, self.now.mono - user.used)
        act = {"kind": "kernel_request", "source": "kernel:a", "clock": "presence", "age": age}
        return {
            **self.template,
            "server": f"{user_name(user.number)}/",
            "sequence": user.sequence,
            "boot_id": f"{user.number:032x}",
            "uptime": self.now.mono - user.begun,
            "signals": [act],
        }


async def _simulate(settled: bool) -> tuple[Counter[str], int]:
    """Return what the Hub was asked in the hour, and how many reports came."""
    database = Database.open("sqlite://")
    try:
        hour = _Hour(database)
        hour.people()
        if settled:
            await hour.settle()
        await hour.live()
        await hour.book.close()
        return hour.hub.asked, hour.reports
    finally:
        database.close()


def _cost(asked: Counter[str]) -> float:
    return sum(COSTS.get(kind, 0.0) * count for kind, count in asked.items())


def run() -> list[Figure]:
    """Live through an hour of a Hub of long standing, and through the first hour after a restart."""
    quiet = logging.getLogger("hubcull_hub")
    before = quiet.level
    quiet.setLevel(logging.WARNING)
    try:
        asked, reports = asyncio.run(_simulate(settled=True))
        first, first_reports = asyncio.run(_simulate(settled=False))
    finally:
        quiet.setLevel(before)
    return [_figure("hub_load", asked, reports), _figure("hub_load_first_hour", first, first_reports)]


def _figure(name: str, asked: Counter[str], reports: int) -> Figure:
    cost = _cost(asked)
    return Figure(
        name=name,
        figure=cost,
        unit="s of Hub time per hour",
        ratio_to=f"idle-culler: {IDLE_CULLER_S:g} s",
        aim=f"<= {AIM_S:g} s",
        met=cost <= AIM_S,
        details={
            "requests": dict(sorted(asked.items())),
            "reports": reports,
            "servers": SERVERS,
            "stopped_and_started": CHURN,
            "timeout_s": TIMEOUT,
            "cost_of_each_s": {kind: COSTS[kind] for kind in sorted(asked) if kind in COSTS},
            "note": "the cost of each request is a constant, measured elsewhere; see benchmarks/README.md",
        },
    )
