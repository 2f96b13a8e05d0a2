"""The service's view of the world: servers, their newest reports, and what was decided.

The view is a cache that a restart may lose: servers are listed anew by the Hub, and reports are written
behind to the database, at most a second late. Decisions are written before they are acted on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from hubcull_hub.database import Database, DatabaseError
from hubcull_hub.model import Evidence, Instant, Outcome, Received, ServerKey, ServerState, Verdict, Watch
from hubcull_hub.rows import Decision

log = logging.getLogger(__name__)

FLUSH_EVERY = 1.0
"""Seconds between two writes of evidence."""

KEEP_GONE = 3600.0
"""Seconds for which the report of a server outlives its place in the listing: a page may have skipped it."""

KEEP_DECISIONS = timedelta(days=90)

UNPROVEN_FOR = 900.0
"""Seconds for which a token that proved no server makes its user's silent servers unknown.

Three of the longest intervals: whoever keeps reporting like that is back before it ends.
"""

HEARD = "heard"


class Store:
    """The view that decisions read. Only the event loop's thread touches it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._servers: dict[ServerKey, ServerState] = {}
        self._read_at: dict[ServerKey, float] = {}
        self._first_heard: dict[ServerKey, tuple[datetime | None, float]] = {}
        self._reports: dict[ServerKey, Received] = {}
        self._unproven: dict[str, float] = {}
        self._dirty: set[ServerKey] = set()
        self._gone: set[ServerKey] = set()

    async def load(self) -> float:
        """Read back what earlier runs left, and return the listening clock (s).

        Raises:
            DatabaseError: when the database can not be read.

        """
        rows = await asyncio.to_thread(self._database.load_evidence)
        self._reports.update(rows)
        facts = await asyncio.to_thread(self._database.load_facts)
        return facts.get(HEARD, 0.0)

    # -- servers ---------------------------------------------------------------------------------

    @property
    def servers(self) -> Mapping[ServerKey, ServerState]:
        """The servers that the Hub says are running, as last read."""
        return self._servers

    def read_at(self, key: ServerKey) -> float:
        """Return when this server was last read from the Hub (monotonic s)."""
        return self._read_at.get(key, float("-inf"))

    def replace_servers(self, servers: Iterable[ServerState], now: Instant, heard: float) -> None:
        """Take a full listing: what is not in it is gone."""
        listed = {server.key: server for server in servers}
        for key in self._servers.keys() - listed.keys():
            self.drop_server(key)
        for server in listed.values():
            self.put_server(server, now, heard)
        self._forget_gone(now)

    def put_server(self, server: ServerState, now: Instant, heard: float) -> None:
        """Take one server as just read from the Hub."""
        key = server.key
        self._servers[key] = server
        self._read_at[key] = now.mono
        first = self._first_heard.get(key)
        if first is None or first[0] != server.started:
            self._first_heard[key] = (server.started, heard)

    def drop_server(self, key: ServerKey) -> None:
        """Forget a server that the Hub no longer lists; its report is kept for a while."""
        self._servers.pop(key, None)
        self._read_at.pop(key, None)
        self._first_heard.pop(key, None)

    def _forget_gone(self, now: Instant) -> None:
        for key in self._reports.keys() - self._servers.keys():
            if (now.utc - self._reports[key].utc).total_seconds() > KEEP_GONE:
                del self._reports[key]
                self._dirty.discard(key)
                self._gone.add(key)

    # -- evidence --------------------------------------------------------------------------------

    def report(self, key: ServerKey, started: datetime) -> Received | None:
        """Return the newest report of this incarnation, if there is one."""
        report = self._reports.get(key)
        return report if report is not None and report.started == started else None

    def put_report(self, key: ServerKey, report: Received) -> None:
        """Take a report; it is on disk within a second."""
        self._reports[key] = report
        self._dirty.add(key)
        self._gone.discard(key)

    def mark_unproven(self, user: str, now: Instant) -> None:
        """Note that somebody reports for this user with a token that proves no server."""
        self._unproven[user] = now.mono

    def evidence(self, server: ServerState, watch: Watch, now: Instant) -> Evidence:
        """Return all that a decision about this server may look at."""
        key = server.key
        unproven = self._unproven.get(key.user)
        if unproven is not None and now.mono - unproven > UNPROVEN_FOR:
            del self._unproven[key.user]
            unproven = None
        report = self._reports.get(key)
        return Evidence(
            server=server,
            watch=watch,
            report=report if report is not None and report.started == server.started else None,
            first_heard=self._first_heard.get(key, (None, watch.heard))[1],
            unproven=unproven is not None,
        )

    # -- the database ----------------------------------------------------------------------------

    async def flush(self, heard: float) -> None:
        """Write what changed since the last flush; on a fault it stays changed and is tried again."""
        dirty, gone = self._dirty, self._gone
        if not dirty and not gone:
            return
        self._dirty, self._gone = set(), set()
        rows = [(key, self._reports[key]) for key in dirty if key in self._reports]
        try:
            await asyncio.to_thread(self._database.write_evidence, rows, gone, {HEARD: heard})
        except DatabaseError as error:
            log.error("evidence is not on disk yet, trying again: %s", error)
            self._dirty |= dirty
            self._gone |= gone - self._dirty

    async def record(self, verdict: Verdict, now: Instant) -> int:
        """Write a decision to stop before it is acted on, and return its number.

        Raises:
            DatabaseError: when it can not be written; the stop must not go on then.

        """
        return await asyncio.to_thread(self._database.record_decision, verdict, now.utc)

    async def record_outcome(self, number: int, outcome: Outcome) -> None:
        """Write what came of a decision; a fault is logged, for what is done is done."""
        try:
            await asyncio.to_thread(self._database.record_result, number, outcome.result, outcome.detail)
        except DatabaseError as error:
            log.error("the outcome %s of %s is not on disk: %s", outcome.result, outcome.verdict.key, error)

    async def decisions(self, key: ServerKey) -> list[Decision]:
        """Return the newest decisions about a server, newest first; raises `DatabaseError`."""
        return await asyncio.to_thread(self._database.recent_decisions, key)

    async def prune(self, now: Instant) -> None:
        """Drop decisions older than `KEEP_DECISIONS`."""
        try:
            await asyncio.to_thread(self._database.prune, now.utc - KEEP_DECISIONS)
        except DatabaseError as error:
            log.error("old decisions could not be dropped: %s", error)
