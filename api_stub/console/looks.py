"""One look at everything that operators watch, shared by all pages and streams of a process.

However many consoles are open, a process looks once every `FRESH` seconds at most.
"""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from api_stub.console.concerns import concerns
from api_stub.console.look import Look
from worker.failures import Found
from worker.gauges import AWAY
from worker.wiring import Sendcode

log = structlog.get_logger()
T = TypeVar("T")

FRESH = 2.0  # seconds a look holds
GROUPED = 5.0  # seconds that groups of failures hold: they are the dearest look
STALE = 10.0  # seconds after which a page that wants no fresh one still waits for one
RECENT, HANDOFFS = 3600, 5  # seconds of failures, minutes of times
CONVERSION = (35, 5)  # minutes ago: younger codes are not decided yet
WORST = 5  # groups of failures


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
        look.told = _read(ours.receipt_health.look)
        look.refused = _read(ours.refused_callbacks.look)
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
