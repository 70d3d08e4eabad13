"""Faults that other one-time-code systems had, as tests to pass. See docs/correctness.md."""

from collections.abc import Callable
from typing import Any

import pytest
import redis
from fastapi.testclient import TestClient
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from api_stub.app import create_app
from tests.helpers import at_once, code_of, delivery, let_time_pass, wrong_code
from tests.integration.breaking import away
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.standin import Standin
from worker.codes import Keyring
from worker.errors import InvalidParameterError, LimitReachedError, NotFoundError
from worker.limits import Limit, Limits
from worker.models import verifications
from worker.providers.twilio_errors import MESSAGE_STATUSES
from worker.recall import Sends
from worker.services import Service
from worker.settings import SecretKey
from worker.states import Channel, VerificationStatus
from worker.verifications import Start, Verification
from worker.wiring import Sendcode

APPROVED = VerificationStatus.APPROVED
CLAIMS = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "CF-Connecting-IP")
OTHER = "+447400123457"
KEY = "k2:" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="


def start(parts: Sendcode, service: Service, to: str = NUMBER, **values: Any) -> Verification:
    return parts.verifications.start(ACCOUNT, Start(service.sid, to, **values))


def check(parts: Sendcode, service: Service, code: Any, **target: str) -> str:
    return parts.verifications.check(
        ACCOUNT, service.sid, code, **(target or {"to": NUMBER})
    ).status


def rows(parts: Sendcode, query: str) -> list[Any]:
    with parts.db.statement() as connection:
        return list(connection.execute(text(query)).all())


# Guessing and consuming


@pytest.mark.parametrize("door", ["begin", "driver"])
@pytest.mark.parametrize("right", [True, False])
def test_a_check_that_dies_tells_nothing(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch, door: str, right: bool
) -> None:
    """A check that the database breaks off is an error, right or wrong: no guess for free."""
    code = code_of(parts, start(parts, service).sid)
    check(parts, service, wrong_code(code))  # from now on both kinds take the same way

    monkeypatch.setattr(parts.db, door, away)
    with pytest.raises(OperationalError):
        check(parts, service, code if right else wrong_code(code))
    monkeypatch.undo()
    assert rows(parts, "SELECT checks, status FROM verifications") == [(1, "pending")]


@pytest.mark.kills("guess-is-not-counted")
def test_a_refused_guess_stays_counted(make_parts: Callable[..., Sendcode]) -> None:
    """Guesses and failures are there for another process, also after the refusals they led to."""
    parts, other = make_parts(disable_after_failures=2), make_parts(disable_after_failures=2)
    service = parts.services.create(ACCOUNT, "Example")
    code = code_of(parts, start(parts, service).sid)
    for count in (1, 2):
        check(parts, service, wrong_code(code))
        assert rows(other, "SELECT checks FROM verifications") == [(count,)]
        assert rows(other, "SELECT failures FROM number_guards") == [(count,)]
    for _ in range(2):
        with pytest.raises(Exception, match="too many wrong codes"):
            check(parts, service, code)
    assert rows(other, "SELECT checks FROM verifications") == [(2,)]
    assert rows(other, "SELECT failures FROM number_guards") == [(2,)]


class Nothing:
    """A database that knows of no send."""

    def has_any(self, window: int) -> bool:
        return False

    def ages(self, sends: Sends, most: int, window: int) -> list[int]:
        return []


@pytest.mark.parametrize("decode", [True, False])
def test_limits_count_whatever_the_client_decodes(broker_url: str, decode: bool) -> None:
    """The limits compare numbers in Redis itself, so the type that comes back is no matter."""
    client = redis.Redis.from_url(broker_url, decode_responses=decode)
    client.flushdb()
    limits = Limits(client, lambda _: (0, []), Nothing())
    limit = Limit("sends", "k", most=2, window=600, sends=Sends((b"k",)))
    limits.admit([limit])
    limits.admit([limit])
    with pytest.raises(LimitReachedError) as refused:
        limits.admit([limit])
    assert 598 <= refused.value.retry_after <= 600


@pytest.mark.kills("another-code-by-call")
def test_every_send_carries_the_one_code(
    make_parts: Callable[..., Sendcode], provider: Standin
) -> None:
    """However often and over which channel a code is sent again, one code is valid."""
    parts = make_parts(limit_sends=10)
    service = parts.services.create(ACCOUNT, "Example")
    for channel in (Channel.SMS, Channel.CALL, Channel.SMS, Channel.SMS, Channel.CALL):
        started = start(parts, service, channel=channel)
        parts.dispatch.deliver([started.deliveries[-1].sid])
    code = code_of(parts, started.sid)
    texts = [sent.get("Body") or sent["Twiml"].replace(", ", "") for sent in provider.sent]
    assert len(texts) == 5
    assert all(code in content for content in texts)
    assert check(parts, service, code) == "approved"


def test_wrong_guesses_while_resending_change_no_code(
    make_parts: Callable[..., Sendcode],
) -> None:
    """Wrong guesses and resends at once leave one code, and it is approved."""
    parts = make_parts(limit_sends=20, limit_daily=20, max_checks=10)
    service = parts.services.create(ACCOUNT, "Example")
    code = code_of(parts, start(parts, service).sid)

    def act(index: int) -> object:
        return check(parts, service, wrong_code(code)) if index % 2 else start(parts, service).sid

    assert not [r for r in at_once(16, act) if isinstance(r, Exception)]
    assert check(parts, service, code) == "approved"


def test_four_wrong_guesses_do_not_sink_the_right_one(parts: Sendcode, service: Service) -> None:
    """The right code is approved though four wrong ones come at the same moment."""
    for _ in range(5):
        started = start(parts, service)
        code = code_of(parts, started.sid)
        guesses = [wrong_code(code)] * 4 + [code]
        results = at_once(5, lambda i, g=guesses: check(parts, service, g[i]))  # type: ignore[misc]
        assert results[4] == "approved", results


@pytest.mark.kills("guesses-elsewhere-lock-out")
def test_guesses_from_elsewhere_lock_nobody_out(make_parts: Callable[..., Sendcode]) -> None:
    """Guesses in another service, or at a number that waits for no code, count against nobody."""
    parts = make_parts(disable_after_failures=2, max_checks=2)
    service = parts.services.create(ACCOUNT, "Example")
    stranger = parts.services.create(ACCOUNT, "Stranger")
    for _ in range(20):
        with pytest.raises(NotFoundError):
            check(parts, service, "123456")
    started = start(parts, stranger)
    for _ in range(2):
        check(parts, stranger, wrong_code(code_of(parts, started.sid)))
    assert check(parts, service, code_of(parts, start(parts, service).sid)) == "approved"


@pytest.mark.kills("check-ignores-life")
@pytest.mark.parametrize("by", ["sid", "to"])
def test_no_door_takes_a_code_after_its_life(parts: Sendcode, service: Service, by: str) -> None:
    """Once its life is over a code is refused at a check by sid or number, by a status that the
    backend sets and by the words of a call, whether or not anybody wrote the end down."""
    started = start(parts, service, channel=Channel.CALL)
    code = code_of(parts, started.sid)
    target = {"sid": started.sid} if by == "sid" else {"to": NUMBER}
    let_time_pass(parts, 600.5)
    for _ in range(2):
        with pytest.raises(NotFoundError):
            check(parts, service, code, **target)
        with pytest.raises(NotFoundError):
            parts.verifications.cancel(ACCOUNT, service.sid, status=APPROVED, **target)
        assert parts.dispatch.spoken(started.deliveries[0].sid) is None
        with parts.db.begin() as connection:
            connection.execute(text("UPDATE verifications SET status = 'expired'"))


def test_a_code_with_leading_zeros_is_a_string(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A code like 004217 is approved as it is; as a number, or without its zeros, it is not."""
    salts = (n.to_bytes(16) for n in range(100_000))
    salt = next(s for s in salts if parts.keyring.derive_code("k1", s, 6).startswith("00"))
    monkeypatch.setattr("worker.verifications.writing.new_salt", lambda: salt)
    code = code_of(parts, start(parts, service).sid)
    with pytest.raises(InvalidParameterError):
        check(parts, service, int(code))
    with pytest.raises(InvalidParameterError):
        check(parts, service, code.lstrip("0"))
    assert check(parts, service, code) == "approved"


# Storage and leaks


@pytest.mark.kills("digest-without-a-key")
def test_a_digest_is_not_found_without_the_key(parts: Sendcode) -> None:
    """Who has the database and not the key cannot try all codes against a row."""
    service = parts.services.create(ACCOUNT, "Example", code_length=4)
    sid = start(parts, service).sid
    with parts.db.statement() as connection:
        row = connection.execute(select(verifications)).one()

    def matches(keyring: Keyring) -> list[str]:
        codes = [f"{n:04}" for n in range(10_000)]
        values = {"verification": sid, "service": service.sid, "number": NUMBER}
        return [
            code
            for code in codes
            if keyring.digest("k1", salt=row.salt, code=code, **values) == row.code_digest
        ]

    assert matches(parts.keyring) == [code_of(parts, sid)]
    assert matches(Keyring([SecretKey("k1", b"guessed" * 5)])) == []


@pytest.mark.kills("limit-without-an-end")
def test_every_key_of_the_limits_ends(parts: Sendcode, service: Service) -> None:
    """After sends, refusals, an approval and a cancel no key of the limits lives for ever."""
    for channel in (Channel.SMS, Channel.CALL) * 4:
        try:
            started = start(parts, service, channel=channel)
        except LimitReachedError:
            check(parts, service, code_of(parts, started.sid))
    start(parts, service, request_id="r1")
    parts.verifications.cancel(ACCOUNT, service.sid, to=NUMBER)
    keys = list(parts.redis.scan_iter("sendcode:limit:*"))
    assert len(keys) >= 2
    assert all(0 < parts.redis.ttl(key) <= 86_400 for key in keys)


def test_a_number_seen_before_looks_like_a_new_one(parts: Sendcode, service: Service) -> None:
    """A start says nothing about what the number did earlier: same answer, same send."""
    check(parts, service, code_of(parts, start(parts, service).sid))
    known, unknown = start(parts, service), start(parts, service, to=OTHER)
    fields = ("channel", "status", "checks", "max_checks", "approved_at")
    assert [getattr(known, f) for f in fields] == [getattr(unknown, f) for f in fields]
    states = [[(d.channel, d.state) for d in v.deliveries] for v in (known, unknown)]
    assert states[0] == states[1]


# Sending


def test_no_header_of_the_caller_opens_a_limit(
    make_settings: Callable[..., Any], parts: Sendcode, service: Service
) -> None:
    """Sends count per number: whatever address a caller claims, the sixth is refused."""
    app = create_app(make_settings())
    statuses = []
    with TestClient(app) as client:
        for index in range(6):
            answer = client.post(
                f"/v2/Services/{service.sid}/Verifications",
                data={"To": NUMBER, "Channel": "sms"},
                auth=(ACCOUNT, "t" * 32),
                headers=dict.fromkeys(CLAIMS, f"2001:db8::{index}"),
            )
            statuses.append(answer.status_code)
        app.state.parts.redis.close()
    assert statuses == [201] * 5 + [429]


@pytest.mark.kills("limit-admits-everything")
def test_two_processes_share_one_budget(parts: Sendcode, service: Service) -> None:
    """Two processes, each with connections of its own, send five times together."""
    other = Sendcode(parts.settings)
    for index in range(5):
        start((parts, other)[index % 2], service)
    for process in (parts, other):
        with pytest.raises(LimitReachedError):
            start(process, service)
    other.db.close()
    other.redis.close()


@pytest.mark.kills("limit-by-request")
def test_a_new_request_id_is_no_new_budget(parts: Sendcode, service: Service) -> None:
    """The id that a caller chooses does not make the sixth send to a number the first."""
    for index in range(5):
        start(parts, service, request_id=f"r{index}")
    with pytest.raises(LimitReachedError):
        start(parts, service, request_id="r5")


@pytest.mark.parametrize("answer", ["drop", "lost", (400, 21211, {}), (500, 20500, {})])
def test_a_send_that_fails_is_counted(
    parts: Sendcode, service: Service, provider: Standin, answer: Any
) -> None:
    """A send that the provider refused, lost or broke off spends its place in the limit."""
    for _ in range(5):
        provider.script.append(answer)
        parts.dispatch.deliver([start(parts, service).deliveries[-1].sid])
    with pytest.raises(LimitReachedError):
        start(parts, service)


@pytest.mark.kills("one-bad-delivery-stops-a-job")
def test_a_delivery_that_cannot_be_made_stops_no_other(
    make_parts: Callable[..., Sendcode], provider: Standin
) -> None:
    """Of a job's deliveries, one without its key and one that is not there leave the third."""
    before = make_parts()
    service = before.services.create(ACCOUNT, "Example")
    bad = start(before, service).deliveries[0].sid
    parts = make_parts(secret_keys=KEY)
    good = start(parts, service, to=OTHER).deliveries[0].sid
    parts.dispatch.deliver([bad, "VL" + "0" * 32, good])
    row = delivery(parts, bad)
    assert (row.state, row.error_code) == ("failed", "cannot_render")
    assert delivery(parts, good).state == "accepted"
    assert [sent["To"] for sent in provider.sent] == [OTHER]


def test_the_provider_is_called_outside_every_transaction(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the provider is called or asked, no connection is held, and the claim is written."""
    sid = start(parts, service).deliveries[0].sid
    provider, other = parts.providers["main"], Sendcode(parts.settings)
    held, whole = [], provider.send

    def send(outgoing: Any) -> Any:
        held.append(parts.db.in_use)
        held.append(rows(other, "SELECT state FROM deliveries")[0][0])
        return whole(outgoing)

    monkeypatch.setattr(provider, "send", send)
    parts.dispatch.deliver([sid])
    other.db.close()
    assert held == [0, "sending"]


def test_a_failure_is_seen_by_who_asks(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """What the provider refused is told to the backend, with the provider's reason."""
    started = start(parts, service)
    provider.script.append((400, 21211, {}))
    parts.dispatch.deliver([started.deliveries[0].sid])
    (told,) = parts.verifications.fetch(ACCOUNT, sid=started.sid).deliveries
    assert (told.state, told.error_code) == ("failed", "21211")


# Callbacks and state


def test_a_failed_try_does_not_lose_the_receipt(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """After a try that was not taken, the receipt of the next one still finds its delivery."""
    sid = start(parts, service).deliveries[0].sid
    provider.script.append((429, 20429, {"Retry-After": "30"}))
    parts.dispatch.deliver([sid])
    assert delivery(parts, sid).state == "queued"
    let_time_pass(parts, 31)
    parts.dispatch.deliver([sid])
    assert parts.receipts.apply(
        sid,
        provider="twilio",
        provider_sid=provider.kept[0]["sid"],
        status="delivered",
        words=MESSAGE_STATUSES,
    )
    row = delivery(parts, sid)
    assert (row.state, row.error_code) == ("delivered", None)
