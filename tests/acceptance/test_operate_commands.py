"""The commands by which operators act, beside the running processes."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.acceptance.running import Up, until
from tests.acceptance.test_cli import DONE, NOT_FOUND, REFUSED, USAGE, result, run
from tests.acceptance.test_watch_commands import failed_code, kept

pytestmark = pytest.mark.parametrize("up", ["sqlite"], indirect=True)
WHY = ("--reason", "tests")


def test_pause_and_resume(up: Up) -> None:
    """`pause` and `resume` say what they did, `pauses` lists it, `audit` says who and why; a
    dry run does nothing."""
    words = ("country", "FR", *WHY)
    assert result(up, "pause", *words, "--dry-run")["result"] == "would"
    paused = result(up, "pause", *words, "--until", "30m")
    assert (paused["result"], paused["after"]["seconds"]) == ("done", 1800)
    (shown,) = result(up, "pauses")
    assert (shown["kind"], shown["name"], shown["reason"]) == ("country", "FR", "tests")
    assert result(up, "resume", *words)["result"] == "done"
    entries = result(up, "audit", "--target", "country FR")
    assert [one["action"] for one in entries] == ["pause.clear", "pause.set"]
    assert entries[0]["address"].startswith("cli@")


def test_a_failed_code_is_sent_again(up: Up, to: str) -> None:
    """`retry` sends it again, once; `resend --by call` calls; `cancel` ends it; after that both
    are refused with exit code 4."""
    sid = failed_code(up, to)
    made = result(up, "retry", sid, *WHY)["after"]["delivery"]
    message = up.wait(to)
    until(lambda: up.delivery(made)["state"] == "delivered", about="arrival")
    assert result(up, "retry", sid, *WHY)["result"] == "unchanged"
    result(up, "resend", made, "--by", "call", *WHY)
    assert up.wait(to, after=message["id"])["code"] == message["code"]
    assert result(up, "cancel", sid, *WHY)["result"] == "done"
    code, output, errors = run(up, "retry", sid, *WHY)
    assert (code, output, "canceled" in errors) == (REFUSED, "", True)


def test_a_blocked_number(up: Up, to: str) -> None:
    """`block` refuses sends until `unblock`, and nothing but `reveal` shows the number."""
    sid = up.start_code(to)["sid"]
    said = [run(up, "block", to, *WHY), run(up, "blocks"), run(up, "send", to)]
    said += [run(up, "unblock", to, *WHY), run(up, "limits", "reset", to, *WHY)]
    said += [run(up, "audit")]
    assert [code for code, _, _ in said] == [DONE, DONE, REFUSED, *[DONE] * 3]
    assert to[2:] not in str(said)
    shown = result(up, "reveal", sid, *WHY)
    assert (shown["number"], to[2:] in json.dumps(shown["after"])) == (to, False)


def test_a_circuit_by_hand(up: Up) -> None:
    """`circuit` keeps it open, which `queues` shows, and lets it go."""
    told = result(up, "circuit", "main", "call", "open", "--until", "5m", *WHY)
    assert told["after"] == {"state": "open", "seconds": 300}
    assert "circuit main/call open by hand" in run(up, "queues")[1]
    assert result(up, "circuit", "main", "call", "auto", *WHY)["result"] == "done"


def test_bulk(up: Up) -> None:
    """`bulk` counts, asks, does and waits; without an answer it does nothing."""
    numbers = ("+447700900301", "+447700900302")
    for to in numbers:
        up.fault(to, fail="reject", code=21604, times=1)
        up.start_code(to)
    failed = "SELECT sid FROM deliveries WHERE error_code = '21604'"
    until(lambda: len(up.rows(failed)) == len(numbers), about="failures")
    words = ("bulk", "retry", "--error", "21604", "--state", "failed", *WHY)
    before = up.rows("SELECT sid FROM bulk_jobs")
    assert result(up, *words, "--dry-run")["after"]["total"] == 2
    assert run(up, *words)[0] == 1
    assert up.rows("SELECT sid FROM bulk_jobs") == before
    job = result(up, *words, "--yes")
    assert (job["state"], job["done"], job["failed"]) == ("done", 2, 0)
    assert result(up, "bulk", "list")[0] == job
    named = [word for row in up.rows(failed) for word in ("--request", row["sid"])]
    chosen = result(up, "bulk", "retry", *named, *WHY, "--dry-run")
    assert (chosen["after"]["total"], chosen["after"]["chosen"]) == (2, 2)
    assert result(up, "bulk", "stop", job["sid"], *WHY)["result"] == "unchanged"
    assert [up.wait(to)["to"] for to in numbers] == list(numbers)


def test_what_waits_is_dropped(up: Up, to: str) -> None:
    """`discard` drops one that a pause keeps, and then all of its queue."""
    result(up, "pause", "queue", "call", *WHY)
    try:
        sid = up.start_code(to, channel="call")["sid"]
        dropped = result(up, "discard", sid, *WHY)
        assert (dropped["result"], dropped["after"]["state"]) == ("done", "failed")
        other = up.start_code("+447700900303", channel="call")["sid"]
        assert result(up, "discard", "call", "--all", *WHY, "--dry-run")["after"]["total"] == 1
        assert result(up, "discard", "call", "--all", *WHY)["after"]["total"] == 1
        shown = result(up, "show", other)["deliveries"][0]
        assert (shown["state"], shown["error_code"]) == ("failed", "discarded")
    finally:
        result(up, "resume", "queue", "call", *WHY)


def test_a_sender_is_tried_out(up: Up, to: str) -> None:
    """`provider test` sends a code by a worker and says that it was accepted; what is refused has
    exit code 1 and its meaning. `provider check` asks whether the credentials hold."""
    words = ("provider", "test", "main", "sms", to, *WHY)
    assert result(up, *words, "--dry-run")["result"] == "would"
    told = result(up, *words)["after"]
    assert told["state"] in ("accepted", "sent", "delivered")
    assert up.wait(to)["to"] == to
    up.fault(to, fail="reject", code=21610, times=1)
    code, output, _ = run(up, *words)
    assert (code, "21610" in output, to[2:] in output) == (1, True, False)
    code, output, _ = run(up, "provider", "check", "main", *WHY, **kept(up))
    assert (code, "answer accepted" in output) == (DONE, True)


def test_a_worker_is_quiet_works_and_ends(up: Up, to: str) -> None:
    """`workers quiet` has it take nothing, `work` has it go on, and `stop` has it end as on
    SIGTERM, after which its supervisor starts another. No code is lost by it."""

    def only() -> dict[str, Any]:
        found = [one for one in result(up, "workers") if one["state"] != "draining"]
        return found[0] if found else {"name": None, "state": None}

    name = only()["name"]
    assert only()["version"]
    assert result(up, "workers", "quiet", name, *WHY)["result"] == "done"
    until(lambda: only()["state"] == "quiet", about="quiet")
    assert up.http.get("/readyz").json()["quiet_workers"] == [name]
    sid = up.start_code(to)["sid"]
    waits = "SELECT state, tries FROM deliveries WHERE verification_sid = :sid"
    until(
        lambda: up.http.get("/readyz").json()["checks"]["worker"] == "silent",
        seconds=40,
        about="silence",
    )
    assert up.rows(waits, sid=sid) == [{"state": "queued", "tries": 0}]
    assert only()["name"] == name, "the watchdog leaves a quiet one alone"
    assert result(up, "workers", "work", name, *WHY)["result"] == "done"
    assert up.wait(to)["to"] == to
    assert result(up, "workers", "stop", name, *WHY)["result"] == "done"
    until(lambda: only()["name"] not in (None, name), seconds=60, about="another worker")
    up.start_code("+447700900304")
    assert up.wait("+447700900304")["to"] == "+447700900304"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("retry", "VL" + "0" * 32, *WHY), NOT_FOUND),
        (("bulk", "show", "OJ" + "0" * 32), NOT_FOUND),
        (("pause", "country", "FR"), USAGE),
        (("pause", "country", "XX", *WHY), USAGE),
        (("block", "nonsense", *WHY), USAGE),
        (("discard", "sms", *WHY), USAGE),
        (("discard", "VL" + "0" * 32, "--all", *WHY), USAGE),
    ],
)
def test_what_cannot_be_done(up: Up, words: tuple[str, ...], code: int) -> None:
    """What is not there or cannot be used has its exit code, no output and no traceback."""
    found, output, errors = run(up, *words)
    assert (found, output, "Traceback" in errors) == (code, "", False)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shells_complete(up: Up, shell: str) -> None:
    """What completes a half-written word is there for each shell."""
    asked = {"COMP_WORDS": "sendcode pause c", "COMP_CWORD": "c" if shell == "fish" else "2"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from worker.cli import main; main(prog_name='sendcode')"],
        env=up.plain | asked | {"_SENDCODE_COMPLETE": f"{shell}_complete"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert {"channel", "country"} <= set(done.stdout.replace(",", "\n").split())
