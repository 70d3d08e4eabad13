"""The migrations and how to run them, for PostgreSQL and SQLite alike."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from worker.db import Database

_LOCK = 7_362_736_327  # any number, the same everywhere: two hosts may migrate at once


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """The newest revision this version of sendcode knows."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


def applied(db: Database) -> str | None:
    """The revision the database is at, or None for an empty one."""
    with db.statement() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(db: Database, revision: str = "head") -> None:
    with db.begin() as connection:
        _lock(connection)
        command.upgrade(_config(connection), revision)


def downgrade(db: Database, revision: str = "base") -> None:
    with db.begin() as connection:
        _lock(connection)
        command.downgrade(_config(connection), revision)


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        for bound in ("statement_timeout", "lock_timeout"):  # an index may take its time
            connection.execute(text(f"SET LOCAL {bound} = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
