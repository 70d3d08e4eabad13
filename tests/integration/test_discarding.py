"""Discard: what waits is dropped unsent, and what a worker holds never is, on both databases."""

from contextlib import suppress

import pytest
from sqlalchemy import text

from tests.helpers import at_once, count, delivery
from tests.integration.operating import AMERICAN, ANN, audited, delivery_of, make_relay, start
from tests.standin import Standin
from worker.errors import ActionRefusedError, InvalidParameterError, NotFoundError
from worker.outbox import Event
from worker.services import Service
from worker.states import Channel
from worker.wiring import Sendcode

URL = "https://backend.example.com/hook"


def queued(parts: Sendcode, service: Service, times: int) -> list[str]:
    return [delivery_of(parts, service, f"+4474001{n:05}") for n in range(times)]


def test_one_that_waits_is_dropped(parts: Sendcode, service: Service, provider: Standin) -> None:
    """It fails as discarded with its audit row and its event, no worker or relay sends it, its
    code lives on, and a second time changes nothing."""
    parts.hooks.create(parts.settings.account_sid, service.sid, URL, [Event.FAILED])
    act, sid = parts.operations.discarding, delivery_of(parts, service)
    assert act.one(ANN, sid, "a trial", dry_run=True).result == "would"
    assert (delivery(parts, sid).state, audited(parts)) == ("queued", [])
    done = act.one(ANN, delivery(parts, sid).verification_sid, "wrong text")
    assert (done.result, done.target) == ("done", sid)
    row = delivery(parts, sid)
    assert (row.state, row.error_code, row.ended_at is not None) == ("failed", "discarded", True)
    parts.dispatch.deliver([sid])
    make_relay(parts).tick()
    assert provider.sent == []
    assert count(parts, "verifications WHERE status = 'pending'") == 1
    assert count(parts, f"events WHERE subject_sid = '{sid}'") == 1
    assert act.one(ANN, sid, "again").result == "unchanged"
    (entry,) = audited(parts)
    assert (entry.action, entry.target, entry.reason) == ("discard", sid, "wrong text")


@pytest.mark.kills("dropped-with-its-outcome-unknown")
def test_what_is_being_sent_is_not_dropped(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """Neither what a worker holds nor what may have been sent is dropped, alone or with its
    queue; what the provider has is left as it is."""
    held, doubtful, sent = queued(parts, service, 3)
    parts.dispatch.deliver([sent])
    with parts.db.begin() as connection:
        change = "UPDATE deliveries SET {} WHERE sid = :sid"
        connection.execute(text(change.format("state = 'sending'")), {"sid": held})
        connection.execute(text(change.format("doubts = 1")), {"sid": doubtful})
    act = parts.operations.discarding
    for sid in (held, doubtful):
        with pytest.raises(ActionRefusedError) as refused:
            act.one(ANN, sid, "why")
        assert refused.value.reason == "being_sent"
    assert act.one(ANN, sent, "why").result == "unchanged"
    assert act.queue(ANN, "sms", "all", "why").result == "unchanged"
    states = [delivery(parts, sid).state for sid in (held, doubtful, sent)]
    assert (states, audited(parts)) == (["sending", "queued", "accepted"], [])


def test_a_queue_is_dropped(parts: Sendcode, service: Service) -> None:
    """All that waits in it, and in no other; a trial counts, and the log has one entry."""
    sids = queued(parts, service, 3)
    call = start(parts, service, AMERICAN, channel=Channel.CALL).deliveries[0].sid
    act = parts.operations.discarding
    told = act.queue(ANN, "sms", "all", "a trial", dry_run=True)
    assert (told.result, told.after) == ("would", {"which": "all", "total": 3, "more": False})
    assert act.queue(ANN, "sms", "expired", "why").result == "unchanged"
    done = act.queue(ANN, "sms", "all", "an attack")
    assert (done.result, done.after) == ("done", {"which": "all", "total": 3, "more": False})
    assert {delivery(parts, sid).error_code for sid in sids} == {"discarded"}
    assert delivery(parts, call).state == "queued"
    assert [(one.action, one.target) for one in audited(parts)] == [("discard.queue", "queue sms")]


def test_the_expired_alone(parts: Sendcode, service: Service) -> None:
    """`expired` drops what is of no use any more, in the state that it would have come to."""
    dead, ended, living = queued(parts, service, 3)
    with parts.db.begin() as connection:
        connection.execute(
            text("UPDATE deliveries SET expires_at = 1 WHERE sid = :sid"), {"sid": dead}
        )
        connection.execute(
            text("UPDATE verifications SET status = 'approved' WHERE sid = :sid"),
            {"sid": delivery(parts, ended).verification_sid},
        )
    done = parts.operations.discarding.queue(ANN, "sms", "expired", "the relay was down")
    assert (done.after or {})["total"] == 2
    assert [delivery(parts, sid).state for sid in (dead, ended, living)] == [
        *("expired", "canceled", "queued")
    ]


def test_a_worker_wins_or_loses(parts: Sendcode, service: Service, provider: Standin) -> None:
    """However workers and discards race, each delivery is sent or dropped, and never both."""
    sids = queued(parts, service, 24)
    parts.holds.now()

    def race(turn: int) -> None:
        for sid in sids if turn % 2 else sids[::-1]:
            if turn < 2:
                parts.dispatch.deliver([sid])
            else:
                with suppress(ActionRefusedError):
                    parts.operations.discarding.one(ANN, sid, "a race")

    assert at_once(4, race) == [None] * 4
    rows = [delivery(parts, sid) for sid in sids]
    dropped = {row.sid for row in rows if row.error_code == "discarded"}
    assert {row.state for row in rows if row.sid not in dropped} <= {"accepted"}
    assert len(provider.sent) == len(sids) - len(dropped)
    assert {one.target for one in audited(parts)} == dropped


@pytest.mark.kills("dropped-while-a-worker-holds-it")
def test_one_taken_since_it_was_looked_at_is_not_dropped(parts: Sendcode, service: Service) -> None:
    """A worker that takes it between the look and the deed has it: nothing is written."""
    act, sid = parts.operations.discarding, delivery_of(parts, service)
    looked_at = act._find(sid)
    assert parts.dispatch._rows.claim(sid, None, "main", "main") is not None
    act._find = lambda _: looked_at  # type: ignore[method-assign]
    with pytest.raises(ActionRefusedError):
        act.one(ANN, sid, "why")
    assert (delivery(parts, sid).state, audited(parts)) == ("sending", [])


def test_what_cannot_be_dropped(parts: Sendcode, service: Service) -> None:
    """No such delivery, queue or choice, and no reason: nothing is done."""
    act, sid = parts.operations.discarding, delivery_of(parts, service)
    with pytest.raises(NotFoundError):
        act.one(ANN, "VL" + "0" * 32, "why")
    for words in (("relay", "all", "why"), ("sms", "some", "why"), ("sms", "all", " ")):
        with pytest.raises(InvalidParameterError):
            act.queue(ANN, *words)
    assert (delivery(parts, sid).state, audited(parts)) == ("queued", [])
