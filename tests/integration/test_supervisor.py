import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.embedded.claim import is_ours, read_pid, stop_leftovers
from worker.embedded.processes import is_alive, wait_for

CHILD = """
import os, pathlib, signal, sys, time
name, root, deaf = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3] == "deaf"
def end(*_):
    with open(root / "journal", "a") as journal:
        journal.write(name + "\\n")
    if not deaf:
        sys.exit(0)
signal.signal(signal.SIGTERM, end)
(root / "run" / f"{name}.ready").touch()
time.sleep(600)
"""

SUPERVISOR = """
import os, sys
from pathlib import Path
from worker.embedded.home import Home
from worker.embedded.kept import say
from worker.embedded.processes import Spec, StartError
from worker.embedded.supervisor import StoppedError, Supervisor
home = Home(Path(sys.argv[1]))
deaf = sys.argv[2:]
env = {**os.environ, "SENDCODE_HOME": str(home.root)}
def spec(name, stop_by):
    file = home.run / f"{name}.ready"
    command = [sys.executable, "-c", CHILD, name, str(home.root), "deaf" if name in deaf else ""]
    return Spec(name, command, env, lambda pid: file.exists(), stop_by)
try:
    with Supervisor(home, "http://127.0.0.1:1") as supervisor:
        supervisor.launch(spec("broker", 4.0))
        supervisor.ready()
        supervisor.launch(spec("worker", 3.0), spec("api", 1.0))
        supervisor.ready()
        say("ready")
        supervisor.watch()
except StartError as error:
    say(str(error))
    sys.exit(1)
"""
NAMES = ("broker", "worker", "api")


class Running:
    """A supervisor in a process of its own, over three dummy children."""

    def __init__(self, root: Path, *deaf: str) -> None:
        self.root = root
        self.errors = root.parent / "stderr"
        self.process = launch(root, self.errors, *deaf)
        assert wait_for(lambda: "ready" in self.said(), 30), self.said()

    def said(self) -> str:
        return self.errors.read_text()

    def pid(self, name: str) -> int:
        pid = read_pid(self.root / "run" / f"{name}.pid")
        assert pid is not None
        return pid

    def pids(self) -> list[int]:
        return [self.pid(name) for name in NAMES]

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(12)


def launch(root: Path, errors: Path, *deaf: str) -> "subprocess.Popen[bytes]":
    code = f"CHILD = {CHILD!r}\n{SUPERVISOR}"
    with errors.open("wb") as output:
        command = [sys.executable, "-c", code, str(root), *deaf]
        return subprocess.Popen(command, stderr=output, start_new_session=True)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    found = Running(tmp_path / "home")
    yield found
    found.process.kill()
    found.process.wait()


def test_a_dead_process_is_started_again(running: Running) -> None:
    """A process that dies comes back under a new pid, and one line says so."""
    before = running.pid("worker")
    os.kill(before, signal.SIGKILL)
    assert wait_for(lambda: running.pid("worker") != before, 5)
    assert running.said().count("worker died (signal 9), starting it again in 0.5 s\n") == 1
    assert is_alive(running.pid("worker"))


def test_repeated_deaths_wait_longer(running: Running) -> None:
    """A process that keeps dying is started again after a growing pause."""
    for pause in ("0.5", "1"):
        before = running.pid("api")
        os.kill(before, signal.SIGKILL)
        assert wait_for(lambda before=before: running.pid("api") != before, 5)  # type: ignore[misc]
        assert f"starting it again in {pause} s" in running.said()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stops_the_doors_first_and_the_broker_last(
    running: Running, number: signal.Signals
) -> None:
    """Ctrl-C and SIGTERM stop api, worker and broker in that order, and leave no pid file."""
    pids = running.pids()
    assert running.stop(number) == 0
    assert (running.root / "journal").read_text().split() == ["api", "worker", "broker"]
    assert not any(is_alive(pid) for pid in pids)
    assert not list((running.root / "run").glob("*.pid"))


def test_one_that_does_not_listen_is_killed_in_time(tmp_path: Path) -> None:
    """A process deaf to SIGTERM is killed at its second, and the rest still stops in order."""
    running = Running(tmp_path / "home", "worker")
    pids, begun = running.pids(), time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - begun > 2.5
    assert not any(is_alive(pid) for pid in pids)


def test_ctrl_c_reaches_the_supervisor_only(running: Running) -> None:
    """Each child has a session of its own, so that the terminal's Ctrl-C does not reach it."""
    sessions = {os.getsid(pid) for pid in running.pids()}
    assert len(sessions) == 3
    assert os.getsid(running.process.pid) not in sessions


def test_a_second_supervisor_is_refused(running: Running, tmp_path: Path) -> None:
    """A second start on the same folder says who runs and where, exits 1, and changes nothing."""
    pids = running.pids()
    second = launch(running.root, tmp_path / "second")
    assert second.wait(20) == 1
    line = f"sendcode: already running (pid {running.process.pid}) at http://127.0.0.1:1\n"
    assert (tmp_path / "second").read_text() == line
    assert running.pids() == pids
    assert all(is_alive(pid) for pid in pids)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the tie is Linux's")
def test_kill_9_of_the_supervisor_leaves_no_orphan(running: Running) -> None:
    """When the supervisor is killed its children are gone, and a new one can start."""
    pids = running.pids()
    running.process.kill()
    running.process.wait()
    assert wait_for(lambda: not any(is_alive(pid) for pid in pids), 5)
    again = Running(running.root)
    assert again.stop() == 0


def test_leftovers_are_stopped_but_never_a_stranger(tmp_path: Path) -> None:
    """A process with this folder's mark is stopped; one that only has its pid in a file is not."""
    tmp_path = tmp_path.resolve()
    other = Path(f"{tmp_path}-other")
    ours, stranger = sleeper(tmp_path), sleeper(other)
    try:
        assert wait_for(lambda: is_ours(ours.pid, tmp_path) and is_ours(stranger.pid, other), 5)
        assert not is_ours(stranger.pid, tmp_path)
        for name, process in (("api", ours), ("worker", stranger)):
            (tmp_path / f"{name}.pid").write_text(str(process.pid))
        stop_leftovers(tmp_path, tmp_path)
        assert ours.wait(5) == -signal.SIGTERM
        assert stranger.poll() is None
        assert not list(tmp_path.glob("*.pid"))
    finally:
        for process in (ours, stranger):
            process.kill()
            process.wait()


def sleeper(home: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["/bin/sleep", "60"], env={"SENDCODE_HOME": str(home)})
