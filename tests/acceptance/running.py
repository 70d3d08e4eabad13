"""`./dev up` as a process of its own, and what a test asks of it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote_plus

import httpx
import redis
from sqlalchemy import text

from tests import leaks
from worker.db import Database
from worker.embedded.broker import free_port
from worker.embedded.claim import read_pid
from worker.embedded.stack import SENDER

PARTS = ("broker", "sandbox", "worker", "relay", "api")
START_SECONDS, STOP_SECONDS = 120, 40
PATIENCE = 40  # seconds in which a busy machine does what takes one
AREAS = (303, 312, 415, 617, 702, 212, 305, 404, 503, 206, 213, 512, 614, 713, 816, 901)
# 555-0100 to 0199 are fictional in every area and valid to libphonenumber; the sandbox's
# numbers that always misbehave are in area 202.
NUMBERS = (f"+1{area}555{line:04}" for area in AREAS for line in range(100, 200))

T = TypeVar("T")


def until(probe: Callable[[], T], seconds: float = PATIENCE, about: str = "it") -> T:
    """Ask until the answer is true; that answer."""
    end = time.monotonic() + seconds
    while not (value := probe()):
        assert time.monotonic() < end, f"{about} did not happen within {seconds:g} s"
        time.sleep(0.05)
    return value


def plain_environment() -> dict[str, str]:
    """This process's environment without settings of ours. Compiled modules are kept, so that only
    the first start is slow.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name == "SENDCODE_BROKER_BINARY"
        or not (name.startswith("SENDCODE_") or name == "PYTHONDONTWRITEBYTECODE")
    }
    return {"PYTHONPYCACHEPREFIX": os.path.join(sys.prefix, "compiled")} | kept


class Up:
    """One data folder under `./dev up`.

    :param base: an empty folder
    :param database_url: empty for the SQLite file of its own
    :param settings: further `SENDCODE_*`
    """

    def __init__(self, base: Path, database_url: str = "", **settings: str) -> None:
        self.root = base / "home"
        self.port = free_port()
        self.database_url = database_url or f"sqlite:///{self.root.resolve() / 'sendcode.db'}"
        self.plain = plain_environment()
        self._output = base / "output"
        self._given = {"SENDCODE_HOME": str(self.root), "SENDCODE_SETTLE_SECONDS": "2", **settings}
        if database_url:
            self._given["SENDCODE_DATABASE_URL"] = database_url
        self.process: subprocess.Popen[bytes] | None = None

    # Its life

    def launch(self, output: Path | None = None) -> "subprocess.Popen[bytes]":
        """Run `up` on this folder, without waiting for anything."""
        command = [sys.executable, "-P", "-m", "worker.embedded.up", "--no-demo"]
        with (output or self._output).open("wb") as out:
            return subprocess.Popen(
                [*command, "--port", str(self.port)],
                env=self.plain | self._given,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start(self) -> None:
        """Launch it and wait until it says that it is ready."""
        process = self.process = self.launch()
        until(lambda: process.poll() is not None or "ready in" in self.said(), START_SECONDS)
        assert process.poll() is None, self.said()
        assert self.http.get("/readyz").status_code == 200

    def stop(self) -> None:
        """Ctrl-C: everything ends, and well: the supervisor kills what takes too long."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        try:
            assert self.process.wait(STOP_SECONDS) == 0, self.said()
        finally:
            self.kill()

    def kill(self) -> None:
        """kill -9 of the supervisor, if it still runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def close(self) -> None:
        """Let go of what this process holds open."""
        for name in ("http", "_database"):
            if name in self.__dict__:
                getattr(self, name).close()

    def said(self) -> str:
        """What it printed since its last launch."""
        return self._output.read_text(errors="replace")

    def pid(self, part: str) -> int:
        found = read_pid(self.root / "run" / f"{part}.pid")
        assert found is not None, f"no pid of {part}"
        return found

    # What it wrote down

    @property
    def account(self) -> dict[str, str]:
        """The values of `dev.env`."""
        return _values(self.root / "dev.env")

    @property
    def secrets(self) -> dict[str, str]:
        """What only its own processes know."""
        return _values(self.root / "secrets.env")

    @property
    def broker_url(self) -> str:
        state = json.loads(next(self.root.glob("broker/*/state.json")).read_text())
        return f"redis://:{state['password']}@127.0.0.1:{state['port']}/0"

    @property
    def environment(self) -> dict[str, str]:
        """For a `sendcode` command beside the running processes."""
        settings = {
            "SENDCODE_DATABASE_URL": self.database_url,
            "SENDCODE_BROKER_URL": self.broker_url,
            "SENDCODE_PUBLIC_URL": self.url,
            "SENDCODE_TWILIO_FROM": SENDER,
        }
        return self.plain | self.account | self.secrets | settings

    def redis(self) -> "redis.Redis":
        return redis.Redis.from_url(self.broker_url, socket_timeout=5)

    def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        """What a query finds in its database."""
        with self._database.statement() as connection:
            return [dict(row) for row in connection.execute(text(query), values).mappings()]

    def delivery(self, sid: str) -> dict[str, Any]:
        return self.rows("SELECT * FROM deliveries WHERE sid = :sid", sid=sid)[0]

    @cached_property
    def _database(self) -> Database:
        return Database(self.database_url)

    # Its doors

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def credentials(self) -> tuple[str, str]:
        account = self.account
        return account["SENDCODE_ACCOUNT_SID"], account["SENDCODE_AUTH_TOKEN"]

    @cached_property
    def http(self) -> httpx.Client:
        """A client that the account's credentials are set on."""
        options: dict[str, Any] = {"timeout": PATIENCE + 20, "trust_env": False, "verify": False}
        options["event_hooks"] = {"request": [_note_numbers]}
        return httpx.Client(base_url=self.url, auth=self.credentials, **options)

    def path(self, service: str = "") -> str:
        return f"/v2/Services/{service or self.account['SENDCODE_SERVICE_SID']}"

    def start_code(self, to: str, channel: str = "sms", service: str = "") -> dict[str, Any]:
        """Start a verification; the body of the answer."""
        form = {"To": to, "Channel": channel}
        answer = self.http.post(f"{self.path(service)}/Verifications", data=form)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def check(self, code: str, service: str = "", **target: str) -> httpx.Response:
        """Check a code, against `To` or `VerificationSid`."""
        form = {"Code": code, **target}
        return self.http.post(f"{self.path(service)}/VerificationCheck", data=form)

    # Its phone

    def wait(self, to: str, after: int = 0, timeout: int = PATIENCE) -> dict[str, Any]:
        """The next message that reaches a phone, after the one with the id `after`."""
        query: dict[str, str | int] = {"to": to, "after": after, "timeout": timeout}
        answer = self.http.get("/sandbox/v1/messages/wait", params=query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def inbox(self, to: str) -> list[dict[str, Any]]:
        """What reached a phone, the newest first."""
        answer = self.http.get("/sandbox/v1/messages", params={"to": to})
        return list(answer.json()["messages"])

    def sent(self, to: str = "") -> list[dict[str, Any]]:
        """The requests to send that reached the provider, for one number or all."""
        query: dict[str, str | int] = {"to": to, "limit": 100_000}
        found = self.http.get("/sandbox/v1/requests", params=query).json()["requests"]
        return [entry for entry in found if entry["kind"].endswith(".create")]

    def fault(self, to: str, **spec: Any) -> None:
        """Order what the provider does wrong for a number."""
        answer = self.http.post("/sandbox/v1/faults", json={"to": to, **spec})
        assert answer.status_code == 201, answer.text

    def settle(self) -> None:
        """Wait until nothing is under way to the provider."""
        under_way = "SELECT sid FROM deliveries WHERE state IN ('queued', 'sending')"
        until(lambda: not self.rows(under_way), about="an end of what is under way")

    def footprint(self) -> dict[str, int]:
        """How much is written and sent: what a refused request leaves as it is."""
        # The relay purges guards without a failure whenever it likes.
        guards = "number_guards WHERE failures > 0 OR disabled_at IS NOT NULL"
        tables = ("verifications", "deliveries", "requests", guards)
        sizes = {t: self.rows(f"SELECT count(*) AS n FROM {t}")[0]["n"] for t in tables}
        tries = self.rows("SELECT coalesce(sum(checks), 0) AS n FROM verifications")[0]["n"]
        limits = len(list(self.redis().scan_iter("sendcode:limit:*", 1000)))
        return {**sizes, "checks": int(tries), "limits": limits, "sent": len(self.sent())}


def _note_numbers(request: httpx.Request) -> None:
    leaks.used.of_text(unquote_plus(request.read().decode(errors="replace")))


def _values(path: Path) -> dict[str, str]:
    pairs = (line.partition("=") for line in path.read_text().splitlines())
    return {name: value for name, _, value in pairs}


def wrong(code: str) -> Iterator[str]:
    """Codes of the same length that are not this one."""
    for step in range(1, 10 ** len(code)):
        yield f"{(int(code) + step) % 10 ** len(code):0{len(code)}d}"
