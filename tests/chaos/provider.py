"""The provider gone for a moment, and gone for an outage; and the workers gone for long."""

import signal

from tests.chaos.report import Outcome
from tests.chaos.rig import Rig
from tests.chaos.rows import LONG, Size, conclude, row
from tests.chaos.settings import SHORT
from tests.chaos.world import World

LIFE = 20  # seconds of a code in the rows that outlive it


@row("provider-refuses", "provider's port closed for 8 s, again and again", forms=LONG)
def refuses(rig: Rig, size: Size, made: Outcome) -> None:
    with World(rig, "provider-refuses", workers=2) as world:
        world.run_load(15)
        world.pause(2)
        for _ in range(5):
            sandbox = world.parts["sandbox"]
            sandbox.keep = False
            sandbox.kill9()
            world.pause(8)
            sandbox.start()
            sandbox.wait()
            world.fault_over("a closed port")
            world.pause(8)
        conclude(world, made)


@row("provider-hangs", "provider takes and does not answer (SIGSTOP 12 s)", forms=LONG)
def hangs(rig: Rig, size: Size, made: Outcome) -> None:
    with World(rig, "provider-hangs", workers=2) as world:
        world.run_load(10)
        world.pause(2)
        for _ in range(4):
            world.parts["sandbox"].signal(signal.SIGSTOP)
            world.pause(12)
            world.parts["sandbox"].signal(signal.SIGCONT)
            world.fault_over("a hanging provider")
            world.pause(20)
        conclude(world, made)


@row("provider-outage", f"outage of 1.5 code lives (life {LIFE} s in place of 600 s)", forms=LONG)
def outage(rig: Rig, size: Size, made: Outcome) -> None:
    """What cannot be sent in its life ends, and is not sent afterwards."""
    with World(rig, "provider-outage", life=LIFE, settings=SHORT) as world:
        world.run_load(10)
        world.pause(2)
        sandbox = world.parts["sandbox"]
        sandbox.keep = False
        sandbox.kill9()
        world.pause(LIFE * 1.5)
        sandbox.start()
        sandbox.wait()
        world.fault_over("the outage")
        world.pause(20)
        conclude(world, made)
        ended = world.rows(
            "SELECT count(*) AS n FROM deliveries WHERE state IN ('failed','expired')"
        )
        made.note = f"{ended[0]['n']} codes ended unsent, those of the outage"
        if not ended[0]["n"]:
            made.fail("every code was sent, so none has outlived the outage")


@row("workers-away", "workers stopped for longer than the code's life, 1,000 queued")
def workers_away(rig: Rig, size: Size, made: Outcome) -> None:
    """Nobody gets a dead code: no call to the provider, and every row ends expired."""
    wanted, life = size.of(1000, 60), size.of(45, 5)
    with World(rig, "workers-away", workers=1, life=life) as world:
        worker = world.parts["worker1"]
        worker.stop()
        load = world.run_load(60, wanted)
        world.until(lambda: load.full, 60)
        load.stop()
        newest = world.rows("SELECT max(expires_at) AS at FROM deliveries")[0]["at"]
        now = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS now"
        world.until(lambda: world.rows(now)[0]["now"] > newest, life + 5)
        worker.start()
        worker.wait()
        world.injected += 1
        world.pause(2)
        conclude(world, made)
        states = {row["state"] for row in world.rows("SELECT DISTINCT state FROM deliveries")}
        calls = sum(bool(world.sandbox.requests(answer.number)) for answer in load.answers)
        if states != {"expired"} or calls:
            made.fail(f"ended {sorted(states)}, {calls} calls to the provider")
