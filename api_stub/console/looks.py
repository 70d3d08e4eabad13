"""One look at everything that operators watch, shared by all pages and streams of a process.

However many consoles are open, a process looks once every `FRESH` seconds at most.
"""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import redis
import structlog
from sqlalchemy.exc import SQLAlchemyError

from api_stub.console.concerns import concerns
from api_stub.console.look import Look
from worker.errors import LimitsUnavailableError
from worker.failures import Found
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
        self._made_at = float("-inf")
        self._changed = float("-inf")
        self._grouping = threading.Lock()
        self._found: dict[tuple[object, ...], tuple[float, Found]] = {}

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
                self._made_at = time.monotonic()  # a look takes long where a part is away
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
        return last, time.monotonic() - self._made_at

    def failures(self, within: int, **where: str) -> Found:
        """Failures of the last `within` seconds, no older than `GROUPED` seconds.

        :param where: as `worker.failures.Failures.look` takes them
        :raises sqlalchemy.exc.SQLAlchemyError: the database does not answer
        """
        key = (within, *sorted(where.items()))
        with self._grouping:
            now = time.monotonic()
            self._found = {k: v for k, v in self._found.items() if now - v[0] < GROUPED}
            if key not in self._found:
                found = self._parts().failures.look(within, **where)
                self._found[key] = time.monotonic(), found
            return self._found[key][1]

    def _made(self) -> Look:
        ours, look = self._parts(), Look(time.monotonic())
        standing, minutes, broker = ours.standing, ours.minutes, _Broker()
        look.workers = broker.read(standing.workers)
        look.queues = broker.read(standing.queues)
        look.flows = _read(standing.flows)
        look.silent = broker.read(standing.silent_seconds)
        look.beats = broker.read(standing.beats)
        look.circuits = broker.read(standing.circuits)
        look.handoffs = _read(lambda: minutes.total(HANDOFFS))
        look.decided = _read(lambda: minutes.total(*CONVERSION))
        look.counted_at = _read(minutes.counted_at)
        look.groups = _read(lambda: self.failures(RECENT).groups[:WORST])
        look.told = _read(ours.receipt_health.look)
        look.refused = broker.read(ours.refused_callbacks.look)
        look.pauses = _read(ours.operations.pauses.all)
        look.budgets = broker.read(ours.operations.budgets.all)
        look.concerns = concerns(look)
        return look


class _Broker:
    """Asks the broker no more in a look once it has not answered: each time costs its timeout."""

    def __init__(self) -> None:
        self._answers = True

    def read(self, read: Callable[[], T]) -> T | None:
        if not self._answers:
            return None
        try:
            return read()
        except (redis.RedisError, LimitsUnavailableError) as error:
            log.warning("console.away", part="broker", error_class=type(error).__name__)
            self._answers = False
            return None
        except SQLAlchemyError as error:
            log.warning("console.away", part="database", error_class=type(error).__name__)
            return None


def _read(read: Callable[[], T]) -> T | None:
    return _Broker().read(read)
