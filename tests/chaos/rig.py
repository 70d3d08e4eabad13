"""The servers of a run, and one row's world: fresh databases, processes that come back, a load."""

import base64
import itertools
import json
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import redis
from sqlalchemy import text

from api_stub.sandbox.faults import MAGIC
from benchmarks.rig import Numbers
from tests.acceptance.running import plain_environment
from tests.chaos.load import Answer, Client, Load
from tests.chaos.parts import Part, PostgresServer
from tests.chaos.proxy import Proxy
from tests.servers import BrokerHandle, start_broker
from worker.db import UNAVAILABLE, Database
from worker.embedded.broker import free_port
from worker.embedded.stack import PYTHON, SENDER

ACCOUNT, TOKEN = "AC" + "c" * 32, "chaos"
PROVIDER_ACCOUNT, PROVIDER_TOKEN = "AC" + "d" * 32, "provider"
TEMPLATE = "chaos_template"
# The shortest leases that the settings allow, so that a run stays short.
SHORT = {
    "SENDCODE_CONNECT_TIMEOUT": "0.5",
    "SENDCODE_READ_TIMEOUT": "1",
    "SENDCODE_LEASE_SECONDS": "5",
    "SENDCODE_SETTLE_SECONDS": "1",
}
UNLIMITED = {
    "SENDCODE_LIMIT_SENDS": "1000",
    "SENDCODE_LIMIT_DAILY": "1000",
    "SENDCODE_LIMIT_RANGE": "0",
    "SENDCODE_LIMIT_COUNTRY": "0",
}
CHAOS_WORKER = (sys.executable, "-P", "-m", "tests.chaos.worker")
SETTLED = ("delivered", "undelivered", "failed", "expired", "canceled")


def numbers() -> Iterator[str]:
    """Fictional numbers, none twice, none that the sandbox treats badly by itself."""
    made = Numbers()
    for _ in itertools.count():
        yield from (number for number in made.take(200) if number not in MAGIC)


class Rig:
    """PostgreSQL, a broker and the numbers; shared by all rows of a run."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.numbers = numbers()
        self.postgres = PostgresServer()
        self.broker: BrokerHandle = start_broker(folder / "broker")
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
            timeout=60,
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


class World:
    """One row's processes on fresh data. Use as a context manager, from the main thread.

    :param workers: how many; their names are worker1, worker2, …
    :param life: of a code, seconds; below 60 the service's own bound is lifted (PostgreSQL)
    :param command: of a worker, in place of `sendcode worker`
    :param proxied: the broker is reached through `proxy`
    :param settings: further `SENDCODE_*`
    :param each: what only the process of a name has in its environment
    """

    def __init__(
        self,
        rig: Rig,
        name: str,
        *,
        workers: int = 1,
        relays: int = 1,
        life: int = 600,
        database: str = "postgresql",
        command: tuple[str, ...] = (*PYTHON, "worker.cli", "worker"),
        proxied: bool = False,
        settings: Mapping[str, str] | None = None,
        each: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.rig, self.random = rig, random.Random(f"{rig.seed} {name}")
        self.folder = rig.folder / "rows" / name
        self.folder.mkdir(parents=True)
        self.kind, self.life = database, life
        self.broker, self.postgres = rig.broker, rig.postgres
        self._flush()
        rig.numbers = numbers()  # there are too few for all rows, and the data is fresh
        self.port, self.sandbox_port = free_port(), free_port()
        self.sandbox_file = self.folder / "sandbox.db"
        self.proxy = Proxy(rig.broker.broker.port) if proxied else None
        self.env = self._environment(settings or {})
        self.db = Database(self.env["SENDCODE_DATABASE_URL"])
        self.service = self._service()
        self.load: Load | None = None
        self.told: list[Answer] = []  # what a row's own client was answered
        self.injected = 0
        self.fault_ends: list[tuple[str, float]] = []
        self.parts = self._parts(workers, relays, command, each or {})
        self.watches_postgres = self.watches_broker = True

    def __enter__(self) -> Self:
        for part in self.parts.values():
            part.start()
        for part in self.parts.values():
            part.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.load:
            self.load.stop()
        for part in self.parts.values():
            part.signal(signal.SIGCONT)
            part.keep = False
            part.signal(signal.SIGKILL)
        self.db.close()
        if self.proxy:
            self.proxy.close()

    # What it does

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def redis(self) -> "redis.Redis":
        return redis.Redis.from_url(self.broker.url, socket_timeout=5)

    def client(self) -> Client:
        return Client(self.url, (ACCOUNT, TOKEN), self.service)

    def run_load(self, rate: float, wanted: int | None = None, most: int = 0) -> Load:
        """
        :param most: messages that may wait; then the load does, so that slow workers keep up
        """
        seed, broker = self.random.randrange(2**32), self.redis

        def brake() -> bool:
            return bool(most) and int(broker.llen("sms")) > most

        source = (self.client, self.rig.numbers, self.sandbox_file)
        self.load = Load(*source, rate, seed, wanted=wanted, brake=brake)
        return self.load

    @property
    def answers(self) -> list[Answer]:
        """Everything that clients were told."""
        return self.told + (self.load.answers if self.load else [])

    def start(self, number: str, channel: str = "sms") -> Answer:
        """Start one code by the row's own client."""
        answer = self.client().start(number, channel)
        self.told.append(answer)
        return answer

    def look(self) -> None:
        """Start again what died."""
        for part in self.parts.values():
            part.look()
        if self.watches_postgres:
            self.postgres.look()
        child = self.broker.broker.child
        if self.watches_broker and child is not None and child.ended():
            with suppress(Exception):
                self.broker.start()

    def pause(self, seconds: float) -> None:
        """Let time pass, and start again what dies."""
        self.until(lambda: False, seconds)

    def until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Let time pass until it is done; whether it is."""
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() >= end:
                return False
            self.look()
            time.sleep(0.05)
        return True

    def fault_over(self, what: str) -> None:
        """Note that one injected fault has ended now."""
        self.injected += 1
        self.fault_ends.append((what, time.time()))

    def order(self, to: str = "*", **spec: Any) -> None:
        """Order what the provider does wrong."""
        self._sandbox("POST", "faults", json={"to": to, **spec})

    def clear_orders(self) -> None:
        self._sandbox("DELETE", "faults")

    def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        """What a query finds; tried again while the database comes back."""
        end = time.monotonic() + 40
        while True:
            try:
                with self.db.statement() as connection:
                    found = connection.execute(text(query), values)
                    return [dict(row) for row in found.mappings()] if found.returns_rows else []
            except UNAVAILABLE:
                if time.monotonic() > end:
                    raise
                self.look()
                time.sleep(0.2)

    def settle(self, seconds: float = 150) -> bool:
        """Stop the load and wait until every delivery has ended; whether all have.

        What would only wait for the provider's word is asked about now, instead of in 30 s.
        """
        if self.load:
            self.load.stop()
        open_ones = f"SELECT count(*) AS n FROM deliveries WHERE state NOT IN {SETTLED}"
        asked = 0.0

        def all_ended() -> bool:
            nonlocal asked
            left = self.rows(open_ones)[0]["n"]
            if left and time.monotonic() - asked > 4:
                asked = time.monotonic()
                now = int(time.time() * 1000)
                self.rows(
                    "UPDATE deliveries SET next_try_at = :now WHERE state IN ('accepted', 'sent')"
                    " AND accepted_at < :now - 3000 AND expires_at > :now",
                    now=now,
                )
            return not left

        return self.until(all_ended, seconds)

    # How it is made

    def _flush(self) -> None:
        self.broker.start()
        self.redis.flushall()

    def _environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        env = self.rig.settings | {
            "SENDCODE_DATABASE_URL": self.rig.database(self.kind, self.folder),
            "SENDCODE_PUBLIC_URL": self.url,
            "SENDCODE_SANDBOX_URL": f"http://127.0.0.1:{self.sandbox_port}",
            "SENDCODE_SANDBOX_DB": str(self.sandbox_file),
            **settings,
        }
        if self.proxy:
            port = str(self.broker.broker.port)
            env["SENDCODE_BROKER_URL"] = self.broker.url.replace(
                f":{port}/", f":{self.proxy.port}/"
            )
        return env

    def _service(self) -> str:
        if self.life != 600:
            if self.kind == "postgresql":
                self.rows("ALTER TABLE services DROP CONSTRAINT ck_services_code_life")
            self.rows("UPDATE services SET code_life = :life", life=self.life)
        return str(self.rows("SELECT sid FROM services")[0]["sid"])

    def _parts(
        self,
        workers: int,
        relays: int,
        command: tuple[str, ...],
        each: Mapping[str, Mapping[str, str]],
    ) -> dict[str, Part]:
        serve = ("uvicorn", "api_stub.sandbox.app:create_app", "--factory", "--host", "127.0.0.1")
        sandbox = (*PYTHON, *serve, "--port", str(self.sandbox_port), "--no-access-log")
        api = (*PYTHON, "worker.cli", "api", "--port", str(self.port))
        commands: dict[str, tuple[str, ...]] = {"sandbox": sandbox, "api": api}
        commands |= {f"relay{n + 1}": (*PYTHON, "worker.cli", "relay") for n in range(relays)}
        commands |= {f"worker{n + 1}": command for n in range(workers)}
        ready = {
            "sandbox": _answers(self.sandbox_port, "/sandbox/livez"),
            "api": _answers(self.port, "/readyz"),
        }
        return {
            name: Part(
                name, argv, self.env | dict(each.get(name, {})), self.folder, ready.get(name)
            )
            for name, argv in commands.items()
        }

    def named(self, kind: str) -> list[Part]:
        return [part for name, part in self.parts.items() if name.startswith(kind)]

    def _sandbox(self, method: str, path: str, **options: Any) -> None:
        answer = httpx.request(
            method,
            f"http://127.0.0.1:{self.sandbox_port}/sandbox/v1/{path}",
            auth=(ACCOUNT, TOKEN),
            timeout=10,
            trust_env=False,
            **options,
        )
        answer.raise_for_status()


def _answers(port: int, path: str) -> Callable[[], bool]:
    def ask() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=3) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    return ask
