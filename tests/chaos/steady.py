"""What is no fault and must be harmless: rolling restarts, two relays, a backlog."""

import base64
import json
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.chaos.report import Outcome
from tests.chaos.rig import Rig
from tests.chaos.rows import LONG, Size, conclude, row
from tests.chaos.world import World
from worker.relay import BATCH

RATE = 20
GIVEN_TO_END = 30.0  # seconds a worker has after SIGTERM
AT_REST = 35.0  # seconds in which the relay comes round to everything, whatever else is due

_DEAD_LEASE = """
UPDATE deliveries SET state = 'sending', tries = 1, lease_until = :now - 1 WHERE sid = :sid
"""


@row("rolling-restart", "workers restarted one after the other by SIGTERM", forms=LONG)
def rolling(rig: Rig, size: Size, made: Outcome) -> None:
    """Nothing is lost, doubled or even repeated, and every worker ends by itself."""
    with World(rig, "rolling-restart", workers=2) as world:
        world.sandbox.order(delay_ms=300)
        world.run_load(RATE)
        world.pause(2)
        for _ in range(size.of(10, 3)):
            restart_workers(world, size, made)
        conclude(world, made)
        again = world.rows("SELECT count(*) AS n FROM deliveries WHERE tries > 1")[0]["n"]
        if again:
            made.fail(f"{again} deliveries were claimed again")


def restart_workers(world: World, size: Size, made: Outcome) -> None:
    """SIGTERM to each worker in turn, under load."""
    for worker in world.named("worker"):
        if not worker.stop(GIVEN_TO_END):
            made.fail(f"{worker.name} did not end by itself")
        worker.start()
        worker.wait()
        world.fault_over("a restart")
        world.pause(size.of(2, 1))


@row("two-relays", "two relays at once, one killed at random, the broker emptied", forms=LONG)
def two_relays(rig: Rig, size: Size, made: Outcome) -> None:
    with World(rig, "two-relays", workers=1, relays=2) as world:
        world.run_load(RATE)
        for _ in range(size.of(30, 2)):
            world.pause(1)
            world.random.choice(world.named("relay")).kill9()
            world.redis.flushall()
            world.fault_over("kill -9 of a relay and FLUSHALL")
            world.pause(1)
        conclude(world, made)


@row("backlog", "100,000 rows due on an empty broker, two relays, no worker", forms=LONG)
def backlog(rig: Rig, size: Size, made: Outcome) -> None:
    """All are published, in steps of a bounded size, and a dead lease waits for none of them."""
    count = size.of(100_000, 3_000)
    with World(rig, "backlog", workers=0, relays=2) as world:
        for relay in world.named("relay"):
            relay.stop()
        first = world.start(next(rig.numbers)).delivery
        now = int(time.time() * 1000)
        _multiply(world, count, now)
        world.redis.flushall()
        for relay in world.named("relay"):
            relay.start()
        begun = time.monotonic()
        world.until(lambda: len(published(world)) > BATCH, 30)
        world.rows(_DEAD_LEASE, now=now, sid=first)
        dead = time.monotonic()
        state = "SELECT state FROM deliveries WHERE sid = :sid"
        world.until(lambda: world.rows(state, sid=first)[0]["state"] == "queued", 120)
        recovered = time.monotonic() - dead
        left = "SELECT count(*) AS n FROM deliveries WHERE hinted_at < :now"
        world.until(lambda: not world.rows(left, now=now)[0]["n"], 300)
        took = time.monotonic() - begun
        world.pause(2)
        _judge_backlog(world, made, count, took, recovered)


def _multiply(world: World, count: int, now: int) -> None:
    """Copies of the one verification and the one delivery there are, whatever their columns."""
    keyed = "sha256(n::text::bytea)"
    changed = {
        "verifications": {"sid": "'VE' || lpad(to_hex(n), 32, '0')", "number_index": keyed},
        "deliveries": {
            "sid": "'VL' || lpad(to_hex(n), 32, '0')",
            "verification_sid": "'VE' || lpad(to_hex(n), 32, '0')",
            "hinted_at": str(now - 5000),
        },
    }
    for table, changes in changed.items():
        columns = [
            row["column_name"]
            for row in world.rows(
                "SELECT column_name FROM information_schema.columns WHERE table_name = :table"
                " AND table_schema = 'public'",
                table=table,
            )
        ]
        values = ", ".join(changes.get(name, name) for name in columns)
        world.rows(
            f"INSERT INTO {table} ({', '.join(columns)})"
            f" SELECT {values} FROM {table}, generate_series(1, {count}) AS n"
        )
    world.rows("UPDATE deliveries SET hinted_at = :before", before=now - 5000)
    world.rows("ANALYZE")


def published(world: World) -> list[str]:
    """The deliveries that the waiting messages name, in every queue."""
    broker, found = world.redis, []
    for key in broker.scan_iter(_type="LIST"):
        for raw in broker.lrange(key, 0, -1):
            with suppress(ValueError, KeyError):
                body = base64.b64decode(json.loads(raw)["body"]).decode()
                found += re.findall("VL[0-9a-f]{32}", body)
    return found


def _judge_backlog(world: World, made: Outcome, count: int, took: float, recovered: float) -> None:
    told = published(world)
    steps = [n for relay in world.named("relay") for n in _published(relay.log)]
    made.starts, made.injected = count, 1
    made.recovery, made.slowest = recovered, took
    made.note = (
        f"{count} published in {took:.0f} s, named {len(told)} times,"
        f" the largest step {max(steps, default=0)}; a dead lease was up in {recovered:.1f} s"
    )
    made.fail(*wrong(told, steps, count, took, recovered))


def wrong(
    told: Sequence[str], steps: Sequence[int], count: int, took: float, recovered: float
) -> list[str]:
    """
    :param told: the deliveries that waiting messages name, as often as they do
    :param steps: how many were published at once
    :param took: seconds until all of `count` were published
    :param recovered: seconds that a dead lease beside them waited
    """
    found = []
    if missing := count + 1 - len(set(told)):
        found.append(f"{missing} of {count} were not published")
    if len(told) > count * (1 + took / 60) + BATCH:
        found.append(f"{count} deliveries were named {len(told)} times")
    if not 0 < max(steps, default=0) <= BATCH:
        found.append(f"a step of {max(steps, default=0)} deliveries")
    if recovered > AT_REST:
        found.append(f"a dead lease waited {recovered:.0f} s for the backlog")
    return found


def _published(log: Path) -> list[int]:
    found = []
    for line in log.read_text().splitlines():
        if re.search(r'"backlog.published"', line):
            with suppress(ValueError, KeyError):
                found.append(int(json.loads(line)["count"]))
    return found
