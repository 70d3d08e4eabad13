"""`sendcode demo` beside the running processes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.running import START_SECONDS, Up, until
from tests.acceptance.test_cli import DONE, FAILED, UNREACHABLE, USAGE, run
from tests.acceptance.test_watch_commands import kept
from worker.embedded.broker import free_port

pytestmark = pytest.mark.parametrize("up", ["sqlite"], indirect=True)
WAIT = ("--wait", "45")  # of a busy machine


def told(up: Up, *words: str, code: int = DONE, **settings: str) -> Any:
    """What `demo` prints with --json."""
    found, output, errors = run(up, "demo", *words, "--json", **(kept(up) | settings))
    assert found == code, errors or output
    return json.loads(output)


def orders(up: Up) -> list[Any]:
    return list(up.http.get("/sandbox/v1/faults").json()["faults"])


def received(up: Up, after: int = 0) -> list[Any]:
    """All that reached the sandbox's phones, the newest first."""
    found = up.http.get("/sandbox/v1/messages", params={"limit": 1000}).json()["messages"]
    return [one for one in found if one["id"] > after]


def newest(up: Up) -> int:
    return max((one["id"] for one in received(up)), default=0)


def states(up: Up, seen: Any) -> list[str]:
    """Where the verifications of a demo stand in the database."""
    query = "SELECT status FROM verifications WHERE sid = :sid"
    sids = [one["verification"] for one in seen["deliveries"] if one["verification"]]
    return [up.rows(query, sid=sid)[0]["status"] for sid in sids]


@contextmanager
def no_worker(up: Up) -> Iterator[None]:
    """The worker stands still."""
    up.settle()
    os.kill(up.pid("worker"), signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(up.pid("worker"), signal.SIGCONT)


def test_all_ends_as_ordered(up: Up) -> None:
    """Texts and calls arrive but for those that were ordered to fail, codes are approved, and
    neither an order nor a pending verification is left."""
    before, after = orders(up), newest(up)
    seen = told(up, "--count", "10", "--failure-rate", "0.3", *WAIT)
    counts, rows = seen["summary"], seen["deliveries"]
    wanted = {"wanted": 10, "sent": 10, "delivered": 7, "failed_as_ordered": 3, "unexpected": 0}
    assert counts.items() >= wanted.items()
    assert counts["approved"] == sum(one["approved"] for one in rows) > 0
    assert sorted(one["channel"] for one in rows) == ["call"] * 2 + ["sms"] * 8
    assert {one["error_code"] for one in rows if one["failure_ordered"]} == {"30003"}
    assert all(one["delivered_ms"] >= one["accepted_ms"] for one in rows if one["delivered_ms"])
    assert set(states(up, seen)) == {"approved", "canceled"}
    assert orders(up) == before
    on_phones = received(up, after)
    # A call that fails says nothing, so it is on no phone.
    assert 8 <= len(on_phones) <= 10
    text = json.dumps(seen)
    assert not [one for one in on_phones if one["to"][2:] in text or f'"{one["code"]}"' in text]


def test_the_table_tells_no_code_and_no_number(up: Up) -> None:
    """The table has a line for each delivery with its number masked, a summary, and neither a code
    nor a whole number."""
    after = newest(up)
    words = ("demo", "--count", "5", "--failure-rate", "0", "--channel", "sms", *WAIT)
    code, text, errors = run(up, *words, **kept(up))
    assert code == DONE, errors
    assert "5 of 5 sent, 5 delivered" in text
    assert "0 unexpected" in text
    assert text.count("+1********") == 5
    assert "approved" in text
    on_phones = received(up, after)
    assert len(on_phones) == 5
    for one in on_phones:
        assert one["to"][2:] not in text + errors
        assert one["code"] not in (text + errors).split()


def test_what_was_not_ordered_is_unexpected(up: Up) -> None:
    """Exit code 1 where a text fails by somebody else's order, which stays theirs."""
    up.settle()
    up.fault("*", fail="undelivered", code=30007, channel="sms")
    try:
        theirs = orders(up)
        words = ("--count", "4", "--failure-rate", "0.5", *WAIT)
        seen = told(up, *words, code=FAILED)
        assert orders(up) == theirs
    finally:
        up.http.delete("/sandbox/v1/faults", params={"to": "*"})
    assert (seen["summary"]["failed_as_ordered"], seen["summary"]["unexpected"]) == (2, 2)
    codes = {one["error_code"]: one["as_ordered"] for one in seen["deliveries"]}
    assert codes == {"30003": True, "30007": False}


def test_a_refused_one_is_unexpected(up: Up) -> None:
    """A start that a limit refuses has a line that says so, and the others go on."""
    words = ("--count", "25", "--failure-rate", "0", "--channel", "sms", *WAIT)
    seen = told(up, *words, code=FAILED, SENDCODE_LIMIT_RANGE="1")
    refused = [one for one in seen["deliveries"] if one["refused"]]
    assert len(refused) == seen["summary"]["unexpected"] == 25 - seen["summary"]["sent"]
    assert {(one["state"], one["as_ordered"]) for one in refused} == {("refused", False)}
    assert all("range" in one["refused"] for one in refused)


def test_without_a_worker_the_first_is_the_last(up: Up) -> None:
    """Where no worker takes the first, no other is started, the exit code is 1, and nothing is sent
    once a worker is there again."""
    before = len(up.sent())
    with no_worker(up):
        words = ("demo", "--count", "6", "--failure-rate", "1", "--wait", "1", "--json")
        code, output, errors = run(up, *words, **kept(up))
    seen = json.loads(output)
    assert (code, orders(up)) == (FAILED, [])
    assert "no worker" in errors
    assert [one["state"] for one in seen["deliveries"]] == ["queued"]
    assert (seen["summary"]["sent"], seen["summary"]["unexpected"]) == (1, 6)
    assert states(up, seen) == ["canceled"]
    up.settle()
    assert up.delivery(seen["deliveries"][0]["delivery"])["state"] == "canceled"
    assert len(up.sent()) == before


def test_ctrl_c_takes_everything_back(up: Up) -> None:
    """After Ctrl-C no order is left and what was not sent is canceled."""
    before = {row["sid"] for row in up.rows("SELECT sid FROM deliveries")}
    pending = "SELECT sid FROM deliveries WHERE state = 'queued'"
    with no_worker(up):
        words = ("demo", "--failure-rate", "1", "--wait", "600")
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "worker.cli", *words],
            env=up.environment | kept(up),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            until(lambda: len(orders(up)) == 20 and up.rows(pending), START_SECONDS, "a demo")
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=45)
        finally:
            process.kill()
            process.wait()
    assert (process.returncode, output) == (FAILED, "")
    assert "Traceback" not in errors
    assert orders(up) == []
    made = {row["sid"] for row in up.rows("SELECT sid FROM deliveries")} - before
    assert [up.delivery(sid)["state"] for sid in made] == ["canceled"]


@pytest.mark.parametrize(
    ("settings", "code", "names"),
    [
        ({"SENDCODE_PROVIDER": "twilio"}, USAGE, "SENDCODE_PROVIDER"),
        ({"SENDCODE_TWILIO_BASE_URL": "http://127.0.0.1:1"}, USAGE, "SENDCODE_TWILIO_BASE_URL"),
        ({"SENDCODE_SANDBOX_URL": "http://127.0.0.1:1"}, UNREACHABLE, "does not answer"),
        ({"SENDCODE_AUTH_TOKEN": "not-the-token"}, UNREACHABLE, "401"),
    ],
)
def test_it_sends_to_the_sandbox_alone(
    up: Up, settings: dict[str, str], code: int, names: str
) -> None:
    """Where codes do not go to our sandbox it says why, in one line, and sends nothing."""
    up.settle()
    before = up.footprint()
    found, output, errors = run(up, "demo", **(kept(up) | settings))
    assert (found, output) == (code, "")
    assert names in errors
    assert len(errors.strip().splitlines()) == 1
    assert up.footprint() == before


@contextmanager
def another_sandbox(up: Up, folder: Path) -> Iterator[str]:
    """The address of a sandbox that no worker hands anything to."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = ("uvicorn", "api_stub.sandbox.app:create_app", "--factory", "--port", str(port))
    env = up.environment | kept(up) | {"SENDCODE_SANDBOX_DB": str(folder / "sandbox-2.db")}
    with (folder / "output").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", *command, "--no-access-log"],
            env=env,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: _lives(url), START_SECONDS, "a sandbox")
        yield url
    finally:
        process.kill()
        process.wait()


def _lives(url: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"{url}/sandbox/livez", trust_env=False).status_code == 200
    return False


def test_workers_with_other_settings_get_one_code(up: Up, tmp_path: Path) -> None:
    """Where the first code reaches another provider than the sandbox that is asked, it is the
    last."""
    up.settle()
    before = len(up.sent())
    with another_sandbox(up, tmp_path) as url:
        settings = kept(up) | {"SENDCODE_SANDBOX_URL": url}
        code, output, errors = run(up, "demo", *WAIT, **settings)
    assert (code, output) == (USAGE, "")
    assert "did not reach the sandbox" in errors
    assert len(up.sent()) == before + 1


@pytest.mark.parametrize(
    "words",
    [("--count", "0"), ("--count", "501"), ("--failure-rate", "1.1"), ("--channel", "pigeon")],
)
def test_what_cannot_be_asked(up: Up, words: tuple[str, ...]) -> None:
    """A value out of range has exit code 2, and no output."""
    assert run(up, "demo", *words, **kept(up))[:2] == (USAGE, "")
