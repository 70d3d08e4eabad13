"""What may befall the database short of its death."""

import psycopg
from psycopg import sql

from benchmarks.rig import plain
from tests.chaos.report import Outcome
from tests.chaos.rig import Rig, World
from tests.chaos.rows import Size, conclude, row

RATE = 20


@row("database-read-only", "database read-only for 20 s")
def read_only(rig: Rig, size: Size, made: Outcome) -> None:
    """Clear 503s meanwhile, nothing accepted that is not kept, and back by itself."""
    with World(rig, "database-read-only", workers=2) as world:
        load = world.run_load(RATE)
        world.pause(2)
        for _ in range(size.of(3, 1)):
            _set(world, "on")
            world.pause(1)
            before = len(load.answers)
            world.pause(size.of(19, 3))
            told = {a.status for a in load.answers[before:] if a.kind == "start"}
            _set(world, "off")
            world.fault_over("read-only")
            assert made.violations is not None
            if told != {503}:
                made.violations.append(f"starts were answered {sorted(told)} meanwhile")
            world.pause(size.of(15, 4))
        conclude(world, made)


def _set(world: World, value: str) -> None:
    with psycopg.connect(plain(world.postgres.url()), autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        order = sql.SQL("ALTER SYSTEM SET default_transaction_read_only = {}")
        connection.execute(order.format(sql.Literal(value)))
        connection.execute("SELECT pg_reload_conf()")
