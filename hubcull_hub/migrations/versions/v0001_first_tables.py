"""The first tables: evidence, facts, decisions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "evidence",
        sa.Column("user", sa.Text, primary_key=True),
        sa.Column("server", sa.Text, primary_key=True),
        sa.Column("started", sa.DateTime(timezone=True), nullable=False),
        sa.Column("boot_id", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("uptime", sa.Double, nullable=False),
        sa.Column("received_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("interval", sa.Double, nullable=False),
        sa.Column("heard", sa.Double, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "facts",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Double, nullable=False),
    )
    op.create_table(
        "decisions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("server", sa.Text, nullable=False),
        sa.Column("started", sa.DateTime(timezone=True)),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("basis", sa.Text, nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True)),
        sa.Column("idle", sa.Double),
        sa.Column("result", sa.Text),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_index("decisions_by_server", "decisions", ["user", "server"])
    op.create_index("decisions_by_time", "decisions", ["at_utc"])


def downgrade() -> None:
    """Drop the tables."""
    for table in ("decisions", "facts", "evidence"):
        op.drop_table(table)
