"""A process of sendcode that is killed and comes back."""

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from worker.embedded.processes import Child, Spec, StartError, wait_for

PAUSE = 0.3  # seconds before a dead process is started again, as a supervisor would


class Part:
    """One process that is kept running while `keep` is true.

    :param ready: asked until it answers True, after a start that waits
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        folder: Path,
        ready: Callable[[], bool] | None = None,
    ) -> None:
        self.name, self.keep = name, True
        self.log = folder / f"{name}.log"
        self.mark = folder / f"{name}.ready"
        self.ready = ready or self.mark.exists
        self.lives = 0
        self._spec = Spec(
            name,
            command,
            {**env, "SENDCODE_READY_FILE": str(self.mark)},
            ready=lambda pid: self.ready(),
            death_signal=signal.SIGKILL,
        )
        self._child: Child | None = None
        self._again_at: float | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.ended() is None

    def start(self) -> None:
        self.keep, self._again_at = True, None
        self.mark.unlink(missing_ok=True)
        self._child = Child.start(self._spec, self.log)
        self.lives += 1

    def wait(self, seconds: float = 120) -> None:
        """Wait until it is ready.

        :raises StartError: it is not, with the end of its log
        """
        if not wait_for(lambda: self.ready() or not self.alive, seconds, 0.05) or not self.alive:
            raise StartError(f"{self.name} did not start:\n{self.tail()}")

    def look(self) -> None:
        """Start it again when it died, after a pause."""
        if self.alive or not self.keep:
            return
        now = time.monotonic()
        if self._again_at is None:
            self._again_at = now + PAUSE
        elif now >= self._again_at:
            self.start()

    def signal(self, number: signal.Signals) -> None:
        if self._child is not None:
            self._child.signal(number)

    def kill9(self) -> None:
        self.signal(signal.SIGKILL)
        assert self._child is not None
        self._child.wait(5)

    def stop(self, seconds: float = 10) -> bool:
        """SIGTERM, and no restart; whether it ended by itself within the time."""
        self.keep = False
        if self._child is None:
            return True
        self._child.signal(signal.SIGCONT)
        self._child.signal(signal.SIGTERM)
        ended = self._child.wait(seconds)
        self._child.kill()
        return ended

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""
