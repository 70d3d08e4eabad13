"""What one start, delivery and check ask of the database and the broker, counted on the wire."""

import re
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psycopg

from benchmarks.rig import ACCOUNT, Rig, plain
from benchmarks.seed import parts, seed, wrong
from worker.prepared import Prepared
from worker.verifications import Start

ROUNDS = 20
WARM = 20  # statements are prepared on their sixth use
_TABLE = re.compile(
    r"\b(?:FROM|INTO|UPDATE) (services|verifications|deliveries)\b"
    r"|\b(?:INTO|UPDATE) (number_guards)\b"
)


@dataclass(frozen=True)
class Count:
    """Of one use case, each time: statements but BEGIN and COMMIT, commits of writes, trips."""

    name: str
    statements: float
    commits: float
    database_trips: float
    broker_trips: float
    wal_bytes: float
    texts: list[str]


class Tap:
    """A proxy that counts turns: a round trip begins when the client speaks after the server."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.trips = 0
        self.heard: Counter[bytes] = Counter()
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self) -> None:
        self.trips, self.heard = 0, Counter()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                server = socket.create_connection(self._target)
                turn = {"client": False}
                for source, sink, ours in ((client, server, True), (server, client, False)):
                    sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(
                        target=self._pump, args=(source, sink, ours, turn), daemon=True
                    ).start()

    def _pump(
        self, source: socket.socket, sink: socket.socket, ours: bool, turn: dict[str, bool]
    ) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if ours and not turn["client"]:
                    self.trips += 1
                turn["client"] = ours
                if ours:
                    self._listen(data)
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _listen(self, data: bytes) -> None:
        """Count PostgreSQL's messages: a simple Query with its first word, and Execute."""
        while len(data) > 5 and data[:1] in b"QPBDESCHX":
            size = int.from_bytes(data[1:5], "big")
            if data[:1] == b"Q":
                self.heard[data[5 : size + 1].split(b"\0")[0].split(b" ")[0].upper()] += 1
            if data[:1] == b"E":
                self.heard[b"EXECUTE"] += 1
            data = data[size + 1 :]


def measure(rig: Rig) -> list[Count]:
    env = rig.fresh()
    database, broker = urlsplit(env["SENDCODE_DATABASE_URL"]), urlsplit(rig.broker.url)
    taps = [Tap("127.0.0.1", int(u.port or 0)) for u in (database, broker)]
    tapped = env | {
        "SENDCODE_DATABASE_URL": _through(env["SENDCODE_DATABASE_URL"], taps[0].port),
        "SENDCODE_BROKER_URL": _through(rig.broker.url, taps[1].port),
    }
    rig.provider.reset(0)
    ours, total = parts(tapped), WARM + ROUNDS
    service = ours.services.page(ACCOUNT, limit=1)[0].sid
    started: list[str] = []

    def start(item: Any) -> None:
        sent = ours.verifications.start(ACCOUNT, Start(service, item)).deliveries
        started.append(sent[-1].sid)

    def check(item: Any) -> None:
        ours.verifications.check(ACCOUNT, service, item[1], to=item[0])

    _ = ours.celery
    with psycopg.connect(plain(env["SENDCODE_DATABASE_URL"]), autocommit=True) as watcher:

        def count(name: str, act: Callable[[Any], object], items: list[Any]) -> Count:
            return _count(ours, taps, watcher, name, act, items)

        right = seed(ours, rig.numbers.take(total))
        first = seed(ours, rig.numbers.take(total))
        counts = [
            count("start", start, rig.numbers.take(total)),
            count("deliver", lambda sid: ours.dispatch.deliver([sid]), started),
            count("check, right code", check, right),
            count("check, first wrong code", check, [(to, wrong(code)) for to, code in first]),
            count("check, right after a wrong one", check, first),
        ]
    ours.db.close()
    for tap in taps:
        tap.close()
    return counts


def _count(
    ours: Any,
    taps: list[Tap],
    watcher: "psycopg.Connection[Any]",
    name: str,
    act: Callable[[Any], object],
    items: list[Any],
) -> Count:
    from sqlalchemy import event

    for item in items[:WARM]:
        act(item)
    texts: list[str] = []
    alone: list[str] = []  # writes that are a transaction of their own

    def heard(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        texts.append(statement)
        if connection.engine is ours.db.single and not statement.startswith("SELECT"):
            alone.append(statement)

    alone_as_a_rule = Prepared._alone

    def heard_alone(self: Prepared, given: object) -> Any:
        texts.append(self._sql)
        if not self._sql.startswith("SELECT"):
            alone.append(self._sql)
        return alone_as_a_rule(self, given)

    for tap in taps:
        tap.reset()
    before = _wal(watcher)
    Prepared._alone = heard_alone  # type: ignore[method-assign]
    for engine in ours.db.engines:
        event.listen(engine, "before_cursor_execute", heard)
    for item in items[WARM:]:
        act(item)
    for engine in ours.db.engines:
        event.remove(engine, "before_cursor_execute", heard)
    Prepared._alone = alone_as_a_rule  # type: ignore[method-assign]
    written = _wal(watcher) - before
    trips, words = taps[0].trips, taps[0].heard
    return Count(
        name=name,
        statements=len(texts) / ROUNDS,
        commits=(words[b"COMMIT"] + len(alone)) / ROUNDS,
        database_trips=trips / ROUNDS,
        broker_trips=taps[1].trips / ROUNDS,
        wal_bytes=written / ROUNDS,
        texts=[_short(text) for text in dict.fromkeys(texts)],
    )


def _short(statement: str) -> str:
    """`UPDATE deliveries` of a statement."""
    verb = statement.split(None, 1)[0]
    table = re.search(
        r"\b(?:FROM|INTO|UPDATE)\s+(services|verifications|deliveries|number_guards)\b", statement
    )
    return f"{verb} {table[table.lastindex or 0]}" if table else verb


def _wal(watcher: "psycopg.Connection[Any]") -> int:
    row = watcher.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
    assert row is not None
    return int(row[0])


def _through(url: str, port: int) -> str:
    return url.replace(f":{urlsplit(url).port}/", f":{port}/")
