"""What the run looks for in its own output, and what it leaves alone."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.leaks import Used

ROOT = Path(__file__).parents[2]
SID = f"VE{'0' * 32}"
NUMBER = "+447400123456"


def looked_for() -> Used:
    wanted = Used()
    wanted.number(NUMBER)
    for code in ("482913", "0042", "18181"):
        wanted.code(code)
    return wanted


@pytest.mark.parametrize(
    "line",
    [
        "482913 is your Example code",
        "sent code:482913.",
        "code=482913 sender=main",
        '{"event": "a.b", "said": "482913 is your code"}',
        '{"event": "a.b", "tried": ["482913"], "to": {"x": 1}}',
        {"event": "a.b", "guess": "482913"},
        "<Say>4, 8, 2, 9, 1, 3.</Say>",
        f"check of {SID} with 0042 failed",
        {"event": "a.b", "verification": SID, "text": "0042"},
        "to +447400123456",
        "To=%2B447400123456&From",
        "to +44 7400 123-456, later",
        "(07400) 123456",
        {"event": "a.b", "n": 447400123456},
        "index 7400123456",
    ],
)
def test_what_was_used_is_found(line: str | dict[str, Any]) -> None:
    """A code that stands alone, a spoken one, and a number in any spelling."""
    assert looked_for().found(line)


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "a.b", "count": 482913, "duration_ms": 482913, "error_code": "482913"}',
        '{"event": "a.b", "ts": "2026-11-25T18:18:13.482913Z"}',
        "18:18:13.482913 worker ready",
        "http://127.0.0.1:482913/ and localhost:482913",
        "Started server process [482913], pid 482913, port 482913",
        "pid=482913, port=482913",
        "distance=482913 kB, took 482913 ms",
        "f482913 482913a 2026-482913 0.482913 482913:M",
        "of 0042 and 18181 nothing is said",
        f"at 0042:13 in {SID}",
        "+44********56",
        "SM74001234560000000000000000000000"[:10],
    ],
)
def test_what_only_looks_like_it_is_left_alone(line: str | dict[str, Any]) -> None:
    """Counts, times, ports, pids, fractions, parts of words, and short codes beside no sid."""
    assert looked_for().found(line) == set()


TESTS = """
import logging, subprocess, sys
import structlog
from api_stub.sandbox import ledger
from api_stub.sandbox.store import Store
from structlog.testing import capture_logs
from tests import leaks

def test_line():
    leaks.used.code("482913")
    structlog.get_logger().info("attempt.accepted", code="482913")

def test_captured_line():
    leaks.used.code("482913")
    with capture_logs():
        structlog.get_logger().debug("attempt.accepted", code="482913")

def test_library():
    leaks.used.sent("+447400123456", "", "<Say>4, 8, 2, 9, 1, 3.</Say>")
    logging.getLogger("library").warning("called %s", "+44 7400 123456")

def test_child():
    leaks.used.code("482913")
    subprocess.run([sys.executable, "-c", "print('482913')"])

def test_clean():
    structlog.get_logger().info("attempt.accepted", sender="482913")

def test_log_file(tmp_path):
    store = Store(tmp_path / "sandbox.db")
    store.add(sid="SM1", channel="sms", recipient="+447400999888", sender="", status="sent",
              body="591827 is your code", params={})
    ledger.opened(store, "sms.create", {"To": ["+447400999888"]})
    store.close()
    (tmp_path / "worker.log").write_text('{"event": "a.b", "said": "591827"}\\n')
    (tmp_path / "relay.log").write_text("for 7400999888\\n")
"""


def test_a_run_fails_when_it_leaks(tmp_path: Path) -> None:
    """Each way by which a code or a number gets into the output fails the test, or, for processes'
    files, the end of the run; the code itself is not in what is said about it."""
    (tmp_path / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "tests.leaks", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-q", "--tb=short", f"--rootdir={tmp_path}", "-c", os.devnull, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = done.stdout
    assert done.returncode == 1, said
    for name in ("line", "captured_line", "library", "child"):
        assert f"at teardown of test_{name}" in said, said
    assert "at teardown of test_clean" not in said
    assert "worker.log: " in said
    assert "relay.log: for <10 digits>" in said
    assert "6 passed, 5 errors" in said, said
