"""One look at everything that operators watch, shared by all pages and streams of a process.

However many consoles are open, a process looks once every `FRESH` seconds at most.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from api_stub.console.countries import name_of
from worker.circuits import Circuit, CircuitState
from worker.failures import Found, Group
from worker.flows import Flow
from worker.gauges import AWAY
from worker.minutes import Counts
from worker.operations import BudgetStanding, Pause
from worker.operations.budgets import NEARLY
from worker.operations.scopes import target_of
from worker.presence import Worker
from worker.standing import BEATS, QueueStanding, Silent, who_is_silent
from worker.wiring import Sendcode

log = structlog.get_logger()
T = TypeVar("T")

FRESH = 2.0  # seconds a look holds
GROUPED = 5.0  # seconds that groups of failures hold: they are the dearest look
STALE = 10.0  # seconds after which a page that wants no fresh one still waits for one
SLOW, LATE = 5.0, 15.0  # seconds a code may wait: amber above the first, red above the second
RECENT, HANDOFFS = 3600, 5  # seconds of failures, minutes of times
CONVERSION = (35, 5)  # minutes ago: younger codes are not decided yet
COUNT_LATE = 180.0  # seconds without a count of the relay
WORST = 5  # groups of failures
LOW_CONVERSION, LOW_ARRIVAL, ENOUGH = 0.3, 0.8, 30


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that needs attention.

    :param level: `bad` or `warn`
    :param why: what it means, and what helps
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
    pauses: list[Pause] | None = None
    budgets: list[BudgetStanding] | None = None
    concerns: list[Concern] = field(default_factory=list)

    @property
    def oldest(self) -> float | None:
        """Seconds the oldest waiting code has waited; None when none waits."""
        ages = [q.oldest_age for q in self.queues or () if q.oldest_age is not None]
        return max(ages, default=None)

    @property
    def waiting(self) -> int:
        """Codes that wait; what the relay sends itself is none."""
        return sum(queue.waiting for queue in self.queues or () if queue.name != BEATS)

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


class Looks:
    """
    :param parts: gives the process's parts
    """

    def __init__(self, parts: Callable[[], Sendcode]) -> None:
        self._parts = parts
        self._lock = threading.Lock()
        self._last: Look | None = None
        self._changed = float("-inf")
        self._grouping = threading.Lock()
        self._found: dict[tuple[int, str, str, str, str], tuple[float, Found]] = {}

    def look(self, fresh: bool = False) -> Look:
        """The present look, made anew when it is too old.

        :param fresh: no older than `FRESH` seconds; else one of up to `STALE` will do while
            another page is at it
        """
        last, age = self._known()
        if last and age < FRESH:
            return last
        if not self._lock.acquire(blocking=fresh or age > STALE):
            return last or Look(time.monotonic())
        try:
            last, age = self._known()
            if last is None or age >= FRESH:
                last = self._last = self._made()
            return last
        finally:
            self._lock.release()

    def forget(self) -> None:
        """Something was changed: no look that began before this is good any more."""
        self._changed = time.monotonic()

    def _known(self) -> tuple[Look | None, float]:
        """The last look with its age in seconds, unless something was changed since."""
        last = self._last
        if last is None or last.at < self._changed:
            return None, float("inf")
        return last, time.monotonic() - last.at

    def failures(
        self,
        within: int,
        country: str = "",
        channel: str = "",
        service: str = "",
        sender: str = "",
    ) -> Found:
        """Failures of the last `within` seconds, no older than `GROUPED` seconds.

        :param country: that one's alone; likewise the others, see `worker.failures`
        :raises sqlalchemy.exc.SQLAlchemyError: the database does not answer
        """
        key = (within, country, channel, service, sender)
        with self._grouping:
            now = time.monotonic()
            self._found = {k: v for k, v in self._found.items() if now - v[0] < GROUPED}
            if key not in self._found:
                found = self._parts().failures.look(*key)
                self._found[key] = time.monotonic(), found
            return self._found[key][1]

    def _made(self) -> Look:
        ours, look = self._parts(), Look(time.monotonic())
        standing, minutes = ours.standing, ours.minutes
        look.queues = _read(standing.queues)
        look.flows = _read(standing.flows)
        look.workers = _read(standing.workers)
        look.silent = _read(standing.silent_seconds)
        look.beats = _read(standing.beats)
        look.circuits = _read(standing.circuits)
        look.handoffs = _read(lambda: minutes.total(HANDOFFS))
        look.decided = _read(lambda: minutes.total(*CONVERSION))
        look.counted_at = _read(minutes.counted_at)
        look.groups = _read(lambda: self.failures(RECENT).groups[:WORST])
        look.pauses = _read(ours.operations.pauses.all)
        look.budgets = _read(ours.operations.budgets.all)
        look.concerns = concerns(look)
        return look


def _read(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except AWAY as error:
        kind = "database" if isinstance(error, SQLAlchemyError) else "broker"
        log.warning("console.away", part=kind, error_class=type(error).__name__)
        return None


def concerns(look: Look) -> list[Concern]:
    """What needs attention, the worst first."""
    found = [*_away(look), *_waits(look), *_workers(look), *_circuits(look), *_outcomes(look)]
    found += _budgets(look)
    return sorted(found, key=lambda one: one.level)


def _away(look: Look) -> list[Concern]:
    if look.flows is None:
        return [
            Concern(
                "bad", "The database does not answer", "Nothing is accepted or sent.", "/settings"
            )
        ]
    if look.workers is None:
        why = "No new code is accepted; what was accepted goes out when it is back."
        return [Concern("bad", "The broker does not answer", why, "/queues")]
    return []


def _waits(look: Look) -> list[Concern]:
    return [
        Concern(
            level_of(queue.oldest_age),
            f"A code has waited {queue.oldest_age:.0f} s in {queue.name}",
            "Too few workers, or a provider that is slow or down: see queue, workers and senders.",
            "/queues",
        )
        for queue in look.queues or ()
        if queue.oldest_age is not None and level_of(queue.oldest_age) != "good"
    ]


def _workers(look: Look) -> list[Concern]:
    if look.workers is None or look.who_is_silent is None:
        return []
    what, why = "No worker has been heard of", "Nobody takes codes from the queues: start a worker."
    if look.workers:
        what = "Workers are up, and none takes messages"
        why = "They are quiet, busy or deaf, or none takes from the queue relay: see their log."
    if look.who_is_silent is Silent.RELAY:
        what = "The relay sends nothing"
        why = "Codes that were put off or that the broker lost do not go out: start the relay."
    return [Concern("bad", what, why, "/workers")]


def _circuits(look: Look) -> list[Concern]:
    return [
        Concern(
            "bad",
            f"{circuit.sender} does not work for {circuit.channel}: its circuit is {circuit.state}",
            "It failed more often than not, so other senders are used, or codes wait for it.",
            "/senders",
        )
        for circuit in look.circuits or ()
        if circuit.state is not CircuitState.CLOSED
    ]


def _budgets(look: Look) -> list[Concern]:
    return [
        Concern(
            "bad" if one.ratio >= 1 else "warn",
            f"The day's budget is used up: {_scope(one)}"
            if one.ratio >= 1
            else f"{one.ratio:.0%} of the day's budget is used: {_scope(one)}",
            "Starts there are refused until midnight UTC."
            if one.ratio >= 1
            else "When it is used up, starts there are refused until midnight UTC.",
            "/limits",
        )
        for one in look.budgets or ()
        if one.ratio > NEARLY
    ]


def _scope(one: BudgetStanding) -> str:
    return {2: name_of(one.scope), 3: "everything"}.get(len(one.scope), target_of(one.scope))


def _outcomes(look: Look) -> list[Concern]:
    found = []
    decided = look.decided
    if decided and decided.codes >= ENOUGH and (decided.conversion or 0) < LOW_CONVERSION:
        what = f"Only {decided.conversion:.0%} of the codes come back"
        why = "They do not arrive, or somebody has codes sent for nothing: see the countries."
        found.append(Concern("warn", what, why, "/countries"))
    if decided and (arrival := decided.arrival) is not None and arrival < LOW_ARRIVAL:
        what = f"Only {arrival:.0%} of the messages and calls arrive"
        if decided.delivered + decided.failed >= ENOUGH:
            found.append(Concern("warn", what, "See why in the failures.", "/failures"))
    late = look.counted_at is None or time.time() - look.counted_at / 1000 > COUNT_LATE
    if look.flows is not None and late:
        what = "The relay has not counted for a while"
        why = "Charts and shares are old; codes that the broker lost are not found again."
        found.append(Concern("warn", what, why, "/workers"))
    return found
