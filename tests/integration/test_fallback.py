"""What a service's plan does where a text does not get through, on both databases."""

from collections.abc import Callable
from typing import Any

import pytest
import redis
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.helpers import delivery, let_time_pass
from tests.integration.breaking import away
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.integration.operating import ADMIN
from tests.integration.test_relay import channels, make_relay, planned
from tests.standin import Standin
from worker.errors import LimitsUnavailableError, OutcomeUnknownError, PausedError
from worker.holds import PauseKind
from worker.plan import read_plan
from worker.providers.twilio_errors import MESSAGE_STATUSES, may_help
from worker.services import Service
from worker.statements import number_limits
from worker.states import Channel
from worker.verifications import Payment, Start
from worker.wiring import Sendcode


def sent(parts: Sendcode, service: Service, to: str = NUMBER, **values: Any) -> str:
    """A text that a worker was told of once."""
    started = parts.verifications.start(ACCOUNT, Start(service.sid, to, **values))
    sid = started.deliveries[-1].sid
    parts.dispatch.deliver([sid])
    return sid


@pytest.mark.kills("plan-ends-with-an-unknown-fate")
def test_a_call_follows_a_text_of_unknown_fate(
    make_parts: Callable[..., Sendcode], provider: Standin
) -> None:
    """Where the provider answers nothing twice and knows of neither text, the plan goes on."""
    parts, service = planned(make_parts, "call:3600")
    provider.script.extend(["lost", "lost"])
    sid = sent(parts, service)
    for _ in range(2):
        let_time_pass(parts, 9)
        parts.dispatch.deliver([sid])
    assert delivery(parts, sid).error_code == "outcome_unknown"
    assert channels(parts) == ["sms", "call"]


@pytest.mark.kills("plan-ends-with-no-time-left")
def test_a_call_follows_a_text_that_may_go_out_too_late(
    make_parts: Callable[..., Sendcode], provider: Standin
) -> None:
    """A provider that wants a text to wait for longer than the code lives leaves time to call."""
    parts, service = planned(make_parts, "call")
    provider.script.append((429, 20429, {"Retry-After": "900"}))
    row = delivery(parts, sent(parts, service))
    assert (row.state, row.error_code) == ("failed", "20429")
    assert channels(parts) == ["sms", "call"]


def test_a_retry_in_time_leaves_the_plan_as_it_is(
    make_parts: Callable[..., Sendcode], provider: Standin
) -> None:
    """A text that is tried again keeps the moment at which its plan goes on."""
    parts, service = planned(make_parts, "call:30")
    provider.script.append((429, 20429, {"Retry-After": "9"}))
    row = delivery(parts, sent(parts, service))
    assert (row.state, row.follow_at - row.created_at) == ("queued", 30_000)
    assert channels(parts) == ["sms"]


@pytest.mark.parametrize("code", ["30034", "30032", "30018"])
def test_a_call_follows_a_text_that_our_account_may_not_send(
    make_parts: Callable[..., Sendcode], code: str
) -> None:
    """Where our own sender is to blame the number is not, and may be called."""
    parts, service = planned(make_parts, "call")
    sid = sent(parts, service)
    parts.receipts.apply(
        sid,
        provider="twilio",
        provider_sid=delivery(parts, sid).provider_sid,
        status="undelivered",
        words=MESSAGE_STATUSES,
        error_code=code,
        hope=may_help(code),
    )
    assert channels(parts) == ["sms", "call"]


@pytest.fixture
def paying(parts: Sendcode) -> Service:
    plan, bank = read_plan("call:30"), {"psd2_enabled": True}
    return parts.services.create(ACCOUNT, "Bank", plan=plan, twilio_only=bank)


@pytest.mark.kills("plan-calls-for-a-payment")
def test_no_call_follows_a_payment(parts: Sendcode, paying: Service) -> None:
    """No call says what is paid to whom, so none is made by a plan, and no later than asked."""
    sid = sent(parts, paying, payment=Payment("10 EUR", "Shop"))
    let_time_pass(parts, 31)
    make_relay(parts).tick()
    assert channels(parts) == ["sms"]
    assert (parts.fallback.due(), delivery(parts, sid).follow_at) == ([], None)


def test_no_plan_takes_over_for_a_payment(parts: Sendcode, paying: Service) -> None:
    """While texts are paused a payment's is refused at once."""
    parts.operations.pauses.pause(ADMIN, PauseKind.CHANNEL, "sms", "a drill")
    with pytest.raises(PausedError):
        parts.verifications.start(
            ACCOUNT, Start(paying.sid, NUMBER, payment=Payment("10 EUR", "Shop"))
        )
    plain = parts.services.create(ACCOUNT, "Example", plan=read_plan("call:30"))
    parts.verifications.start(ACCOUNT, Start(plain.sid, NUMBER))
    make_relay(parts).settle()
    assert channels(parts) == ["sms", "call"]


def test_a_broker_that_is_away_is_asked_once(
    make_parts: Callable[..., Sendcode], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the limits cannot be asked the relay takes no step, and tries one, not each."""
    parts, service = planned(make_parts, "call:30")
    for n in range(3):
        parts.verifications.start(ACCOUNT, Start(service.sid, f"{NUMBER[:-1]}{n}"))
    let_time_pass(parts, 31)
    asked = []

    def away(*values: object, **_: object) -> None:
        asked.append(values)
        raise LimitsUnavailableError("away")

    monkeypatch.setattr(parts.limits, "admit", away)
    make_relay(parts).settle()
    assert (len(asked), channels(parts), len(parts.fallback.due())) == (1, ["sms"] * 3, 3)
    monkeypatch.undo()
    make_relay(parts).settle()
    assert sorted(channels(parts)) == ["call"] * 3 + ["sms"] * 3


def test_a_step_that_could_not_be_written_is_not_counted(
    make_parts: Callable[..., Sendcode], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that fails while a step is written uses up none of the number's sends: the call
    is made once it is back, and counted once."""
    parts, service = planned(make_parts, "call:30")
    sid = sent(parts, service)
    let_time_pass(parts, 31)
    monkeypatch.setattr(parts.db, "begin", away)
    for _ in range(4):
        with pytest.raises(OperationalError):
            parts.fallback.follow(sid)
    monkeypatch.undo()
    assert parts.fallback.follow(sid)
    assert channels(parts) == ["sms", "call"]
    index = parts.keyring.number_index(NUMBER)
    limits = number_limits(parts.settings, service.sid, index, Channel.CALL)
    assert [sends for sends, _ in parts.limits.used(limits)] == [2, 2, 1]


# Questions about what no receipt came of


def accepted(parts: Sendcode, service: Service, count: int) -> list[str]:
    return [sent(parts, service, f"+4474001{n:05}") for n in range(23456, 23456 + count)]


def test_questions_come_in_small_messages(parts: Sendcode, service: Service) -> None:
    """A worker is asked about ten at once at most, so that no message outlives its visibility."""
    accepted(parts, service, 12)
    parts.redis.flushdb()
    let_time_pass(parts, 31)
    make_relay(parts).settle()
    assert parts.redis.llen("relay") == 2


def test_an_old_delivery_is_asked_about_more_seldom(parts: Sendcode, service: Service) -> None:
    """The next question comes after a minute, or after a quarter of the time that has passed."""
    (sid,) = accepted(parts, service, 1)
    for passed, next_in in ((31, 60), (449, 120)):
        let_time_pass(parts, passed)
        make_relay(parts).settle()
        with parts.db.statement() as connection:
            waits = text("SELECT next_try_at - accepted_at FROM deliveries WHERE sid = :sid")
            found = connection.execute(waits, {"sid": sid}).scalar_one()
        age = 31 if passed == 31 else 480
        assert abs(found / 1000 - age - next_in) < 5


@pytest.mark.kills("sender-that-hangs-is-asked-on")
def test_a_sender_that_hangs_is_left_alone(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one question without an answer the others of that sender are not put for a while."""
    sids, asked = accepted(parts, service, 3), []

    def hang(*values: object) -> None:
        asked.append(values)
        raise OutcomeUnknownError("read_timeout")

    monkeypatch.setattr(parts.providers["main"], "report", hang)
    for _ in range(2):
        parts.enquiry.ask(sids)
    assert len(asked) == 1
    monkeypatch.undo()
    monkeypatch.setattr("worker.enquiry.time.monotonic", lambda: 1e12)
    parts.enquiry.ask(sids)


@pytest.mark.kills("questions-take-every-slot")
def test_questions_leave_slots_for_codes(
    make_parts: Callable[..., Sendcode], service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more than a quarter of a worker's slots ask at once; what is not asked comes again."""
    parts = make_parts(worker_slots=4)
    sids, asked = accepted(parts, service, 2), []

    def nested(*_: object) -> None:
        asked.append(1)
        parts.enquiry.ask(sids[1:])  # as another thread would meanwhile
        raise redis.ConnectionError("enough")

    monkeypatch.setattr(parts.providers["main"], "report", nested)
    with pytest.raises(redis.ConnectionError):
        parts.enquiry.ask(sids[:1])
    assert asked == [1]
    with pytest.raises(redis.ConnectionError):
        parts.enquiry.ask(sids[:1])
    assert asked == [1, 1], "the turn is given back after a fault"
