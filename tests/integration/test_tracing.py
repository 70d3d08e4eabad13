"""One trace from start to check, seen by a real OTLP endpoint."""

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from celery.contrib.testing.worker import start_worker
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.acceptance.running import until
from tests.helpers import code_of, delivery
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.standin import Standin
from worker import tasks, tracing
from worker.providers.twilio_errors import MESSAGE_STATUSES
from worker.services import Service
from worker.verifications import Start
from worker.wiring import Sendcode

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Collector:
    """Takes spans by OTLP/HTTP and keeps them, with every byte that came."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                zipped = self.headers.get("Content-Encoding") == "gzip"
                bodies.append(gzip.decompress(body) if zipped else body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def spans(self) -> dict[str, Any]:
        """By name, once tracing was closed."""
        found = {}
        for body in self.bodies:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    found |= {span.name: span for span in scope.spans}
        return found

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    tracing.configure(collector.url, "1")
    yield collector
    tracing.close()
    collector.close()


def test_one_trace_from_start_to_check(
    parts: Sendcode,
    service: Service,
    provider: Standin,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Start, delivery by a worker, provider call, receipt and check are one trace, whose id is the
    verification's; the delivery lies under the start by the message's header. No span tells the
    number or the code."""
    started = parts.verifications.start(ACCOUNT, Start(service.sid, NUMBER))
    sid = started.deliveries[-1].sid
    monkeypatch.setitem(tasks._parts, "ours", parts)
    with start_worker(parts.celery, pool="solo", perform_ping_check=False, queues=["sms"]):
        until(lambda: delivery(parts, sid).state == "accepted", about="a delivery")
    parts.receipts.apply(
        sid, provider="twilio", provider_sid="SM1", status="delivered", words=MESSAGE_STATUSES
    )
    code = code_of(parts, started.sid)
    parts.verifications.check(ACCOUNT, service.sid, code, sid=started.sid)
    tracing.close()
    spans = collector.spans()
    steps = ("start", "deliver", "provider", "receipt", "check")
    assert set(spans) == {f"sendcode.{step}" for step in steps}
    assert {span.trace_id.hex() for span in spans.values()} == {started.sid[2:]}
    assert spans["sendcode.deliver"].parent_span_id == spans["sendcode.start"].span_id
    assert spans["sendcode.provider"].parent_span_id == spans["sendcode.deliver"].span_id
    for body in collector.bodies:
        assert NUMBER[1:].encode() not in body
        assert NUMBER[3:].encode() not in body
        assert code.encode() not in body


def test_a_failed_call_says_why(
    parts: Sendcode, service: Service, provider: Standin, collector: Collector
) -> None:
    """The provider's code is the status of the span, and a lost message starts no other trace."""
    provider.script.append((400, 21211, {}))
    started = parts.verifications.start(ACCOUNT, Start(service.sid, NUMBER))
    parts.dispatch.deliver([started.deliveries[-1].sid])
    tracing.close()
    spans = collector.spans()
    assert spans["sendcode.provider"].status.message == "21211"
    assert not spans["sendcode.provider"].events
    assert spans["sendcode.deliver"].trace_id.hex() == started.sid[2:]


def test_a_strange_header_is_no_parent(
    parts: Sendcode, service: Service, provider: Standin, collector: Collector
) -> None:
    """What a message claims to be part of counts only where it is the verification's own trace."""
    started = parts.verifications.start(ACCOUNT, Start(service.sid, NUMBER))
    for claim in ("00-" + "1" * 32 + "-" + "2" * 16 + "-01", "nonsense", f"00-{started.sid[2:]}-"):
        with tracing.received({"traceparent": claim}):
            parts.dispatch.deliver([started.deliveries[-1].sid])
            tracing.mark("check", started.sid)
    tracing.close()
    spans = collector.spans()
    assert spans["sendcode.deliver"].trace_id.hex() == started.sid[2:]
    assert spans["sendcode.deliver"].parent_span_id == b""
    assert spans["sendcode.check"].trace_id.hex() == started.sid[2:]


def test_without_the_setting_messages_carry_nothing(parts: Sendcode, service: Service) -> None:
    """Untraced, a job's message has no header of ours but its time."""
    parts.verifications.start(ACCOUNT, Start(service.sid, NUMBER))
    raw: Any = parts.redis.lindex("sms", 0)
    assert b"traceparent" not in raw
    assert b"published_at" in raw
