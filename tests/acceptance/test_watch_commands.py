"""The operators' commands beside the running processes."""

import csv
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.running import NUMBERS, Up, until
from tests.acceptance.test_cli import DONE, NOT_FOUND, UNREACHABLE, USAGE, result, run

pytestmark = pytest.mark.parametrize("up", ["sqlite"], indirect=True)
FAILED = 1


def failed_code(up: Up, to: str) -> Any:
    """A started code that the provider refuses; its delivery."""
    up.fault(to, fail="reject", code=21408, times=1)
    sid = up.start_code(to)["send_code_attempts"][0]["attempt_sid"]
    until(lambda: up.delivery(sid)["state"] == "failed", about="a failure")
    return sid


def test_from_a_failure_to_its_cause(up: Up, to: str) -> None:
    """`failures` names cause and newest, `show` its timeline, `requests` finds it by code and by
    number; none of them repeats the number."""
    sid = failed_code(up, to)
    found = result(up, "failures", "--since", "1h", "--country", "us", "--sender", "main")
    assert (found["total"] >= 1, found["at_least"]) == (True, False)
    groups = found["groups"]
    (group,) = [one for one in groups if one["sample"] == sid]
    assert result(up, "failures", "--sender", "gone")["groups"] == []
    assert (group["code"], group["channel"], group["country"]) == ("21408", "sms", "US")
    assert "geographic permissions" in group["cause"]
    shown = result(up, "show", sid)
    assert shown["deliveries"][0]["cause"] == group["cause"]
    by_code = result(up, "requests", "--error", "21408", "--state", "failed", "--since", "15m")
    assert sid in [one["sid"] for one in by_code["records"]]
    service = shown["service_sid"]
    of_service = result(up, "requests", "--service", service, "--error", "21408")
    assert sid in [one["sid"] for one in of_service["records"]]
    assert result(up, "requests", "--service", "VA" + "0" * 32)["records"] == []
    by_number = result(up, "requests", "--number", to)
    assert [one["sid"] for one in by_number["records"]] == [sid]
    texts = [run(up, *words) for words in (("failures",), ("show", sid), ("requests",))]
    assert [code for code, _, _ in texts] == [DONE] * 3
    for text in [str(groups), str(shown), str(by_number), *(out for _, out, _ in texts)]:
        assert to[1:] not in text
        assert to[2:] not in text


def test_show_takes_the_providers_sid(up: Up, to: str) -> None:
    """`show` finds a code by the sid in the provider's console, with its receipts."""
    started = up.start_code(to)
    sid = started["send_code_attempts"][0]["attempt_sid"]
    until(lambda: up.delivery(sid)["state"] == "delivered", about="a receipt")
    shown = result(up, "show", up.delivery(sid)["provider_sid"])
    assert shown["sid"] == started["sid"]
    assert "delivered" in [word["status"] for word in shown["deliveries"][0]["receipts"]]


def test_prefixes(up: Up) -> None:
    """`prefixes` counts codes by how their numbers begin and repeats no number; an unknown country
    is wrong usage."""
    numbers = [next(NUMBERS) for _ in range(3)]
    for number in numbers:
        up.start_code(number)
    found = result(up, "prefixes", "--country", "us", "--since", "15m")
    (one,) = [one for one in found["prefixes"] if numbers[0].startswith(one["prefix"])]
    assert (one["country"], one["blocked"]) == ("US", False)
    assert found["codes"] >= one["codes"] >= one["numbers"] >= 3
    code, text, _ = run(up, "prefixes")
    assert (code, one["prefix"] in text) == (DONE, True)
    for number in numbers:
        assert number[2:] not in text + str(found)
    assert run(up, "prefixes", "--country", "XX")[0] == USAGE


def test_queues_and_top(up: Up) -> None:
    """`queues` and `top --once` show every queue, the worker and the circuits."""
    queues = result(up, "queues")
    top = result(up, "top", "--once")
    for seen in (queues, top):
        names = {one["name"] for one in seen["queues"]}
        assert names == {"sms", "call", "sms.busy", "call.busy", "relay"}
        assert [worker["slots"] for worker in seen["workers"]] == [32]
        assert {one["sender"] for one in seen["circuits"]} == {"main"}
    exit_code, text, _ = run(up, "top", "--once")
    assert (exit_code, "sms.busy" in text) == (DONE, True)


def kept(up: Up) -> dict[str, str]:
    """The settings of the running processes."""
    lines = (up.root / "settings.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line.startswith("SENDCODE_"))


def test_doctor_finds_all_well(up: Up) -> None:
    """With everything up each check passes, through queue, callback and provider."""
    code, text, _ = run(up, "doctor", "--json", **kept(up))
    assert code == DONE, text
    found = json.loads(text)
    names = [one["name"] for one in found]
    assert names == [
        *("broker", "database", "migrations", "clocks", "credentials of main"),
        *("callbacks", "relay", "worker", "disk"),
    ]
    assert all(one["passed"] for one in found)


@pytest.mark.parametrize(
    ("settings", "broken", "code"),
    [
        ({"SENDCODE_BROKER_URL": "redis://:secret-of-it@127.0.0.1:1/0"}, "broker", UNREACHABLE),
        ({"SENDCODE_PUBLIC_URL": "http://127.0.0.1:1"}, "callbacks", FAILED),
        ({"SENDCODE_TWILIO_AUTH_TOKEN": "not-the-token"}, "credentials of main", FAILED),
        ({"SENDCODE_SANDBOX_URL": "http://127.0.0.1:1"}, "credentials of main", FAILED),
    ],
)
def test_doctor_finds_what_is_broken(
    up: Up, settings: dict[str, str], broken: str, code: int
) -> None:
    """What does not work has a line with ✗ and no secret in it, and decides the exit code."""
    found, text, errors = run(up, "doctor", **(kept(up) | settings))
    assert found == code, text
    assert f"✗ {broken}: " in text
    assert "✓ disk: " in text
    assert not {"secret-of-it", "not-the-token"} & set((text + errors).replace(":", " ").split())
    assert "Traceback" not in errors


def test_requests_are_exported(up: Up, to: str, tmp_path: Path) -> None:
    """`export` writes what matches to a new file that its owner alone can read, or to stdout; a
    file that is there is left as it is."""
    sid = failed_code(up, to)
    file = tmp_path / "requests.csv"
    words = ("export", str(file), "--number", to)
    assert result(up, *words) == {"exported": 1}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (row,) = csv.DictReader(file.read_text().splitlines())
    assert (row["sid"], row["error_code"], row["state"]) == (sid, "21408", "failed")
    assert to[2:] not in file.read_text()
    assert run(up, *words)[0] == USAGE
    assert run(up, "export", "-", "--number", to)[:2] == (DONE, file.read_text())


def test_the_inbox_is_the_pretend_phone(up: Up, to: str) -> None:
    """`inbox` waits for what comes, prints the code alone where it is asked to, and lists what
    came after an id."""
    result(up, "send", to)
    code = up.wait(to)["code"]

    def inbox(*words: str, code: int = DONE, **settings: str) -> str:
        found, output, errors = run(up, "inbox", *words, **(kept(up) | settings))
        assert (found, "Traceback" in errors, "not-the-token" in errors) == (code, False, False)
        return output

    assert inbox(to, "--code-only") == f"{code}\n"
    (first,) = json.loads(inbox(to, "--json"))
    assert (first["to"], first["code"]) == (to, code)
    result(up, "send", to)
    later = (to, "--json", "--after", str(first["id"]))
    (second,) = json.loads(inbox(*later, "--wait", "20"))
    assert (second["code"], second["id"] > first["id"]) == (code, True)
    assert [one["id"] for one in json.loads(inbox(*later))] == [second["id"]]
    assert code in inbox()
    beyond = (to, "--after", "999999999")
    assert inbox(*beyond) == "no message\n"
    for words, missing, settings in (
        ((*beyond, "--wait", "1"), NOT_FOUND, {}),
        ((*beyond, "--code-only"), NOT_FOUND, {}),
        (("nonsense",), USAGE, {}),
        ((), UNREACHABLE, {"SENDCODE_SANDBOX_URL": "http://127.0.0.1:1"}),
        ((), UNREACHABLE, {"SENDCODE_AUTH_TOKEN": "not-the-token"}),
        ((), USAGE, {"SENDCODE_PROVIDER": "twilio"}),
    ):
        assert inbox(*words, code=missing, **settings) == ""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("show", "VL" + "0" * 32), NOT_FOUND),
        (("show", "SM" + "0" * 32), NOT_FOUND),
        (("requests", "--since", "yesterday"), USAGE),
        (("requests", "--state", "lost"), USAGE),
        (("requests", "--number", "nonsense"), USAGE),
        (("export", "-", "--number", "nonsense"), USAGE),
        (("inbox", "--wait", "1"), USAGE),
    ],
)
def test_what_cannot_be_shown(up: Up, words: tuple[str, ...], code: int) -> None:
    """What is not there or cannot be read has its exit code, and no output."""
    found, output, _ = run(up, *words)
    assert (found, output) == (code, "")
