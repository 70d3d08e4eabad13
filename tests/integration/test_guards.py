"""Guards that only a rare moment needs, each on rows put into that moment by hand."""

import time
from typing import Any

import pytest
from sqlalchemy import text

from tests.helpers import code_of, count, delivery
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.standin import Standin
from worker.errors import ChecksSpentError
from worker.providers import Accepted
from worker.providers.twilio_errors import MESSAGE_STATUSES
from worker.services import Service
from worker.verifications import Start
from worker.wiring import Sendcode


def first(parts: Sendcode, service: Service) -> tuple[str, str]:
    started = parts.verifications.start(ACCOUNT, Start(service.sid, NUMBER))
    return started.sid, started.deliveries[0].sid


def change(parts: Sendcode, statement: str) -> None:
    with parts.db.begin() as connection:
        connection.execute(text(statement))


def claim(parts: Sendcode, sid: str) -> Any:
    job = parts.dispatch._rows.claim(sid, None, "main", "main")
    assert job is not None
    return job


@pytest.mark.kills("claim-ignores-acceptance")
def test_what_was_accepted_is_not_claimed(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """A delivery that the provider is known to have is not sent, even if it is queued again."""
    _, sid = first(parts, service)
    change(parts, "UPDATE deliveries SET accepted_at = created_at")
    parts.dispatch.deliver([sid])
    assert provider.sent == []


@pytest.mark.kills("outcome-without-fence", "acceptance-without-fence")
def test_a_lost_claim_leaves_the_next_one_alone(parts: Sendcode, service: Service) -> None:
    """While a second worker holds the claim, no outcome of the first one is written."""
    _, sid = first(parts, service)
    late = claim(parts, sid)
    change(parts, "UPDATE deliveries SET state = 'queued', doubts = 1")
    claim(parts, sid)
    now = delivery(parts, sid)
    parts.dispatch._failed(late, "late")
    parts.dispatch._again(late, "late", 1, doubt=1)
    outgoing = parts.dispatch._content.outgoing(late, time.monotonic() + 600)
    parts.dispatch._accepted(late, "main", Accepted("SM1", "queued"), outgoing)
    assert delivery(parts, sid) == now


@pytest.mark.kills("outcome-ignores-state")
def test_a_refusal_after_a_receipt_changes_nothing(parts: Sendcode, service: Service) -> None:
    """A receipt that says delivered is not overwritten by an answer that comes later."""
    _, sid = first(parts, service)
    job = claim(parts, sid)
    parts.receipts.apply(
        sid, provider="twilio", provider_sid="SM1", status="delivered", words=MESSAGE_STATUSES
    )
    parts.dispatch._failed(job, "late")
    parts.dispatch._again(job, "late", 1, doubt=1)
    assert delivery(parts, sid).state == "delivered"


@pytest.mark.kills("check-ignores-budget")
def test_no_guess_beyond_the_budget(parts: Sendcode, service: Service) -> None:
    """A verification whose guesses are used takes none, whatever its status says."""
    sid, _ = first(parts, service)
    change(parts, "UPDATE verifications SET checks = max_checks")
    with pytest.raises(ChecksSpentError):
        parts.verifications.check(ACCOUNT, service.sid, code_of(parts, sid), sid=sid)


@pytest.mark.kills("same-request-is-two")
def test_a_repeat_is_answered_whatever_became_of_it(parts: Sendcode, service: Service) -> None:
    """A request that was answered gets its answer again, though a new one would be refused now."""
    wanted = Start(service.sid, NUMBER, request_id="r1")
    sid = parts.verifications.start(ACCOUNT, wanted).sid
    change(parts, "UPDATE verifications SET status = 'max_attempts_reached', checks = max_checks")
    assert parts.verifications.start(ACCOUNT, wanted).sid == sid


@pytest.mark.kills("same-request-is-written-twice")
def test_a_repeat_that_saw_nothing_writes_nothing(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a repeat looked before the first was written, the row of the request decides."""
    wanted = Start(service.sid, NUMBER, request_id="r1")
    sid = parts.verifications.start(ACCOUNT, wanted).sid
    look, early = parts.verifications._known_request, iter([None])
    monkeypatch.setattr(
        parts.verifications, "_known_request", lambda *args: next(early, look(*args))
    )
    assert parts.verifications.start(ACCOUNT, wanted).sid == sid
    assert count(parts, "deliveries") == 1
