"""sendcode's rooms in one process, with a clock that is told the time, a provider that does as
scripted, and a fuse that kills whoever runs at a chosen step.
"""

import base64
import json
import logging
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import redis
import structlog
from sqlalchemy import Connection, PoolProxiedConnection, event, make_url, text

from worker import tasks
from worker.db import Database
from worker.errors import OutcomeUnknownError, ProviderError
from worker.holds import Holds
from worker.providers import Accepted, Outgoing, Report
from worker.providers.twilio_errors import CALL_STATUSES, MESSAGE_STATUSES, may_help
from worker.relay import Relay
from worker.senders import ONLY
from worker.settings import Settings
from worker.states import Channel, DeliveryState, ErrorKind
from worker.wiring import Sendcode

TABLES = ("receipts", "deliveries", "requests", "number_guards", "verifications")
# The times of limits and circuits are Redis's own, so they are moved back instead.
_AGE = """
for _, key in ipairs(redis.call('KEYS', 'sendcode:limit:*')) do
  local left = redis.call('PTTL', key) - ARGV[1]
  for i, at in ipairs(redis.call('LRANGE', key, 0, -1)) do
    redis.call('LSET', key, i - 1, at - ARGV[1])
  end
  redis.call('PEXPIRE', key, left)
end
for _, key in ipairs(redis.call('KEYS', 'sendcode:circuit:*')) do
  if redis.call('HEXISTS', key, 'probe_at') == 1 then
    redis.call('HINCRBY', key, 'probe_at', -ARGV[1])
  end
end
for _, key in ipairs(redis.call('KEYS', 'sendcode:running:*')) do
  redis.call('PEXPIRE', key, redis.call('PTTL', key) - ARGV[1])
end
"""
# Every single step of a row, also those that a later one hides.
_TRIGGERS = (
    "CREATE TABLE moves (id INTEGER PRIMARY KEY, sid, was, became, undone, at, dies)",
    "CREATE TRIGGER delivery_moves AFTER UPDATE OF state ON deliveries"
    " WHEN old.state <> new.state BEGIN INSERT INTO moves (sid, was, became, undone, at, dies)"
    " VALUES (new.sid, old.state, new.state,"
    " old.error_code = 'no_receipt' OR old.provider_sid <> new.provider_sid,"
    " NULL, new.expires_at); END",
    "CREATE TRIGGER verification_moves AFTER UPDATE OF status ON verifications"
    " WHEN old.status <> new.status BEGIN INSERT INTO moves (sid, was, became, undone, at, dies)"
    " VALUES (new.sid, old.status, new.status, NULL, new.updated_at, new.expires_at); END",
)


class Killed(BaseException):
    """The process is gone; nothing of ours may catch it."""


@dataclass
class Fuse:
    """Burns one step at each crossing of a process's border; at 0 the process is gone."""

    left: int | None = None

    def burn(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Killed

    @contextmanager
    def out(self) -> Iterator[None]:
        """What another process does meanwhile."""
        left, self.left = self.left, None
        try:
            yield
        finally:
            self.left = left


@dataclass
class Clock:
    """The database's clock."""

    now: int = 0

    def julianday(self, _: str) -> float:
        return (self.now + 0.5) / 86_400_000 + 2_440_587.5


class MortalDatabase(Database):
    """SQLite on our clock, where the fuse burns before and after each transaction."""

    def __init__(self, url: str, clock: Clock, fuse: Fuse) -> None:
        super().__init__(url)
        self._fuse = fuse

        def on_connect(connection: Any, record: Any) -> None:
            connection.create_function("julianday", 1, clock.julianday)
            connection.execute("PRAGMA synchronous=OFF").close()

        for engine in self.engines:
            event.listen(engine, "connect", on_connect)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        self._fuse.burn()
        with super().begin() as connection:
            yield connection
        self._fuse.burn()

    @contextmanager
    def statement(self) -> Iterator[Connection]:
        self._fuse.burn()
        with super().statement() as connection:
            yield connection
        self._fuse.burn()

    @contextmanager
    def driver(self) -> Iterator[PoolProxiedConnection]:
        self._fuse.burn()
        with super().driver() as connection:
            yield connection
        self._fuse.burn()


@dataclass
class Call:
    """One request to the provider."""

    outgoing: Outgoing
    at: int
    surely_not: bool = False  # it said so
    told: bool = False  # it took it, and we were told
    taken: Accepted | None = None
    asked_since: bool = False
    rest: int = 0  # ms in which it may not be repeated


@dataclass
class ScriptedProvider:
    """A provider that may take a request, refuse it or lose it, and may not say which."""

    clock: Clock
    fuse: Fuse
    name: str = "twilio"
    words: dict[Channel, dict[str, DeliveryState]] = field(
        default_factory=lambda: {Channel.SMS: MESSAGE_STATUSES, Channel.CALL: CALL_STATUSES}
    )
    watch: Callable[[Outgoing], object] = lambda _: None
    meanwhile: Callable[[Call], object] = lambda _: None
    answer: str = "taken"  # what the next request gets
    look_up: str = "honest"  # what look-ups get
    calls: list[Call] = field(default_factory=list)
    statuses: dict[str, str] = field(default_factory=dict)

    def send(self, outgoing: Outgoing) -> Accepted:
        self.watch(outgoing)
        self.fuse.burn()
        call = Call(outgoing, self.clock.now)
        self.calls.append(call)
        answer, self.answer = self.answer, "taken"
        if answer in ("taken", "unanswered"):
            call.taken = Accepted(f"SM{len(self.calls):032x}", "queued")
            self.statuses[call.taken.sid] = "queued"
        with self.fuse.out():
            self.meanwhile(call)
        self.fuse.burn()
        if answer == "taken":
            call.told = True
            assert call.taken is not None
            return call.taken
        if answer in ("unanswered", "lost"):
            call.rest = 8_000
            raise OutcomeUnknownError("read_timeout")
        call.surely_not = True
        call.rest = int(REFUSALS[answer].retry_after or 0) * 1000
        raise REFUSALS[answer]

    def find(
        self, outgoing: Outgoing, since: datetime, known: Callable[[], Collection[str]]
    ) -> Accepted | None:
        self.fuse.burn()
        if self.look_up == "silent":
            raise OutcomeUnknownError("read_timeout")
        ours = [c for c in self.calls if c.outgoing.delivery_sid == outgoing.delivery_sid]
        for call in ours:
            call.asked_since = True
        if self.look_up == "blind":
            return None
        others = known()
        return next((c.taken for c in ours if c.taken and c.taken.sid not in others), None)

    def report(self, channel: Channel, provider_sid: str) -> Report:
        self.fuse.burn()
        if self.look_up == "silent":
            raise OutcomeUnknownError("read_timeout")
        return Report(self.statuses[provider_sid], None)

    def check(self) -> None:
        pass

    def may_help(self, error_code: str | None) -> bool:
        return may_help(error_code)


REFUSALS = {
    "refused": ProviderError("21211", ErrorKind.PERMANENT),
    "unreachable": ProviderError("21614", ErrorKind.CHANNEL),
    "busy": ProviderError("20429", ErrorKind.TRANSIENT, retry_after=20),
    "ours": ProviderError("20003", ErrorKind.ACCOUNT),
}


class World:
    """One installation, emptied for each example."""

    def __init__(self, settings: Settings) -> None:
        self.clock, self.fuse = Clock(), Fuse()
        self.provider = ScriptedProvider(self.clock, self.fuse)
        self.parts = Sendcode(settings)
        self.db = MortalDatabase(settings.database_url, self.clock, self.fuse)
        # In place of what the parts would make themselves when first asked for.
        # What is paused is read when a second has passed, which no example can repeat: by a
        # connection that does not die.
        self._quiet = Database(settings.database_url)
        holds = Holds(self._quiet, self.parts.keyring, settings.all_senders())
        vars(self.parts).update(db=self.db, providers={ONLY: self.provider}, holds=holds)
        self.celery = self.parts.celery
        tasks._parts["ours"] = self.parts
        self.redis: redis.Redis = self.parts.redis
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        self.relay = Relay(
            self.db,
            self.redis,
            settings,
            self.parts.publish,
            self.parts.fallback,
            self.parts.ask_about,
            self.parts.holds,
            self.parts.operations,
        )
        self._eye = sqlite3.connect(make_url(settings.database_url).database or "")
        self._eye.row_factory = sqlite3.Row
        self._age = self.redis.register_script(_AGE)
        with self.db.begin() as connection:
            for statement in _TRIGGERS:
                connection.execute(text(statement))

    def empty(self) -> None:
        self.fuse.left = None
        self.clock.now = 1_800_000_000_000
        self.provider.calls.clear()
        self.provider.statuses.clear()
        self.provider.answer, self.provider.look_up = "taken", "honest"
        with self.db.begin() as connection:
            for table in (*TABLES, "moves"):
                connection.execute(text(f"DELETE FROM {table}"))
        self.redis.flushdb()

    def pass_time(self, ms: int) -> None:
        self.clock.now += ms
        if ms >= 1000:
            self._age(args=[ms])

    def look(self, query: str, **values: Any) -> list[Any]:
        """Read rows, by no process of ours."""
        return self._eye.execute(query, values).fetchall()

    def waiting(self) -> list[tuple[str, list[Any]]]:
        """Take every message: the task's name and arguments, oldest first."""
        taken = []
        for key in sorted(self.redis.scan_iter(_type="list")):
            if key.startswith(b"sendcode:"):
                continue
            raws: Any = self.redis.rpop(key, 1000)
            for raw in raws:
                message = json.loads(raw)
                arguments = json.loads(base64.b64decode(message["body"]))[0]
                taken.append((message["headers"]["task"], arguments))
        return taken

    def run(self, task: str, arguments: list[Any]) -> None:
        """What a worker does with a message."""
        self.celery.tasks[task](*arguments)

    def close(self) -> None:
        self._eye.close()
        self._quiet.close()
        self.db.close()
        self.redis.close()
        structlog.reset_defaults()
