"""What one look at everything that operators watch has found."""

from dataclasses import dataclass, field

from worker.circuits import Circuit
from worker.failures import Group
from worker.flows import Flow
from worker.minutes import Counts
from worker.operations import BudgetStanding, Pause
from worker.presence import Worker
from worker.receipt_health import Told
from worker.refused_callbacks import Refused
from worker.standing import BEATS, QueueStanding, Silent, who_is_silent

SLOW, LATE = 5.0, 15.0  # seconds a code may wait: amber above the first, red above the second


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that needs attention.

    :param level: `bad` or `warn`
    :param why: what it means, and what helps
    :param path: where it is looked at, or the page of the action that ends it
    """

    level: str
    what: str
    why: str
    path: str


@dataclass(slots=True)
class Look:
    """What could not be read because broker or database is away is None.

    :param at: when it began, by this process's monotonic clock
    """

    at: float
    queues: list[QueueStanding] | None = None
    flows: dict[str, Flow] | None = None
    workers: list[Worker] | None = None
    silent: float | None = None
    beats: int | None = None
    circuits: list[Circuit] | None = None
    handoffs: Counts | None = None
    decided: Counts | None = None
    counted_at: int | None = None
    groups: list[Group] | None = None
    told: dict[str, Told] | None = None
    refused: Refused | None = None
    pauses: list[Pause] | None = None
    budgets: list[BudgetStanding] | None = None
    concerns: list[Concern] = field(default_factory=list)

    @property
    def of_codes(self) -> list[QueueStanding]:
        """The queues without that of the relay's heartbeats, which are no codes."""
        return [queue for queue in self.queues or () if queue.name != BEATS]

    @property
    def oldest(self) -> float | None:
        """Seconds the oldest waiting code has waited; None when none waits."""
        ages = [q.oldest_age for q in self.of_codes if q.oldest_age is not None]
        return max(ages, default=None)

    @property
    def waiting(self) -> int:
        """Codes that wait."""
        return sum(queue.waiting for queue in self.of_codes)

    @property
    def came(self) -> int:
        return sum(flow.came for flow in (self.flows or {}).values())

    @property
    def taken(self) -> int:
        return sum(flow.taken for flow in (self.flows or {}).values())

    @property
    def at_least(self) -> bool:
        return any(flow.at_least for flow in (self.flows or {}).values())

    @property
    def who_is_silent(self) -> Silent | None:
        return who_is_silent(self.silent, self.workers or (), self.beats or 0)

    def is_paused(self, kind: str, name: str) -> bool:
        return any((one.kind, one.name) == (kind, name) for one in self.pauses or ())

    def drain(self, queue: QueueStanding) -> float | None:
        """Seconds until a queue is empty at the last minute's pace; None where nobody takes."""
        flow = (self.flows or {}).get(queue.name)
        return queue.waiting / flow.taken * 60 if flow and flow.taken else None


def level_of(age: float | None) -> str:
    """How bad the age of the oldest waiting code is."""
    if age is None or age < SLOW:
        return "good"
    return "warn" if age <= LATE else "bad"
