"""Everything that can be broken under one load, one thing after the other: the short form."""

from tests.chaos import broker, database, kills, steady
from tests.chaos.report import Outcome
from tests.chaos.rig import Rig
from tests.chaos.rows import SHORT_FORM, Size, conclude, row
from tests.chaos.settings import SHORT
from tests.chaos.world import World

RATE = 20


@row("together", "processes killed, broker and database broken, in turn", forms=SHORT_FORM)
def together(rig: Rig, size: Size, made: Outcome) -> None:
    settings = SHORT | {"SENDCODE_LIMIT_SENDS": "2"}
    with World(rig, "together", workers=2, relays=2, proxied=True, settings=settings) as world:
        world.sandbox.order(delay_ms=100)
        world.run_load(RATE)
        victims = list(kills.VICTIMS)
        world.random.shuffle(victims)
        for victim in victims:
            world.pause(1)
            kills.kill(world, victim)
        world.pause(3)
        faults = [fault for _, fault in broker.FAULTS.values()]
        world.random.shuffle(faults)
        for fault in faults:
            fault(world, size)
        database.refuse_writes(world, size, made)
        steady.restart_workers(world, size, made)
        conclude(world, made)
