"""What is counted and shown to Prometheus, on both databases and real processes."""

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from structlog.testing import capture_logs

from api_stub import metrics as door
from api_stub.app import create_app
from tests.helpers import code_of, delivery, let_time_pass, wrong_code
from tests.integration import doors
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.standin import Standin
from worker import metrics
from worker.circuits import OPENS_AT
from worker.embedded.broker import free_port
from worker.errors import ChecksSpentError, LimitReachedError, NotFoundError
from worker.plan import read_plan
from worker.providers.twilio_errors import MESSAGE_STATUSES, may_help
from worker.relay import Relay
from worker.services import Service
from worker.settings import Settings
from worker.states import Channel
from worker.verifications import Start, Verification
from worker.wiring import Sendcode


class Counted:
    """How much a sample has grown since the test began."""

    def __init__(self) -> None:
        self._before = _samples()

    def __call__(self, name: str, **labels: str) -> float:
        key = (f"sendcode_{name}", tuple(sorted(labels.items())))
        return _samples().get(key, 0) - self._before.get(key, 0)


def _samples() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
    }


@pytest.fixture
def counted() -> Counted:
    return Counted()


def start(parts: Sendcode, service: Service, **values: Any) -> Verification:
    return parts.verifications.start(ACCOUNT, Start(service.sid, NUMBER, **values))


def tell(parts: Sendcode, sid: str, status: str, code: str | None = None) -> bool:
    return parts.receipts.apply(
        sid,
        provider="twilio",
        provider_sid=delivery(parts, sid).provider_sid or f"SM{sid}"[:34],
        status=status,
        words=MESSAGE_STATUSES,
        error_code=code,
        hope=may_help(code),
    )


def relay(parts: Sendcode) -> Relay:
    return Relay(
        *(parts.db, parts.redis, parts.settings, parts.publish, parts.fallback, parts.ask_about),
        holds=parts.holds,
        operations=parts.operations,
    )


def scrape(settings: Settings) -> str:
    answer = TestClient(create_app(settings)).get("/metrics", auth=(ACCOUNT, "t" * 32))
    assert answer.status_code == 200
    return answer.text


def gauges(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name.removeprefix("sendcode_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if family.type == "gauge"
    }


def test_the_way_of_a_code_is_counted(
    parts: Sendcode, service: Service, provider: Standin, counted: Counted
) -> None:
    """Promise, wait, call, acceptance, arrival, wrong and right code count once each, timed."""
    started = start(parts, service)
    sid = started.deliveries[-1].sid
    let_time_pass(parts, 4)
    for _ in range(2):  # the second finds nothing to do
        parts.dispatch.deliver([sid])
    for _ in range(2):  # the second is a repeat
        tell(parts, sid, "delivered")
    code = code_of(parts, started.sid)
    for guess in (wrong_code(code), code):
        parts.verifications.check(ACCOUNT, service.sid, guess, sid=started.sid)
    sms, gb, main = {"channel": "sms"}, {"country": "GB"}, {"sender": "main"}
    assert counted("codes_accepted_total", **sms, **gb) == 1
    assert counted("attempts_total", **main, **sms, outcome="accepted", error_class="") == 1
    assert counted("receipts_total", **main, **sms, **gb, status="delivered", way="callback") == 1
    assert counted("verifications_total", **sms, **gb, result="wrong") == 1
    assert counted("verifications_total", **sms, **gb, result="approved") == 1
    assert counted("provider_request_seconds_count", **main, **sms) == 1
    timed = (
        ("queue_wait_seconds", {"queue": "sms"}),
        ("handoff_seconds", sms),
        ("delivery_seconds", {**main, **sms, **gb}),
        ("time_to_verify_seconds", sms),
    )
    for name, labels in timed:
        assert counted(f"{name}_count", **labels) == 1, name
        assert 4 <= counted(f"{name}_sum", **labels) < 60, name


def test_refused_starts_are_counted_by_reason(
    make_parts: Callable[..., Sendcode], counted: Counted
) -> None:
    """A start that a limit or its values refuse counts under its reason, and promises nothing."""
    parts = make_parts(limit_sends=1)
    service = parts.services.create(ACCOUNT, "Example")
    start(parts, service)
    with pytest.raises(LimitReachedError):
        start(parts, service)
    with pytest.raises(NotFoundError):
        parts.verifications.start(ACCOUNT, Start("VA" + "0" * 32, NUMBER))
    assert counted("codes_accepted_total", channel="sms", country="GB") == 1
    assert counted("codes_rejected_total", reason="limit_reached") == 1
    assert counted("codes_rejected_total", reason="not_found") == 1
    path = f"/v2/Services/{service.sid}"
    assert doors.door(parts, password="x").post(f"{path}/Verifications").status_code == 401
    assert doors.door(parts).post(f"{path}/Verifications").status_code == 400
    assert doors.door(parts).post(f"{path}/VerificationCheck").status_code == 400
    assert counted("codes_rejected_total", reason="unauthenticated") == 1
    assert counted("codes_rejected_total", reason="invalid_parameter") == 1
    assert counted("checks_rejected_total", reason="invalid_parameter") == 1
    assert counted("rate_limited_total", limit="sends") == 1
    ranged = make_parts(limit_range=1)
    start(ranged, service)
    with pytest.raises(LimitReachedError):
        ranged.verifications.start(ACCOUNT, Start(service.sid, f"{NUMBER[:-1]}0"))
    assert counted("rate_limited_total", limit="range") == 1


def test_a_spent_code_is_counted_once(parts: Sendcode, service: Service, counted: Counted) -> None:
    """The last wrong guess counts a code as exceeded; the guess after it compares nothing."""
    started = start(parts, service)
    wrong = wrong_code(code_of(parts, started.sid))
    for _ in range(5):
        parts.verifications.check(ACCOUNT, service.sid, wrong, sid=started.sid)
    with pytest.raises(ChecksSpentError):
        parts.verifications.check(ACCOUNT, service.sid, wrong, sid=started.sid)
    labels = {"channel": "sms", "country": "GB"}
    assert counted("verifications_total", **labels, result="wrong") == 5
    assert counted("verifications_total", **labels, result="attempts_exceeded") == 1
    assert counted("checks_rejected_total", reason="checks_spent") == 1


def test_refusals_doubts_and_retries_are_counted(
    parts: Sendcode, service: Service, provider: Standin, counted: Counted
) -> None:
    """A provider's refusal counts by its code and kind, an answer that was lost as a timeout."""
    provider.script.extend([(400, 21211, {}), "lost"])
    for _ in range(2):
        parts.dispatch.deliver([start(parts, service).deliveries[-1].sid])
    tried = {"sender": "main", "channel": "sms"}
    assert counted("attempts_total", **tried, outcome="failed", error_class="permanent") == 1
    assert counted("attempts_total", **tried, outcome="timeout", error_class="unknown") == 1
    assert counted("provider_errors_total", sender="main", code="21211") == 1
    assert counted("retries_total", channel="sms", reason="connection_lost") == 1


def test_what_dies_unsent_is_counted(parts: Sendcode, service: Service, counted: Counted) -> None:
    """A code that dies before it is sent counts as discarded, found by a worker or the relay."""
    sids = [start(parts, service).deliveries[-1].sid for _ in range(2)]
    let_time_pass(parts, 599)
    parts.dispatch.deliver([sids[0]])
    let_time_pass(parts, 2)
    relay(parts).settle()
    assert counted("jobs_discarded_total", queue="sms", reason="expired") == 2
    assert counted("verifications_expired_total") == 1


def test_a_dead_worker_and_a_missing_receipt_are_counted(
    parts: Sendcode, service: Service, counted: Counted
) -> None:
    """A lease that ran out counts as a retry, an acceptance without a word as a missing receipt."""
    sid = start(parts, service).deliveries[-1].sid
    with parts.db.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE deliveries SET state = 'sending', lease_until = created_at - 1"
        )
    relay(parts).settle()
    assert counted("retries_total", channel="sms", reason="worker_lost") == 1
    tell(parts, sid, "sent")
    let_time_pass(parts, 700)
    relay(parts).settle()
    assert counted("receipts_missing_total") == 1


def test_a_fallback_is_counted(parts: Sendcode, provider: Standin, counted: Counted) -> None:
    """A step of a plan counts with the channels and with what went before; so does the code."""
    service = parts.services.create(ACCOUNT, "Planned", plan=read_plan("call"))
    sid = start(parts, service).deliveries[-1].sid
    parts.dispatch.deliver([sid])
    tell(parts, sid, "undelivered", "30003")
    step = {"from_channel": "sms", "to_channel": "call", "reason": "undelivered"}
    assert counted("fallbacks_total", **step) == 1
    assert counted("provider_errors_total", sender="main", code="30003") == 1


def test_the_standing_is_shown(parts: Sendcode, service: Service) -> None:
    """The gauges tell of queues, workers and circuits, and of the parts that answer."""
    start(parts, service)
    let_time_pass(parts, 30)
    for _ in range(OPENS_AT):
        parts.circuits.failed("main", Channel.CALL)
    found = gauges(scrape(parts.settings))
    assert found["queue_depth", "sms", "waiting"] == 1
    assert found["queue_depth", "call", "waiting"] == 0
    assert 30 <= found["queue_oldest_age_seconds", "sms"] < 60
    assert found["circuit_state", "call", "main"] == 2
    assert found["circuit_state", "sms", "main"] == 0
    assert found["worker_silent_seconds",] == 3600
    assert (found["broker_up",], found["database_up",]) == (1, 1)


def test_a_stranger_learns_nothing(parts: Sendcode) -> None:
    """Without the account's credentials there are no metrics."""
    assert TestClient(create_app(parts.settings)).get("/metrics").status_code == 401


def test_no_label_tells_of_a_person(parts: Sendcode, service: Service, provider: Standin) -> None:
    """After a code's whole way no sid, no number and no address is in the answer."""
    started = start(parts, service)
    parts.dispatch.deliver([started.deliveries[-1].sid])
    tell(parts, started.deliveries[-1].sid, "delivered")
    text = scrape(parts.settings)
    assert 'sendcode_receipts_total{channel="sms",country="GB"' in text
    labels = " ".join(re.findall(r"\{(.*)\}", text))
    assert not re.search(r"[A-Z]{2}[0-9a-f]{32}", labels)
    assert not re.search(r"\d{7}", labels)
    assert not re.search(r"\d+\.\d+\.\d+\.\d+", labels)


def test_a_broker_that_is_away_is_said(parts: Sendcode) -> None:
    """Without a broker its gauges are absent, never 0, and the counters are there."""
    away = parts.settings.model_copy(update={"broker_url": SecretStr("redis://127.0.0.1:1/0")})
    text = scrape(away)
    found = gauges(text)
    assert (found["broker_up",], found["database_up",]) == (0, 1)
    assert not [key for key in found if key[0] in ("queue_depth", "worker_silent_seconds")]
    assert "sendcode_codes_accepted_total" in text


@contextmanager
def deaf_server() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=50)) as server:
        yield server.getsockname()[1]


def test_a_broker_that_hangs_holds_nobody_up(
    parts: Sendcode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the look hangs a scrape still gets the counters, and a second starts no second look."""
    monkeypatch.setattr(door, "PATIENCE", 0.2)
    with deaf_server() as port:
        url = SecretStr(f"redis://127.0.0.1:{port}/0")
        app = create_app(parts.settings.model_copy(update={"broker_url": url}))
        with TestClient(app) as client:
            looks = set()
            for _ in range(2):
                text = client.get("/metrics", auth=(ACCOUNT, "t" * 32)).text
                looks.add(app.state.look)
                assert "sendcode_codes_accepted_total" in text
                assert "sendcode_queue_depth" not in text
            assert len(looks) == 1


def test_a_worker_serves_its_own() -> None:
    """A process answers on its port; where that is taken it goes on without, and says so."""
    port = free_port()
    metrics.serve("127.0.0.1", port)
    answer = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False)
    assert "sendcode_queue_wait_seconds" in answer.text
    with capture_logs() as said:
        metrics.serve("127.0.0.1", port)
        metrics.serve("127.0.0.1", 0)
    assert [line["event"] for line in said] == ["metrics.not_served"]
