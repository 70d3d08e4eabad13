"""The verification module on both databases and a real Valkey."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from api_stub.verify_v2 import shapes
from tests.helpers import at_once, code_of, count, let_time_pass, waiting, wrong_code
from tests.integration.breaking import break_writes_of_starts
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.integration.operating import ANN, audited
from worker import logs
from worker.errors import (
    ChecksSpentError,
    InvalidParameterError,
    LimitReachedError,
    NotFoundError,
    NumberDisabledError,
    OverloadedError,
    RequestConflictError,
    RequestRunningError,
)
from worker.services import Service
from worker.statements import number_limits
from worker.states import Channel, VerificationStatus
from worker.verifications import Start, Verification
from worker.wiring import Sendcode

APPROVED, PENDING = VerificationStatus.APPROVED, VerificationStatus.PENDING
SPENT = VerificationStatus.MAX_ATTEMPTS


def start(parts: Sendcode, service: Service, to: str = NUMBER, **values: object) -> Verification:
    return parts.verifications.start(ACCOUNT, Start(service.sid, to, **values))  # type: ignore[arg-type]


def check(parts: Sendcode, service: Service, sid: str, code: str) -> Verification:
    return parts.verifications.check(ACCOUNT, service.sid, code, sid=sid)


def test_right_code_approves_once(parts: Sendcode, service: Service) -> None:
    """A right code approves its verification, and the same code is refused afterwards."""
    started = start(parts, service)
    code = code_of(parts, started.sid)
    assert check(parts, service, started.sid, code).status is APPROVED
    with pytest.raises(NotFoundError):
        check(parts, service, started.sid, code)


def test_the_log_tells_each_guess(parts: Sendcode, service: Service) -> None:
    """A wrong, a right and a locked one by their names and sids, and none with its digits."""
    started, other = start(parts, service), start(parts, service, "+447400123457")
    codes = [code_of(parts, one.sid) for one in (started, other)]
    with capture_logs([logs.common]) as lines:
        check(parts, service, started.sid, wrong_code(codes[0]))
        check(parts, service, started.sid, codes[0])
        for _ in range(5):
            check(parts, service, other.sid, wrong_code(codes[1]))
        with pytest.raises(ChecksSpentError):
            check(parts, service, other.sid, codes[1])
    told = [line for line in lines if line["event"].startswith("code.")]
    names = ["code.wrong", "code.verified", *["code.wrong"] * 5, "code.locked"]
    assert [line["event"] for line in told] == names
    sids = [started.sid] * 2 + [other.sid] * 6
    assert [line["verification"] for line in told] == sids
    for code in (*codes, *(wrong_code(code) for code in codes)):
        assert not [line for line in told if code in map(str, line.values())]


@pytest.mark.kills("check-ignores-status")
def test_two_hundred_right_checks_approve_one(parts: Sendcode, service: Service) -> None:
    """Of 200 parallel checks of the right code exactly one approves (X-01)."""
    started = start(parts, service)
    code = code_of(parts, started.sid)
    results = at_once(200, lambda _: check(parts, service, started.sid, code))
    kinds = Counter(type(r).__name__ for r in results)
    approved = [r for r in results if isinstance(r, Verification) and r.status is APPROVED]
    assert len(approved) == 1, kinds
    assert kinds == {"Verification": 1, "NotFoundError": 199}


@pytest.mark.kills("guess-is-not-counted")
def test_two_hundred_wrong_checks_compare_five(parts: Sendcode, service: Service) -> None:
    """Of 200 parallel wrong codes exactly five are compared, and none gives another guess."""
    started = start(parts, service)
    wrong = wrong_code(code_of(parts, started.sid))
    results = at_once(200, lambda _: check(parts, service, started.sid, wrong))
    kinds = Counter(type(r).__name__ for r in results)
    assert kinds == {"Verification": 5, "ChecksSpentError": 195}
    assert parts.verifications.fetch(ACCOUNT, sid=started.sid).checks == 5


@pytest.mark.kills("spent-is-not-marked")
def test_right_code_after_five_wrong_is_refused(parts: Sendcode, service: Service) -> None:
    """The right code does not approve once the guesses are spent."""
    started = start(parts, service)
    code = code_of(parts, started.sid)
    statuses = [check(parts, service, started.sid, wrong_code(code)).status for _ in range(5)]
    assert statuses == [PENDING] * 4 + [SPENT]
    with pytest.raises(ChecksSpentError):
        check(parts, service, started.sid, code)


@pytest.mark.kills("spent-is-not-marked")
def test_a_resend_gives_no_new_guesses(parts: Sendcode, service: Service) -> None:
    """Resending between guesses keeps one budget of five, and a spent one blocks a new start."""
    started = start(parts, service)
    wrong = wrong_code(code_of(parts, started.sid))
    for _ in range(4):
        check(parts, service, started.sid, wrong)
        assert start(parts, service).sid == started.sid
    assert check(parts, service, started.sid, wrong).status is SPENT
    with pytest.raises(ChecksSpentError) as refused:
        start(parts, service)
    assert 590 <= refused.value.retry_after <= 600
    assert count(parts, "verifications") == 1


def test_spent_verification_frees_its_number_when_it_expires(
    parts: Sendcode, service: Service
) -> None:
    """After a spent verification's life a new one starts, with a new code."""
    started = start(parts, service)
    wrong = wrong_code(code_of(parts, started.sid))
    for _ in range(5):
        check(parts, service, started.sid, wrong)
    let_time_pass(parts, 601)
    assert start(parts, service).sid != started.sid


def test_resend_keeps_sid_and_code_over_either_channel(parts: Sendcode, service: Service) -> None:
    """While pending, another start is the same verification and code, by SMS or by call."""
    first = start(parts, service)
    code = code_of(parts, first.sid)
    second = start(parts, service, channel=Channel.CALL)
    assert (second.sid, second.channel) == (first.sid, Channel.CALL)
    assert code_of(parts, second.sid) == code
    assert [d.channel for d in second.deliveries] == [Channel.SMS, Channel.CALL]
    assert second.expires_at == first.expires_at


@pytest.mark.kills("two-live-verifications")
def test_parallel_starts_make_one_verification(parts: Sendcode, service: Service) -> None:
    """Starts for one number at once end in one live verification."""
    results = at_once(5, lambda _: start(parts, service))
    assert {type(r) for r in results} == {Verification}
    assert len({r.sid for r in results}) == 1
    assert count(parts, "deliveries") == 5


@pytest.mark.kills("check-ignores-life", "check-ignores-status", "check-ignores-the-guard")
@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ("UPDATE verifications SET expires_at = 1", NotFoundError),
        ("UPDATE verifications SET status = 'canceled'", NotFoundError),
        ("UPDATE verifications SET status = 'max_attempts_reached'", ChecksSpentError),
        (
            "INSERT INTO number_guards (service_sid, number_index, failures, disabled_at)"
            " SELECT service_sid, number_index, 100, 1 FROM verifications",
            NumberDisabledError,
        ),
    ],
    ids=["expired", "canceled", "spent", "disabled"],
)
def test_what_ends_while_a_code_is_compared(
    parts: Sendcode,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
    refused: type[Exception],
) -> None:
    """A right code of what ended between the look and the guess approves nothing."""
    started = start(parts, service)
    code = code_of(parts, started.sid)
    whole = parts.verifications._digest

    def late(*given: Any) -> bytes:
        with parts.db.begin() as connection:
            connection.execute(text(change))
        return whole(*given)

    monkeypatch.setattr(parts.verifications, "_digest", late)
    with pytest.raises(refused):
        check(parts, service, started.sid, code)
    assert parts.verifications.fetch(ACCOUNT, sid=started.sid).status is not APPROVED


def test_code_dies_with_its_life(parts: Sendcode, service: Service) -> None:
    """A right code is refused after its life, with the relay not running."""
    started = start(parts, service)
    code = code_of(parts, started.sid)
    let_time_pass(parts, 600.5)
    with pytest.raises(NotFoundError):
        check(parts, service, started.sid, code)


def test_cancel_mints_a_new_code_and_frees_the_sends(parts: Sendcode, service: Service) -> None:
    """Cancel ends the verification, drops what is unsent and gives the sends back."""
    started = start(parts, service)
    for _ in range(4):
        start(parts, service)
    with pytest.raises(LimitReachedError):
        start(parts, service)
    parts.verifications.cancel(ACCOUNT, service.sid, sid=started.sid)
    with pytest.raises(NotFoundError):
        check(parts, service, started.sid, code_of(parts, started.sid))
    fetched = parts.verifications.fetch(ACCOUNT, sid=started.sid)
    assert {d.state for d in fetched.deliveries} == {"canceled"}
    again = start(parts, service)
    assert again.sid != started.sid


@pytest.mark.kills("limit-admits-everything")
def test_six_parallel_sends_admit_five(parts: Sendcode, service: Service) -> None:
    """Twenty parallel starts for one number are admitted five times in ten minutes."""
    results = at_once(20, lambda _: start(parts, service))
    kinds = Counter(type(r).__name__ for r in results)
    assert kinds == {"Verification": 5, "LimitReachedError": 15}
    waits = [r.retry_after for r in results if isinstance(r, LimitReachedError)]
    assert all(590 <= wait <= 600 for wait in waits)


def test_daily_limits_hold_across_services(make_parts: Callable[..., Sendcode]) -> None:
    """Ten sends a day for a number over all services, of which three calls; others go on."""
    parts = make_parts(limit_sends=100)
    one = parts.services.create(ACCOUNT, "One")
    two = parts.services.create(ACCOUNT, "Two")
    for index in range(3):
        start(parts, (one, two)[index % 2], channel=Channel.CALL)
    with pytest.raises(LimitReachedError) as refused:
        start(parts, two, channel=Channel.CALL)
    assert refused.value.limit == "daily_calls"
    for index in range(7):
        start(parts, (one, two)[index % 2])
    with pytest.raises(LimitReachedError) as refused:
        start(parts, one)
    assert refused.value.limit == "daily"
    assert 86_000 <= refused.value.retry_after <= 86_400
    start(parts, one, to="+447400123457")


def test_refusals_and_repeats_are_logged(make_parts: Callable[..., Sendcode]) -> None:
    """An operator finds in the log which limit was hit and which request came again."""
    parts = make_parts(limit_sends=1)
    service = parts.services.create(ACCOUNT, "Example")
    first = start(parts, service, request_id="r1")
    with capture_logs([logs.common]) as lines:
        start(parts, service, request_id="r1")
        with pytest.raises(LimitReachedError):
            start(parts, service)
    told = {line["event"]: line for line in lines}
    assert told["request.deduplicated"]["verification"] == first.sid
    hit = told["limit.hit"]
    assert (hit["limit"], hit["service"], hit["country"]) == ("sends", service.sid, "GB")
    assert NUMBER not in str(lines)


@pytest.mark.kills("limits-by-halves")
def test_a_refused_send_counts_against_no_limit(make_parts: Callable[..., Sendcode]) -> None:
    """Limits are all or nothing: a send one limit refuses is not counted by the others."""
    parts = make_parts(limit_daily_calls=1)
    service = parts.services.create(ACCOUNT, "One")
    start(parts, service, channel=Channel.CALL)
    for _ in range(5):
        with pytest.raises(LimitReachedError):
            start(parts, service, channel=Channel.CALL)
    for _ in range(4):
        start(parts, service)


@pytest.mark.kills("limit-by-spelling")
def test_spelling_does_not_change_the_number(parts: Sendcode, service: Service) -> None:
    """Every spelling of a number is one verification and one limit (X-05)."""
    spellings = [NUMBER, "+44 7400 123456", "+44 (0)7400 123456", "tel:+44-7400-123-456"]
    assert len({start(parts, service, to=s).sid for s in spellings}) == 1


@pytest.mark.kills("start-ignores-the-guard")
def test_hundred_failures_disable_until_enabled(make_parts: Callable[..., Sendcode]) -> None:
    """The configured number of wrong codes in a row closes the number until it is re-enabled."""
    parts = make_parts(disable_after_failures=7, limit_sends=100, limit_daily=100)
    service = parts.services.create(ACCOUNT, "One")
    first = start(parts, service)
    for _ in range(5):
        check(parts, service, first.sid, wrong_code(code_of(parts, first.sid)))
    let_time_pass(parts, 601)
    second = start(parts, service)
    code = code_of(parts, second.sid)
    for _ in range(2):
        check(parts, service, second.sid, wrong_code(code))
    with pytest.raises(NumberDisabledError):
        check(parts, service, second.sid, code)
    with pytest.raises(NumberDisabledError):
        start(parts, service)
    parts.verifications.enable_number(ACCOUNT, service.sid, NUMBER, ANN)
    (entry,) = audited(parts)
    assert (entry.action, entry.who, entry.target) == ("number.enable", "ann", "+44********56")
    assert check(parts, service, second.sid, code).status is APPROVED


def test_a_success_clears_the_failures(make_parts: Callable[..., Sendcode]) -> None:
    """A right code sets the count of wrong ones in a row back to zero."""
    parts = make_parts(disable_after_failures=5)
    service = parts.services.create(ACCOUNT, "One")
    for _ in range(2):
        started = start(parts, service)
        code = code_of(parts, started.sid)
        for _ in range(4):
            check(parts, service, started.sid, wrong_code(code))
        assert check(parts, service, started.sid, code).status is APPROVED


@pytest.mark.kills("same-request-with-other-values")
def test_same_request_id_is_one_verification(parts: Sendcode, service: Service) -> None:
    """A request id seen before gives its verification and sends nothing; other values conflict."""
    results = at_once(20, lambda _: start(parts, service, request_id="r1"))
    busy = [r for r in results if isinstance(r, RequestRunningError)]
    assert {type(r) for r in results} <= {Verification, RequestRunningError}
    assert len({r.sid for r in results if r not in busy}) == 1
    assert count(parts, "deliveries") == 1
    with pytest.raises(RequestConflictError):
        start(parts, service, request_id="r1", channel=Channel.CALL)


def test_a_repeated_request_gets_the_first_answer(parts: Sendcode, service: Service) -> None:
    """What happened to the verification since does not change the answer to a repeat."""
    first = start(parts, service, request_id="r1")
    start(parts, service, channel=Channel.CALL)
    parts.verifications.check(ACCOUNT, service.sid, code_of(parts, first.sid), sid=first.sid)
    again = start(parts, service, request_id="r1")
    assert shapes.verification(again, "") == shapes.verification(first, "")


@pytest.mark.kills("same-request-runs-twice")
def test_a_request_that_is_being_answered_is_not_begun_again(
    parts: Sendcode, service: Service
) -> None:
    """While one answers a request id, another is told so, and no limit counts it."""
    limits = number_limits(parts.settings, service.sid, b"x" * 32, Channel.SMS)
    parts.limits.admit(limits, running="r1")
    for _ in range(20):
        with pytest.raises(RequestRunningError):
            parts.limits.admit(limits, running="r1")
    parts.limits.finish("r1")
    parts.limits.admit(limits, running="r1")


@pytest.mark.kills("lenient-code")
@pytest.mark.parametrize(
    "code", ["", "123", "12345678901", "12345a", "１２３４５６", " 123456", "123456\n"]
)
def test_malformed_codes_are_refused_uncounted(
    parts: Sendcode, service: Service, code: str
) -> None:
    """What is not 4 to 10 ASCII digits is refused and costs no guess."""
    started = start(parts, service)
    with pytest.raises(InvalidParameterError):
        check(parts, service, started.sid, code)
    assert parts.verifications.fetch(ACCOUNT, sid=started.sid).checks == 0


def test_other_accounts_and_services_see_nothing(parts: Sendcode, service: Service) -> None:
    """A verification is found only through its own account and service."""
    started = start(parts, service)
    code = code_of(parts, started.sid)
    other = parts.services.create(ACCOUNT, "Other")
    with pytest.raises(NotFoundError):
        parts.verifications.check("AC" + "b" * 32, service.sid, code, sid=started.sid)
    with pytest.raises(NotFoundError):
        parts.verifications.check(ACCOUNT, other.sid, code, sid=started.sid)
    with pytest.raises(NotFoundError):
        parts.verifications.start("AC" + "b" * 32, Start(service.sid, NUMBER))


@pytest.mark.kills("digest-of-the-code-alone")
def test_copied_digest_is_useless(parts: Sendcode, service: Service) -> None:
    """A digest copied to another verification does not accept its code (bound to its row)."""
    mine = start(parts, service, to="+447400123457")
    other = start(parts, service)
    with parts.db.begin() as connection:
        connection.execute(
            text(
                "UPDATE verifications SET code_digest = (SELECT code_digest FROM verifications"
                " WHERE sid = :mine) WHERE sid = :other"
            ),
            {"mine": mine.sid, "other": other.sid},
        )
    assert check(parts, service, other.sid, code_of(parts, mine.sid)).status is PENDING


def test_rotation_keeps_pending_codes_good(
    make_parts: Callable[..., Sendcode], service: Service, parts: Sendcode
) -> None:
    """After a new first key, a code of the old one is checked and resent as before."""
    started = start(parts, service)
    code = code_of(parts, started.sid)
    old = parts.settings.secret_keys.get_secret_value()
    new = "k2:" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="
    rotated = make_parts(secret_keys=f"{new},{old}")
    assert start(rotated, service).sid == started.sid
    assert check(rotated, service, started.sid, code).status is APPROVED
    assert start(rotated, service).sid != started.sid


@pytest.mark.kills("limits-fail-open")
def test_nothing_is_written_without_redis(
    make_parts: Callable[..., Sendcode], parts: Sendcode, service: Service
) -> None:
    """With the limits' store away a start is refused and leaves no row (fail closed)."""
    from worker.errors import LimitsUnavailableError

    lonely = Sendcode(
        parts.settings.model_copy(
            update={"broker_url": type(parts.settings.broker_url)("redis://127.0.0.1:1/0")}
        )
    )
    with pytest.raises(LimitsUnavailableError):
        start(lonely, service)
    assert count(parts, "verifications") == 0
    lonely.db.close()


def test_starts_that_wrote_nothing_burn_no_limit(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Starts that failed in the database leave every limit as it was."""
    break_writes_of_starts(parts, monkeypatch)
    for _ in range(7):
        with pytest.raises(OperationalError):
            start(parts, service)
    monkeypatch.undo()
    for _ in range(5):
        start(parts, service)


def test_parallel_repeats_of_one_request_burn_one_send(parts: Sendcode, service: Service) -> None:
    """A request repeated four times at once counts as one send."""
    at_once(4, lambda _: start(parts, service, request_id="r1"))
    for _ in range(4):
        start(parts, service)


def test_two_live_rows_of_a_rotation_become_one(
    make_parts: Callable[..., Sendcode], parts: Sendcode, service: Service
) -> None:
    """Hosts that write with different keys at one moment leave one verification, not an error."""
    old = parts.settings.secret_keys.get_secret_value()
    new = "k2:" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="
    before = make_parts(secret_keys=f"{old},{new}")
    after = make_parts(secret_keys=f"{new},{old}")
    start(before, service)
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE verifications SET status = 'expired'"))
    start(after, service)
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE verifications SET status = 'pending'"))
    survivor = start(after, service)
    assert count(parts, "verifications WHERE status = 'pending'") == 1
    assert start(before, service).sid == survivor.sid


def test_a_flood_waits_in_a_queue_of_its_own(make_parts: Callable[..., Sendcode]) -> None:
    """What one service starts above its share goes to the busy queue; another's does not."""
    parts = make_parts(busy_starts=3)
    flooding, quiet = (parts.services.create(ACCOUNT, name) for name in ("Flood", "Quiet"))
    for index in range(5):
        start(parts, flooding, f"+4474001234{index:02}")
    start(parts, quiet)
    assert (len(waiting(parts, "sms")), len(waiting(parts, "sms.busy"))) == (4, 2)
    assert count(parts, "deliveries WHERE queue = 'sms.busy'") == 2


def test_starts_are_refused_while_codes_wait_too_long(make_parts: Callable[..., Sendcode]) -> None:
    """An old job in the queue refuses new starts, and nothing is written or counted for them."""
    parts = make_parts(overload_seconds=30)
    service = parts.services.create(ACCOUNT, "Example")
    now = time.time_ns() // 1_000_000
    parts.publish("sms", ["VL1"], 600, now - 29_000)
    start(parts, service)
    parts.redis.delete("sms")
    parts.publish("sms", ["VL1"], 600, now - 31_000)
    with pytest.raises(OverloadedError):
        start(parts, service, "+447400123457")
    assert count(parts, "verifications") == 1
    assert start(parts, service, "+447400123457", channel=Channel.CALL)
    wanted = Start(service.sid, "+447400123458")
    assert parts.verifications.start(ACCOUNT, wanted, has_waited=True)
    parts.redis.delete("sms")
    for _ in range(4):  # the refused start was counted by no limit
        start(parts, service, "+447400123457")
    with pytest.raises(LimitReachedError):
        start(parts, service, "+447400123457")


def test_a_flood_overloads_its_own_lane_alone(make_parts: Callable[..., Sendcode]) -> None:
    """Codes that wait in the busy queue refuse the starts that would go there, and no other."""
    parts = make_parts(busy_starts=1, overload_seconds=30)
    service, quiet = (parts.services.create(ACCOUNT, name) for name in ("Flood", "Quiet"))
    parts.publish("sms.busy", ["VL1"], 600, time.time_ns() // 1_000_000 - 31_000)
    start(parts, service)
    with pytest.raises(OverloadedError):
        start(parts, service, "+447400123457")
    assert start(parts, quiet, "+447400123457")


def test_a_senders_backlog_refuses_starts(make_parts: Callable[..., Sendcode]) -> None:
    """Where every place in the only sender's pace lies too far ahead, starts are refused."""
    parts = make_parts(overload_seconds=30, twilio_per_second=1)
    service = parts.services.create(ACCOUNT, "Example")
    (sender,) = parts.settings.all_senders()
    for _ in range(29):
        parts.circuits.permit(Channel.SMS, [sender], within=600)
    start(parts, service)
    for _ in range(3):
        parts.circuits.permit(Channel.SMS, [sender], within=600)
    with pytest.raises(OverloadedError):
        start(parts, service, "+447400123457")


def test_the_last_place_is_not_refused_to_a_repeat(
    make_parts: Callable[..., Sendcode],
) -> None:
    """A repeated request gets its answer even where that took the last send the limit allows."""
    parts = make_parts(limit_sends=1)
    service = parts.services.create(ACCOUNT, "Example")
    first = start(parts, service, request_id="r1")
    seen = parts.verifications._known_request
    late = iter([None])  # what a look finds that comes before the first answer is written
    parts.verifications._known_request = lambda *args: next(late, seen(*args))  # type: ignore[method-assign]
    assert start(parts, service, request_id="r1").sid == first.sid


def test_a_request_id_is_not_kept_in_clear(parts: Sendcode, service: Service) -> None:
    """What a caller puts into a request id, a number perhaps, is in no row."""
    start(parts, service, request_id=f"login {NUMBER}")
    with parts.db.statement() as connection:
        rows = connection.execute(text("SELECT * FROM requests")).all()
    assert len(rows) == 1
    assert NUMBER.encode() not in b"".join(
        value if isinstance(value, bytes) else str(value).encode() for value in rows[0]
    )


@pytest.mark.parametrize("code", ["12345", "1234567"])
def test_a_code_of_another_length_takes_no_guess(
    parts: Sendcode, service: Service, code: str
) -> None:
    """Digits that cannot be the code are refused and not counted as a guess."""
    started = start(parts, service)
    with pytest.raises(InvalidParameterError):
        check(parts, service, started.sid, code)
    assert parts.verifications.fetch(ACCOUNT, sid=started.sid).checks == 0


def test_a_sid_of_another_number_is_not_checked(parts: Sendcode, service: Service) -> None:
    """Where both sid and number are given they must belong together."""
    started = start(parts, service)
    code = code_of(parts, started.sid)
    where = {"sid": started.sid, "to": "+447400123457"}
    with pytest.raises(NotFoundError):
        parts.verifications.check(ACCOUNT, service.sid, code, **where)
    where["to"] = NUMBER
    assert parts.verifications.check(ACCOUNT, service.sid, code, **where).status is APPROVED


def test_what_is_over_is_shown_as_expired_at_once(parts: Sendcode, service: Service) -> None:
    """A verification whose life has ended is expired, also before the relay writes it down."""
    started = start(parts, service)
    let_time_pass(parts, 601)
    assert parts.verifications.fetch(ACCOUNT, sid=started.sid).status is VerificationStatus.EXPIRED


def test_a_backends_own_approval_has_its_time(parts: Sendcode, service: Service) -> None:
    """A verification that the backend itself approves is approved at a time, a canceled is not."""
    ended = []
    for status in (APPROVED, VerificationStatus.CANCELED):
        sid = start(parts, service).sid
        ended.append(parts.verifications.cancel(ACCOUNT, service.sid, sid=sid, status=status))
    assert ended[0].approved_at == pytest.approx(ended[0].updated_at, abs=1000)
    assert ended[1].approved_at is None
