"""The worker killed at each point of a job, many times."""

from functools import partial
from pathlib import Path

from tests.chaos.report import Outcome
from tests.chaos.rig import Rig
from tests.chaos.rows import LONG, SHORT_FORM, Size, conclude, row
from tests.chaos.settings import CHAOS_WORKER, SHORT
from tests.chaos.worker import POINTS
from tests.chaos.world import World

SLOTS = 4
# A life ends with one of its first jobs. Most of them let more jobs begin than there are slots, so
# that some have ended: lives without any would only show that nobody works while nobody works.
EVERY = 3 * SLOTS
RATE = 20


def _die(rig: Rig, made: Outcome, name: str, points: tuple[str, ...], deaths: int) -> None:
    """One worker that dies `deaths` times, at each of the points in turn."""
    count = rig.folder / f"{name}.count"
    orders = {
        "CHAOS_DIE_AT": ",".join(points),
        "CHAOS_DIE_EVERY": str(EVERY),
        "CHAOS_DEATHS": str(deaths),
        "CHAOS_SEED": f"{rig.seed} {name}",
        "CHAOS_COUNT": str(count),
        "SENDCODE_WORKER_SLOTS": str(SLOTS),
    }
    with World(rig, name, command=CHAOS_WORKER, settings=SHORT | orders) as world:
        world.run_load(RATE, most=30)
        for number in range(1, deaths + 1):
            if not world.until(partial(_has, count, number), 60):
                made.fail(f"death {number} of {deaths} did not come in time")
                break
            world.fault_over("a worker's death")
        world.pause(2)
        conclude(world, made)


def _has(count: Path, number: int) -> bool:
    return count.exists() and int(count.read_text() or 0) >= number


def _row(point: str) -> None:
    @row(f"die-{point}", f"worker killed when {POINTS[point]}", forms=LONG)
    def die(rig: Rig, size: Size, made: Outcome) -> None:
        _die(rig, made, f"die-{point}", (point,), deaths=200)


for _point in POINTS:
    _row(_point)


@row("die-anywhere", "worker killed at each point of a job in turn", forms=SHORT_FORM)
def die_anywhere(rig: Rig, size: Size, made: Outcome) -> None:
    _die(rig, made, "die-anywhere", tuple(POINTS), deaths=2 * len(POINTS))
