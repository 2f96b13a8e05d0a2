"""Find the server that a report speaks for: as last listed, or by asking the Hub for that one user.

Asking is bounded: once for all who wait for the same user, and more and more seldom for a server that the
Hub does not show, which in a pilot with filtered scopes is every server outside of it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from hubcull_hub.hub_answers import HubError
from hubcull_hub.model import Instant, ServerKey, ServerState
from hubcull_hub.sight import Sight
from hubcull_hub.store import Store

FIRST_PAUSE, LONGEST_PAUSE = 10.0, 3600.0
"""Seconds for which the Hub is not asked again about a server that it did not show; doubled each time."""

ABSENT_KEPT = 20_000


class ReadsUsers(Protocol):
    """What is needed of the Hub."""

    async def read_user(self, name: str) -> list[ServerState]:
        """Return a user's running servers."""


class Directory:
    """The servers in the store, kept true where a report shows that they can not be."""

    def __init__(
        self,
        hub: ReadsUsers,
        store: Store,
        sight: Sight,
        now: Callable[[], Instant],
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        self._hub, self._store, self._sight, self._now = hub, store, sight, now
        self._first_pause = first_pause
        self._absent: OrderedDict[ServerKey, tuple[int, float]] = OrderedDict()
        self._asking: dict[str, asyncio.Future[None]] = {}

    def known(self, key: ServerKey, now: Instant, *, younger_than: float) -> ServerState | None:
        """Return the server as the Hub last showed it, or None where `find` would have to ask.

        It is asked when the server is unknown or was not ready, and when what we know of it is older than
        ``younger_than`` seconds: then it may be of an earlier incarnation.
        """
        server = self._store.servers.get(key)
        if server is None or not server.ready or younger_than < now.mono - self._store.read_at(key):
            return None
        return server

    async def find(self, key: ServerKey, *, younger_than: float) -> ServerState | None:
        """Return the server as the Hub shows it, or None where it does not; see `known` for when it is asked.

        Raises:
            HubError: when the Hub had to be asked and could not be.

        """
        server = self.known(key, self._now(), younger_than=younger_than)
        if server is not None:
            return server
        if key in self._store.servers or self.pause(key) <= 0:
            await self._ask(key)
        return self._store.servers.get(key)

    def pause(self, key: ServerKey) -> float:
        """Return for how long the Hub is not asked again about a server that it did not show (s)."""
        count, asked = self._absent.get(key, (0, 0.0))
        if not count:
            return 0.0
        pause = min(self._first_pause * 2.0 ** min(count - 1, 20), LONGEST_PAUSE)
        return max(0.0, asked + pause - self._now().mono)

    async def _ask(self, key: ServerKey) -> None:
        asking = self._asking.get(key.user)
        if asking is not None:
            await asyncio.shield(asking)
            return
        self._asking[key.user] = done = asyncio.get_running_loop().create_future()
        try:
            asked = self._now()
            self._take(key, await self._hub.read_user(key.user), asked)
            done.set_result(None)
        except HubError as error:
            done.set_exception(error)
            done.exception()  # read, so that nobody is told it was not
            raise
        finally:
            del self._asking[key.user]
            done.cancel()  # only where we were cancelled ourselves

    def _take(self, key: ServerKey, servers: list[ServerState], asked: Instant) -> None:
        for server in servers:
            self._store.put_server(server, asked, self._sight.heard)
        if key in {server.key for server in servers}:
            self._absent.pop(key, None)
            return
        self._store.drop_server(key)
        self._absent[key] = (self._absent.get(key, (0, 0.0))[0] + 1, asked.mono)
        while len(self._absent) > ABSENT_KEPT:
            self._absent.popitem(last=False)
