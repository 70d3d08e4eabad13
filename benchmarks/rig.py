"""Everything that runs beside what is measured: database, broker, provider, numbers, settings."""

import base64
import itertools
import json
import os
import secrets
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import phonenumbers
import psycopg
import redis

from benchmarks.machine import parent
from worker.embedded.broker import Broker
from worker.embedded.postgres import GIVEN, Postgres, postgres
from worker.embedded.processes import Child, Spec, dies_with_parent, wait_for
from worker.recall import SINCE

ACCOUNT, TOKEN = "AC" + "b" * 32, "bench"
TEMPLATE = "bench_template"


class Numbers:
    """Valid US numbers, none twice: 555-0100 to 555-0199 in every area, which are fictional."""

    def __init__(self) -> None:
        areas = [a for a in range(201, 1000) if _valid(f"+1{a}5550100")]
        self._all = (f"+1{a}555{line:04}" for line in range(100, 200) for a in areas)

    def take(self, count: int) -> list[str]:
        taken = list(itertools.islice(self._all, count))
        if len(taken) < count:
            raise SystemExit("bench: out of numbers, ask for fewer seconds")
        return taken


def _valid(number: str) -> bool:
    parsed = phonenumbers.parse(number)
    kind = phonenumbers.number_type(parsed)
    region = phonenumbers.region_code_for_number(parsed)
    return region == "US" and kind == phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE


@dataclass
class Provider:
    """The stand-in provider's process."""

    process: "subprocess.Popen[str]"
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def reset(self, latency: float) -> None:
        self._get(f"_reset?latency={latency}")

    def count(self) -> tuple[int, float]:
        """How many requests came, and the time of that answer."""
        count, now = self._get("_count")
        return count, now

    def arrivals(self) -> list[tuple[str, float]]:
        return [(to, at) for to, at in self._get("_log")]

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=10) as answer:
            return json.load(answer)


@dataclass
class Rig:
    folder: Path
    postgres: Postgres
    postgres_pid: int
    broker: Broker
    provider: Provider
    numbers: Numbers
    settings: dict[str, str]
    _serial: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def broker_pid(self) -> int:
        assert self.broker.child is not None
        return self.broker.child.pid

    @property
    def redis(self) -> "redis.Redis":
        return redis.Redis.from_url(self.broker.url)

    def fresh(self) -> dict[str, str]:
        """A broker that has run for a day and is empty, so that no start asks whether it has lost
        something, and a new migrated database; the environment that names them.
        """
        self.redis.flushall()
        self.redis.set(SINCE, 0)
        name = f"bench_{next(self._serial)}"
        url = self.postgres.create(name, TEMPLATE)
        with psycopg.connect(plain(url), autocommit=True) as connection:
            connection.execute("CHECKPOINT")
        return self.settings | {"SENDCODE_DATABASE_URL": url}

    def start(
        self,
        name: str,
        arguments: Sequence[str],
        env: Mapping[str, str],
        program: str = sys.executable,
    ) -> Child:
        """Start a process, of Python unless said otherwise, that is gone when this one is."""
        command = [program, *arguments]
        spec = Spec(name, command, env, ready=lambda pid: True, death_signal=signal.SIGKILL)
        return Child.start(spec, self.folder / f"{name}.log")

    def start_ours(
        self, names: Mapping[str, Sequence[str]], env: Mapping[str, str]
    ) -> dict[str, Child]:
        """Start sendcode processes, by name, and wait until all are ready; the api does not say."""
        started, awaited = {}, {}
        for name, arguments in names.items():
            ready = self.folder / f"{name}.ready"
            ready.unlink(missing_ok=True)
            command = ["-m", "worker.cli", *arguments]
            started[name] = self.start(name, command, {**env, "SENDCODE_READY_FILE": str(ready)})
            if arguments[0] != "api":
                awaited[name] = ready
        for name, ready in awaited.items():
            if not wait_for(ready.exists, 30):
                raise SystemExit(f"bench: {name} did not start: {self.tail(name)}")
        return started

    def run(self, module: str, job: object, env: Mapping[str, str], *arguments: str) -> Any:
        """Run a Python module to its end; a JSON job goes in, JSON comes out."""
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(
            command,
            input=json.dumps(job),
            capture_output=True,
            text=True,
            env=dict(env),
            timeout=300,
            check=False,
            preexec_fn=dies_with_parent(signal.SIGKILL),
        )
        if done.returncode:
            raise SystemExit(f"bench: {module} {arguments} failed:\n{done.stderr[-3000:]}")
        return json.loads(done.stdout)

    def tail(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]


def plain(url: str) -> str:
    """A SQLAlchemy URL as psycopg takes it."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


@contextmanager
def rig(folder: Path) -> Iterator[Rig]:
    """Start the servers and stop them at the end."""
    os.environ.pop(GIVEN, None)  # a server elsewhere has no CPU time to read here
    with ExitStack() as stack:
        database = stack.enter_context(postgres(durable=True))
        broker = Broker(folder)
        broker.start(folder / "broker.log")
        assert broker.child is not None
        stack.callback(broker.child.stop, 5)
        provider = stack.enter_context(_provider())
        made = Rig(
            folder=folder,
            postgres=database,
            postgres_pid=_postmaster(database),
            broker=broker,
            provider=provider,
            numbers=Numbers(),
            settings=_settings(broker.url, provider.url),
        )
        _make_template(made)
        yield made


@contextmanager
def _provider() -> Iterator[Provider]:
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.provider"],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=dies_with_parent(signal.SIGKILL),
    ) as process:
        assert process.stdout is not None
        try:
            yield Provider(process, int(process.stdout.readline()))
        finally:
            process.kill()


def _postmaster(database: Postgres) -> int:
    with psycopg.connect(plain(database.url())) as connection:
        return parent(connection.info.backend_pid)


def _settings(broker_url: str, provider_url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SENDCODE_")}
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return kept | {
        "SENDCODE_BROKER_URL": broker_url,
        "SENDCODE_SECRET_KEYS": f"k1:{key}",
        "SENDCODE_ACCOUNT_SID": ACCOUNT,
        "SENDCODE_AUTH_TOKEN": TOKEN,
        "SENDCODE_PROVIDER": "sandbox",
        "SENDCODE_TWILIO_BASE_URL": provider_url,
        "SENDCODE_TWILIO_ACCOUNT_SID": "AC" + "1" * 32,
        "SENDCODE_TWILIO_AUTH_TOKEN": "token",
        "SENDCODE_TWILIO_FROM": "+15005550006",
        # A queue that is filled beforehand is a flood of one service, and old.
        "SENDCODE_BUSY_STARTS": "0",
        "SENDCODE_OVERLOAD_SECONDS": "0",
        # The numbers are all neighbours; high and not off, so that the limits' cost is measured.
        "SENDCODE_LIMIT_RANGE": "100000",
        "SENDCODE_LIMIT_COUNTRY": "10000000",
        "TUTORIAL_BROKER_URL": broker_url,
        "TUTORIAL_PROVIDER_URL": provider_url,
    }


def _make_template(made: Rig) -> None:
    env = made.settings | {"SENDCODE_DATABASE_URL": made.postgres.create(TEMPLATE)}
    for arguments in (["migrate", "--json"], ["services", "create", "Bench", "--json"]):
        made.run("worker.cli", None, env, *arguments)
