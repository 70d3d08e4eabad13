"""The standing as Prometheus gauges. From one place, the api: summed over processes they lie."""

from collections.abc import Callable, Iterator, Sequence

import redis
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from worker import __version__
from worker.circuits import CircuitState
from worker.errors import LimitsUnavailableError
from worker.operations import BudgetStanding, Pause
from worker.operations.scopes import target_of
from worker.presence import State
from worker.standing import Standing

MOST_SILENT = 3600  # seconds; what is longer or never was shows as this
_CODES = {CircuitState.CLOSED: 0, CircuitState.HALF_OPEN: 1, CircuitState.OPEN: 2}
AWAY = (redis.RedisError, LimitsUnavailableError, SQLAlchemyError)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"sendcode_{name}", text, labels=labels)


class Gauges(Collector):
    """What cannot be read because broker or database is away is left out, and `…_up` is 0."""

    def __init__(
        self,
        standing: Standing,
        broker_up: Callable[[], bool],
        pauses: Callable[[], Sequence[Pause]],
        budgets: Callable[[], Sequence[BudgetStanding]],
    ) -> None:
        self._budgets_now = budgets
        self._standing = standing
        self._pauses_now = pauses
        self._broker_up = broker_up

    def describe(self) -> Iterator[Metric]:
        """The families without samples, so that a registry need not look to learn their names."""
        yield from families().values()

    def collect(self) -> Iterator[Metric]:
        """Look once; a few statements and broker commands, whatever the tables hold."""
        found = families()
        found["build_info"].add_metric([__version__], 1)
        found["broker_up"].add_metric([], int(self._broker_up()))
        database = True
        for read in (self._queues, self._workers, self._circuits, self._pauses, self._budgets):
            try:
                read(found)
            except SQLAlchemyError:
                database = False
            except AWAY:
                continue
        found["database_up"].add_metric([], int(database))
        yield from (family for family in found.values() if family.samples)

    def _queues(self, found: dict[str, GaugeMetricFamily]) -> None:
        for queue in self._standing.queues():
            found["queue_depth"].add_metric([queue.name, "waiting"], queue.waiting)
            found["queue_depth"].add_metric([queue.name, "later"], queue.later)
            found["queue_depth"].add_metric([queue.name, "held"], queue.held)
            found["inflight_jobs"].add_metric([queue.name], queue.in_flight)
            found["queue_oldest_age_seconds"].add_metric([queue.name], queue.oldest_age or 0)

    def _workers(self, found: dict[str, GaugeMetricFamily]) -> None:
        workers, silent = self._standing.workers(), self._standing.silent_seconds()
        busy = sum(worker.busy for worker in workers)
        found["workers_alive"].add_metric([], len(workers))
        quiet = sum(worker.state == State.QUIET for worker in workers)
        found["workers_quiet"].add_metric([], quiet)
        found["worker_slots"].add_metric(["busy"], busy)
        found["worker_slots"].add_metric(["free"], sum(w.slots for w in workers) - busy)
        heard = MOST_SILENT if silent is None else min(silent, MOST_SILENT)
        found["worker_silent_seconds"].add_metric([], heard)

    def _circuits(self, found: dict[str, GaugeMetricFamily]) -> None:
        for circuit in self._standing.circuits():
            labels = [circuit.sender, circuit.channel.value]
            found["circuit_state"].add_metric(labels, _CODES[circuit.state])

    def _pauses(self, found: dict[str, GaugeMetricFamily]) -> None:
        for pause in self._pauses_now():
            labels = [pause.kind, pause.name]
            found["paused_since_timestamp_seconds"].add_metric(labels, pause.since / 1000)
            if pause.until is not None:
                found["paused_until_timestamp_seconds"].add_metric(labels, pause.until / 1000)

    def _budgets(self, found: dict[str, GaugeMetricFamily]) -> None:
        """Services are told apart in the console, and not by a label: here is the worst of them."""
        ratios: dict[str, float] = {}
        for one in self._budgets_now():
            scope = target_of(one.scope).partition(" VA")[0]
            ratios[scope] = max(one.ratio, ratios.get(scope, 0))
        for scope, ratio in ratios.items():
            found["budget_used_ratio"].add_metric([scope], ratio)


def families() -> dict[str, GaugeMetricFamily]:
    """Every gauge without samples, by its name without the prefix."""
    every = (
        _gauge("queue_depth", "Codes that wait, are due later or held.", "queue", "state"),
        _gauge("queue_oldest_age_seconds", "How long the oldest code has waited.", "queue"),
        _gauge("inflight_jobs", "Deliveries that workers hold.", "queue"),
        _gauge("workers_alive", "Worker processes that are up."),
        _gauge("workers_quiet", "Worker processes that an operator has told to take nothing."),
        _gauge("worker_slots", "Slots of all workers.", "state"),
        _gauge("worker_silent_seconds", "Since the last heartbeat through the queue."),
        _gauge("circuit_state", "0 closed, 1 half-open, 2 open.", "sender", "channel"),
        _gauge("paused_since_timestamp_seconds", "When an operator paused it.", "kind", "name"),
        _gauge("paused_until_timestamp_seconds", "When its pause ends by itself.", "kind", "name"),
        _gauge("budget_used_ratio", "Of a day's budget, how much is used.", "scope"),
        _gauge("broker_up", "Whether the broker answers."),
        _gauge("database_up", "Whether the database answers."),
        _gauge("build_info", "The version that answers.", "version"),
    )
    return {family.name.removeprefix("sendcode_"): family for family in every}
