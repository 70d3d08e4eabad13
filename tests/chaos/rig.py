"""The servers of a run, that all its rows share."""

import base64
import itertools
import json
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.acceptance.running import plain_environment
from tests.chaos.postgres import PostgresServer
from tests.chaos.settings import (
    ACCOUNT,
    PROVIDER_ACCOUNT,
    PROVIDER_TOKEN,
    TOKEN,
    UNLIMITED,
    numbers,
)
from tests.servers import BrokerHandle
from worker.embedded.broker import Broker
from worker.embedded.processes import Spec
from worker.embedded.stack import PYTHON, SENDER

TEMPLATE = "chaos_template"
# What is ignored stays so in the program that follows.
IGNORING = ("sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh")


class FullDiskBroker(Broker):
    """A file that may not grow is an error to it, as on a full disk, and not its death."""

    @property
    def spec(self) -> Spec:
        usual = super().spec
        return replace(usual, command=[*IGNORING, *usual.command])


class Rig:
    """PostgreSQL, a broker and the numbers; shared by all rows of a run."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.numbers = numbers()
        self.postgres = PostgresServer()
        self.broker = BrokerHandle(FullDiskBroker(folder / "broker"), folder / "broker.log")
        self.broker.start()
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        self.settings = plain_environment() | {
            "SENDCODE_SECRET_KEYS": f"k1:{key}",
            "SENDCODE_ACCOUNT_SID": ACCOUNT,
            "SENDCODE_AUTH_TOKEN": TOKEN,
            "SENDCODE_PROVIDER": "sandbox",
            "SENDCODE_TWILIO_ACCOUNT_SID": PROVIDER_ACCOUNT,
            "SENDCODE_TWILIO_AUTH_TOKEN": PROVIDER_TOKEN,
            "SENDCODE_TWILIO_FROM": SENDER,
            "SENDCODE_BROKER_URL": self.broker.url,
            "SENDCODE_LOG_FORMAT": "json",
            **UNLIMITED,
        }
        self._serial = itertools.count(1)
        self._migrate(self.postgres.create(TEMPLATE))

    def close(self) -> None:
        self.broker.stop()
        self.postgres.close()

    def database(self, kind: str, folder: Path) -> str:
        """The URL of a fresh, migrated database."""
        if kind == "sqlite":
            url = f"sqlite:///{folder / 'sendcode.db'}"
            self._migrate(url)
            return url
        return self.postgres.create(f"chaos_{next(self._serial)}", TEMPLATE)

    def cli(self, env: Mapping[str, str], *arguments: str) -> Any:
        """Run a `sendcode` command; its JSON."""
        done = subprocess.run(
            [*PYTHON, "worker.cli", "--json", *arguments],
            env=dict(env),
            capture_output=True,
            text=True,
            timeout=240,
            check=True,
        )
        return json.loads(done.stdout)

    def _migrate(self, url: str) -> None:
        env = self.settings | {"SENDCODE_DATABASE_URL": url}
        self.cli(env, "migrate")
        self.cli(env, "services", "create", "Chaos")


@contextmanager
def rig(seed: int) -> Iterator[Rig]:
    """Start the servers, and stop them at the end."""
    folder = Path(tempfile.mkdtemp(prefix="sc-chaos-", dir="/tmp"))
    (folder / "broker").mkdir()
    made = Rig(folder, seed)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)
