"""Webhooks told once more, by an operator, on both databases and with a real receiver."""

import time
from collections.abc import Callable
from datetime import datetime

import pytest
from sqlalchemy import text

from tests.helpers import code_of, count
from tests.integration.conftest import ACCOUNT
from tests.integration.doors import door
from tests.integration.operating import ANN, audited, start
from tests.integration.receiving import Receiver
from tests.integration.test_console import signed_in, token
from tests.integration.test_console_actions import confirm
from tests.integration.test_webhooks import make_due
from tests.pages import Page
from worker.errors import ActionRefusedError, InvalidParameterError, NotFoundError
from worker.operations import replaying
from worker.operators import Role
from worker.services import Service
from worker.verifications import Verification
from worker.wiring import Sendcode


@pytest.fixture
def parts(make_parts: Callable[..., Sendcode]) -> Sendcode:
    return make_parts(provider="sandbox")


def hooked(parts: Sendcode, service: Service, url: str, *kinds: str) -> str:
    return parts.hooks.create(ACCOUNT, service.sid, url, kinds or ["*"])[0].sid


def approved(parts: Sendcode, service: Service) -> Verification:
    begun = start(parts, service)
    parts.verifications.check(ACCOUNT, service.sid, code_of(parts, begun.sid), sid=begun.sid)
    return begun


def test_what_was_told_is_told_again(parts: Sendcode, service: Service, receiver: Receiver) -> None:
    """The same event with its id and time, to every hook that wants it, once; a trial tells
    nobody, and the log says who had it told."""
    hooked(parts, service, receiver.url)
    hooked(parts, service, receiver.url, "delivery.failed")
    sid = approved(parts, service).sid
    parts.webhooks.tick()
    act = parts.operations.replaying
    told = act.replay(ANN, "a trial", sid=sid, dry_run=True)
    assert (told.result, told.after) == ("would", {"event": "verification.approved", "told": 1})
    assert (parts.webhooks.tick(), audited(parts)) == (0, [])
    assert act.replay(ANN, "the backend lost it", sid=sid).result == "done"
    assert act.replay(ANN, "the backend lost it", sid=sid).result == "done"
    assert (parts.webhooks.tick(), parts.webhooks.tick()) == (1, 0)
    first, second = receiver.events()
    assert (first["id"], first["type"]) == (second["id"], "verification.approved")
    assert abs(_ms(first["created"]) - _ms(second["created"])) < 1_000
    assert [(one.action, one.target) for one in audited(parts)] == [("webhook.replay", sid)] * 2


def _ms(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp() * 1000


def test_an_event_that_is_told_late_has_its_time(
    parts: Sendcode, service: Service, receiver: Receiver
) -> None:
    """Told again after a week, it says when it happened, and is not given up as too old."""
    hooked(parts, service, receiver.url)
    sid = approved(parts, service).sid
    parts.webhooks.tick()
    week = 7 * 86_400_000
    with parts.db.begin() as connection:
        connection.execute(text(f"UPDATE verifications SET approved_at = approved_at - {week}"))
    parts.operations.replaying.replay(ANN, "lost", sid=sid)
    parts.webhooks.tick()
    first, second = (_ms(event["created"]) for event in receiver.events())
    assert abs(first - second - week) < 1_000


def test_what_a_hook_has_not_taken(parts: Sendcode, service: Service, receiver: Receiver) -> None:
    """All of it is sent at once, though its next tries are due later and the hook rests; what was
    never tried is left to its time, and other hooks are not told."""
    ill = hooked(parts, service, receiver.url)
    receiver.answers = [500]
    sid = approved(parts, service).sid
    parts.webhooks.tick()
    act = parts.operations.replaying
    assert (parts.webhooks.tick(), len(receiver.got)) == (0, 1)
    (standing,) = act.hooks()
    assert (standing.waiting, standing.failed, standing.failures) == (1, 1, 1)
    assert standing.paused_until
    assert "tenant" not in standing.url
    assert (act.replay(ANN, "x", hook=ill, dry_run=True).after or {})["told"] == 1
    assert parts.webhooks.tick() == 0
    assert (act.replay(ANN, "repaired", hook=ill).after or {})["told"] == 1
    assert parts.webhooks.tick() == 1
    assert [event["verification_sid"] for event in receiver.events()] == [sid] * 2
    assert count(parts, "events") == 0
    assert act.replay(ANN, "again", hook=ill).result == "unchanged"


def test_what_was_given_up(parts: Sendcode, service: Service, receiver: Receiver) -> None:
    """What a hook did not take for a day waits for an operator: with all of the hook, or alone, it
    is told for another day, with its time; what is told of must still be there."""
    ill = hooked(parts, service, receiver.url)
    sids = [approved(parts, service).sid for _ in range(3)]
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE events SET created_at = created_at - 86401000"))
    assert (parts.webhooks.tick(), receiver.got) == (0, [])
    act = parts.operations.replaying
    (standing,) = act.hooks()
    assert (standing.waiting, standing.failed, standing.given_up) == (0, 0, 3)
    act.replay(ANN, "one of them", sid=sids[0])
    (standing,) = act.hooks()
    assert (standing.waiting, standing.given_up) == (1, 2)
    assert (parts.webhooks.tick(), receiver.events()[0]["verification_sid"]) == (1, sids[0])
    with parts.db.begin() as connection:
        for table, column in (("deliveries", "verification_sid"), ("verifications", "sid")):
            gone = text(f"DELETE FROM {table} WHERE {column} = :sid")
            connection.execute(gone, {"sid": sids[1]})
    assert (act.replay(ANN, "x", hook=ill, dry_run=True).after or {})["told"] == 1
    assert (act.replay(ANN, "repaired", hook=ill).after or {})["told"] == 1
    assert (parts.webhooks.tick(), parts.webhooks.tick()) == (1, 0)
    told = receiver.events()[1]
    assert told["verification_sid"] == sids[2]
    assert abs(_ms(told["created"]) + 86_401_000 - time.time() * 1000) < 60_000


def test_a_long_list_is_looked_at_in_part(
    parts: Sendcode, service: Service, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much a hook did not take, a page counts some of it and says so, and one act tells
    as much again; the next act tells more."""
    monkeypatch.setattr(replaying, "SCAN", 2)
    ill = hooked(parts, service, receiver.url)
    for _ in range(3):
        approved(parts, service)
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE events SET next_try_at = NULL"))
    act = parts.operations.replaying
    assert act.replay(ANN, "x", hook=ill, dry_run=True).after == {
        "told": 2,
        "left": "more; do it again",
    }
    act.replay(ANN, "repaired", hook=ill)
    assert parts.webhooks.tick() == 2
    assert act.replay(ANN, "repaired", hook=ill).after == {"told": 1}
    assert (parts.webhooks.tick(), len(receiver.got)) == (1, 3)


def test_the_page_counts_no_further_than_it_says(parts: Sendcode, service: Service) -> None:
    """Counting stops at a bound, which the page then names."""
    hook = hooked(parts, service, "https://example.com/a")
    with parts.db.begin() as connection:
        rows = [
            {"hook": hook, "sid": f"VE{n:032x}", "now": 10**13} for n in range(replaying.SCAN + 1)
        ]
        connection.execute(
            text(
                "INSERT INTO events (hook_sid, kind, subject_sid, verification_sid, tries,"
                " next_try_at, created_at) VALUES (:hook, 'verification.expired', :sid, :sid, 0,"
                " :now, :now)"
            ),
            rows,
        )
    (standing,) = parts.operations.replaying.hooks()
    assert (standing.waiting, standing.at_least) == (replaying.SCAN, True)
    assert "≥ 10,000" in signed_in(parts).get("/console/webhooks").text


def test_what_cannot_be_told(parts: Sendcode, service: Service, receiver: Receiver) -> None:
    """What has not ended, what nobody wants, a hook that is disabled or another account's, and
    neither sid nor hook: nothing is told."""
    act, begun = parts.operations.replaying, start(parts, service)
    ended = approved(parts, parts.services.create(ACCOUNT, "Other"))
    off = hooked(parts, service, receiver.url)
    for words, reason in (
        ({"sid": begun.sid}, "no_event"),
        ({"sid": begun.deliveries[0].sid}, "no_event"),
        ({"sid": ended.sid}, "no_hook"),
    ):
        with pytest.raises(ActionRefusedError) as refused:
            act.replay(ANN, "why", **words)
        assert refused.value.reason == reason
    parts.hooks.update(ACCOUNT, service.sid, off, enabled=False)
    with pytest.raises(ActionRefusedError):
        act.replay(ANN, "why", hook=off)
    for words in ({"sid": "VE" + "0" * 32}, {"hook": "EH" + "0" * 32}):
        with pytest.raises(NotFoundError):
            act.replay(ANN, "why", **words)
    with pytest.raises(InvalidParameterError):
        act.replay(ANN, "why")
    assert (audited(parts), count(parts, "events")) == ([], 0)


def test_over_http_and_on_the_console(
    parts: Sendcode, service: Service, receiver: Receiver
) -> None:
    """A request's page and the page of hooks lead to it, for operators; so do both calls."""
    ill = hooked(parts, service, receiver.url)
    sid = approved(parts, service).sid
    receiver.answers = [500]
    parts.webhooks.tick()
    client, why = door(parts), {"reason": "tests"}
    (shown,) = client.get("/operator/v1/webhooks").json()["hooks"]
    assert (shown["sid"], shown["failed"]) == (ill, 1)
    told = client.post("/operator/v1/webhooks/replay", json=why | {"hook": ill}).json()
    assert (told["result"], told["after"]["told"]) == ("done", 1)
    olga = signed_in(parts, "olga", Role.OPERATOR)
    path = Page(olga.get("/console/webhooks").text).link("Send failed again")
    assert "1 event to be told" in olga.get(path).text
    assert "Done" in confirm(olga, path).text
    make_due(parts)
    parts.webhooks.tick()
    path = Page(olga.get(f"/console/requests/{sid}").text).link("Tell webhooks again")
    assert "Done" in confirm(olga, path).text
    parts.webhooks.tick()
    assert len(receiver.got) == 3
    vic = signed_in(parts, "vic", Role.VIEWER)
    assert vic.get(path).status_code == 403
    form = {"csrf": token(vic), "sid": sid, "reason": "x"}
    assert vic.post("/console/act/replay", data=form).status_code == 403
    assert "Send failed again" not in vic.get("/console/webhooks").text
