"""The log's events where they happen, with the fields that join them, on both databases."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.helpers import code_of, delivery, let_time_pass, wrong_code
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.integration.doors import door
from tests.integration.test_factors import App
from tests.integration.test_relay import make_relay
from tests.servers import start_broker
from tests.standin import Standin
from worker import logs
from worker.errors import (
    InvalidParameterError,
    LimitsUnavailableError,
    NotFoundError,
    SendcodeError,
)
from worker.plan import read_plan
from worker.providers.twilio_errors import MESSAGE_STATUSES
from worker.services import Service
from worker.states import Channel
from worker.verifications import Start, Verification
from worker.wiring import Sendcode

Line = dict[str, Any]
STEPS = ["job.enqueued", "job.started", "attempt.started", "receipt.received"]


def start(parts: Sendcode, service: Service, to: str = NUMBER, **values: Any) -> Verification:
    return parts.verifications.start(ACCOUNT, Start(service.sid, to, **values))


def check(parts: Sendcode, service: Service, code: str) -> Verification:
    return parts.verifications.check(ACCOUNT, service.sid, code, to=NUMBER)


def receipt(parts: Sendcode, sid: str, status: str) -> None:
    told = delivery(parts, sid).provider_sid or "SM1"
    parts.receipts.apply(
        sid, provider="twilio", provider_sid=told, status=status, words=MESSAGE_STATUSES
    )


@contextmanager
def lines() -> Iterator[list[Line]]:
    """What is written inside, with the fields of all lines."""
    with capture_logs([logs.common]) as written:
        yield written


def events(written: list[Line]) -> list[str]:
    return [line["event"] for line in written]


def test_a_request_is_followed_by_its_sid(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """From start to check every line has the verification, the service and the country, and all
    but those of the queue the number's hash."""
    with lines() as written:
        started = start(parts, service)
        sid = started.deliveries[-1].sid
        parts.dispatch.deliver([sid])
        receipt(parts, sid, "delivered")
        check(parts, service, code_of(parts, started.sid))
    names = [
        *("job.enqueued", "request.accepted", "job.started", "attempt.started"),
        *("attempt.accepted", "receipt.received", "code.verified"),
    ]
    assert events(written) == names
    about = {line["event"]: line for line in written}
    for name in names[1:]:
        assert about[name]["verification"] == started.sid, name
    for line in written:
        assert (line["service"], line["channel"], line["country"]) == (service.sid, "sms", "GB")
    hashes = {line.get("number_hash") for line in written if line["event"] != "receipt.received"}
    assert hashes == {logs.number_hash(parts.keyring.number_index(NUMBER))}
    accepted = about["attempt.accepted"]
    assert (accepted["delivery"], accepted["sender"], accepted["queue"]) == (sid, "main", "sms")
    assert accepted["provider_sid"] == provider.kept[0]["sid"]
    assert accepted["number_masked"] == "+44********56"


def test_what_goes_well_has_three_lines_at_info(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """Start, attempt and check have a line each; the steps between are at debug."""
    with lines() as written:
        started = start(parts, service)
        sid = started.deliveries[-1].sid
        parts.dispatch.deliver([sid])
        receipt(parts, sid, "delivered")
        check(parts, service, code_of(parts, started.sid))
    loud = [line["event"] for line in written if line["log_level"] != "debug"]
    assert loud == ["request.accepted", "attempt.accepted", "code.verified"]
    assert [line["event"] for line in written if line["log_level"] == "debug"] == STEPS


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((400, 21211, {}), ["attempt.failed permanent", "delivery.failed"]),
        ((500, 0, {}), ["attempt.timed_out unknown", "retry.scheduled"]),
        ("hang", ["attempt.timed_out unknown", "retry.scheduled"]),
        ((401, 20003, {}), ["attempt.failed account", "retry.scheduled"]),
    ],
)
def test_an_attempt_that_fails_says_how(
    parts: Sendcode, service: Service, provider: Standin, answer: Any, told: list[str]
) -> None:
    """A refusal, a doubt and a timeout have names of their own, with class and code, and what
    comes of the delivery follows."""
    provider.script.append(answer)
    sid = start(parts, service).deliveries[-1].sid
    with lines() as written:
        parts.dispatch.deliver([sid])
    loud = [line for line in written if line["event"].startswith(("attempt.", "deliv", "retry."))]
    said = [
        f"{line['event']} {line['error_class']}" if "error_class" in line else line["event"]
        for line in loud
        if line["event"] != "attempt.started"
    ]
    assert said == told
    assert {line["delivery"] for line in loud} == {sid}
    assert all(line["error_code"] for line in loud[1:])


def test_what_was_not_tried_is_deferred(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """With every circuit open a delivery is put back, which is no retry."""
    for _ in range(5):
        parts.circuits.failed("main", Channel.SMS)
    parts.redis.hset("sendcode:circuit:main:sms", "probe_at", int(time.time() + 60) * 1000)
    sid = start(parts, service).deliveries[-1].sid
    with lines() as written:
        parts.dispatch.deliver([sid])
        parts.dispatch.deliver([sid])
    assert events(written) == ["job.started", "job.deferred", "job.discarded"]
    assert (written[1]["reason"], written[1]["log_level"]) == ("circuit_open", "info")
    assert (written[2]["reason"], written[2]["log_level"]) == ("not due", "debug")
    assert not provider.sent


def test_circuits_say_when_they_turn(parts: Sendcode, service: Service, provider: Standin) -> None:
    """Opened at the fifth failure, half-open with the probe, closed by its success."""
    with lines() as written:
        for _ in range(6):
            parts.circuits.failed("main", Channel.SMS)
        parts.redis.hset("sendcode:circuit:main:sms", "probe_at", 1)
        parts.dispatch.deliver([start(parts, service).deliveries[-1].sid])
    turns = [name for name in events(written) if name.startswith("circuit.")]
    assert turns == ["circuit.opened", "circuit.half_open", "circuit.closed"]


def test_receipts_are_told_apart(parts: Sendcode, service: Service, provider: Standin) -> None:
    """A repeat, a word that was overtaken, one on no delivery of ours, and one that denies
    arrival, which is not kept for debugging alone."""
    sid, other = (start(parts, service).deliveries[-1].sid for _ in range(2))
    parts.dispatch.deliver([sid, other])
    with lines() as written:
        for status in ("delivered", "delivered", "sent"):
            receipt(parts, sid, status)
        receipt(parts, other, "undelivered")
        parts.receipts.apply(
            f"VL{'0' * 32}",
            provider="twilio",
            provider_sid="SM9",
            status="sent",
            words=MESSAGE_STATUSES,
        )
    assert [(line["event"], line["log_level"]) for line in written] == [
        ("receipt.received", "debug"),
        ("receipt.duplicate", "info"),
        ("receipt.out_of_order", "info"),
        ("receipt.received", "info"),
        ("receipt.unmatched", "warning"),
    ]


def test_a_step_of_the_plan_is_told(parts: Sendcode, provider: Standin) -> None:
    """The new delivery with the one that did not arrive."""
    service = parts.services.create(ACCOUNT, "Example", plan=read_plan("call"))
    provider.script.append((400, 21614, {}))
    started = start(parts, service)
    sid = started.deliveries[-1].sid
    with lines() as written:
        parts.dispatch.deliver([sid])
    (told,) = [line for line in written if line["event"] == "fallback.triggered"]
    assert (told["after"], told["verification"], told["channel"]) == (sid, started.sid, "call")


def test_a_refused_start_has_one_line(make_parts: Callable[..., Sendcode]) -> None:
    """Bad input, an unknown service, a limit and a held range each by its name, and no number."""
    parts = make_parts(limit_sends=1, limit_range=2)
    service = parts.services.create(ACCOUNT, "Example")

    def refused(**values: Any) -> Line:
        given = {"service_sid": service.sid, "to": NUMBER} | values
        with lines() as written, pytest.raises(SendcodeError):
            parts.verifications.start(ACCOUNT, Start(**given))
        assert NUMBER[3:] not in str(written)
        (line,) = written
        return line

    assert refused(to=f"{NUMBER};ext=5")["field"] == "To"
    unknown = refused(service_sid=NUMBER)
    assert (unknown["event"], unknown["kind"]) == ("request.rejected", "service")
    assert "service" not in unknown
    start(parts, service)
    hit = refused()
    assert (hit["event"], hit["limit"], hit["service"]) == ("limit.hit", "sends", service.sid)
    start(parts, service, "+447400123457")
    held = refused(to="+447400123458")
    assert (held["event"], held["log_level"]) == ("fraud.prefix_held", "warning")
    assert held["country"] == "GB"


def test_a_refused_check_has_one_line(parts: Sendcode, service: Service) -> None:
    """No verification, a used code and one that is over, each by its name and without the code."""

    def refused(error: type[Exception], code: str) -> Line:
        with lines() as written, pytest.raises(error):
            check(parts, service, code)
        assert code not in str(written)
        (line,) = written
        return line

    assert refused(NotFoundError, "918273")["event"] == "request.rejected"
    assert refused(InvalidParameterError, "91")["field"] == "Code"
    code = code_of(parts, start(parts, service).sid)
    check(parts, service, code)
    used = refused(NotFoundError, code)
    assert (used["event"], used["reason"]) == ("request.rejected", "approved")
    late = code_of(parts, start(parts, service).sid)
    let_time_pass(parts, 700)
    assert refused(NotFoundError, late)["event"] == "code.expired"
    make_relay(parts).settle()
    assert refused(NotFoundError, late)["event"] == "code.expired"


def test_what_a_door_refuses_by_itself_has_one_line(parts: Sendcode, service: Service) -> None:
    """Wrong credentials, a missing parameter, a scope, and Authy's key: each once, by route, code
    and field, with no value that the caller sent; what the core refuses has its own line alone.
    """
    client, stranger = door(parts), door(parts, password="918273")
    path = f"/v2/Services/{service.sid}"
    key, secret = parts.api_keys.create(ACCOUNT, "reads", ["read"])
    reader = door(parts, key.sid, secret)

    def refused(by: Any, way: str, **given: str) -> Line:
        with lines() as written:
            sent = {"Channel": "sms"} if way.endswith("/Verifications") else {}
            answer = by.post(way, data={"To": f"{NUMBER} x"} | sent | given)
        assert 400 <= answer.status_code < 500, answer.text
        assert not {"918273", secret} & set(re.split(r"\W", str(written)))
        assert NUMBER[3:] not in str(written)
        assert events(written) == ["request.rejected"], written
        return written[0]

    wrong = refused(stranger, f"{path}/Verifications")
    assert (wrong["act"], wrong["status"], wrong["reason"]) == ("start", 401, "unauthenticated")
    assert (wrong["address"], wrong["error_code"]) == ("testclient", "20003")
    assert wrong["route"] == "/v2/Services/{service_sid}/Verifications"
    missing = refused(client, f"{path}/Verifications", Channel="")
    assert (missing["field"], missing["reason"]) == ("Channel", "invalid_parameter")
    assert "address" not in missing
    assert refused(client, f"{path}/VerificationCheck")["field"] == "Code"
    assert refused(reader, f"{path}/Verifications")["reason"] == "forbidden"
    assert refused(client, "/v2/Services/VA1/Verifications")["reason"] == "not_found"
    assert refused(client, f"{path}/VerificationCheck", Code="918273")["field"] == "To"
    with lines() as written:
        assert client.get(f"/v2/{NUMBER[1:]}").status_code == 404
    assert written == [], "who looks for a way in fills no log"
    authy = f"/protected/json/phones/verification/start?api_key=918273&phone_number={NUMBER[3:]}"
    told = refused(stranger, authy)
    assert (told["act"], told["error_code"]) == ("start", "60001")
    of_core = refused(client, f"{path}/Verifications")
    assert (of_core["field"], "route" in of_core) == ("To", False)


def test_the_relay_names_what_it_ends(parts: Sendcode, service: Service) -> None:
    """Its lines have the sids of the deliveries and verifications that they are about."""
    started = start(parts, service)
    let_time_pass(parts, 700)
    with lines() as written:
        make_relay(parts).settle()
    told = {line["event"]: line for line in written}
    assert told["job.discarded"]["deliveries"] == [started.deliveries[-1].sid]
    assert told["code.expired"]["verifications"] == [started.sid]


def test_factors_say_what_a_code_was(parts: Sendcode, service: Service) -> None:
    """Enrolled, verified, the same code again and a wrong one have names of their own."""
    app = App(parts, service)
    with lines() as written:
        app.verified()
        code = app.code()
        app.ask(code)
        app.ask(code)
        app.ask(wrong_code(code))
    names = ["totp.enrolled", "totp.verified", "totp.replayed", "totp.wrong"]
    assert events(written) == names
    assert {line["factor"] for line in written} == {app.sid}
    assert code not in str(written)


def test_a_lost_broker_is_told_once(
    make_parts: Callable[..., Sendcode], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """However many starts it refuses; and once that it is back."""
    broker = start_broker(tmp_path_factory.mktemp("lost"))
    try:
        parts = make_parts(broker_url=broker.url)
        service = parts.services.create(ACCOUNT, "Example")
        with lines() as written:
            broker.kill9()
            for _ in range(3):
                with pytest.raises(LimitsUnavailableError):
                    start(parts, service)
            broker.start()
            for _ in range(2):
                start(parts, service)
        told = [name for name in events(written) if name.startswith("broker.")]
        assert told == ["broker.lost", "broker.restored"]
    finally:
        broker.stop()
