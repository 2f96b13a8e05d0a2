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

LARGEST_BODY = 2 * 1024 * 1024
"""Bytes; a report with the most and longest signals it may carry is smaller."""

VISITORS_AT_ONCE = 4
"""How many readers of the API may have a question about their token open at the Hub."""


@dataclass(frozen=True)
class Context:
    """The running service, as the web side sees it."""

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
        found = list(self.loop.last.problems) if self.loop.last is not None else []
        return found if self.loop.failure is None else [*found, self.loop.failure]


class Holder:
    """Where the handlers find the context, once there is one: the port is open before all else is ready."""

    def __init__(self, context: Context | None = None) -> None:
        self.context = context


HOLDER = web.AppKey("holder", Holder)
