"""Dispatch against a stand-in provider over HTTP, on both databases."""

import time
from collections.abc import Callable

import pytest
from sqlalchemy import text

from tests.helpers import at_once, code_of, count, delivery, let_time_pass
from tests.integration.breaking import away
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.standin import Standin
from worker.errors import ProviderError
from worker.plan import read_plan
from worker.providers import Accepted
from worker.providers.twilio_errors import MESSAGE_STATUSES, may_help
from worker.services import Service
from worker.states import Channel
from worker.verifications import Start, Verification
from worker.wiring import Sendcode


def start(parts: Sendcode, service: Service, **values: object) -> Verification:
    return parts.verifications.start(ACCOUNT, Start(service.sid, NUMBER, **values))  # type: ignore[arg-type]


def first(parts: Sendcode, service: Service, **values: object) -> tuple[Verification, str]:
    started = start(parts, service, **values)
    return started, started.deliveries[-1].sid


@pytest.mark.kills("message-outlives-its-code")
def test_sms_carries_code_callback_and_validity(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """The provider gets the text with the code, our callback and the rest of the code's life."""
    started, sid = first(parts, service)
    parts.dispatch.deliver([sid], 123)
    (sent,) = provider.sent
    assert code_of(parts, started.sid) in sent["Body"]
    assert sent["To"] == NUMBER
    assert sent["From"] == "+447700900999"
    assert sent["StatusCallback"] == f"https://codes.example.com/callbacks/twilio/sms/{sid}"
    assert 590 <= int(sent["ValidityPeriod"]) <= 600
    row = delivery(parts, sid)
    assert (row.state, row.provider_sid) == ("accepted", provider.kept[0]["sid"])
    assert row.published_at == 123
    assert row.created_at <= row.taken_at <= row.accepted_at


def test_call_says_the_digits(parts: Sendcode, service: Service, provider: Standin) -> None:
    """A call's TwiML has the digits one by one, three times."""
    started, sid = first(parts, service, channel=Channel.CALL)
    parts.dispatch.deliver([sid])
    (sent,) = provider.sent
    spoken = ", ".join(code_of(parts, started.sid))
    assert sent["Twiml"].count(spoken) == 3
    assert (sent["Timeout"], sent["TimeLimit"]) == ("25", "60")


def test_gated_call_holds_no_digits(make_parts: Callable[..., Sendcode], provider: Standin) -> None:
    """With a key press asked for, the call is placed without the code, which follows the key."""
    parts = make_parts()
    service = parts.services.create(ACCOUNT, "Example", press_key=True)
    started, sid = first(parts, service, channel=Channel.CALL)
    parts.dispatch.deliver([sid])
    spoken = ", ".join(code_of(parts, started.sid))
    assert spoken not in provider.sent[0]["Twiml"]
    assert spoken in (parts.dispatch.spoken(sid) or "")
    let_time_pass(parts, 601)
    assert parts.dispatch.spoken(sid) is None


@pytest.mark.kills("claim-ignores-state")
def test_a_job_run_many_times_sends_once(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """Twenty workers with the same delivery make one provider call."""
    _, sid = first(parts, service)
    at_once(20, lambda _: parts.dispatch.deliver([sid]))
    parts.dispatch.deliver([sid])
    assert len(provider.sent) == 1


def test_nothing_is_sent_after_the_codes_life(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """A delivery whose code has died reaches no provider."""
    _, sid = first(parts, service)
    let_time_pass(parts, 600.5)
    parts.dispatch.deliver([sid])
    assert provider.sent == []


@pytest.mark.kills("claim-ignores-verification", "claim-in-one-ignores-verification")
def test_nothing_is_sent_after_the_verification_ended(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """A verification that was approved or canceled meanwhile sends nothing more."""
    started, sid = first(parts, service)
    parts.verifications.check(ACCOUNT, service.sid, code_of(parts, started.sid), sid=started.sid)
    parts.dispatch.deliver([sid])
    assert provider.sent == []


@pytest.mark.kills("claim-ignores-next-try")
@pytest.mark.parametrize(
    ("answer", "state", "error", "calls"),
    [
        ((400, 21211, {}), "failed", "21211", 1),
        ((400, 21610, {}), "failed", "21610", 1),
        ((429, 20429, {"Retry-After": "30"}), "queued", "20429", 1),
        ((401, 20003, {}), "queued", "20003", 1),
    ],
)
def test_refusals_are_final_or_retried_by_kind(
    parts: Sendcode,
    service: Service,
    provider: Standin,
    answer: tuple[object, ...],
    state: str,
    error: str,
    calls: int,
) -> None:
    """A permanent refusal fails at once, a transient one waits in its row for its turn."""
    _, sid = first(parts, service)
    provider.script.append(answer)
    parts.dispatch.deliver([sid])
    row = delivery(parts, sid)
    assert (row.state, row.error_code, len(provider.sent)) == (state, error, calls)
    if error == "20429":
        assert row.next_try_at - row.created_at >= 29_000
        parts.dispatch.deliver([sid])
        assert len(provider.sent) == 1, "not due yet"


@pytest.mark.kills("later-than-the-life", "retry-after-is-ignored")
def test_no_retry_after_the_codes_life(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """A retry that could only come after the code's life is not scheduled."""
    _, sid = first(parts, service)
    provider.script.append((429, 20429, {"Retry-After": "700"}))
    parts.dispatch.deliver([sid])
    assert delivery(parts, sid).state == "failed"


def test_short_refusal_is_repeated_by_the_adapter(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """A 429 that passes within the adapter's patience ends in acceptance."""
    _, sid = first(parts, service)
    provider.script.append((429, 20429, {}))
    parts.dispatch.deliver([sid])
    assert delivery(parts, sid).state == "accepted"
    assert len(provider.sent) == 2


@pytest.mark.kills("sent-again-without-a-question", "unknown-is-no-doubt")
@pytest.mark.parametrize("fault", ["drop", "hang"])
def test_accepted_without_an_answer_is_found_not_resent(
    parts: Sendcode, service: Service, provider: Standin, fault: str
) -> None:
    """A message the provider took but did not answer for is reconciled, never sent again."""
    _, sid = first(parts, service)
    provider.script.append(fault)
    parts.dispatch.deliver([sid])
    row = delivery(parts, sid)
    assert (row.state, row.doubts) == ("queued", 1)
    parts.dispatch.deliver([sid])
    assert len(provider.sent) == 1, "asked before the settling time"
    let_time_pass(parts, 9)
    parts.dispatch.deliver([sid])
    row = delivery(parts, sid)
    assert (row.state, row.provider_sid) == ("accepted", provider.kept[0]["sid"])
    assert len(provider.sent) == 1


@pytest.mark.kills("another-code-on-a-repeat")
def test_lost_request_is_sent_again_with_the_same_code(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """A request the provider surely does not have is repeated once, with the same text."""
    _, sid = first(parts, service)
    provider.script.append("lost")
    parts.dispatch.deliver([sid])
    let_time_pass(parts, 9)
    parts.dispatch.deliver([sid])
    assert delivery(parts, sid).state == "accepted"
    assert len(provider.sent) == 2
    assert provider.sent[0]["Body"] == provider.sent[1]["Body"]


@pytest.mark.kills("third-message")
def test_an_unknown_outcome_is_repeated_once_at_most(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """Where the provider keeps no trace and gives no answer, two messages are the end."""
    _, sid = first(parts, service)
    provider.script.extend(["drop", "drop", "drop"])
    provider.hide = True
    for _ in range(5):
        parts.dispatch.deliver([sid])
        let_time_pass(parts, 9)
    assert len(provider.sent) == 2
    row = delivery(parts, sid)
    assert (row.state, row.error_code) == ("failed", "outcome_unknown")


def test_a_lost_claim_writes_nothing(parts: Sendcode, service: Service, provider: Standin) -> None:
    """An outcome that comes after the claim was given to another changes nothing."""
    _, sid = first(parts, service)
    late = parts.dispatch._rows.claim(sid, None, "main", "main")
    assert late is not None
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE deliveries SET state='queued', doubts=1"))
    parts.dispatch.deliver([sid])
    now = delivery(parts, sid)
    parts.dispatch._failed(late, "late")
    parts.dispatch._again(late, "late", 1, doubt=1)
    assert delivery(parts, sid) == now


@pytest.mark.kills("acceptance-moves-back")
def test_receipt_before_our_own_write(parts: Sendcode, service: Service, provider: Standin) -> None:
    """A receipt that overtakes the answer keeps its state; our write adds what it knows."""
    _, sid = first(parts, service)
    job = parts.dispatch._rows.claim(sid, None, "main", "main")
    assert job is not None
    outgoing = parts.dispatch._content.outgoing(job, time.monotonic() + 600)
    accepted = parts.providers["main"].send(outgoing)
    parts.receipts.apply(
        sid,
        provider="twilio",
        provider_sid=accepted.sid,
        status="delivered",
        words=MESSAGE_STATUSES,
    )
    parts.dispatch._accepted(job, "main", accepted, outgoing)
    row = delivery(parts, sid)
    assert (row.state, row.provider_sid) == ("delivered", accepted.sid)
    assert row.delivered_at is not None


def test_unreachable_by_sms_falls_back_to_a_call(
    make_parts: Callable[..., Sendcode], provider: Standin
) -> None:
    """Where the service wants it, a number that takes no SMS gets a call, with the same code."""
    parts = make_parts()
    service = parts.services.create(ACCOUNT, "Example", plan=read_plan("call"))
    started, sid = first(parts, service)
    parts.dispatch.deliver([sid])
    for _ in range(2):
        parts.receipts.apply(
            sid,
            provider="twilio",
            provider_sid=provider.kept[0]["sid"],
            status="undelivered",
            words=MESSAGE_STATUSES,
            error_code="30003",
            hope=True,
        )
    sent = parts.verifications.fetch(ACCOUNT, sid=started.sid).deliveries
    assert [(d.channel, d.state) for d in sent] == [("sms", "undelivered"), ("call", "queued")]
    parts.dispatch.deliver([sent[1].sid])
    assert ", ".join(code_of(parts, started.sid)) in provider.sent[1]["Twiml"]


def test_no_fallback_unless_the_service_says_so(parts: Sendcode, service: Service) -> None:
    """Without the setting an undelivered SMS stays the end of it."""
    _, sid = first(parts, service)
    parts.receipts.apply(
        sid, provider="twilio", provider_sid="SM1", status="failed", words=MESSAGE_STATUSES
    )
    assert count(parts, "deliveries") == 1


@pytest.mark.kills("call-after-a-refusal")
@pytest.mark.parametrize("code", ["30450", "21610", "30005"])
def test_no_call_to_who_refused_or_does_not_exist(
    make_parts: Callable[..., Sendcode], code: str
) -> None:
    """An opted-out, unknown or fraud-blocked number gets no call after its undelivered SMS."""
    parts = make_parts()
    service = parts.services.create(ACCOUNT, "Example", plan=read_plan("call"))
    _, sid = first(parts, service)
    parts.receipts.apply(
        sid,
        provider="twilio",
        provider_sid="SM1",
        status="undelivered",
        words=MESSAGE_STATUSES,
        error_code=code,
        hope=may_help(code),
    )
    assert count(parts, "deliveries") == 1


@pytest.mark.kills("step-of-a-plan-is-taken-twice")
def test_one_call_however_many_texts_fail(make_parts: Callable[..., Sendcode]) -> None:
    """Two undelivered texts of one verification are followed by one call."""
    parts = make_parts()
    service = parts.services.create(ACCOUNT, "Example", plan=read_plan("call"))
    sids = [first(parts, service)[1] for _ in range(2)]
    for index, sid in enumerate(sids):
        parts.receipts.apply(
            sid,
            provider="twilio",
            provider_sid=f"SM{index}",
            status="undelivered",
            words=MESSAGE_STATUSES,
            hope=True,
        )
    assert count(parts, "deliveries WHERE channel = 'call'") == 1
    assert parts.fallback.due() == []


@pytest.mark.kills("late-acceptance-is-lost")
def test_acceptance_after_the_lease_was_given_up(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """A worker that slept past its lease still records what the provider took: no second send."""
    _, sid = first(parts, service)
    job = parts.dispatch._rows.claim(sid, None, "main", "main")
    assert job is not None
    outgoing = parts.dispatch._content.outgoing(job, time.monotonic() + 600)
    accepted = parts.providers["main"].send(outgoing)
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE deliveries SET state = 'queued', doubts = 1"))
    parts.dispatch._accepted(job, "main", accepted, outgoing)
    assert delivery(parts, sid).state == "accepted"
    parts.dispatch.deliver([sid])
    assert len(provider.sent) == 1


@pytest.mark.kills("claim-ignores-life", "no-margin")
def test_a_dying_code_is_not_claimed(parts: Sendcode, service: Service, provider: Standin) -> None:
    """In the last two seconds of a code's life nothing is handed to the provider."""
    _, sid = first(parts, service)
    let_time_pass(parts, 598.5)
    parts.dispatch.deliver([sid])
    assert provider.sent == []


@pytest.mark.kills("no-last-second")
def test_repeats_end_with_the_codes_life(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """The adapter's own repeats write nothing once the code is about to die."""
    _, sid = first(parts, service)
    job = parts.dispatch._rows.claim(sid, None, "main", "main")
    assert job is not None
    provider.script.extend([(429, 20429, {"Retry-After": "1"})] * 3)
    with pytest.raises(ProviderError):
        parts.providers["main"].send(parts.dispatch._content.outgoing(job, time.monotonic() + 1.5))
    assert len(provider.sent) == 1


@pytest.mark.kills("twin-is-taken-for-ours")
def test_another_deliverys_message_is_not_taken_for_ours(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """A resend whose outcome is unknown is not reconciled with the first text, its twin."""
    _, one = first(parts, service)
    parts.dispatch.deliver([one])
    _, two = first(parts, service)
    provider.script.append("lost")
    parts.dispatch.deliver([two])
    let_time_pass(parts, 9)
    parts.dispatch.deliver([two])
    rows = [delivery(parts, sid) for sid in (one, two)]
    assert {row.state for row in rows} == {"accepted"}
    assert rows[0].provider_sid != rows[1].provider_sid


def test_two_doubtful_texts_are_not_mixed_up(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """Of two texts of one verification, both in doubt, each is taken for its own delivery, so that
    what their callbacks say is of the right one."""
    sids = [first(parts, service)[1] for _ in range(2)]
    provider.script.extend(["drop", "drop"])
    parts.dispatch.deliver(sids)
    let_time_pass(parts, 9)
    parts.dispatch.deliver(sids)
    asked_by = [sent["StatusCallback"].rpartition("/")[2] for sent in provider.sent]
    assert asked_by == sids
    assert [delivery(parts, sid).provider_sid for sid in sids] == [
        kept["sid"] for kept in provider.kept
    ]


def test_one_that_is_written_meanwhile_is_not_taken(
    parts: Sendcode, service: Service, provider: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text of another delivery whose sid is written while the provider answers is not ours."""
    one, two = (first(parts, service)[1] for _ in range(2))
    provider.script.append("lost")
    parts.dispatch.deliver([one])
    let_time_pass(parts, 9)
    sender = parts.providers["main"]
    listed = type(sender)._newest

    def slowly(self: object, outgoing: object) -> object:
        parts.dispatch.deliver([two])
        return listed(sender, outgoing)  # type: ignore[arg-type]

    monkeypatch.setattr(type(sender), "_newest", slowly)
    parts.dispatch.deliver([one])
    rows = [delivery(parts, sid) for sid in (one, two)]
    assert [row.state for row in rows] == ["accepted", "accepted"]
    assert rows[0].provider_sid != rows[1].provider_sid
    assert len(provider.kept) == 2


@pytest.mark.kills("repeat-without-a-look")
def test_a_receipt_while_we_ask_prevents_the_repeat(
    parts: Sendcode, service: Service, provider: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the first text's receipt comes while the provider is asked about it, and its list
    lags, nothing is sent again."""
    _, sid = first(parts, service)
    provider.script.append("drop")
    parts.dispatch.deliver([sid])
    let_time_pass(parts, 9)

    def lagging(*_: object) -> None:
        parts.receipts.apply(
            sid,
            provider="twilio",
            provider_sid=provider.kept[0]["sid"],
            status="delivered",
            words=MESSAGE_STATUSES,
        )

    monkeypatch.setattr(parts.providers["main"], "find", lagging)
    parts.dispatch.deliver([sid])
    assert (delivery(parts, sid).state, len(provider.sent)) == ("delivered", 1)


def test_a_thousand_tries_end_nothing(parts: Sendcode, service: Service, provider: Standin) -> None:
    """However often a delivery was put off, a refusal puts it off once more."""
    _, sid = first(parts, service)
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE deliveries SET tries = 1100"))
    provider.script.append((401, 20003, {}))
    parts.dispatch.deliver([sid])
    row = delivery(parts, sid)
    assert (row.state, row.tries, row.doubts) == ("queued", 1101, 0)


def test_a_replaced_code_hides_no_doubtful_text(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """A text with the backend's code is found although a resend has brought another since."""
    parts.services.update(ACCOUNT, service.sid, twilio_only={"custom_code_enabled": True})
    _, sid = first(parts, service, custom_code="123456")
    provider.script.append("drop")
    parts.dispatch.deliver([sid])
    start(parts, service, custom_code="98765432")
    let_time_pass(parts, 9)
    parts.dispatch.deliver([sid])
    row = delivery(parts, sid)
    assert (row.state, row.provider_sid) == ("accepted", provider.kept[0]["sid"])
    assert len(provider.sent) == 1


@pytest.mark.kills("known-outcome-is-dropped")
def test_a_known_outcome_survives_a_database_that_was_away(
    parts: Sendcode, service: Service, provider: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An acceptance is written when the database answers again, not forgotten."""
    _, sid = first(parts, service)
    job = parts.dispatch._rows.claim(sid, None, "main", "main")
    assert job is not None
    outgoing = parts.dispatch._content.outgoing(job, time.monotonic() + 600)
    whole = parts.db.driver
    failures = [away, away]
    monkeypatch.setattr(parts.db, "driver", lambda: (failures.pop() if failures else whole)())
    parts.dispatch._accepted(job, "main", Accepted("SM1", "queued"), outgoing)
    monkeypatch.undo()
    assert not failures
    assert delivery(parts, sid).state == "accepted"
