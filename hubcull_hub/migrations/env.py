"""Alembic's environment: runs the revisions on the connection that `migrations.upgrade` hands over."""

from __future__ import annotations

from alembic import context

from hubcull_hub.migrations import VERSION_TABLE


def run() -> None:
    """Run the revisions inside the caller's transaction, so that a crash leaves the old schema or the new."""
    context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
    with context.begin_transaction():
        context.run_migrations()


run()
