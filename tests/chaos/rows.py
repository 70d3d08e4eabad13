"""The rows of the table: a name, what is broken, and the function that breaks it."""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.history import read
from tests.chaos.judge import RECOVERY_SECONDS, Judgement, judge
from tests.chaos.report import Outcome
from tests.chaos.rig import Rig
from tests.chaos.world import World

LONG, SHORT_FORM = frozenset({"long"}), frozenset({"short"})
BOTH = LONG | SHORT_FORM
ALL: dict[str, "Row"] = {}


@dataclass(frozen=True)
class Size:
    """How long a run is.

    :param short: for `./dev test`; each fault once or a few times
    :param starts: accepted starts of the longest row
    """

    short: bool
    starts: int

    def of(self, long: int, short: int) -> int:
        return short if self.short else long


class NotRunError(Exception):
    """A row cannot be run on this machine; the message says why."""


Run = Callable[[Rig, Size, Outcome], None]


@dataclass(frozen=True)
class Row:
    name: str
    about: str
    run: Run
    forms: frozenset[str]

    def outcome(self, rig: Rig, size: Size) -> Outcome:
        made = Outcome(self.name, self.about)
        begun = time.monotonic()
        try:
            self.run(rig, size, made)
        except NotRunError as reason:
            made.violations, made.note = None, str(reason)
        except Exception as error:  # the other rows are run all the same
            where = traceback.format_exc(limit=-3)
            made.violations = [f"the run itself failed: {type(error).__name__}: {error}\n{where}"]
        made.seconds = time.monotonic() - begun
        return made


def row(name: str, about: str, *, forms: frozenset[str] = BOTH) -> Callable[[Run], Run]:
    """Put a function into the table."""

    def add(run: Run) -> Run:
        ALL[name] = Row(name, about, run, forms)
        return run

    return add


def conclude(
    world: World,
    made: Outcome,
    *,
    may_double: float = 0.0,
    slack: float = 0.0,
    settle: float = 300,
) -> Judgement:
    """Let the world settle, compare the records, and write what they say into the row."""
    if world.load and world.fault_ends:
        # While starts go on, so that a world that does not come back is not taken for a quiet one.
        last = world.fault_ends[-1][1]
        world.until(lambda: world.sandbox.last_send() >= last, RECOVERY_SECONDS)
    world.settle(settle)
    found = judge(read(world), world.fault_ends, may_double=may_double, slack=slack)
    if world.load and not found.accepted:
        made.fail("no start was accepted, so nothing was tried")
    made.starts += found.accepted
    made.injected += world.injected
    made.lost += found.lost
    made.doubled += found.doubled
    made.late += found.late
    known = [r for r in (made.recovery, found.recovery) if r is not None]
    made.recovery = max(known, default=None)
    made.slowest = max(made.slowest, found.slowest)
    made.fail(*found.violations + world.violations)
    return found
