"""The table at the end of a run."""

import datetime
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field

HEAD = (
    "fault", "starts", "faults", "lost", "doubled", "late", "recovery", "slowest", "verdict"
)  # fmt: skip


@dataclass
class Outcome:
    """One row. `violations` None: it was not run, `note` says why."""

    name: str
    about: str
    starts: int = 0
    injected: int = 0
    lost: int = 0
    doubled: int = 0
    late: int = 0
    recovery: float | None = None
    slowest: float = 0.0
    seconds: float = 0.0
    note: str = ""
    violations: list[str] | None = field(default_factory=list)

    def fail(self, *violations: str) -> None:
        """Note what does not hold."""
        self.violations = [*(self.violations or ()), *violations]

    @property
    def verdict(self) -> str:
        if self.violations is None:
            return "not run"
        return "BROKEN" if self.violations else "holds"


def table(outcomes: Sequence[Outcome], seed: int) -> str:
    """Markdown, with what went wrong below it."""
    lines = [
        f"{datetime.date.today().isoformat()}, {machine()}, seed {seed}. Recovery: longest time"
        " from a fault's end until a delivery",
        "is handed to the provider. Slowest: longest time from a start to its hand-over. Seconds.",
        "",
        "| " + " | ".join(HEAD) + " |",
        "|" + "---|" * len(HEAD),
    ]
    for one in outcomes:
        recovery = "-" if one.recovery is None else f"{one.recovery:.1f}"
        counts = (one.starts, one.injected, one.lost, one.doubled, one.late)
        cells = [f"`{one.name}` {one.about}", *map(str, counts), recovery, f"{one.slowest:.1f}"]
        lines.append("| " + " | ".join([*cells, one.verdict]) + " |")
    notes = [f"{one.name}: {one.note}" for one in outcomes if one.note]
    faults = [f"BROKEN {one.name}: {v}" for one in outcomes for v in one.violations or ()]
    return "\n".join([*lines, "", *notes, *faults]) + "\n"


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30
    return f"{os.cpu_count()} cores, {memory} GiB, {platform.system()}, Python " + (
        platform.python_version()
    )
