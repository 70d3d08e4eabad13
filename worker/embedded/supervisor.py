"""Keeps the processes of one data folder running: start, restart, stop in order."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from types import FrameType, TracebackType
from typing import Self

from worker.embedded.claim import claim
from worker.embedded.home import Home
from worker.embedded.kept import Kept, failure
from worker.embedded.processes import Child, Spec, dies_with_parent

LOOK = 0.1


class StoppedError(Exception):
    """A signal asked the supervisor to stop."""


class Supervisor:
    """Use as a context manager from the main thread: leaving it stops every process.

    :param about: what a second supervisor on the same folder is told, such as our URL
    :raises StartError: another supervisor holds the folder
    """

    def __init__(self, home: Home, about: str = "") -> None:
        self.home = home
        self._kept: dict[str, Kept] = {}
        self._lock = claim(home.run / "supervisor.lock", about)
        self._stop_asked = False

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
                signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        os.close(self._lock)

    def launch(self, *specs: Spec) -> None:
        """Start processes side by side; `ready` waits for them."""
        for spec in specs:
            self._kept[spec.name] = Kept(self.home, spec)

    def adopt(self, spec: Spec, child: Child) -> None:
        """Take over a live process of an earlier supervisor."""
        self._kept[spec.name] = Kept(self.home, spec, child)

    def ready(self, *names: str, seconds: float = 60) -> None:
        """Wait until the named processes (all, when none is named) are ready.

        :raises StartError: one ended or the time is over; its last log lines are in the message
        :raises StoppedError: a signal came
        """
        waiting = [self._kept[name] for name in names or self._kept]
        deadline = time.monotonic() + seconds
        while waiting := [kept for kept in waiting if not kept.is_ready()]:
            if self._stop_asked:
                raise StoppedError
            if time.monotonic() > deadline:
                raise waiting[0].failure(f"not ready in {seconds:g} s")
            time.sleep(LOOK)

    def run(self, name: str, env: Mapping[str, str], command: Sequence[str]) -> str:
        """Run a command to its end; its standard output.

        :raises StartError: it failed; its last log lines are in the message
        :raises StoppedError: a signal came
        """
        with self.home.log_file(name).open("ab") as log:
            popen = subprocess.Popen(  # noqa: S603
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                preexec_fn=dies_with_parent(signal.SIGKILL),
                text=True,
            )
        output = self._output(popen)
        if popen.returncode:
            raise failure(self.home, name, f"exit status {popen.returncode}")
        return output

    def watch(self, until: Callable[[], bool] = lambda: False) -> None:
        """Restart what dies, until a signal comes or `until` answers True."""
        while not (self._stop_asked or until()):
            for kept in self._kept.values():
                kept.look_after()
            time.sleep(LOOK)

    def stop(self) -> None:
        """Stop all in the order of their `stop_by`; what outlives its second is killed."""
        begun = time.monotonic()
        running = sorted(self._kept.values(), key=lambda kept: kept.spec.stop_by)
        for stop_by, group in groupby(running, key=lambda kept: kept.spec.stop_by):
            together = list(group)
            for kept in together:
                kept.ask_to_stop()
            for kept in together:
                kept.make_sure(begun + stop_by - time.monotonic())
        self._kept.clear()

    def _output(self, popen: "subprocess.Popen[str]") -> str:
        while True:
            try:
                return popen.communicate(timeout=LOOK)[0]
            except subprocess.TimeoutExpired:
                if self._stop_asked:
                    popen.kill()
                    popen.communicate()
                    raise StoppedError from None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop_asked = True
