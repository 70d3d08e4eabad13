"""What is no fault and must be harmless: rolling restarts, two relays, a backlog."""

import json
import re
import time
from contextlib import suppress
from pathlib import Path

from tests.chaos.report import Outcome
from tests.chaos.rig import Rig, World
from tests.chaos.rows import Size, conclude, row
from worker.relay import BATCH

RATE = 20
GIVEN_TO_END = 30.0  # seconds a worker has after SIGTERM
AT_REST = 35.0  # seconds in which the relay comes round to everything, whatever else is due

# Rows as a start writes them, but for what only the worker would read.
_VERIFICATIONS = """
INSERT INTO verifications (sid, account_sid, service_sid, key_id, number_index, number_sealed, salt,
  code_digest, code_length, country, locale, channel, status, checks, max_checks, created_at,
  updated_at, expires_at)
SELECT 'VE' || lpad(to_hex(n), 32, '0'), account_sid, sid, 'k1', sha256(n::text::bytea), 'x', 'x',
  sha256(n::text::bytea), 6, 'US', 'en', 'sms', 'pending', 0, 5, :now, :now, :now + 600000
FROM services, generate_series(1, :count) AS n
"""
_DELIVERIES = """
INSERT INTO deliveries (sid, verification_sid, channel, state, fallback, tries, doubts, next_try_at,
  hinted_at, lease_until, expires_at, call_wanted, created_at)
SELECT 'VL' || substr(sid, 3), sid, 'sms', 'queued', false, 0, 0, :now, :now - 5000, NULL,
  expires_at, false, created_at
FROM verifications
"""
_DEAD_LEASE = """
UPDATE deliveries SET state = 'sending', tries = 1, lease_until = :now - 1 WHERE sid = :sid
"""


@row("rolling-restart", "workers restarted one after the other by SIGTERM")
def rolling(rig: Rig, size: Size, made: Outcome) -> None:
    """Nothing is lost, doubled or even repeated, and every worker ends by itself."""
    assert made.violations is not None
    with World(rig, "rolling-restart", workers=2) as world:
        world.order(delay_ms=300)
        world.run_load(RATE)
        world.pause(2)
        for _ in range(size.of(10, 1)):
            for worker in world.named("worker"):
                if not worker.stop(GIVEN_TO_END):
                    made.violations.append(f"{worker.name} did not end by itself")
                worker.start()
                worker.wait()
                world.fault_over("a restart")
                world.pause(1)
        conclude(world, made)
        again = world.rows("SELECT count(*) AS n FROM deliveries WHERE tries > 1")[0]["n"]
        if again:
            made.violations.append(f"{again} deliveries were claimed again")


@row("two-relays", "two relays at once, one killed at random, the broker emptied")
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


@row("backlog", "100,000 rows due on an empty broker, two relays, no worker")
def backlog(rig: Rig, size: Size, made: Outcome) -> None:
    """All are published, in steps of a bounded size, and a dead lease waits for none of them."""
    assert made.violations is not None
    count = size.of(100_000, 3_000)
    with World(rig, "backlog", workers=0, relays=2) as world:
        for relay in world.named("relay"):
            relay.stop()
        now = int(time.time() * 1000)
        world.rows(_VERIFICATIONS, now=now, count=count)
        world.rows(_DELIVERIES, now=now)
        world.rows("ANALYZE")
        for relay in world.named("relay"):
            relay.start()
        begun = time.monotonic()
        world.until(lambda: int(world.redis.llen("sms")) > BATCH, 30)
        sid = "VL" + f"{1:032x}"
        world.rows(_DEAD_LEASE, now=now, sid=sid)
        state = "SELECT state FROM deliveries WHERE sid = :sid"
        dead = time.monotonic()
        world.until(lambda: world.rows(state, sid=sid)[0]["state"] == "queued", 120)
        recovered = time.monotonic() - dead
        left = "SELECT count(*) AS n FROM deliveries WHERE hinted_at < :now"
        world.until(lambda: not world.rows(left, now=now)[0]["n"], 300)
        took = time.monotonic() - begun
        world.pause(2)
        _judge_backlog(world, made, count, took, recovered)


def _judge_backlog(world: World, made: Outcome, count: int, took: float, recovered: float) -> None:
    assert made.violations is not None
    waiting = int(world.redis.llen("sms"))
    steps = [n for relay in world.named("relay") for n in _published(relay.log)]
    made.starts, made.injected = count, 1
    made.recovery, made.slowest = recovered, took
    made.note = (
        f"{count} published in {took:.0f} s as {waiting} messages,"
        f" the largest step {max(steps, default=0)}; a dead lease was up in {recovered:.1f} s"
    )
    if waiting < count:
        made.violations.append(f"only {waiting} of {count} were published")
    if waiting > count * (1 + took / 60) + BATCH:
        made.violations.append(f"{waiting} messages for {count} deliveries")
    if max(steps, default=0) > BATCH:
        made.violations.append(f"a step of {max(steps)} deliveries")
    if recovered > AT_REST:
        made.violations.append(f"a dead lease waited {recovered:.0f} s for the backlog")


def _published(log: Path) -> list[int]:
    found = []
    for line in log.read_text().splitlines():
        if re.search(r'"job.enqueued"', line):
            with suppress(ValueError, KeyError):
                found.append(int(json.loads(line)["deliveries"]))
    return found
