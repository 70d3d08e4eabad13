"""Checks and starts: through the module, over HTTP, and the floors under HTTP."""

import base64
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import psycopg

from benchmarks.machine import Meter, calibrate, used
from benchmarks.rig import ACCOUNT, TOKEN, Rig, plain
from benchmarks.seed import parts, seed, wrong
from worker.embedded.broker import free_port
from worker.embedded.processes import Child, wait_for

THREADS = 8
CONNECTIONS = 16
WARM = 200
RIGHT, START = "check, right code: HTTP, one api process", "start: HTTP, one api process"
FLOOR = "floor: same server, one UPDATE, nothing else"
TRIPS = "floor: same server, a check's three round trips, nothing else"


@dataclass(frozen=True)
class Rate:
    """One kind of request. `cpu` is ms per request, by process; `p50` and `p99` are ms."""

    name: str
    rate: float
    measured: int
    cpu: dict[str, float]
    p50: float | None
    p99: float | None
    speed: float
    faults: list[str]


def measure(rig: Rig, count: int, seconds: float) -> list[Rate]:
    """
    :param count: most requests of each kind
    :param seconds: longest time of each kind
    """
    env = rig.fresh()
    ours = parts(env)
    codes = [seed(ours, rig.numbers.take(count + WARM)) for _ in range(2)]
    guesses = [(to, wrong(code)) for to, code in seed(ours, rig.numbers.take(count + WARM))]
    service = ours.services.page(ACCOUNT, limit=1)[0].sid
    ours.db.close()
    servers = {"database": [rig.postgres_pid], "broker": [rig.broker_pid]}

    def module(name: str, items: Sequence[tuple[str, str]], answer: str) -> Rate:
        job = {
            "items": items,
            "threads": THREADS,
            "rate": None,
            "seconds": seconds,
            "warm": WARM,
        }
        return _timed(
            name,
            Meter(servers),
            lambda: rig.run("benchmarks.producer", job, env, "check"),
            lambda done: dict(done["results"]) == {answer: done["done"]},
            "caller",
        )

    rates = [
        module("check, right code: module, 8 threads", codes[0], "approved"),
        module("check, wrong code: module, 8 threads", guesses, "pending"),
    ]
    port = free_port()
    api = rig.start_ours({"api": ["api", "--port", str(port)]}, env)["api"]
    try:
        until_open(port, "/livez")
        path = f"/v2/Services/{service}"
        token = base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
        send = Http(rig, port, {"Authorization": f"Basic {token}"}, seconds)
        meter = Meter(servers | {"api": [api.pid]})
        checks = [urlencode({"To": to, "Code": code}) for to, code in codes[1]]
        starts = [urlencode({"To": to, "Channel": "sms"}) for to in rig.numbers.take(count + WARM)]
        for name, door, bodies, status in (
            (RIGHT, "VerificationCheck", checks, "200"),
            (START, "Verifications", starts, "201"),
        ):
            rates.append(send.measure(name, meter, f"{path}/{door}", bodies, status))
    finally:
        api.stop(10)
    return rates + _floors(rig, env, servers, count, seconds)


def _floors(
    rig: Rig,
    env: Mapping[str, str],
    servers: Mapping[str, list[int]],
    count: int,
    seconds: float,
) -> list[Rate]:
    url = plain(env["SENDCODE_DATABASE_URL"])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE floor (id int PRIMARY KEY, checks int NOT NULL)")
        connection.execute(
            "INSERT INTO floor SELECT id, 0 FROM generate_series(1, %s) AS id", (count + WARM,)
        )
    port = free_port()
    command = ["-m", "benchmarks.floor", str(port)]
    servers_of = {"FLOOR_DATABASE_URL": url, "FLOOR_BROKER_URL": env["SENDCODE_BROKER_URL"]}
    floor: Child = rig.start("floor", command, env | servers_of)
    try:
        until_open(port, "/", b"1")
        bodies = [str(row) for row in range(1, count + WARM + 1)]
        meter = Meter({**servers, "api": [floor.pid]})
        send = Http(rig, port, {}, seconds)
        return [
            send.measure(name, meter, path, bodies, "200")
            for name, path in ((FLOOR, "/"), (TRIPS, "/trips"))
        ]
    finally:
        floor.stop(10)


@dataclass(frozen=True)
class Http:
    rig: Rig
    port: int
    headers: Mapping[str, str]
    seconds: float

    def measure(self, name: str, meter: Meter, path: str, bodies: list[str], status: str) -> Rate:
        self.run(path, bodies[:WARM])
        return _timed(
            name,
            meter,
            lambda: self.run(path, bodies[WARM:]),
            lambda done: set(done["statuses"]) == {status},
            "client",
        )

    def run(self, path: str, bodies: list[str]) -> Any:
        job = {
            "port": self.port,
            "path": path,
            "headers": self.headers,
            "bodies": bodies,
            "connections": CONNECTIONS,
            "seconds": self.seconds,
        }
        return self.rig.run("benchmarks.load", job, self.rig.settings)


def _timed(
    name: str,
    meter: Meter,
    run: Callable[[], Any],
    as_expected: Callable[[Any], bool],
    caller: str,
) -> Rate:
    slow, before = calibrate(), meter.read()
    done = run()
    spent = used(before, meter.read())
    slow += calibrate()
    del spent["machine"]
    took = sorted(done.get("took", []))
    answers = {**done.get("results", {}), **done.get("statuses", {}), **done.get("faults", {})}
    return Rate(
        name=name,
        rate=done["done"] / done["seconds"],
        measured=done["done"],
        cpu={n: s / done["done"] * 1000 for n, s in {**spent, caller: done["cpu"]}.items()},
        p50=took[len(took) // 2] * 1000 if took else None,
        p99=took[len(took) * 99 // 100] * 1000 if took else None,
        speed=2 / slow,
        faults=[] if as_expected(done) else [f"{name}: {answers}"],
    )


def until_open(port: int, path: str, body: bytes | None = None) -> None:
    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", body, timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
            return False

    if not wait_for(answers, 30):
        raise SystemExit(f"bench: nothing answers on port {port}")
