"""Retry, resend, cancel, circuits by hand, limits and numbers, on both databases."""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from tests.helpers import at_once, code_of, count, delivery, let_time_pass, waiting
from tests.integration.conftest import ACCOUNT
from tests.integration.operating import (
    ADMIN,
    AMERICAN,
    ANN,
    BRITISH,
    audited,
    delivery_of,
    start,
)
from tests.standin import Standin
from worker.circuits import OPENS_AT
from worker.errors import (
    ActionRefusedError,
    BlockedError,
    InvalidParameterError,
    LandlineError,
    LimitReachedError,
    NotFoundError,
    PaymentError,
)
from worker.services import Service
from worker.states import Channel
from worker.verifications import Payment
from worker.wiring import Sendcode

LANDLINE = "+442071838750"


def failed(parts: Sendcode, service: Service, provider: Standin, to: str = BRITISH) -> str:
    """A delivery that the provider refused."""
    sid = delivery_of(parts, service, to)
    provider.script.append((400, 21610, {}))
    parts.dispatch.deliver([sid])
    assert delivery(parts, sid).state == "failed"
    return sid


def test_a_retry_sends_the_same_code(parts: Sendcode, service: Service, provider: Standin) -> None:
    """A failed delivery is followed by a new one with the same code, published at once."""
    sid = failed(parts, service, provider)
    told = parts.operations.sending.retry(ANN, sid, "the carrier is back")
    assert told.after is not None
    made = told.after["delivery"]
    assert [made] in waiting(parts, "sms")
    parts.dispatch.deliver([made])
    code = code_of(parts, delivery(parts, sid).verification_sid)
    assert [code in sent["Body"] for sent in provider.sent] == [True, True]
    assert delivery(parts, made).state == "accepted"


@pytest.mark.kills("retried-by-each")
def test_it_is_sent_again_once(parts: Sendcode, service: Service, provider: Standin) -> None:
    """However many retry a delivery at once or later, one new message comes of it, and the
    limits count one."""
    sid = failed(parts, service, provider)
    verification = delivery(parts, sid).verification_sid
    counted = parts.redis.llen(parts.redis.keys("sendcode:limit:sends:*")[0])
    told = at_once(
        8, lambda n: parts.operations.sending.retry(ANN, (sid, verification)[n % 2], "why")
    )
    assert sorted(one.result for one in told) == ["done"] + ["unchanged"] * 7
    assert count(parts, "deliveries") == 2
    assert parts.redis.llen(parts.redis.keys("sendcode:limit:sends:*")[0]) == counted + 1
    (made,) = {one.after["delivery"] for one in told if one.after}
    parts.dispatch.deliver([made])
    for target in (sid, made, verification):
        assert parts.operations.sending.retry(ANN, target, "why").result == "unchanged"
    assert len(audited(parts)) == 1


@pytest.mark.kills("retried-beside-a-newer-one")
def test_an_older_failure_is_not_retried_beside_a_newer_one(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """Of two failed deliveries of one verification, retried one after the other, one is sent
    again."""
    older, newer = (failed(parts, service, provider) for _ in range(2))
    assert parts.operations.sending.retry(ANN, newer, "why").result == "done"
    assert parts.operations.sending.retry(ANN, older, "why").result == "unchanged"


def test_a_dead_code_is_not_sent_again(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """After the code's life a retry is refused as expired, after an approval as approved."""
    sid = failed(parts, service, provider)
    let_time_pass(parts, 601)
    with pytest.raises(ActionRefusedError) as refused:
        parts.operations.sending.retry(ANN, sid, "why")
    assert refused.value.reason == "expired"
    other = failed(parts, service, provider, AMERICAN)
    owner = delivery(parts, other).verification_sid
    assert parts.verifications.check(ACCOUNT, None, code_of(parts, owner), sid=owner)
    with pytest.raises(ActionRefusedError) as refused:
        parts.operations.sending.retry(ANN, other, "why")
    assert refused.value.reason == "approved"
    assert (count(parts, "deliveries"), audited(parts)) == (2, [])


@pytest.mark.parametrize(
    ("change", "reason"),
    [("key_id = 'gone'", "key_missing"), ("number_sealed = code_digest", "unreadable")],
)
def test_a_number_that_cannot_be_opened_is_not_sent_to(
    parts: Sendcode, service: Service, provider: Standin, change: str, reason: str
) -> None:
    """Where the key of a row is missing, or its number is another row's, a retry and a resend are
    refused with a word of their own, and nothing is made."""
    sid = failed(parts, service, provider)
    with parts.db.begin() as connection:
        connection.execute(text(f"UPDATE verifications SET {change}"))
    sending = parts.operations.sending
    for again in (lambda: sending.retry(ANN, sid, "why"),
                  lambda: sending.resend(ANN, sid, "call", "why")):  # fmt: skip
        with pytest.raises(ActionRefusedError) as refused:
            again()
        assert refused.value.reason == reason
    assert (count(parts, "deliveries"), audited(parts)) == (1, [])


def test_a_resend_goes_by_the_other_channel(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """What went by text is called, once, though the text has arrived."""
    sid = delivery_of(parts, service)
    parts.dispatch.deliver([sid])
    told = [parts.operations.sending.resend(ANN, sid, "call", "no text came") for _ in range(2)]
    assert [one.result for one in told] == ["done", "unchanged"]
    assert told[0].after is not None
    parts.dispatch.deliver([told[0].after["delivery"]])
    assert [sent["kind"] for sent in provider.sent] == ["messages", "calls"]


def test_a_resend_that_cannot_be_is_refused(parts: Sendcode, service: Service) -> None:
    """A text to a landline, a call of a payment, and a send to a blocked number are refused."""
    act = parts.operations.sending
    called = delivery_of(parts, service, LANDLINE, channel=Channel.CALL)
    with pytest.raises(LandlineError):
        act.resend(ANN, called, "sms", "why")
    paying = parts.services.create(ACCOUNT, "Bank", twilio_only={"psd2_enabled": True})
    paid = delivery_of(parts, paying, AMERICAN, payment=Payment("10 EUR", "Shop"))
    with pytest.raises(PaymentError):
        act.resend(ANN, paid, "call", "why")
    blocked = delivery_of(parts, service)
    parts.operations.blocks.block(ANN, BRITISH, "pumping")
    with pytest.raises(BlockedError):
        act.resend(ANN, blocked, "call", "why")
    assert count(parts, "deliveries") == 3


@pytest.mark.kills("sent-again-into-a-pause")
@pytest.mark.parametrize(
    "paused", [("country", "GB"), ("channel", "sms"), ("sender", "main"), ("queue", "sms")]
)
def test_what_is_sent_again_into_a_pause_says_so(
    parts: Sendcode, service: Service, provider: Standin, paused: tuple[str, str]
) -> None:
    """A retry that only waits for a pause to end names it, in a trial too, and goes out once it has
    ended; where nothing is paused it names none."""
    act, sid = parts.operations.sending, failed(parts, service, provider)
    parts.operations.pauses.pause(ANN, *paused, "pumping")
    trial, outcome = (act.retry(ANN, sid, "why", dry_run=dry_run) for dry_run in (True, False))
    named = " ".join(paused) if paused[0] != "sender" else "channel sms"
    assert trial.after is not None
    assert outcome.after is not None
    assert trial.after["waits_for_end_of"] == outcome.after["waits_for_end_of"] == named
    made = outcome.after["delivery"]
    parts.dispatch.deliver([made])
    assert delivery(parts, made).state == "queued"
    parts.operations.pauses.resume(ANN, *paused, "over")
    parts.dispatch.deliver([made])
    assert delivery(parts, made).state == "accepted"
    other = failed(parts, service, provider, AMERICAN)
    free = act.retry(ANN, other, "why").after
    assert free is not None
    assert "waits_for_end_of" not in free


@pytest.mark.kills("limits-overridden-by-anybody")
def test_limits_hold_unless_an_admin_overrides_them(
    make_parts: Callable[..., Sendcode], provider: Standin
) -> None:
    """A retry beyond a limit is refused, also to who asks to override it without being an admin;
    an admin's passes, uncounted, and is in the log as such."""
    parts = make_parts(limit_sends=1)
    service = parts.services.create(ACCOUNT, "Example")
    sid, act = failed(parts, service, provider), parts.operations.sending
    with pytest.raises(LimitReachedError):
        act.retry(ANN, sid, "why")
    with pytest.raises(ActionRefusedError):
        act.retry(ANN, sid, "why", override_limits=True)
    assert act.retry(ADMIN, sid, "why", override_limits=True).result == "done"
    (entry,) = audited(parts)
    assert entry.after is not None
    assert (entry.who, entry.after["limits_overridden"]) == ("root", True)
    assert parts.redis.llen(parts.redis.keys("sendcode:limit:sends:*")[0]) == 1


def test_cancel_ends_it_once(parts: Sendcode, service: Service, provider: Standin) -> None:
    """A cancelled code is not sent and not accepted; a second cancel changes nothing."""
    sid = delivery_of(parts, service)
    owner = delivery(parts, sid).verification_sid
    told = at_once(6, lambda _: parts.operations.sending.cancel(ANN, sid, "asked to"))
    assert sorted(one.result for one in told) == ["done"] + ["unchanged"] * 5
    parts.dispatch.deliver([sid])
    assert (delivery(parts, sid).state, provider.sent) == ("canceled", [])
    with pytest.raises(NotFoundError):
        parts.verifications.check(ACCOUNT, None, code_of(parts, owner), sid=owner)
    assert [(one.action, one.target) for one in audited(parts)] == [("cancel", owner)]


def test_a_retry_that_is_not_written_is_not_counted(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """Where the row cannot be written the limits take their count back."""
    sid = failed(parts, service, provider)
    with parts.db.begin() as connection:
        connection.execute(text("DROP TABLE audit"))
    with pytest.raises(Exception, match="audit"):
        parts.operations.sending.retry(ANN, sid, "why")
    assert parts.redis.llen(parts.redis.keys("sendcode:limit:sends:*")[0]) == 1
    assert count(parts, "deliveries") == 1


def test_dry_runs_do_nothing(parts: Sendcode, service: Service, provider: Standin) -> None:
    """Dry runs of retry, resend, cancel, circuit, limits and reveal write and show nothing."""
    sid = failed(parts, service, provider)
    act = parts.operations
    told = [
        act.sending.retry(ANN, sid, "why", dry_run=True),
        act.sending.resend(ANN, sid, "call", "why", dry_run=True),
        act.sending.cancel(ANN, sid, "why", dry_run=True),
        act.circuits.set(ANN, "main", "sms", "open", "why", dry_run=True),
        act.numbers.reset_limits(ANN, BRITISH, "why", dry_run=True),
        act.numbers.reveal(ANN, sid, "why", dry_run=True),
    ]
    assert [one.result for one in told] == ["would"] * 6
    assert told[-1].number is None
    assert (count(parts, "deliveries"), audited(parts)) == (1, [])
    assert parts.redis.keys("sendcode:circuit:*") == []
    assert parts.redis.keys("sendcode:limit:*")


@pytest.mark.kills("circuit-by-hand-is-forgotten")
def test_a_circuit_by_hand(parts: Sendcode, service: Service, provider: Standin) -> None:
    """A circuit that an operator opens lets nothing through, in any process, until it is let go;
    one that is kept closed does not open however often the sender fails."""
    act, other = parts.operations.circuits, Sendcode(parts.settings)
    act.set(ANN, "main", "sms", "open", "provider is down")
    sid = delivery_of(parts, service)
    other.dispatch.deliver([sid])
    row = delivery(parts, sid)
    assert (row.state, row.error_code, provider.sent) == ("queued", "circuit_open", [])
    assert next((c.state, c.forced) for c in parts.standing.circuits()) == ("open", True)
    act.set(ANN, "main", "sms", "closed", "send all the same")
    for _ in range(OPENS_AT * 2):
        other.circuits.failed("main", Channel.SMS)
    let_time_pass(parts, 60)
    other.dispatch.deliver([sid])
    assert delivery(parts, sid).state == "accepted"
    assert act.set(ANN, "main", "sms", "auto", "as usual").result == "done"
    assert act.set(ANN, "main", "sms", "auto", "as usual").result == "unchanged"
    for _ in range(OPENS_AT):
        other.circuits.failed("main", Channel.SMS)
    assert next(c.state for c in parts.standing.circuits()) == "open"
    other.db.close()
    actions = [one.action for one in audited(parts)]
    assert actions == ["circuit.open", "circuit.closed", "circuit.auto"]


def test_a_circuit_by_hand_is_let_go_in_time(parts: Sendcode) -> None:
    """What is kept by hand ends by itself."""
    parts.operations.circuits.set(ANN, "main", "sms", "open", "why", 600)
    assert 0 < parts.redis.pttl("sendcode:circuit:main:sms") <= 600_000
    parts.circuits.failed("main", Channel.SMS)
    assert 599_000 < parts.redis.pttl("sendcode:circuit:main:sms") <= 600_000


def test_a_reset_gives_the_sends_back(make_parts: Callable[..., Sendcode]) -> None:
    """After a reset a number that every limit refused is sent to again; another's stay."""
    parts = make_parts(limit_sends=1, limit_daily=1)
    service = parts.services.create(ACCOUNT, "Example")
    for to in (BRITISH, AMERICAN):
        start(parts, service, to)
        with pytest.raises(LimitReachedError):
            start(parts, service, to)
    told = parts.operations.numbers.reset_limits(ANN, "+44 7400 123456", "tests")
    assert (told.target, told.before) == ("+44********56", {"sends": 1, "daily": 1})
    assert start(parts, service).sid
    with pytest.raises(LimitReachedError):
        start(parts, service, AMERICAN)
    assert parts.operations.numbers.reset_limits(ANN, "+447400999999", "x").result == "unchanged"


@pytest.mark.kills("shown-and-not-written-down")
def test_a_number_is_shown_once_it_is_in_the_log(
    parts: Sendcode, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who reveals a number is in the audit log with the reason; the number is in the answer and
    in no log, row or text of it."""
    sid = delivery_of(parts, service)
    told = parts.operations.numbers.reveal(ANN, sid, "the user called us")
    assert told.number == BRITISH
    (entry,) = audited(parts)
    assert (entry.action, entry.who, entry.reason) == ("reveal", "ann", "the user called us")
    for shown in (repr(told), str(entry), "".join(capsys.readouterr())):
        assert BRITISH[3:] not in shown
    with parts.db.begin() as connection:
        connection.execute(text("DROP TABLE audit"))
    with pytest.raises(Exception, match="audit"):
        parts.operations.numbers.reveal(ANN, sid, "not written down, so not shown")


@pytest.mark.parametrize("reason", ["", "   ", "x" * 201, "a\x00b"])
def test_nothing_is_done_without_a_reason(
    parts: Sendcode, service: Service, provider: Standin, reason: str
) -> None:
    """Each verb wants a reason that can be kept."""
    sid, act = failed(parts, service, provider), parts.operations
    verbs: list[Callable[[], object]] = [
        lambda: act.sending.retry(ANN, sid, reason),
        lambda: act.sending.resend(ANN, sid, "call", reason),
        lambda: act.sending.cancel(ANN, sid, reason),
        lambda: act.circuits.set(ANN, "main", "sms", "open", reason),
        lambda: act.numbers.reset_limits(ANN, BRITISH, reason),
        lambda: act.numbers.reveal(ANN, sid, reason),
        lambda: act.blocks.block(ANN, BRITISH, reason),
        lambda: act.blocks.unblock(ANN, BRITISH, reason),
        lambda: act.pauses.resume(ANN, "country", "GB", reason),
    ]
    for verb in verbs:
        with pytest.raises(InvalidParameterError):
            verb()
    assert audited(parts) == []


def test_what_is_not_there(parts: Sendcode) -> None:
    """A sid of nothing is not found, by any verb that takes one."""
    act = parts.operations
    for sid in ("VL" + "0" * 32, "VE" + "0" * 32, "SM" + "0" * 32):
        for verb in (act.sending.retry, act.sending.cancel, act.numbers.reveal):
            with pytest.raises(NotFoundError):
                verb(ANN, sid, "why")
