"""Finds a worker that went deaf: alive, with room for work, while its queues are not empty.

Celery on Redis is known to stop consuming after a reconnect. Only what came through the queue
proves that a worker still hears; where nothing else comes, the relay's heartbeat does.
"""

import threading
import time
from collections.abc import Callable, Sequence

import redis
import structlog

from worker import queues

log = structlog.get_logger()

LOOK_EVERY = 2.0  # seconds
DEAF_AFTER = 12.0  # seconds of waiting messages, free slots and silence


class Watchdog:
    """
    :param names: the queues this worker takes from
    :param slots: jobs it can have in flight
    """

    def __init__(
        self,
        broker: "redis.Redis",
        names: Sequence[str],
        slots: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker = broker
        self._names = names
        self.slots = slots
        self._clock = clock
        self._lock = threading.Lock()
        self._running = 0
        self._starving_since: float | None = None
        self.resting = False  # it is told to take nothing, so silence proves nothing

    @property
    def running(self) -> int:
        """Jobs in flight."""
        return self._running

    def job_began(self) -> None:
        with self._lock:
            self._running += 1
            self._starving_since = None

    def job_ended(self) -> None:
        with self._lock:
            self._running -= 1

    def is_deaf(self) -> bool:
        """Look once. A broker that does not answer proves nothing about us, and a job that runs is
        let end first.
        """
        try:
            waiting = any(queues.depth(self._broker, name) for name in self._names)
        except redis.RedisError:
            waiting = False
        with self._lock:
            if self.resting or not waiting or self._running >= self.slots:
                self._starving_since = None
                return False
            if self._starving_since is None:
                self._starving_since = self._clock()
            return not self._running and self._clock() - self._starving_since >= DEAF_AFTER

    def run(self, stop: threading.Event, on_deaf: Callable[[], object]) -> None:
        """Look until `stop` is set, or until this worker is found deaf."""
        while not stop.wait(LOOK_EVERY):
            if self.is_deaf():
                log.error("worker.deaf", silent_seconds=DEAF_AFTER)
                on_deaf()
                return
