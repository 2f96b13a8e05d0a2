"""The tables as the newest revision leaves them, and how times are kept in them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa


class Utc(sa.types.TypeDecorator[datetime]):
    """Aware UTC times on both sides, also for SQLite, which keeps no zone; a damaged one reads as None."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Refuse what has no zone: nobody could say later what it meant."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without a zone: {value}")
        return value.astimezone(timezone.utc)

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], Any] | None:
        """Return the writer of one value: for SQLite as SQLAlchemy writes it, at a quarter of the price."""
        if dialect.name != "sqlite":
            return super().bind_processor(dialect)

        def write(value: datetime | None) -> str | None:
            time = self.process_bind_param(value, dialect)
            return None if time is None else time.isoformat(" ", "microseconds").removesuffix("+00:00")

        return write

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        """Return the reader of one stored value."""
        inner = super().result_processor(dialect, coltype)

        def read(value: Any) -> datetime | None:
            try:
                time = inner(value) if inner is not None else value
            except (ValueError, TypeError):
                return None
            if not isinstance(time, datetime):
                return None
            return time.replace(tzinfo=timezone.utc) if time.tzinfo is None else time.astimezone(timezone.utc)

        return read


METADATA = sa.MetaData()
EVIDENCE = sa.Table(
    "evidence",
    METADATA,
    sa.Column("user", sa.Text, primary_key=True),
    sa.Column("server", sa.Text, primary_key=True),
    sa.Column("started", Utc, nullable=False),
    sa.Column("boot_id", sa.Text, nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("uptime", sa.Double, nullable=False),
    sa.Column("received_utc", Utc, nullable=False),
    sa.Column("interval", sa.Double, nullable=False),
    sa.Column("heard", sa.Double, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)
FACTS = sa.Table(
    "facts",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Double, nullable=False),
)
DECISIONS = sa.Table(
    "decisions",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at_utc", Utc, nullable=False),
    sa.Column("user", sa.Text, nullable=False),
    sa.Column("server", sa.Text, nullable=False),
    sa.Column("started", Utc),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("basis", sa.Text, nullable=False),
    sa.Column("deadline", Utc),
    sa.Column("idle", sa.Double),
    sa.Column("result", sa.Text),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Index("decisions_by_server", "user", "server"),
    sa.Index("decisions_by_time", "at_utc"),
)
