"""Real processes: the whole of `./dev up`, once per database."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.running import NUMBERS, Up
from tests.acceptance.sdks.environments import Environments
from tests.leaks import look_through
from tests.servers import must_have_broker, must_have_postgres, postgres


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder with a short name: sockets and logs lie below it."""
    made = Path(tempfile.mkdtemp(prefix="sc-", dir="/tmp"))
    yield made
    try:
        look_through(made)
    finally:
        shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def up(request: pytest.FixtureRequest, folder: Path) -> Iterator[Up]:
    """Everything up on one database; at the end Ctrl-C stops it."""
    must_have_broker()
    with ExitStack() as servers:
        database_url = ""
        if request.param == "postgresql":
            must_have_postgres()
            server = servers.enter_context(postgres())
            server.drop("acceptance")
            database_url = server.create("acceptance")
        base = Path(tempfile.mkdtemp(dir=folder))
        # At debug, so that whatever can be said is said, and looked through at the end.
        running = Up(base, database_url, SENDCODE_LOG_LEVEL="debug")
        try:
            running.start()
            yield running
            running.stop()
        finally:
            running.kill()
            running.close()


@pytest.fixture(scope="session")
def sdks() -> Iterator[Environments]:
    made = Environments()
    yield made
    made.close()


@pytest.fixture
def to() -> str:
    """A number no other test uses."""
    return next(NUMBERS)
