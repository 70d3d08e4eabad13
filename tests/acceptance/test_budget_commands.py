"""`sendcode budgets` beside the running processes."""

from typing import Any

import pytest

from tests.acceptance.running import Up, until
from tests.acceptance.test_cli import DONE, REFUSED, UNREACHABLE, USAGE, result, run

pytestmark = pytest.mark.parametrize("up", ["sqlite"], indirect=True)
WHY = ("--reason", "tests")
ICELAND = [f"+354611{n}" for n in range(1230, 1240)]  # a country no other test sends to


def shown(up: Up) -> dict[str, Any]:
    """Each budget as `sendcode budgets --json` shows it, by its scope."""
    return {one["scope"]: one for one in result(up, "budgets")}


def refusal(up: Up, to: str) -> Any:
    """The details of a start that is refused, or None."""
    answer = up.http.post(f"{up.path()}/Verifications", data={"To": to, "Channel": "sms"})
    return answer.json().get("details") if answer.status_code == 429 else None


def test_a_budget_is_set_used_up_and_cleared(up: Up) -> None:
    """`budgets set` counts from then on, and not in a dry run; used up, the command line and the
    doors refuse with exit code 4 and 429; `clear` ends that. None of them repeats a number.
    """
    words = ("budgets", "set", "is", "1", "messages", *WHY)
    assert result(up, *words, "--dry-run")["result"] == "would"
    assert "IS" not in shown(up)
    done = result(up, *words, "--until", "30m")
    assert (done["target"], done["result"]) == ("country IS", "done")
    assert (done["after"]["amount"], done["after"]["seconds"]) == ("1 messages", 1800)
    try:
        assert run(up, "send", ICELAND[0])[0] == DONE
        code, output, errors = run(up, "send", ICELAND[1])
        assert (code, output, "budget" in errors) == (REFUSED, "", True)
        details = until(lambda: refusal(up, ICELAND[2]), about="a refusal")
        assert (details["limit"], details["scope"]) == ("budget", "IS")
        one = shown(up)["IS"]
        assert (one["most"], one["unit"], one["then"]) == (1, "messages", None)
        assert (one["ratio"] >= 1, one["reason"], one["until"][-1]) == (True, "tests", "Z")
        code, plain, _ = run(up, "budgets")
        (line,) = [one for one in plain.splitlines() if one.startswith("country IS")]
        assert "of 1 messages  for 29m, then no budget" in line
        for text in (errors, plain, str(details)):
            assert ICELAND[1][4:] not in text
    finally:
        clear = ("budgets", "clear", "IS", *WHY)
        assert result(up, *clear, "--dry-run")["result"] == "would"
        assert result(up, *clear)["result"] == "done"
    assert result(up, *clear)["result"] == "unchanged"
    until(lambda: not refusal(up, ICELAND[3]), about="a code again")
    entries = result(up, "audit", "--target", "country IS")
    assert [one["action"] for one in entries] == ["budget.clear", "budget.set"]


@pytest.mark.parametrize(
    "words",
    [
        ("set", "IS", "5", "messages"),
        ("set", "ZZ", "5", "messages", *WHY),
        ("set", "VA" + "0" * 32, "5", "messages", *WHY),
        ("set", "IS", "-5", "messages", *WHY),
        ("set", *WHY, "--", "IS", "-5", "messages"),
        ("set", "IS", "5.5", "messages", *WHY),
        ("set", "IS", "9" * 12, "messages", *WHY),
        ("set", "IS", "5", "EUR", *WHY),
        ("set", "IS", "5", "messages", "--until", "0", *WHY),
        ("set", "IS", "5", "messages", "--until", "31d", *WHY),
        ("set", "IS", "5", "messages", "--reason", "r" * 10_000),
        ("set", "IS", "5", *WHY),
        ("clear", "ZZ", *WHY),
        ("clear", "IS"),
        ("remove", "IS", *WHY),
    ],
)
def test_what_is_no_budget_is_refused(up: Up, words: tuple[str, ...]) -> None:
    """It has exit code 2 and a line that says why, no output and no traceback; nothing changes."""
    before = shown(up)
    code, output, errors = run(up, "budgets", *words)
    assert (code, output, "Traceback" in errors) == (USAGE, "", False)
    assert errors.strip()
    assert shown(up) == before


def test_without_the_broker_nothing_is_shown(up: Up) -> None:
    """What is used is counted there: exit code 5 says that it does not answer."""
    assert result(up, "budgets", "set", "IS", "5", "messages", *WHY)["result"] == "done"
    try:
        for words in ("budgets", "workers"):
            code, output, errors = run(up, words, SENDCODE_BROKER_URL="redis://127.0.0.1:1/0")
            assert (code, output, "broker" in errors) == (UNREACHABLE, "", True)
            assert "Traceback" not in errors
    finally:
        assert run(up, "budgets", "clear", "IS", *WHY)[0] == DONE
