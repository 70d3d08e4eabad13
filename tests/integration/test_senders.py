"""Several senders for one channel, on both databases, against a stand-in provider."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from tests.helpers import code_of, count, delivery, let_time_pass
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.standin import Standin
from worker.circuits import OPENS_AT, Permit
from worker.services import Service
from worker.states import Channel
from worker.verifications import Start
from worker.wiring import Sendcode

ONE, TWO = "+12025550101", "+12025550102"


def senders(**of_one: Any) -> str:
    account = {"account_sid": "AC" + "1" * 32, "auth_token": "provider-token"}
    entries = [
        {"name": "one", "from": ONE, **account, **of_one},
        {"name": "two", "from": TWO, **account},
    ]
    return json.dumps(entries)


@pytest.fixture
def make_two(make_parts: Callable[..., Sendcode]) -> Callable[..., Sendcode]:
    none = {"twilio_account_sid": "", "twilio_auth_token": "", "twilio_from": ""}
    return lambda **of_one: make_parts(senders=senders(**of_one), **none)


@pytest.fixture
def two(make_two: Callable[..., Sendcode]) -> Sendcode:
    return make_two()


@pytest.fixture
def service(two: Sendcode) -> Service:
    return two.services.create(ACCOUNT, "Example")


def start(parts: Sendcode, service: Service, to: str = NUMBER, **values: Any) -> str:
    started = parts.verifications.start(ACCOUNT, Start(service.sid, to, **values))
    return started.deliveries[-1].sid


def froms(provider: Standin) -> list[str]:
    return [sent["From"] for sent in provider.sent]


@pytest.mark.parametrize(
    "answer", [(401, 20003, {}), (400, 21408, {}), (400, 21606, {}), (429, 20429, {})]
)
def test_another_sender_takes_over_what_one_surely_did_not_take(
    two: Sendcode, service: Service, provider: Standin, answer: tuple[object, ...]
) -> None:
    """A sender that may not or cannot send now is followed by the next, with the same code."""
    sid = start(two, service)
    provider.script.extend([answer] * (4 if answer[0] == 429 else 1))
    two.dispatch.deliver([sid])
    row = delivery(two, sid)
    assert (row.state, row.sender) == ("accepted", "two")
    assert set(froms(provider)) == {ONE, TWO}
    assert len({sent["Body"] for sent in provider.sent}) == 1
    assert len(provider.kept) == 1


@pytest.mark.kills("unwilling-number-tries-another-sender")
@pytest.mark.parametrize("code", [21211, 21610, 21614, 21268])
def test_a_wrong_or_unwilling_number_tries_no_other_sender(
    two: Sendcode, service: Service, provider: Standin, code: int
) -> None:
    """What is the number's own fault is asked of one sender, once, and opens no circuit."""
    for index in range(OPENS_AT + 1):
        sid = start(two, service, f"+4474001234{index:02}")
        provider.script.append((400, code, {}))
        two.dispatch.deliver([sid])
        assert delivery(two, sid).state == "failed"
    assert froms(provider) == [ONE] * (OPENS_AT + 1)


@pytest.mark.parametrize("step", ["lost", "drop", (503, 20503, {})])
def test_an_unknown_outcome_is_asked_about_before_any_other_sender(
    two: Sendcode, service: Service, provider: Standin, step: Any
) -> None:
    """Where a sender may have sent it no other sends, until the first was asked."""
    sid = start(two, service)
    provider.script.append(step)
    two.dispatch.deliver([sid])
    row = delivery(two, sid)
    assert (row.state, row.doubts, row.sender) == ("queued", 1, "one")
    assert froms(provider) == [ONE]
    let_time_pass(two, 9)
    two.dispatch.deliver([sid])
    assert delivery(two, sid).state == "accepted"
    assert provider.lists == 1
    assert len(provider.kept) == 1


def test_a_failing_sender_is_left_alone_by_all(
    two: Sendcode, service: Service, provider: Standin
) -> None:
    """After five failures nothing goes by the failing sender, whichever process delivers."""
    provider.script.extend([(401, 20003, {}), 201] * OPENS_AT)
    for index in range(OPENS_AT):
        two.dispatch.deliver([start(two, service, f"+4474001234{index:02}")])
    provider.sent.clear()
    other = Sendcode(two.settings)
    for index in range(10, 15):
        other.dispatch.deliver([start(two, service, f"+4474001234{index:02}")])
    assert froms(provider) == [TWO] * 5
    other.db.close()


def test_with_every_circuit_open_nothing_is_called_and_nothing_lost(
    two: Sendcode, service: Service, provider: Standin
) -> None:
    """A delivery that finds every circuit open waits within its code's life, then goes."""
    for name in ("one", "two"):
        for _ in range(OPENS_AT):
            two.circuits.failed(name, Channel.SMS)
    sid = start(two, service)
    two.dispatch.deliver([sid])
    row = delivery(two, sid)
    assert (row.state, row.error_code, provider.sent) == ("queued", "circuit_open", [])
    two.redis.delete("sendcode:circuit:one:sms")
    let_time_pass(two, 30)
    two.dispatch.deliver([sid])
    assert delivery(two, sid).state == "accepted"


def test_a_place_in_the_pace_is_kept_while_the_delivery_waits(
    make_two: Callable[..., Sendcode], provider: Standin
) -> None:
    """A paced sender's deliveries wait in the rows for their places, and go at them."""
    parts = make_two(per_second=0.1)
    parts.settings.all_senders()
    service = parts.services.create(ACCOUNT, "Example")
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE services SET code_life = 3600"))
    sids = [start(parts, service, f"+4474001234{index:02}") for index in range(3)]
    two_open = [parts.circuits.failed("two", Channel.SMS) for _ in range(OPENS_AT)]
    assert two_open
    parts.dispatch.deliver(sids)
    states = [delivery(parts, sid) for sid in sids]
    assert [row.state for row in states] == ["accepted", "queued", "queued"]
    assert [row.slot_of for row in states] == [None, "one", "one"]
    gaps = [states[2].next_try_at - states[1].next_try_at]
    assert 8_000 < gaps[0] < 12_000
    let_time_pass(parts, 10.5)
    parts.dispatch.deliver(sids)
    assert [delivery(parts, sid).state for sid in sids] == ["accepted", "accepted", "queued"]
    let_time_pass(parts, 10.5)
    parts.dispatch.deliver(sids)
    assert froms(provider) == [ONE] * 3


def test_a_channel_without_a_sender_fails_at_once(
    make_two: Callable[..., Sendcode], make_parts: Callable[..., Sendcode], provider: Standin
) -> None:
    """A call without any sender for calls fails with a reason, and calls no provider."""
    parts = make_parts(twilio_from="", twilio_messaging_service_sid="MG" + "1" * 32)
    service = parts.services.create(ACCOUNT, "Example")
    sid = start(parts, service, channel=Channel.CALL)
    parts.dispatch.deliver([sid])
    row = delivery(parts, sid)
    assert (row.state, row.error_code, provider.sent) == ("failed", "no_sender", [])


@pytest.mark.kills("doubt-goes-to-another-sender")
def test_a_sender_taken_out_of_the_settings_is_no_blind_resend(
    two: Sendcode, service: Service, provider: Standin, make_parts: Callable[..., Sendcode]
) -> None:
    """A doubtful delivery whose sender nobody knows any more is not sent by another."""
    sid = start(two, service)
    provider.script.append("lost")
    two.dispatch.deliver([sid])
    with two.db.begin() as connection:
        connection.execute(text("UPDATE deliveries SET sender = 'gone'"))
    let_time_pass(two, 9)
    two.dispatch.deliver([sid])
    row = delivery(two, sid)
    assert (row.state, row.error_code) == ("queued", "ask_no_sender")
    assert len(provider.sent) == 1


@pytest.mark.kills("another-code-by-another-sender")
def test_the_code_is_the_same_by_every_sender(
    two: Sendcode, service: Service, provider: Standin
) -> None:
    """Whoever hands it over, the text has the verification's one code."""
    started = two.verifications.start(ACCOUNT, Start(service.sid, NUMBER))
    provider.script.append((401, 20003, {}))
    two.dispatch.deliver([started.deliveries[0].sid])
    code = code_of(two, started.sid)
    assert [code in sent["Body"] for sent in provider.sent] == [True, True]


@pytest.mark.kills("old-claim-still-sends")
def test_a_worker_that_slept_hands_nothing_over(
    two: Sendcode, service: Service, provider: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a call could outlive what is left of the lease, it is not made under it."""
    sid = start(two, service)
    real = time.monotonic
    whole = two.circuits.permit
    asleep = 0.0

    def sleepy(*args: Any, **kwargs: Any) -> Any:
        nonlocal asleep
        asleep = two.settings.lease_seconds - two.settings.longest_request + 1
        return whole(*args, **kwargs)

    monkeypatch.setattr(two.circuits, "permit", sleepy)
    monkeypatch.setattr("worker.dispatch.route.time.monotonic", lambda: real() + asleep)
    two.dispatch.deliver([sid])
    monkeypatch.undo()
    row = delivery(two, sid)
    assert (row.state, row.error_code, provider.sent) == ("queued", "claim_too_old", [])
    two.dispatch.deliver([sid])
    assert count(two, "deliveries WHERE state = 'accepted'") == 1


def test_a_dying_code_blames_no_sender(
    two: Sendcode, service: Service, provider: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the code is about to die nothing is sent, and that is no failure of the sender's."""
    sid = start(two, service)
    permit = Permit(two.settings.first_sender, 0, probe=False, failing=False)
    monkeypatch.setattr("worker.providers.Outgoing.remaining", property(lambda self: 0.9))
    monkeypatch.setattr(two.circuits, "permit", lambda *_: permit)
    failed: list[object] = []
    monkeypatch.setattr(two.circuits, "failed", lambda *which: failed.append(which))
    two.dispatch.deliver([sid])
    assert (delivery(two, sid).error_code, failed, provider.sent) == ("expired", [], [])
