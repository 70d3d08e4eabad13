"""Migrated databases for tests, one each: PostgreSQL's are emptied and lent again.

To make one copies about 400 files and to drop it takes them away, which cost more than the tests.
"""

import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from tests.servers import Postgres, postgres
from worker import migrations
from worker.db import Database
from worker.models import metadata

_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)

_PLANNED = "SELECT FROM pg_stats WHERE schemaname = 'public' LIMIT 1"


class Databases:
    """Lends an empty database of a dialect; `lend` is for one test, `make` for good."""

    def __init__(self, folder: Path, server: Postgres) -> None:
        self._folder = folder
        self._server = server
        self._template = folder / "template.db"
        self._names = (f"test_{number}" for number in itertools.count())
        self._free: list[str] = []
        for url in (f"sqlite:///{self._template}", server.create("template")):
            db = Database(url)
            migrations.upgrade(db)
            db.close()
        self._emptied = _emptied()

    def make(self, dialect: str) -> str:
        """The URL of a new database."""
        name = next(self._names)
        if dialect == "postgresql":
            return self._server.create(name, template="template")
        path = self._folder / f"{name}.db"
        shutil.copy(self._template, path)
        return f"sqlite:///{path}"

    @contextmanager
    def lend(self, dialect: str) -> Iterator[str]:
        if dialect != "postgresql":
            yield self.make(dialect)
            return
        url = self._free.pop() if self._free else self.make(dialect)
        yield url
        try:
            as_new = self._empty(url)
        except psycopg.errors.UndefinedTable:  # a test took one away
            as_new = False
        if as_new:
            self._free.append(url)
        else:
            self._server.drop(url.rsplit("/", 1)[-1])

    def _empty(self, url: str) -> bool:
        """Whether it is like a new one then: not where its planner knows of rows that were."""
        plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
        with psycopg.connect(plain, autocommit=True, connect_timeout=5) as connection:
            connection.execute(_OTHERS)
            connection.execute(self._emptied)
            return connection.execute(_PLANNED).fetchone() is None


def _emptied() -> sql.Composed:
    # Without a look at foreign keys, so that the tables' order does not matter.
    tables = [sql.SQL("DELETE FROM {}").format(sql.Identifier(name)) for name in metadata.tables]
    return sql.SQL("; ").join([sql.SQL("SET session_replication_role = replica"), *tables])


@contextmanager
def databases(folder: Path) -> Iterator[Databases]:
    with postgres() as server:
        yield Databases(folder, server)
