"""One process that is kept running: ready, restarted with a growing pause, stopped."""

import signal
import sys
import time
from contextlib import suppress

from worker.embedded.home import Home
from worker.embedded.processes import Child, Spec, StartError

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
STEADY = 30.0  # seconds of life after which a death counts as the first again
TAIL = 12


class Kept:
    """A process of the supervisor, with its pid file, its log and its restarts."""

    def __init__(self, home: Home, spec: Spec, adopted: Child | None = None) -> None:
        self.spec = spec
        self._home, self._pid_file = home, home.pid_file(spec.name)
        self._pause, self._again_at = FIRST_PAUSE, 0.0
        self._ready = False
        self._start(adopted)

    def is_ready(self) -> bool:
        """Whether it ever was ready.

        :raises StartError: it ended before
        """
        how = self.child.ended()
        if how and self._adopted:  # it was already dying when it was adopted
            self._start()
        elif how:
            raise self.failure(how)
        self._ready = self._ready or self.spec.ready(self.child.pid)
        return self._ready

    def look_after(self) -> None:
        """Start it again when it died, after its pause."""
        how = self.child.ended()
        if how is None:
            return
        now = time.monotonic()
        if not self._again_at:
            if now - self._since > STEADY:
                self._pause = FIRST_PAUSE
            self._again_at = now + self._pause
            say(f"{self.spec.name} died ({how}), starting it again in {self._pause:g} s")
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
        elif now >= self._again_at:
            self._again_at = 0.0
            with suppress(StartError):  # the next look says so and waits longer
                self._start()

    def ask_to_stop(self) -> None:
        self.child.signal(signal.SIGTERM)

    def make_sure(self, seconds: float) -> None:
        """Kill it unless it ends within the time."""
        if not self.child.wait(seconds):
            self.child.kill()
        self._pid_file.unlink(missing_ok=True)

    def failure(self, how: str) -> StartError:
        return failure(self._home, self.spec.name, how)

    def _start(self, adopted: Child | None = None) -> None:
        name = self.spec.name
        self._since, self._adopted = time.monotonic(), adopted is not None
        (self._home.run / f"{name}.ready").unlink(missing_ok=True)
        self.child = adopted or Child.start(self.spec, self._home.log_file(name))
        draft = self._pid_file.with_suffix(".new")
        draft.write_text(f"{self.child.pid}\n")
        draft.replace(self._pid_file)


def failure(home: Home, name: str, how: str) -> StartError:
    """What a person needs to know: which, how, and the end of its log."""
    log = home.log_file(name)
    lines = log.read_text(errors="replace").splitlines()[-TAIL:] if log.exists() else []
    return StartError("\n".join([f"{name} failed ({how}); the end of {log}:", *lines]))


def say(line: str) -> None:
    """One line for the person at the terminal."""
    sys.stderr.write(f"sendcode: {line}\n")
    sys.stderr.flush()
