"""The service's view of the world: servers, their newest reports, and what was decided.

The view is a cache that a restart may lose: servers are listed anew by the Hub, and reports are written
behind to the database, at most a second late. Decisions are written before they are acted on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from hubcull_hub.database import Database, DatabaseError
from hubcull_hub.model import (
    Evidence,
    Instant,
    Outcome,
    Reason,
    Received,
    Result,
    ServerKey,
    ServerState,
    Verdict,
    Watch,
)
from hubcull_hub.rows import Decision
from hubcull_hub.users import UserOutcome, UserVerdict

log = logging.getLogger(__name__)

FLUSH_EVERY = 1.0
"""Seconds between two writes of evidence."""

KEEP_GONE = 3600.0
"""Seconds for which the report of a server outlives its place in the listing: a page may have skipped it."""

KEEP_DECISIONS = timedelta(days=90)

DOUBTED_FOR = 900.0
"""Seconds for which a report that could not be believed or read makes silent servers unknown.

Three of the longest intervals: whoever keeps reporting like that is back before it ends.
"""

OVER = frozenset({Result.STOPPED, Result.GONE})
"""Results after which a server is known not to run any more."""

HEARD = "heard"


class KnownOfUser(NamedTuple):
    """How many servers of a user are there, their newest reports, and whether they can be believed."""

    servers: int
    reports: tuple[Received, ...]
    doubt: Reason | None


class Store:
    """The view that decisions read. Only the event loop's thread touches it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._servers: dict[ServerKey, ServerState] = {}
        self._read_at: dict[ServerKey, float] = {}
        self._first_heard: dict[ServerKey, tuple[datetime | None, float]] = {}
        self._reports: dict[ServerKey, Received] = {}
        self._doubts: dict[str | ServerKey, tuple[Reason, float]] = {}
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

    def replace_servers(self, servers: Iterable[ServerState], asked: Instant, heard: float) -> None:
        """Take a full listing that was asked for at ``asked``: what is not in it is gone.

        A server that was read on its own since then is better known than that.
        """
        listed = {server.key: server for server in servers}
        for key in self._servers.keys() | listed.keys():
            if self.read_at(key) > asked.mono:
                continue
            if key in listed:
                self.put_server(listed[key], asked, heard)
            else:
                self.drop_server(key)
        self._forget_gone(asked)

    def put_server(self, server: ServerState, asked: Instant, heard: float) -> None:
        """Take one server as the Hub showed it when it was ``asked``."""
        key = server.key
        self._servers[key] = server
        self._read_at[key] = asked.mono
        first = self._first_heard.get(key)
        if first is None or first[0] != server.started:
            self._first_heard[key] = (server.started, heard)

    def drop_incarnation(self, key: ServerKey, started: datetime | None) -> None:
        """Forget a server that was stopped, unless another incarnation of it is known by now."""
        known = self._servers.get(key)
        if known is not None and known.started == started:
            self.drop_server(key)

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

    def mark_doubt(self, whom: str | ServerKey, doubt: Reason, now: Instant) -> None:
        """Note that somebody reports for a user, or a server, whom we can not believe or understand."""
        self._doubts[whom] = (doubt, now.mono)

    def _doubt(self, key: ServerKey, now: Instant) -> Reason | None:
        for whom in (key, key.user):
            doubt, at = self._doubts.get(whom, (None, 0.0))
            if doubt is not None and now.mono - at <= DOUBTED_FOR:
                return doubt
            self._doubts.pop(whom, None)
        return None

    def evidence(self, server: ServerState, watch: Watch, now: Instant) -> Evidence:
        """Return all that a decision about this server may look at."""
        key = server.key
        report = self._reports.get(key)
        first = self._first_heard.get(key)
        return Evidence(
            server,
            watch,
            report if report is not None and report.started == server.started else None,
            watch.heard if first is None else first[1],
            self._doubt(key, now) if self._doubts else None,
        )

    def of_users(self, names: Iterable[str], now: Instant) -> dict[str, KnownOfUser]:
        """Return what we know of these users, in one pass over all servers."""
        servers: dict[str, int] = dict.fromkeys(names, 0)
        reports: dict[str, list[Received]] = {name: [] for name in servers}
        for key in self._servers:
            if key.user in servers:
                servers[key.user] += 1
        for key, report in self._reports.items():
            if key.user in reports:
                reports[key.user].append(report)
        return {
            name: KnownOfUser(servers[name], tuple(reports[name]), self._doubt(ServerKey(name, ""), now))
            for name in servers
        }

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
        except BaseException as error:
            self._dirty |= dirty
            self._gone |= gone - self._dirty
            if not isinstance(error, DatabaseError):
                raise
            log.error("evidence is not on disk yet, trying again: %s", error)

    async def record(self, verdict: Verdict | UserVerdict, now: Instant) -> int:
        """Write a decision before it is acted on, and return its number.

        Raises:
            DatabaseError: when it can not be written; it must not be acted on then.

        """
        return await asyncio.to_thread(self._database.record_decision, verdict, now.utc)

    async def record_outcome(self, number: int, outcome: Outcome | UserOutcome) -> None:
        """Write what came of a decision; a fault is logged, for what is done is done.

        A server that was stopped is forgotten at once, not shown as due until the next cycle.
        """
        if isinstance(outcome.verdict, Verdict) and outcome.result in OVER:
            self.drop_incarnation(outcome.verdict.key, outcome.verdict.started)
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
