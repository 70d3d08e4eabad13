"""What a worker process does at this moment, and how it obeys an operator."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from worker.presence import Order, State

log = structlog.get_logger()
MOST_JOBS = 20  # that are told of


class Duty:
    """
    :param quiet: stops taking messages
    :param work: takes them again
    :param stop: ends the process as SIGTERM does
    """

    def __init__(
        self, quiet: Callable[[], object], work: Callable[[], object], stop: Callable[[], object]
    ) -> None:
        self._acts = {Order.QUIET: quiet, Order.WORK: work, Order.STOP: stop}
        self._lock = threading.Lock()
        self._jobs: dict[str, dict[str, Any]] = {}
        self._error: tuple[str, int] | None = None
        self._started_at = _now()
        self.state = State.WORKING

    def job_began(self, job: str, task: str, sids: Sequence[str]) -> None:
        """
        :param sids: of deliveries; nothing else of a job is told
        """
        sid = sids[0] if sids else None
        with self._lock:
            self._jobs[job] = {"task": task.removeprefix("sendcode."), "sid": sid, "since": _now()}

    def job_ended(self, job: str) -> None:
        with self._lock:
            self._jobs.pop(job, None)

    def job_crashed(self, kind: str) -> None:
        self._error = kind, _now()

    def drain(self) -> None:
        """It takes no more, and ends."""
        self.state = State.DRAINING

    def obey(self, order: Order) -> None:
        """Do as an operator wants, unless it is about to end."""
        if self.state is State.DRAINING:
            return
        if order is not Order.STOP:
            self.state = State.QUIET if order is Order.QUIET else State.WORKING
        log.warning("worker.ordered", order=order.value)
        self._acts[order]()

    def facts(self) -> dict[str, Any]:
        """What is told of it, beside its slots."""
        with self._lock:
            jobs = sorted(self._jobs.values(), key=lambda job: job["since"])[:MOST_JOBS]
        error, error_at = self._error or (None, None)
        return {
            "state": self.state.value,
            "started_at": self._started_at,
            "jobs": jobs,
            "error": error,
            "error_at": error_at,
        }


def _now() -> int:
    return time.time_ns() // 1_000_000
