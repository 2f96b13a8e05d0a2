"""What outlives the service's process: evidence, a few facts, and the decisions with what came of them.

A SQLite file by default, PostgreSQL by URL. Everything here blocks: call it through ``asyncio.to_thread``.
Each method is one transaction, committed when it returns; it raises DatabaseError and nothing else of the
database's. Stored evidence comes back without a monotonic time: it may protect, never condemn. What can not
be stored or read back is skipped, counted in ``skipped`` and named in the log, so that one odd report never
keeps another server's evidence from being kept.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from hubcull_hub.migrations import NewerSchemaError, upgrade
from hubcull_hub.migrations.tables import DECISIONS, EVIDENCE, FACTS
from hubcull_hub.model import Received, Result, ServerKey, Verdict
from hubcull_hub.rows import (
    UNUSABLE,
    Decision,
    decision_row,
    evidence_row,
    read_decision,
    read_evidence,
    storable,
)
from hubcull_hub.users import UserVerdict

log = logging.getLogger(__name__)

_PATIENCE = 10.0
"""Seconds to wait for a SQLite file that another process writes to, and for PostgreSQL to answer."""

_From = TypeVar("_From")
_To = TypeVar("_To")


class DatabaseError(Exception):
    """The database can not be used; the text names it, and the remedy if one is known, and no password."""


class Database:
    """The service's memory on disk. Safe to use from several threads; SQLite serves them one at a time."""

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self._engine = engine
        self._name = name
        self._insert: Any = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
        self._warned: set[str] = set()
        self.skipped = 0

    @classmethod
    def open(cls, url: str) -> Database:
        """Open the database at the SQLAlchemy ``url``, bring its schema up to date, and try to write.

        Raises DatabaseError: not a URL, no driver, no such folder, not writable, of a newer hubcull.
        """
        engine, name = _engine(url)
        database = cls(engine, name)
        try:
            with database._transaction() as connection:
                upgrade(connection)
                connection.execute(sa.delete(FACTS).where(FACTS.c.name == ""))  # proves that we may write
        except NewerSchemaError as error:
            engine.dispose()
            raise DatabaseError(
                f"{name} was written by a newer hubcull: its schema is {error.found}, and this version knows"
                f" up to {error.head}. Install that version again, or name another database."
            ) from None
        except DatabaseError:
            engine.dispose()
            raise
        return database

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def load_evidence(self) -> list[tuple[ServerKey, Received]]:
        """Return all evidence, with ``mono`` None and ``validated`` False."""
        with self._transaction() as connection:
            rows = connection.execute(sa.select(EVIDENCE)).mappings().all()
        return self._usable(rows, read_evidence, "read back")

    def write_evidence(
        self,
        rows: Iterable[tuple[ServerKey, Received]],
        gone: Iterable[ServerKey] = (),
        facts: Mapping[str, float] | None = None,
    ) -> None:
        """Forget the servers in ``gone``, then store ``rows`` and ``facts`` over what was there."""
        newest = dict(rows)  # by server: one statement must not meet a server twice
        evidence = self._usable(newest.items(), evidence_row, "stored")
        absent = [{"of_user": key.user, "of_server": key.server} for key in gone]
        numbers = [{"name": name, "value": value} for name, value in (facts or {}).items()]
        with self._transaction() as connection:
            if absent:
                is_absent = (EVIDENCE.c.user == sa.bindparam("of_user")) & (
                    EVIDENCE.c.server == sa.bindparam("of_server")
                )
                connection.execute(sa.delete(EVIDENCE).where(is_absent), absent)
            self._put(connection, EVIDENCE, evidence)
            self._put(connection, FACTS, numbers)

    def load_facts(self) -> dict[str, float]:
        """Return the stored facts, by name."""
        with self._transaction() as connection:
            rows = connection.execute(sa.select(FACTS.c.name, FACTS.c.value)).all()
        return {name: value for name, value in rows if isinstance(value, float)}

    def record_decision(self, verdict: Verdict | UserVerdict, at: datetime) -> int:
        """Record a verdict that is about to be acted on, made ``at``; return its id."""
        row = decision_row(verdict, at)
        with self._transaction() as connection:
            key = connection.execute(sa.insert(DECISIONS).values(row)).inserted_primary_key
        if key is None:  # pragma: no cover - both databases return it
            raise DatabaseError(f"{self._name} does not say under which id it stored a decision")
        return int(key[0])

    def record_result(self, decision: int, result: Result, detail: str = "") -> None:
        """Record what came of a decision; nothing happens if it has been pruned."""
        change = sa.update(DECISIONS).where(DECISIONS.c.id == decision)
        with self._transaction() as connection:
            connection.execute(change.values(result=result.value, detail=storable(detail)))

    def recent_decisions(self, key: ServerKey, limit: int = 10) -> list[Decision]:
        """Return the newest decisions about a server, newest first; a default server's with its user's."""
        of_server = (DECISIONS.c.user == key.user) & (DECISIONS.c.server == key.server)
        query = sa.select(DECISIONS).where(of_server).order_by(DECISIONS.c.id.desc()).limit(limit)
        with self._transaction() as connection:
            rows = connection.execute(query).mappings().all()
        return self._usable(rows, read_decision, "read back")

    def prune(self, before: datetime) -> None:
        """Forget the decisions made before that time. Evidence stays until its server is gone."""
        with self._transaction() as connection:
            connection.execute(sa.delete(DECISIONS).where(DECISIONS.c.at_utc < before))

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except (SQLAlchemyError, sqlite3.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            reason = str(cause).strip().partition("\n")[0] or type(cause).__name__
            password = self._engine.url.password
            # The cause's own text is kept out: it may hold the connection's arguments.
            shown = reason.replace(str(password), "***") if password else reason
            raise DatabaseError(f"{self._name} can not be used: {shown}") from None

    def _put(self, connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
        """Insert the rows, each over the one with the same primary key."""
        if not rows:
            return
        insert = self._insert(table)
        keys = [column.name for column in table.primary_key]
        changes = {name: insert.excluded[name] for name in rows[0] if name not in keys}
        connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=changes), rows)

    def _usable(self, rows: Iterable[_From], convert: Callable[[_From], _To], what_failed: str) -> list[_To]:
        """Convert what can be converted; count the rest, and log the first of them, once per kind."""
        converted: list[_To] = []
        for row in rows:
            try:
                converted.append(convert(row))
            except UNUSABLE as error:
                self.skipped += 1
                if what_failed not in self._warned:
                    self._warned.add(what_failed)
                    log.warning("%s: a row can not be %s and is skipped: %s", self._name, what_failed, error)
        return converted


def _engine(url: str) -> tuple[sa.Engine, str]:
    """Return the engine for ``url`` and a name for messages; neither a password nor an option is in it."""
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError):
        raise DatabaseError(
            "the database's URL can not be read. It looks like sqlite:////var/lib/hubcull/hubcull.sqlite"
            " or postgresql+psycopg://user:password@host/name, with special characters percent-encoded."
        ) from None
    try:
        if backend == "sqlite":
            return _sqlite_engine(parsed)
        if backend == "postgresql":
            wait = {"connect_timeout": int(_PATIENCE)} if "psycopg" in parsed.drivername else {}
            name = f"the PostgreSQL database {parsed.database} at {parsed.host or 'the local socket'}"
            return sa.create_engine(parsed, pool_pre_ping=True, connect_args=wait), name
    except (ImportError, ArgumentError):
        raise DatabaseError(
            f"there is no driver for {parsed.drivername} here. Install one, such as psycopg, and name it in"
            " the URL: postgresql+psycopg://..."
        ) from None
    raise DatabaseError(f"{backend} is not supported. Use a SQLite file or PostgreSQL.")


def _sqlite_engine(url: sa.URL) -> tuple[sa.Engine, str]:
    """Return an engine with one connection, so that threads take turns and never meet a locked file."""
    path = url.database
    if path and path != ":memory:" and not path.startswith("file:"):
        try:
            Path(path).touch(mode=0o600)  # it holds who worked when
        except OSError as error:
            raise DatabaseError(
                f"the SQLite file {path} can not be written: {error.strerror}. Create its folder and"
                " give it to the user hubcull runs as, or name another file."
            ) from None
    engine = sa.create_engine(
        url,
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        connect_args={"timeout": _PATIENCE, "check_same_thread": False},
    )
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine, f"the SQLite file {path or ':memory:'}"


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # transactions are begun below: the driver's own leave out DDL
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # what is committed survives a power cut


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")  # waits for its turn here, and never fails half-way
