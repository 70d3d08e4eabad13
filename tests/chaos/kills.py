"""kill -9 of every process at random, under load."""

import os
import signal

from tests.chaos.postgres import own_process_ids
from tests.chaos.report import Outcome
from tests.chaos.rig import Rig
from tests.chaos.rows import LONG, Size, conclude, row
from tests.chaos.world import World

RATE = 30
ANSWER_MS = 200  # the provider's, so that a killed worker has calls in flight
VICTIMS = ("worker", "api", "relay", "broker", "database")


@row("kill-9", "kill -9 of worker, api, relay, broker, database, on PostgreSQL", forms=LONG)
def kill_anything(rig: Rig, size: Size, made: Outcome) -> None:
    with World(rig, "kill-9", workers=2) as world:
        _kill(world, VICTIMS, size.starts)
        conclude(world, made)


@row("kill-9-sqlite", "kill -9 of worker, api, relay, broker, on SQLite", forms=LONG)
def kill_on_sqlite(rig: Rig, size: Size, made: Outcome) -> None:
    with World(rig, "kill-9-sqlite", database="sqlite", workers=2) as world:
        _kill(world, VICTIMS[:-1], size.starts // 5)
        conclude(world, made)


def _kill(world: World, victims: tuple[str, ...], wanted: int) -> None:
    """Every victim once, in an order of the seed's; then any of them, until enough is accepted."""
    world.sandbox.order(delay_ms=ANSWER_MS)
    load = world.run_load(RATE, wanted)
    order = list(victims)
    world.random.shuffle(order)
    while order or not load.full:
        world.pause(world.random.uniform(2, 5))
        victim = order.pop() if order else world.random.choice(victims)
        kill(world, victim)
    load.extend(RATE * 3)
    world.until(lambda: load.full, 60)


def kill(world: World, victim: str) -> None:
    """kill -9, and the fault is over; `World.look` starts it again."""
    if victim == "broker":
        world.broker.kill9()
    elif victim == "database" and world.random.random() < 0.5:
        # One backend killed: the server restarts all the others by itself.
        backends = [p for p in own_process_ids(world.postgres.pid) if p != world.postgres.pid]
        os.kill(world.random.choice(backends), signal.SIGKILL)
    elif victim == "database":
        world.postgres.kill9()
    else:
        world.random.choice(world.named(victim)).kill9()
    world.fault_over(f"kill -9 of {victim}")
