"""One child process, in a session of its own, gone when its parent is."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
MARK = "SENDCODE_HOME"


class StartError(Exception):
    """A part of the embedded set-up cannot start: the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What to run and how to treat it.

    :param ready: asked with the pid until it answers True
    :param stop_by: seconds after the stop began when it is killed; smaller ones are stopped first
    :param death_signal: what it gets when the supervisor dies (Linux)
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    ready: Callable[[int], bool]
    stop_by: float = 9.5
    death_signal: signal.Signals = signal.SIGKILL


def dies_with_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    """A `preexec_fn` that ties the child to the calling thread; None where no such tie exists."""
    if not sys.platform.startswith("linux"):
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return tie


class Child:
    """A started process, or an adopted one that an earlier supervisor started."""

    def __init__(self, pid: int, popen: "subprocess.Popen[bytes] | None" = None) -> None:
        self.pid = pid
        self._popen = popen

    @classmethod
    def start(cls, spec: Spec, log: Path) -> "Child":
        """Start it from the main thread: the tie to the parent follows the forking thread."""
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            popen = subprocess.Popen(  # noqa: S603
                spec.command,
                env=spec.env,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,
                preexec_fn=dies_with_parent(spec.death_signal),
            )
        except OSError as error:
            raise StartError(
                f"{spec.name}: cannot run {spec.command[0]}: {error.strerror}"
            ) from None
        finally:
            os.close(descriptor)
        return cls(popen.pid, popen)

    def ended(self) -> str | None:
        """How it ended, in words, or None while it lives."""
        if self._popen is None:
            return None if is_alive(self.pid) else "gone"
        code = self._popen.poll()
        if code is None:
            return None
        return f"signal {-code}" if code < 0 else f"exit status {code}"

    def signal(self, number: signal.Signals) -> None:
        if self.ended() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it and what is left of its session."""
        self.signal(signal.SIGKILL)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait(2)

    def wait(self, seconds: float) -> bool:
        """True when it ended within the time."""
        return wait_for(lambda: self.ended() is not None, seconds)

    def stop(self, seconds: float) -> None:
        """Ask it to end, and kill it when it has not within the time."""
        self.signal(signal.SIGTERM)
        if not self.wait(seconds):
            self.kill()


def wait_for(done: Callable[[], bool], seconds: float, pause: float = 0.02) -> bool:
    """Ask until it is done or the time is over; whether it is done."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
    return True


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return True
