"""The database's schema, step by step: Alembic's environment and revisions, shipped with the package.

A new step is a new file in ``versions/``; one that has been released is never edited. That the steps
together give what ``database.METADATA`` describes is tested.
"""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

VERSION_TABLE = "hubcull_schema"
"""Where the schema's revision is kept; a name of our own, so that a database shared with the Hub works."""


class NewerSchemaError(Exception):
    """The database is at a revision this version of hubcull does not know: ``found``; it knows ``head``."""

    def __init__(self, found: str, head: str) -> None:
        super().__init__(f"schema {found} is unknown here, the newest known one is {head}")
        self.found = found
        self.head = head


def upgrade(connection: Connection) -> None:
    """Bring the database to the newest schema, inside the caller's transaction. Raises NewerSchemaError."""
    config = Config()
    config.set_main_option("script_location", "hubcull_hub:migrations")
    config.attributes["connection"] = connection
    script = ScriptDirectory.from_config(config)
    head = script.get_current_head() or ""
    known = {revision.revision for revision in script.walk_revisions()}
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    for found in context.get_current_heads():
        if found not in known:
            raise NewerSchemaError(found, head)
        if found == head:
            return
    command.upgrade(config, "head")
