"""What a process does every so often, in one thread."""

import threading
import time
from collections.abc import Callable, Sequence

import structlog

from worker import metrics

log = structlog.get_logger()


class Chore:
    """Something to do every so often; what goes wrong in one keeps none of the others back."""

    def __init__(self, act: Callable[[], object], every: float) -> None:
        self._act, self._every = act, every
        self.due = time.monotonic()

    def run_if_due(self) -> None:
        if time.monotonic() < self.due:
            return
        started = time.monotonic()
        try:
            self._act()
            self.due = started + self._every
        except Exception as error:
            # Nothing that goes wrong once may end the loop that everything falls back on.
            kind = type(error).__name__
            log.warning("relay.chore_failed", chore=self._act.__name__, error_class=kind)
            metrics.chore_failed(self._act.__name__)
            self.due = time.monotonic() + max(1.0, self._every)


def run_chores(chores: Sequence[Chore], stop: threading.Event) -> None:
    """Do each when it is due, until `stop` is set."""
    while not stop.is_set():
        for chore in chores:
            chore.run_if_due()
        stop.wait(max(0.0, min(chore.due for chore in chores) - time.monotonic()))
