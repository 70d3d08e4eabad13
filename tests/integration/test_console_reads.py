"""What the console reads and begins, on both databases."""

import csv
import re

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from tests.integration.conftest import ACCOUNT, NUMBER
from tests.integration.test_console import PAGES, ann, door, failed, post
from tests.integration.test_console_actions import confirm, olga
from tests.integration.test_records import set_to, start
from tests.pages import Page
from worker import failures, receipt_health, records
from worker.providers.twilio_errors import MESSAGE_STATUSES
from worker.services import Service
from worker.wiring import Sendcode

__all__ = ["ann", "failed", "olga"]


def words(page: str) -> str:
    """A page as it reads, without its marks."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_every_page_opens(ann: TestClient, failed: str) -> None:
    """Each answers with its headers: nothing is kept, nothing inline runs, nobody frames it."""
    group = "/failures/group?code=21408&channel=sms&country=FR"
    for page in (*PAGES, group, f"/requests/{failed}"):
        answer = ann.get(f"/console{page}")
        assert answer.status_code == 200, page
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["cache-control"] == "no-store"
        assert not re.search(r"\sstyle=|<style|\son\w+=", answer.text), page


def test_what_no_database_can_hold_is_no_crash(ann: TestClient, parts: Sendcode) -> None:
    """A zero byte, which PostgreSQL has no text for, is refused or matches nothing."""
    odd = "a\0b"
    for page in ("requests", "audit", "blocks", "series.json", "failures", "countries"):
        names = ("state", "channel", "country", "error", "who", "before", "action")
        answer = ann.get(f"/console/{page}", params=dict.fromkeys(names, odd))
        assert answer.status_code in (200, 400), page
    for page in ("requests", "bulk", "act"):
        assert ann.get(f"/console/{page}/a%00b").status_code in (400, 404), page
    assert post(ann, "/operators/a%00b/disable").status_code in (400, 404)
    for verb, given in (
        ("reveal", {"sid": odd}),
        ("retry", {"sid": f"VL{odd}"}),
        ("stop", {"sid": odd}),
        ("bulk", {"verb": "retry", "state": odd}),
        ("unblock", {"sid": odd}),
        ("end-session", {"sid": odd}),
    ):
        answer = post(ann, f"/act/{verb}", reason="a drill", **given)
        assert answer.status_code in (400, 404, 409), verb
    client = door(parts)
    fields = Page(client.get("/console/sign-in").text).form("/").fields
    answer = client.post("/console/sign-in", data={**fields, "name": odd, "password": "x"})
    assert answer.status_code in (400, 401)


def test_search_knows_sids_and_numbers(ann: TestClient, failed: str) -> None:
    """Our sids and Twilio's lead to the timeline, nonsense to what search takes."""
    for sid in (failed, f"SM{'1' * 32}"):
        found = post(ann, "/search", q=f" {sid} ")
        assert (found.status_code, found.headers["location"][:20]) == (303, "/console/requests/VE")
    assert post(ann, "/search", q="nonsense").status_code == 400
    assert post(ann, "/search", q=f"VL{'0' * 32}").status_code == 404


def test_filters_stand_in_the_address(ann: TestClient, parts: Sendcode, service: Service) -> None:
    """A page of requests is told by its address, and goes on from its last row."""
    sids = [start(parts, service, f"+447400{n}00") for n in range(1000, 1053)]
    first = ann.get("/console/requests?country=gb&state=queued&since=1h").text
    assert sids[-1] in first
    assert sids[0] not in first
    older = re.search(r'href="(/console/requests\?[^"]*before=[^"]*)"', first)
    assert older is not None
    second = ann.get(older[1].replace("&amp;", "&")).text
    assert sids[0] in second
    assert sids[-1] not in second
    assert sids[0] not in ann.get("/console/requests?country=FR").text
    whole = re.search(r'href="(/console/requests\.csv\?[^"]*)" download', first)
    assert whole is not None
    sheet = ann.get(whole[1].replace("&amp;", "&"))
    assert sheet.headers["content-disposition"] == 'attachment; filename="requests.csv"'
    assert [row["sid"] for row in csv.DictReader(sheet.text.splitlines())] == sids[::-1]
    assert "+447400" not in sheet.text
    none = ann.get("/console/requests.csv?country=FR").text
    assert none.startswith("created_at,")
    assert none.count("\n") == 1


def test_failures_of_a_country_are_found_behind_others(
    ann: TestClient, parts: Sendcode, failed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A country's page shows what failed there, and so does its group's, however much failed
    elsewhere since; where not all was looked at, it says so and not that nothing failed."""
    monkeypatch.setattr(failures, "MOST", 2)
    monkeypatch.setattr(failures, "GROUPS", 1)
    service = parts.services.create(ACCOUNT, "Other")
    for last in range(3):
        set_to(parts, start(parts, service, f"+44740012345{last}"), state="undelivered")
    assert "The newest 2 failures of the last 24h" in ann.get("/console/failures").text
    there = Page(ann.get("/console/failures?country=FR&channel=sms").text)
    assert "1 failures of the last 24h" in there.text
    assert failed in ann.get(there.link("1 × 21408 by sms to France")).text
    text = ann.get("/console/failures?country=DE").text
    assert "Nothing failed in Germany in the last 24h" in text
    monkeypatch.setattr(failures, "MOST_OF_SOME", 3)
    text = ann.get("/console/failures?country=FR&since=7d").text
    assert "Nothing failed" not in text
    assert "Nothing in France among the newest 3 failures of the last 7d" in text


def test_one_service_or_sender_alone(ann: TestClient, parts: Sendcode, service: Service) -> None:
    """The filters by service and sender stand in the address, narrow requests, failures and their
    groups, and go along to the actions; one of another account is only a name."""
    other = parts.services.create(ACCOUNT, "Other & Sons")
    own, theirs = start(parts, service, NUMBER), start(parts, other, NUMBER)
    for sid, sender in ((own, "main"), (theirs, "gone")):
        set_to(parts, sid, state="undelivered", error_code="30003", sender=sender)
    for where in (f"service={other.sid}", "sender=gone"):
        listed = Page(ann.get(f"/console/requests?{where}").text)
        assert theirs in listed.text
        assert own not in listed.text
        assert "1 delivery matches" in ann.get(listed.link("Send again…")).text
        assert own not in ann.get(f"/console/requests.csv?{where}").text
        failed = Page(ann.get(f"/console/failures?{where}").text)
        assert "1 failures of the last 24h" in failed.text
        group = Page(ann.get(failed.link("1 × 30003 by sms to United Kingdom")).text)
        assert theirs in group.text
        assert own not in group.text
        assert "1 delivery matches" in ann.get(group.link("Send these again…")).text
        assert own not in ann.get(group.link("All of them in Requests")).text
    assert "Other &amp; Sons</option>" in ann.get("/console/requests").text
    nobody = ann.get("/console/failures?sender=%3Cscript%3E&service=VA1").text
    assert "Nothing failed of the service VA1 by the sender &lt;script&gt;" in nobody


@pytest.mark.kills("a-group-has-what-is-still-tried")
def test_a_group_leads_to_its_own_deliveries(
    ann: TestClient, parts: Sendcode, service: Service
) -> None:
    """The link and the buttons of a group without a code, and of one with a code, concern its
    deliveries alone."""
    plain, coded, tried = (start(parts, service, f"+44740012345{n}") for n in range(3))
    set_to(parts, tried, error_code="30003")  # queued again, and no failure
    set_to(parts, plain, state="undelivered")
    set_to(parts, coded, state="undelivered", error_code="30003")
    for code, own, other in (("undelivered", plain, coded), ("30003", coded, plain)):
        where = f"/console/failures/group?code={code}&channel=sms&country=GB"
        group = Page(ann.get(where).text)
        listed = ann.get(group.link("All of them in Requests")).text
        assert own in listed
        assert other not in listed
        assert tried not in listed
        for button in ("Send these again…", "Send these by voice…"):
            assert "1 delivery matches" in ann.get(group.link(button)).text, (code, button)


def test_senders_tell_of_their_callbacks(
    ann: TestClient, parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each sender: how many were accepted, how many of them have a receipt by callback, and
    when the last came."""
    monkeypatch.setattr(receipt_health, "OLD_ENOUGH", -5000)
    for n, asked in enumerate((False, True)):
        sid = start(parts, service, f"+44740012345{n}")
        set_to(parts, sid, state="accepted", sender="main", accepted_at=1)
        parts.receipts.apply(
            *(sid,),
            provider="twilio",
            provider_sid=f"SM{n}",
            status="sent",
            words=MESSAGE_STATUSES,
            asked=asked,
        )
    text = words(ann.get("/console/senders").text)
    assert re.search(r"main 2 1 50% \d+ s ago 0 ● receipts come", text), text
    assert "No callback was refused in 10 minutes." in text


def test_limits_tell_what_neighbours_used(
    ann: TestClient, parts: Sendcode, service: Service
) -> None:
    """A number's limits show the range, which others' starts have used too."""
    for last in range(3):
        start(parts, service, f"+44740012345{last}")
    text = post(ann, "/limits/number", number="+447400123459", service=service.sid).text
    used = dict(re.findall(r'<th scope="row">(\w+)</th><td class="n">(\d+)</td>', text))
    assert used == {"sends": "0", "daily": "0", "daily_calls": "0", "range": "3"}
    for words in ("50 in 60 min", "1,000 numbers", "no limit, of a service to a country"):
        assert words in text, words


def test_limits_show_a_services_own(ann: TestClient, parts: Sendcode) -> None:
    """What a number may use is the service's own limit where it has one, and that is in force."""
    own = parts.services.create(parts.settings.account_sid, "Bakery", send_limit=7, check_limit=3)
    text = post(ann, "/limits/number", number="+447400123459", service=own.sid).text
    assert re.search(r'<th scope="row">sends</th><td class="n">0</td><td class="n">7</td>', text)
    for words in ("sends of Bakery</th><td>7 in place", "checks of Bakery</th><td>3 in place"):
        assert words in text, words


def test_within_three_clicks_to_the_cause_and_the_stop(
    parts: Sendcode, service: Service, olga: TestClient
) -> None:
    """From the overview one click leads to why codes to France fail, the second to what stopping
    them would do, and the third stops them; then every page says so."""
    for n in range(3):
        sid = start(parts, service, f"+3361234567{n}")
        set_to(parts, sid, state="failed", error_code="21408")
    clicks, overview = 0, Page(olga.get("/console/").text)
    group, clicks = Page(olga.get(overview.link("codes to France failed")).text), clicks + 1
    assert "geographic permissions" in group.text
    assert "What helps" in group.text
    asked, clicks = group.link("Stop sending to France"), clicks + 1
    done, clicks = confirm(olga, asked, "the provider has switched it off"), clicks + 1
    assert (done.status_code, clicks) == (200, 3)
    (pause,) = parts.operations.pauses.all()
    assert (pause.kind, pause.name, pause.paused_by) == ("country", "FR", "olga")
    (entry,) = parts.operations.audit.page(action="pause.set")
    assert (entry.who, entry.reason) == ("olga", "the provider has switched it off")
    for page in ("/queues", "/requests", "/settings"):
        text = olga.get(f"/console{page}").text
        assert "Not sending: country France, by olga" in text, page


def test_all_that_match_in_the_background(
    parts: Sendcode, service: Service, olga: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page counts what matches and lives, up to a bound that is told, the form begins a
    job, and the job's page has its progress."""
    for n in range(4):
        sid = start(parts, service, f"+3361234567{n}")
        set_to(parts, sid, state="failed", error_code="30008")
    start(parts, service)
    requests = olga.get("/console/requests?country=FR&state=failed&since=1h").text
    path = Page(requests).link("Send again…")
    trial = olga.get(path).text
    assert "4 deliveries match" in trial
    assert "4 of them have codes that can still be sent" in trial
    with monkeypatch.context() as bound:
        bound.setattr(records, "SCAN", 1)
        bound.setattr(records, "COUNTED", 2)
        assert "≥ 2 deliveries match" in olga.get(path).text
    done = confirm(olga, path, "the carrier is back")
    job = Page(done.text).link("Go on")
    assert job.startswith("/console/bulk/OJ")
    assert "Nobody goes on" not in olga.get(job).text
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE bulk_jobs SET updated_at = updated_at - 60000"))
    assert "Nobody goes on" in olga.get(job).text
    while parts.operations.bulk.tick():
        pass
    progress = olga.get(job).text
    assert "4 of 4" in progress
    assert "Nobody goes on" not in progress
    assert "the carrier is back" in olga.get("/console/bulk").text
