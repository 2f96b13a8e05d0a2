"""Reports per second that the real service takes, against a bare handler that only parses the same JSON.

Each has a process of its own, and they are never busy at the same time: one load generator drives first one,
then the other, in short rounds that alternate, so that whatever else the machine does meets both.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from statistics import median

from benchmarks.children import Child, Children, children
from benchmarks.figures import Figure
from benchmarks.load import Reports, post_all
from benchmarks.stubs import HUB_SERVERS, HUB_TOKEN
from hubcull_hub.config import DEFAULT_PREFIX
from hubcull_server_ext.wire import REPORTS_PATH

SERVERS = 1_000
CONNECTIONS = 20
ROUNDS = 30
POSTS = 3_000
SETTLE = 1.2
"""Seconds after each round, in which the service writes the last evidence; its CPU time is counted, too."""
REPORT_EVERY = 150.0
"""Seconds between two reports of a server with the default timeout of 600 s."""
AIM = 0.6


@dataclass
class _Side:
    """One of the two servers, and what its rounds gave."""

    child: Child
    reports: Reports
    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """CPU seconds per report, one entry per round."""

    async def warm(self) -> None:
        """Post twice for every server: the service asks the Hub about each token the first time."""
        await post_all(self.reports.address, self.reports.take(2 * SERVERS), CONNECTIONS)
        await asyncio.sleep(SETTLE)

    async def round(self) -> None:
        """Post a batch, and note how fast it went and what it cost."""
        posts = self.reports.take(POSTS)
        before = self.child.cpu()
        seconds = await post_all(self.reports.address, posts, CONNECTIONS)
        await asyncio.sleep(SETTLE)
        self.rates.append(POSTS / seconds)
        self.cpu.append((self.child.cpu() - before) / POSTS)


def run() -> list[Figure]:
    """Alternate between the two; the figures are medians of the rounds' ratios."""
    with children() as made:
        service, bare = _start(made)
        asyncio.run(_measure(service, bare))
    rate = [one / other for one, other in zip(service.rates, bare.rates, strict=True)]
    cpu = [other / one for one, other in zip(service.cpu, bare.cpu, strict=True)]
    details = {
        "servers": SERVERS,
        "report_bytes": len(service.reports.take(1)[0]),
        "connections": CONNECTIONS,
        "service_per_s": median(service.rates),
        "bare_per_s": median(bare.rates),
        "service_cpu_us": median(service.cpu) * 1e6,
        "bare_cpu_us": median(bare.cpu) * 1e6,
        "core_percent_at_10k_servers": 100 * median(service.cpu) * HUB_SERVERS / REPORT_EVERY,
        "rounds": ROUNDS,
    }
    return [
        _figure("ingest_rate", rate, "rate", {**details, "lowest": min(rate), "highest": max(rate)}),
        _figure("ingest_cpu", cpu, "CPU time per report", {"lowest": min(cpu), "highest": max(cpu)}),
    ]


def _figure(name: str, ratios: list[float], what: str, details: dict[str, float]) -> Figure:
    middle = median(ratios)
    return Figure(
        name=name,
        figure=middle,
        unit="times",
        ratio_to=f"{what}, bare aiohttp handler",
        aim=f">= {AIM:g}",
        met=middle >= AIM,
        details=details,
    )


def _start(made: Children) -> tuple[_Side, _Side]:
    """Start the Hub, the service as an operator does, with its SQLite file and its loop, and the other."""
    hub = made.start("hub", ["benchmarks.stubs", "hub", "{port}"])
    bare = made.start("bare", ["benchmarks.stubs", "bare", "{port}"])
    hub.wait_ready("/hub/api/")
    service = made.start(
        "service",
        [
            "hubcull_hub",
            "--bind=127.0.0.1:{port}",
            f"--database-url=sqlite:///{made.folder / 'hubcull.sqlite'}",
            "--timeout=3600",
        ],
        {"JUPYTERHUB_API_URL": f"{hub.url}/hub/api", "JUPYTERHUB_API_TOKEN": HUB_TOKEN},
    )
    service.wait_ready(DEFAULT_PREFIX)
    bare.wait_ready("/")
    return (
        _Side(service, Reports(f"{service.url}{DEFAULT_PREFIX}{REPORTS_PATH}", SERVERS)),
        _Side(bare, Reports(f"{bare.url}/reports", SERVERS)),
    )


async def _measure(service: _Side, bare: _Side) -> None:
    await service.warm()
    await bare.warm()
    for number in range(ROUNDS):
        for side in (service, bare) if number % 2 else (bare, service):
            await side.round()
