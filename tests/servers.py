"""Real servers for the tests: a broker that can be killed, and PostgreSQL."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from worker.embedded.broker import Broker, find_binary
from worker.embedded.postgres import Postgres, postgres
from worker.embedded.postgres_binaries import PostgresMissingError, find_binaries
from worker.embedded.processes import Child, StartError

__all__ = [
    "BrokerHandle",
    "Postgres",
    "missing",
    "must_have_broker",
    "must_have_postgres",
    "postgres",
    "start_broker",
]


@dataclass
class BrokerHandle:
    """A running broker on a port that survives `kill9` and `restart`; `stop` it at the end."""

    broker: Broker
    log: Path

    @property
    def url(self) -> str:
        return self.broker.url

    @property
    def pid(self) -> int:
        return self._child.pid

    def kill9(self) -> None:
        self._child.signal(signal.SIGKILL)
        assert self._child.wait(5)

    def start(self) -> None:
        self.broker.start(self.log)

    def restart(self) -> None:
        self.stop()
        self.start()

    def stop(self) -> None:
        self._child.stop(5)

    @property
    def _child(self) -> Child:
        assert self.broker.child is not None
        return self.broker.child


def start_broker(tmp_path: Path) -> BrokerHandle:
    """Start a broker with its data under `tmp_path`, from the main thread."""
    must_have_broker()
    handle = BrokerHandle(Broker(tmp_path), tmp_path / "broker.log")
    handle.start()
    return handle


def must_have_broker() -> None:
    """Skip without a server binary; with CI=true fail."""
    try:
        find_binary()
    except StartError as error:
        missing(str(error))


def must_have_postgres() -> None:
    """Skip without PostgreSQL; with CI=true fail."""
    if os.environ.get("SENDCODE_TEST_DATABASE_URL"):
        return
    try:
        find_binaries()
    except PostgresMissingError as error:
        missing(str(error))


def missing(reason: str) -> None:
    """Skip; with CI=true fail."""
    if os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(reason)
    pytest.skip(reason)
