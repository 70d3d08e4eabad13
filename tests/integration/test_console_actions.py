"""The pages that act: they try first, ask why, and do what the operations' rooms do."""

import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api_stub.console.app import HEADERS
from tests.integration.test_console import signed_in, token
from tests.integration.test_records import FRENCH, set_to, start
from tests.pages import Page
from worker.operators import Role
from worker.records import Records
from worker.services import Service
from worker.wiring import Sendcode

# What reads the tables in its own way runs on both databases, in test_console_reads.py.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def confirm(client: TestClient, path: str, reason: str = "a drill", **fields: str) -> Any:
    """Open an action's page and send its form."""
    opened = client.get(path)
    assert opened.status_code == 200, opened.text
    form = Page(opened.text).form("/console/act/")
    return client.post(form.action, data={**form.fields, "reason": reason, **fields})


@pytest.fixture
def olga(parts: Sendcode) -> TestClient:
    return signed_in(parts, "olga", Role.OPERATOR)


def test_a_trial_changes_nothing(parts: Sendcode, service: Service, olga: TestClient) -> None:
    """Opening an action's page says what would be done, and does and writes down nothing."""
    start(parts, service, FRENCH)
    page = olga.get("/console/act/pause?kind=country&name=FR").text
    assert "Nothing is done yet" in page
    assert "1 code that waits is kept" in page
    assert parts.operations.pauses.all() == []
    assert parts.operations.audit.page() == []


def test_a_reason_is_needed(parts: Sendcode, olga: TestClient) -> None:
    """Without one nothing is done."""
    refused = confirm(olga, "/console/act/pause?kind=channel&name=call", reason="  ")
    assert refused.status_code == 409
    assert parts.operations.pauses.all() == []


def test_an_end_that_is_no_choice_is_not_never(parts: Sendcode, olga: TestClient) -> None:
    """A form with another time than those offered pauses nothing."""
    refused = confirm(olga, "/console/act/pause?kind=channel&name=call", until="60")
    assert refused.status_code == 409
    assert parts.operations.pauses.all() == []


def test_a_pause_ends_by_itself_unless_somebody_wants_it_not_to(
    parts: Sendcode, olga: TestClient
) -> None:
    """Half an hour is chosen already, and holds for a form that chooses nothing; until somebody
    ends it has to be chosen."""
    path = "/console/act/pause?kind=channel&name=call"
    opened = Page(olga.get(path).text)
    assert opened.form("/console/act/").fields["until"] == "1800"
    choices = re.findall(r'<option value="(\w+)"', opened.text.partition("For how long")[2])
    assert choices[:3] == ["1800", "7200", "ended"]
    for chosen, ms in (("1800", 1_800_000), ("", 1_800_000), ("7200", 7_200_000), ("ended", None)):
        assert "Done" in confirm(olga, path, until=chosen).text
        (pause,) = parts.operations.pauses.all()
        assert (pause.until and round(pause.until - pause.since, -2)) == ms
        assert "Done" in confirm(olga, path.replace("pause", "resume", 1)).text


def test_viewers_only_look(parts: Sendcode) -> None:
    """A viewer gets no action's page, and no form of one is taken."""
    vic = signed_in(parts, "vic", Role.VIEWER)
    assert vic.get("/console/act/pause?kind=channel&name=sms").status_code == 403
    form = {"csrf": token(vic), "kind": "channel", "name": "sms", "reason": "a drill"}
    assert vic.post("/console/act/pause", data=form).status_code == 403
    assert parts.operations.pauses.all() == []


def test_what_a_pause_keeps_is_counted(parts: Sendcode, service: Service, olga: TestClient) -> None:
    """The page of queues says how many codes a pause holds."""
    start(parts, service, FRENCH)
    confirm(olga, "/console/act/pause?kind=country&name=FR")
    page = olga.get("/console/queues").text
    row = re.search(r'<th scope="row">sms</th>.*?</tr>', page, re.DOTALL)
    assert row is not None
    assert re.findall(r"chip warn.*?</span> (\d+)</span>", row[0]) == ["1"]


def test_a_viewer_is_shown_no_action(parts: Sendcode, olga: TestClient) -> None:
    """What only looks on is marked, so that the stylesheet leaves the actions out."""
    assert 'class="looks"' not in olga.get("/console/queues").text
    assert 'class="looks"' in signed_in(parts, "vic", Role.VIEWER).get("/console/queues").text
    sheet = olga.get("/console/static/console.css").text
    hidden = (
        r'\.looks a\[href\^="/console/act/"\](:not\(.*end-own-session"\]\))? { display: none; }'
    )
    assert re.search(hidden, sheet)


def test_pause_and_resume(parts: Sendcode, olga: TestClient) -> None:
    """A pause may end by itself, and its banner leads to its end."""
    confirm(olga, "/console/act/pause?kind=queue&name=sms", until="7200")
    (pause,) = parts.operations.pauses.all()
    assert pause.until is not None
    done = confirm(olga, "/console/act/resume?kind=queue&name=sms")
    assert "Done" in done.text
    assert parts.operations.pauses.all() == []


def test_one_code_again_and_its_end(parts: Sendcode, service: Service, olga: TestClient) -> None:
    """Retry makes a delivery, once; cancel ends the verification."""
    sid = start(parts, service)
    set_to(parts, sid, state="failed", error_code="30008")
    path = f"/console/act/retry?sid={sid}"
    assert "Done" in confirm(olga, path).text
    assert "so already" in olga.get(path).text
    found = parts.records.timeline(parts.records.find(sid))
    assert len(found["deliveries"]) == 2
    assert "Done" in confirm(olga, f"/console/act/cancel?sid={sid}").text
    assert parts.records.timeline(found["sid"])["status"] == "canceled"


def test_a_missing_key_is_said(parts: Sendcode, service: Service, olga: TestClient) -> None:
    """Where a number's key is not configured any more, the trial of a retry says so."""
    sid = start(parts, service)
    set_to(parts, sid, state="failed")
    with parts.db.begin() as connection:
        connection.exec_driver_sql("UPDATE verifications SET key_id = 'gone'")
    page = olga.get(f"/console/act/retry?sid={sid}")
    assert page.status_code == 200
    assert 'role="alert"' in page.text
    assert "gone" in page.text


def test_the_page_of_a_crash_has_the_headers(
    olga: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a page breaks, its answer is kept by nobody and runs nothing inline."""

    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(Records, "page", broken)
    crashed, whole = olga.get("/console/requests"), olga.get("/console/account")
    assert (crashed.status_code, whole.status_code) == (500, 200)
    assert "This page failed" in crashed.text
    for name in ("cache-control", *HEADERS):
        assert crashed.headers[name] == whole.headers[name], name


def test_what_waits_is_dropped(parts: Sendcode, service: Service, olga: TestClient) -> None:
    """A request's page drops the delivery that waits; the queues' page drops what waits in one,
    after a trial that counts."""
    sid, other = start(parts, service), start(parts, service, FRENCH)
    owner = parts.records.find(sid)
    path = Page(olga.get(f"/console/requests/{owner}").text).link("Drop it unsent")
    assert "Done" in confirm(olga, path).text
    assert "an operator has dropped it" in olga.get(f"/console/requests/{owner}").text
    page = Page(olga.get("/console/queues").text)
    assert "Nothing to do" in confirm(olga, page.link("Discard expired of sms")).text
    path = page.link("Discard all of sms")
    assert "1 delivery matches" in olga.get(path).text
    assert "Done" in confirm(olga, path).text
    (record,) = parts.records.timeline(parts.records.find(other))["deliveries"]
    assert (record["state"], record["error_code"]) == ("failed", "discarded")


def test_the_number_is_shown_once_and_written_down(
    parts: Sendcode, service: Service, olga: TestClient
) -> None:
    """The answer to the reveal's form alone has it; the audit log tells of it, masked."""
    sid = start(parts, service, FRENCH)
    assert FRENCH not in olga.get(f"/console/act/reveal?sid={sid}").text
    assert FRENCH in confirm(olga, f"/console/act/reveal?sid={sid}", "a user called").text
    audit = olga.get("/console/audit").text
    assert FRENCH[3:] not in audit
    assert "a user called" in audit


def test_numbers_are_typed_into_forms(parts: Sendcode, olga: TestClient) -> None:
    """Blocking a number: a trial and the deed take it by form, and no page repeats it."""
    path = "/console/act/block"
    tried = confirm(olga, path, reason="", what=FRENCH, **{"try": "1"})
    assert "Nothing is done yet" in tried.text
    assert parts.operations.blocks.all() == []
    done = confirm(olga, path, "fraud", what=FRENCH, until="3600")
    (block,) = parts.operations.blocks.all()
    listed = olga.get("/console/blocks").text
    assert block.name in listed
    for text in (tried.text, done.text, listed):
        assert FRENCH[3:] not in text
    assert "Done" in confirm(olga, f"/console/act/unblock?sid={block.sid}").text
    assert parts.operations.blocks.all() == []
    assert confirm(olga, path, what="nonsense").status_code == 409
    assert "is so already" in confirm(olga, "/console/act/reset-limits", what=FRENCH).text


def test_only_an_admin_overrides_limits(
    parts: Sendcode, service: Service, olga: TestClient
) -> None:
    """The form of an operator has no such choice, and one that is made up is refused."""
    sid = start(parts, service)
    path = f"/console/act/retry?sid={sid}"
    assert 'name="override"' not in olga.get(path).text
    set_to(parts, sid, state="failed")
    assert confirm(olga, path, override="1").status_code == 403
    ann = signed_in(parts)
    assert 'name="override"' in ann.get(path).text
    assert "Done" in confirm(ann, path, override="1").text


def test_circuits_by_hand(parts: Sendcode, olga: TestClient) -> None:
    """Opened by hand, a circuit is so for everybody and says that it is."""
    (sender, *_) = parts.settings.all_senders()
    path = f"/console/act/circuit?sender={sender.name}&channel=sms&state=open"
    assert "Done" in confirm(olga, path).text
    (circuit,) = [one for one in parts.standing.circuits() if one.channel == "sms"]
    assert (circuit.state, circuit.forced) == ("open", True)


def test_the_rows_that_are_ticked(parts: Sendcode, service: Service, olga: TestClient) -> None:
    """Ticked rows are a form of the page: it leads to a trial with their count and a question
    why, and then to a job of them alone. A viewer has no boxes, and no form of theirs is taken."""
    sids = [start(parts, service, to) for to in (FRENCH, "+33612345679", "+33612345680")]
    listed = olga.get("/console/requests").text
    assert [f'value="{sid}"' in listed for sid in sids] == [True] * 3
    fields = {**Page(listed).form("/console/chosen").fields, "do": "cancel", "requests": sids[:2]}
    tried = olga.post("/console/chosen", data=fields)
    assert "2 of the 2 chosen deliveries" in tried.text
    assert parts.operations.bulk.all() == []
    form = Page(tried.text).form("/console/act/bulk")
    made = olga.post(form.action, data={**form.fields, "reason": "a drill"})
    assert "Done" in made.text
    (job,) = parts.operations.bulk.all()
    assert (sorted(job.filters["sids"]), job.reason) == (sorted(sids[:2]), "a drill")
    assert "2 chosen one by one" in olga.get(f"/console/bulk/{job.sid}").text
    assert olga.post("/console/chosen", data={**fields, "requests": []}).status_code == 400
    assert olga.post("/console/chosen", data={**fields, "csrf": "x"}).status_code == 403
    vic = signed_in(parts, "vic", Role.VIEWER)
    assert 'name="requests"' not in vic.get("/console/requests").text
    assert vic.post("/console/chosen", data={**fields, "csrf": token(vic)}).status_code == 403
    assert len(parts.operations.bulk.all()) == 1


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/act/nonsense", 404),
        ("/act/pause", 400),
        ("/act/pause?kind=country", 400),
        ("/act/retry?sid=VL" + "0" * 32, 404),
    ],
)
def test_what_cannot_be_done(olga: TestClient, path: str, status: int) -> None:
    """Unknown verbs, missing values and sids of nothing have a page that says so."""
    assert olga.get(f"/console{path}").status_code == status
