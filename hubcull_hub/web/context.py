"""What the handlers work with, under one typed key of the application."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from hubcull_hub.hub_api import HubApi
from hubcull_hub.ingest import Ingest
from hubcull_hub.loop import Loop
from hubcull_hub.model import Instant
from hubcull_hub.sight import Sight
from hubcull_hub.store import Store

VISITORS_AT_ONCE = 4
"""How many readers of the API may have a question about their token open at the Hub."""


@dataclass(frozen=True)
class Context:
    """The running service, as the web side sees it."""

    version: str
    hub: HubApi
    store: Store
    sight: Sight
    ingest: Ingest
    loop: Loop
    now: Callable[[], Instant]
    cull_every: float
    dry_run: bool
    visitors: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(VISITORS_AT_ONCE))

    def problems(self) -> list[str]:
        """Return what is the matter, in words; empty when nothing is."""
        return list(self.loop.last.problems) if self.loop.last is not None else []


CONTEXT = web.AppKey("context", Context)
