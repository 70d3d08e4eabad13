"""Processes that are killed, stopped and started again, on one data folder."""

import json
import os
import signal
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.running import NUMBERS, PARTS, Up, until
from tests.servers import must_have_broker
from worker.embedded.processes import is_alive

AWAY = ("broker.lost", "broker.restored")
# The shortest lease that leaves the slow answers below their time.
QUICK = {
    "SENDCODE_CONNECT_TIMEOUT": "2",
    "SENDCODE_READ_TIMEOUT": "5",
    "SENDCODE_LEASE_SECONDS": "20",
}


@pytest.fixture(scope="module")
def own(folder: Path) -> Iterator[Up]:
    """A data folder that these tests alone treat badly."""
    must_have_broker()
    running = Up(Path(tempfile.mkdtemp(dir=folder)), **QUICK)
    try:
        running.start()
        yield running
        running.stop()
    finally:
        running.kill()
        running.close()


def pids(up: Up) -> dict[str, int]:
    return {part: up.pid(part) for part in PARTS}


def accepts(up: Up, to: str) -> str | None:
    """The delivery of a code that was started now, or None while the doors do not open."""
    try:
        answer = up.http.post(f"{up.path()}/Verifications", data={"To": to, "Channel": "sms"})
    except httpx.TransportError:
        return None
    if answer.status_code != 201:
        assert answer.status_code == 503, answer.text
        return None
    return str(answer.json()["send_code_attempts"][-1]["attempt_sid"])


def arrives(up: Up) -> None:
    """A code that is started as soon as the doors open reaches the phone."""
    to = next(NUMBERS)
    until(lambda: accepts(up, to), 30)
    until(lambda: reached(up, to), 30, "arrival of the code")


def reached(up: Up, to: str) -> bool:
    try:
        return bool(up.inbox(to))
    except (httpx.TransportError, KeyError):
        return False


def test_a_worker_says_that_the_broker_is_away(own: Up) -> None:
    """Its log tells of the loss, and then of the return."""
    log = own.root / "log" / "worker.log"
    start = log.stat().st_size
    os.kill(own.pid("broker"), signal.SIGKILL)
    told = until(lambda: [e for e in _events(log, start) if e in AWAY][:2][1:], 30, "its return")
    assert told == ["broker.restored"]
    arrives(own)


def _events(log: Path, start: int) -> list[str]:
    lines = log.read_bytes()[start:].decode().splitlines()
    return [json.loads(line)["event"] for line in lines if line.endswith("}")]


def test_a_second_up_says_so(own: Up, tmp_path: Path) -> None:
    """A second start on the folder names the first, exits 1 and leaves it alone."""
    before = pids(own)
    second = own.launch(tmp_path / "second")
    assert second.wait(20) == 1
    assert own.process is not None
    line = f"sendcode: already running (pid {own.process.pid}) at {own.url}\n"
    assert (tmp_path / "second").read_text() == line
    assert pids(own) == before
    arrives(own)


def test_pid_files_and_credentials(own: Up) -> None:
    """run/*.pid name live processes, and what holds secrets is for the owner alone."""
    assert {path.stem for path in (own.root / "run").glob("*.pid")} == set(PARTS)
    assert all(is_alive(pid) for pid in pids(own).values())
    for name in ("dev.env", "secrets.env", "sendcode.db"):
        assert stat.S_IMODE((own.root / name).stat().st_mode) == 0o600, name
    for log in (own.root / "log").iterdir():
        assert stat.S_IMODE(log.stat().st_mode) == 0o600, log.name
    assert stat.S_IMODE(own.root.stat().st_mode) == 0o700


@pytest.mark.parametrize("part", PARTS)
def test_a_killed_process_comes_back(own: Up, part: str) -> None:
    """After kill -9 it is started again, with a line, and a new code reaches the phone."""
    before = pids(own)
    os.kill(before[part], signal.SIGKILL)
    until(lambda: own.pid(part) != before[part])
    assert f"sendcode: {part} died (signal 9), starting it again" in own.said()
    arrives(own)
    after = pids(own)
    assert {name for name in PARTS if after[name] != before[name]} == {part}


def test_a_kill_in_the_middle_sends_once(own: Up, to: str) -> None:
    """A worker killed while the provider answers leaves a delivery that is found, not repeated."""
    own.fault(to, delay_ms=1500, callbacks="none", times=1)
    sid = str(accepts(own, to))
    until(lambda: own.sent(to))
    assert own.delivery(sid)["state"] == "sending"
    os.kill(own.pid("worker"), signal.SIGKILL)
    until(lambda: own.delivery(sid)["state"] == "accepted", 60)
    assert len(own.inbox(to)) == len(own.sent(to)) == 1


def test_ctrl_c_finishes_what_is_in_flight(own: Up, to: str) -> None:
    """A provider call that is under way at Ctrl-C is finished, and its outcome written."""
    before = (own.root / "dev.env").read_text()
    own.fault(to, delay_ms=3000, callbacks="none", times=1)
    sid = str(accepts(own, to))
    running = pids(own)
    until(lambda: own.sent(to))
    assert own.delivery(sid)["state"] == "sending"
    own.stop()
    delivery = own.delivery(sid)
    assert (delivery["state"], delivery["tries"]) == ("accepted", 1)
    assert delivery["provider_sid"]
    assert not any(is_alive(pid) for pid in running.values())
    assert not list((own.root / "run").glob("*.pid"))
    own.start()
    assert (own.root / "dev.env").read_text() == before
    assert len(own.inbox(to)) == 1
    arrives(own)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the tie to the parent is Linux's")
def test_kill_9_of_the_supervisor(own: Up, to: str) -> None:
    """It leaves no process; a job that was queued meanwhile is delivered by the next start."""
    before = (own.root / "dev.env").read_text()
    running = pids(own)
    os.kill(running["worker"], signal.SIGSTOP)
    sids = [str(accepts(own, to)) for _ in range(2)]
    own.kill()
    until(lambda: not any(is_alive(pid) for pid in running.values()), about="the end of all")
    assert {own.delivery(sid)["state"] for sid in sids} == {"queued"}
    own.start()
    until(lambda: len(own.inbox(to)) == 2)
    assert (own.root / "dev.env").read_text() == before
    assert pids(own).keys() == running.keys()
    arrives(own)
