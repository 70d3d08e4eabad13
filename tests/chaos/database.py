"""What may befall the database short of its death."""

import time

import psycopg
from psycopg import sql

from benchmarks.rig import plain
from tests.chaos.report import Outcome
from tests.chaos.rig import Rig
from tests.chaos.rows import LONG, Size, conclude, row
from tests.chaos.world import World

RATE = 20


@row("database-read-only", "database read-only for 20 s", forms=LONG)
def read_only(rig: Rig, size: Size, made: Outcome) -> None:
    with World(rig, "database-read-only", workers=2) as world:
        world.run_load(RATE)
        world.pause(2)
        for _ in range(3):
            refuse_writes(world, size, made)
        conclude(world, made)


def refuse_writes(world: World, size: Size, made: Outcome) -> None:
    """Clear 503s meanwhile, and back by itself."""
    _set(world, "on")
    world.pause(1)
    since = time.time()  # what was asked before it may have been written before it
    world.pause(size.of(19, 2))
    told = {one.status for one in world.answers if one.kind == "start" and one.asked >= since}
    _set(world, "off")
    world.fault_over("read-only")
    if told != {503}:
        made.fail(f"starts were answered {sorted(told)} by a read-only database")
    world.pause(size.of(15, 3))


def _set(world: World, value: str) -> None:
    with psycopg.connect(plain(world.postgres.url()), autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        order = sql.SQL("ALTER SYSTEM SET default_transaction_read_only = {}")
        connection.execute(order.format(sql.Literal(value)))
        connection.execute("SELECT pg_reload_conf()")
