"""hubcull in the place of jupyterhub-idle-culler, for the tests of the latter. Not shipped.

It offers what those tests use, `cull_idle` and `utcnow`, which they replace to travel in time, and
``python -m jupyterhub_idle_culler``. Behind it are hubcull's own rooms, put together as `service` does it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone

from hubcull_hub.confirm import make_confirm
from hubcull_hub.database import Database
from hubcull_hub.executor import Executor
from hubcull_hub.fitness import Features
from hubcull_hub.hook import Hook
from hubcull_hub.hub_api import HubApi
from hubcull_hub.judge import Judge
from hubcull_hub.loop import Loop
from hubcull_hub.model import Instant, Limits, Policy
from hubcull_hub.sight import Sight
from hubcull_hub.store import Store

log = logging.getLogger(__name__)


def utcnow() -> datetime:
    """Return the time; a test may put another function in this one's place."""
    return datetime.now(timezone.utc)


def _moved() -> timedelta:
    """Return by how much a test has moved the time; all clocks go with it, the Hub's too."""
    return utcnow() - datetime.now(timezone.utc)


def _now() -> Instant:
    return Instant(utcnow(), time.monotonic() + _moved().total_seconds())


async def cull_idle(
    url: str,
    api_token: str,
    inactive_limit: int,
    logger: object,
    *,
    max_age: float = 0,
    remove_named_servers: bool = False,
    cull_default_servers: bool = True,
    cull_named_servers: bool = True,
    api_page_size: int = 0,
    concurrency: int = 10,
    cull_arbiter: Callable[..., object] | None = None,
) -> None:
    """Do one cycle, its stops to their ends, without the warm-up (L1). ``logger`` is not used."""
    del logger
    policy = Policy(
        timeout=inactive_limit,
        max_age=max_age,
        warm_up=0,
        default_servers=cull_default_servers,
        named_servers=cull_named_servers,
    )
    hook = Hook(cull_arbiter, limit=inactive_limit, time_limit=10) if cull_arbiter is not None else None
    limits = Limits(remove_named_servers=remove_named_servers)
    async with _rooms(url, api_token, policy, hook, limits, (api_page_size, concurrency)) as (loop, executor):
        await loop.run_cycle(_now())
        await executor.drain()


@asynccontextmanager
async def _rooms(
    url: str, token: str, policy: Policy, hook: Hook | None, limits: Limits, sizes: tuple[int, int]
) -> AsyncIterator[tuple[Loop, Executor]]:
    """Put hubcull together around one Hub, and take it down."""
    database, judge = Database.open("sqlite://"), Judge(policy, hook)
    store, sight = Store(database), Sight(_now())
    api = HubApi(
        url,
        token,
        page_size=sizes[0],
        whole_models=hook is not None,
        on_answer=lambda date: sight.hub_answered(_now(), date and date + _moved()),
        on_lost=sight.hub_lost,
        on_silence=lambda: sight.hub_silent(_now()),
    )
    try:
        async with api as hub:
            confirm = make_confirm(hub, store, sight, judge, _now)
            executor = Executor(hub, store, confirm, _now, concurrency=sizes[1], limits=limits)
            yield (
                Loop(hub, store, sight, executor, judge, features=Features(), limits=limits, cull_every=1.0),
                executor,
            )
            await executor.close()
    finally:
        judge.close()
        database.close()
