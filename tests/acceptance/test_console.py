"""The console beside the running processes: a person's path through it, and its way in."""

import hashlib
import re
from collections.abc import Iterator

import pytest

from tests.acceptance.console import PAGES, Console, new_link
from tests.acceptance.running import NUMBERS, Up, until
from tests.acceptance.test_cli import DONE, NOT_FOUND, REFUSED, USAGE, result, run

pytestmark = pytest.mark.parametrize("up", ["sqlite"], indirect=True)
GHANA = [f"+23324123{n:04}" for n in range(4560, 4580)]  # a country no other test sends to


@pytest.fixture
def console(up: Up) -> Iterator[Console]:
    browser = Console.entered(up)
    yield browser
    browser.close()


def test_up_prints_a_link_for_the_first_admin(up: Up) -> None:
    """`./dev up` prints a link whose key is known, for an admin without a password."""
    link = until(
        lambda: re.search(r"http://\S+/console/link\?key=(\S+)", up.said()), about="a link"
    )
    query = """SELECT name, role, password_hash FROM operator_links
        JOIN operators ON sid = operator_sid WHERE key_digest = :digest"""
    (owner,) = up.rows(query, digest=hashlib.sha256(link[1].encode()).digest())
    assert owner == {"name": "admin", "role": "admin", "password_hash": None}


def test_a_link_opens_the_console_once(up: Up) -> None:
    """Its button signs in; a second use is refused."""
    link, browser, other = new_link(up), Console(up), Console(up)
    browser.open(link)
    assert "Oldest waiting code" in browser.send("/console/link").text
    other.open(link)
    assert other.send("/console/link").status_code == 401
    assert other.open("/console/").url.path == "/console/sign-in"


def test_within_three_clicks_from_the_overview_to_the_stop(up: Up, console: Console) -> None:
    """Codes to one country fail. Who has read nothing finds out why with one click, and with two
    more sends none there: then such a start is refused, and one to another country is not."""
    for number in GHANA[:3]:
        up.fault(number, fail="reject", code=21408, times=1)
        sid = up.start_code(number)["send_code_attempts"][0]["attempt_sid"]
        until(lambda sid=sid: up.delivery(sid)["state"] == "failed", about="a failure")  # type: ignore[misc]
    until(
        lambda: "to Ghana failed by sms" in console.open("/console/").text, about="a line about it"
    )
    console.clicks = 0
    cause = console.click("to Ghana failed by sms").text
    assert "messages to this country are not enabled" in cause
    assert "enable the country there" in cause
    console.click("Stop sending to Ghana")
    console.send("/console/act/pause", reason="not enabled at the provider")
    assert console.clicks == 3
    try:
        form = {"To": GHANA[4], "Channel": "sms"}
        path = f"{up.path()}/Verifications"
        until(lambda: not up.http.post(path, data=form).is_success, about="a refusal")
        up.start_code(next(NUMBERS))
        assert "Not sending: country Ghana" in console.open("/console/settings").text
    finally:
        console.open("/console/queues")
        console.click("Send again: country GH")
        assert console.send("/console/act/resume", reason="enabled now").status_code == 200
    until(lambda: up.http.post(path, data=form).is_success, about="a code again")
    audit = console.open("/console/audit").text
    assert "not enabled at the provider" in audit
    assert "enabled now" in audit


def test_every_page_answers(up: Up, console: Console, to: str) -> None:
    """With codes under way each page answers, masked."""
    sid = up.start_code(to)["sid"]
    up.wait(to)
    for path in (*PAGES, f"/requests/{sid}"):
        answer = console.open(f"/console{path}")
        assert answer.status_code == 200, path
        assert to[2:] not in answer.text, path


def test_the_relay_counts_for_the_charts(up: Up, console: Console, to: str) -> None:
    """A code that was sent is in the numbers of its minute before long."""
    up.start_code(to)
    until(
        lambda: sum(console.open("/console/series.json").json()["lines"].get("codes", [])) > 0,
        about="a count",
    )


def test_the_stream_brings_what_changes(up: Up, console: Console) -> None:
    """Every live part comes by itself, again and again; a pause is in the next one."""
    events = console.events()
    first = next(events)
    assert set(first) == {"banner", "tiles", "concerns", "queues", "workers", "senders"}
    assert "Oldest waiting code" in first["tiles"]
    assert run(up, "pause", "queue", "call.busy", "--reason", "a drill")[0] == DONE
    try:
        assert any("call.busy" in next(events)["banner"] for _ in range(5))
    finally:
        assert run(up, "resume", "queue", "call.busy", "--reason", "over")[0] == DONE
    events.close()  # type: ignore[attr-defined]


def test_operators_on_the_command_line(up: Up) -> None:
    """`operators` makes one with a password from stdin, lists it without that, makes links, and
    what it disables signs nobody in."""
    why = ("--reason", "tests")
    words = ("operators", "add", "carl", "--role", "viewer", *why)
    assert result(up, *words, "--dry-run")["result"] == "would"
    made = result(up, *words, stdin="a good password\n")
    assert (made["target"], made["after"]) == ("operator carl", {"role": "viewer"})
    assert run(up, *words, stdin="a good password")[0] == REFUSED
    short = ("operators", "add", "dora", "--role", "viewer", *why)
    assert run(up, *short, stdin="short\n")[0] == USAGE
    assert run(up, "operators", "disable", "carl")[0] == USAGE
    link = result(up, "operators", "link", "carl", *why)["link"]
    browser = Console.entered(up, link)
    assert "One step is left" in browser.open("/console/queues").text
    (session,) = [s for s in result(up, "operators", "sessions") if s["operator"] == "carl"]
    end = ("operators", "end-session", session["sid"], *why)
    assert result(up, *end, "--dry-run")["result"] == "would"
    assert result(up, *end)["target"] == "operator carl"
    assert run(up, *end)[0] == NOT_FOUND
    assert "Password" in browser.open("/console/queues").text
    browser = Console.entered(up, result(up, "operators", "link", "carl", *why)["link"])
    assert "One step is left" in browser.open("/console/queues").text
    assert result(up, "operators", "role", "carl", "operator", *why)["result"] == "done"
    assert result(up, "operators", "disable", "carl", *why)["result"] == "done"
    (carl,) = [one for one in result(up, "operators", "list") if one["name"] == "carl"]
    assert (carl["role"], carl["password"], bool(carl["disabled_at"])) == ("operator", True, True)
    assert "a good password" not in str(carl)
    assert "Password" in browser.open("/console/queues").text
    assert result(up, "operators", "reset", "carl", *why)["result"] == "done"
    assert result(up, "operators", "enable", "carl", *why)["after"]["disabled"] is False


def test_beyond_this_machine_a_password_is_needed(up: Up) -> None:
    """Before any operator has one the api does not start where others can reach it, and says what
    to do. On loopback it may."""
    everyone = result(up, "operators", "list")
    assert not any(one["password"] and not one["disabled_at"] for one in everyone)
    code, _, errors = run(up, "api", "--host", "192.0.2.1", "--port", "1")
    assert code == USAGE
    assert "sendcode operators add" in errors
    assert "SENDCODE_CONSOLE=off" in errors


def test_the_sandbox_phone_is_one_click_away(console: Console) -> None:
    """An operator comes from the console to the phone, signed in there too."""
    console.open("/console/")
    assert "Numbers that misbehave" in console.click("Sandbox phone").text
