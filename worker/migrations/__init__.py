"""The migrations and how to run them, for PostgreSQL and SQLite alike.

Alembic is imported where it is used: most commands never ask, and it is slow to load.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import Connection, text

from worker.db import Database

if TYPE_CHECKING:
    from alembic.config import Config

log = structlog.get_logger()
_LOCK = 7_362_736_327  # any number, the same everywhere: two hosts may migrate at once


def _config(connection: Connection | None = None) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """The newest revision this version of sendcode knows."""
    from alembic.script import ScriptDirectory

    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


def applied(db: Database) -> str | None:
    """The revision the database is at, or None for an empty one."""
    with db.statement() as connection:
        return _at(connection)


def _at(connection: Connection) -> str | None:
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def upgrade(db: Database, revision: str = "head") -> None:
    from alembic import command

    with db.begin() as connection:
        _lock(connection)
        before = _at(connection)
        command.upgrade(_config(connection), revision)
    _tell(before, applied(db))


def downgrade(db: Database, revision: str = "base") -> None:
    from alembic import command

    with db.begin() as connection:
        _lock(connection)
        before = _at(connection)
        command.downgrade(_config(connection), revision)
    _tell(before, applied(db))


def _tell(before: str | None, after: str | None) -> None:
    if before != after:
        log.info("migration.applied", revision=after, before=before)


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        for bound in ("statement_timeout", "lock_timeout"):  # an index may take its time
            connection.execute(text(f"SET LOCAL {bound} = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
