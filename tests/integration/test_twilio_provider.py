import json
import logging
import re
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from worker.errors import OutcomeUnknownError, ProviderError
from worker.providers import Accepted, Outgoing
from worker.providers.twilio import TwilioProvider
from worker.states import Channel, ErrorKind

ACCOUNT = "AC" + "0" * 32
TOKEN = "f00dfeed" * 4
NUMBER = "+12025550123"
TEXT = "Your Example code is 483920"
TWIML = "<Response><Say>4 8 3 9 2 0</Say></Response>"
CALLBACK = "http://127.0.0.1:8080/callbacks/twilio/sms/SD1"
READ_TIMEOUT = 0.5
LOCALHOST = IPv4Address("127.0.0.1")

Play = Callable[["_Handler"], None]


@dataclass
class Seen:
    """One request as the server saw it."""

    method: str
    path: str
    query: dict[str, list[str]]
    form: dict[str, list[str]]
    headers: dict[str, str]
    client: tuple[str, int]


@dataclass
class Twilio:
    """A real HTTP server that plays its script, the last part again and again."""

    url: str
    script: list[Play] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    def plays(self, *script: Play) -> None:
        self.script[:] = script


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        self._play()

    def do_GET(self) -> None:
        self._play()

    def _play(self) -> None:
        twilio = self.server.twilio
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        url = urlsplit(self.path)
        with self.server.lock:
            twilio.seen.append(
                Seen(
                    self.command,
                    url.path,
                    parse_qs(url.query),
                    parse_qs(body, keep_blank_values=True),
                    dict(self.headers),
                    self.client_address,
                )
            )
            play = twilio.script.pop(0) if len(twilio.script) > 1 else twilio.script[0]
        play(self)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    twilio: Twilio
    lock = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


def answer(status: int, body: object, **headers: str) -> Play:
    def play(handler: _Handler) -> None:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return play


def refusal(code: int, status: int = 400) -> Play:
    message = f"The 'To' number {NUMBER} is not good: {TEXT}"
    return answer(status, {"code": code, "message": message, "status": status})


def hang(handler: _Handler) -> None:
    time.sleep(READ_TIMEOUT * 3)
    handler.close_connection = True


def hang_up(handler: _Handler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def half_an_answer(handler: _Handler) -> None:
    handler.send_response(201)
    handler.send_header("Content-Length", "500")
    handler.end_headers()
    handler.wfile.write(b'{"sid": "SM1"')
    handler.close_connection = True


def page(kind: str, *records: dict[str, object]) -> Play:
    return answer(200, {kind: list(records), "page": 0, "page_size": 20, "next_page_uri": None})


def message(sid: str, created: datetime, **fields: object) -> dict[str, object]:
    return {
        "sid": sid,
        "status": "sent",
        "direction": "outbound-api",
        "to": NUMBER,
        "body": TEXT,
        "date_created": format_datetime(created, usegmt=True),
        "date_sent": None,
        **fields,
    }


SMS_OK = answer(201, {"sid": "SM1", "status": "queued", "to": NUMBER, "body": TEXT})
CALL_OK = answer(201, {"sid": "CA1", "status": "queued", "to": NUMBER})
TOO_MANY = {"code": 20429, "message": f"Too many requests for {NUMBER}", "status": 429}


@pytest.fixture
def twilio() -> Iterator[Twilio]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.twilio = Twilio(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.twilio
    server.shutdown()
    server.server_close()
    thread.join()


def provider(url: str, **changes: Any) -> TwilioProvider:
    values: dict[str, Any] = {
        "account_sid": ACCOUNT,
        "auth_token": TOKEN,
        "base_url": url,
        "sender": "+12025550199",
        "messaging_service_sid": "",
        "connect_timeout": 0.5,
        "read_timeout": READ_TIMEOUT,
        "slots": 4,
        "ring_seconds": 25,
        "call_seconds": 60,
    }
    return TwilioProvider(**{**values, **changes})


def outgoing(channel: Channel = Channel.SMS, remaining: int = 600) -> Outgoing:
    content = TEXT if channel is Channel.SMS else TWIML
    dies_at = time.monotonic() + remaining + 0.9
    code = "483920" if channel is Channel.SMS else None
    return Outgoing("SD1", channel, NUMBER, content, CALLBACK, dies_at, code=code)


def refused(action: Callable[[], object]) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        action()
    assert_clean(caught.value)
    return caught.value


def unknown(action: Callable[[], object]) -> OutcomeUnknownError:
    with pytest.raises(OutcomeUnknownError) as caught:
        action()
    assert_clean(caught.value)
    return caught.value


def assert_clean(error: BaseException) -> None:
    """Nothing that is printed of `error`, or hangs on it, tells number, text or secret."""
    assert error.__cause__ is None
    assert error.__context__ is None
    printed = "".join([str(error), repr(error), *traceback.format_exception(error)])
    for secret in (NUMBER, NUMBER[1:], TEXT, "483920", "4 8 3 9 2 0", TOKEN, "%2B1202"):
        assert secret not in printed


def test_an_sms_is_handed_over_with_what_remains_of_its_life(twilio: Twilio) -> None:
    """The form carries number, text, sender, callback and the code's remaining life."""
    twilio.plays(SMS_OK)
    accepted = provider(twilio.url).send(outgoing(remaining=417))
    assert accepted == Accepted("SM1", "queued")
    (seen,) = twilio.seen
    assert (seen.method, seen.path) == ("POST", f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json")
    assert seen.form == {
        "To": [NUMBER],
        "From": ["+12025550199"],
        "Body": [TEXT],
        "StatusCallback": [CALLBACK],
        "ValidityPeriod": ["417"],
    }
    assert seen.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert seen.headers["Authorization"].startswith("Basic ")


@pytest.mark.parametrize(("remaining", "period"), [(1, "1"), (86_400, "36000")])
def test_the_validity_period_stays_in_twilios_range(
    twilio: Twilio, remaining: int, period: str
) -> None:
    """A life shorter or longer than Twilio takes becomes its nearest bound."""
    twilio.plays(SMS_OK)
    provider(twilio.url).send(outgoing(remaining=remaining))
    assert twilio.seen[0].form["ValidityPeriod"] == [period]


def test_a_messaging_service_takes_the_place_of_the_sender(twilio: Twilio) -> None:
    """With a messaging service, Twilio chooses the sender of an SMS."""
    twilio.plays(SMS_OK)
    provider(twilio.url, messaging_service_sid="MG" + "1" * 32).send(outgoing())
    assert twilio.seen[0].form["MessagingServiceSid"] == ["MG" + "1" * 32]
    assert "From" not in twilio.seen[0].form


def test_any_script_arrives_as_it_was_written(twilio: Twilio) -> None:
    """Text outside ASCII reaches Twilio unchanged."""
    twilio.plays(SMS_OK)
    text = "كود 483920 & 100 % €=+ 😀"
    provider(twilio.url).send(
        Outgoing("SD1", Channel.SMS, NUMBER, text, CALLBACK, time.monotonic() + 60)
    )
    assert twilio.seen[0].form["Body"] == [text]


def test_a_call_carries_its_twiml_its_times_and_its_events(twilio: Twilio) -> None:
    """The form of a call has the TwiML, how long to ring and last, and all four events."""
    twilio.plays(CALL_OK)
    assert provider(twilio.url).send(outgoing(Channel.CALL)) == Accepted("CA1", "queued")
    (seen,) = twilio.seen
    assert seen.path == f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json"
    assert seen.form == {
        "To": [NUMBER],
        "From": ["+12025550199"],
        "Twiml": [TWIML],
        "StatusCallback": [CALLBACK],
        "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
        "Timeout": ["25"],
        "TimeLimit": ["60"],
    }


def test_a_call_without_a_caller_number_is_our_accounts_fault(twilio: Twilio) -> None:
    """No request is made for a call that no number of ours could make."""
    twilio.plays(CALL_OK)
    sender = provider(twilio.url, sender="", messaging_service_sid="MG1")
    assert refused(lambda: sender.send(outgoing(Channel.CALL))).kind is ErrorKind.ACCOUNT
    assert twilio.seen == []


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (21211, ErrorKind.PERMANENT),
        (21614, ErrorKind.CHANNEL),
        (21408, ErrorKind.ROUTE),
        (21611, ErrorKind.TRANSIENT),
        (99999, ErrorKind.PERMANENT),
    ],
)
def test_a_refusal_is_sorted_by_twilios_code_and_not_repeated(
    twilio: Twilio, code: int, kind: ErrorKind
) -> None:
    """A 400 is one request, and its code decides what comes next."""
    twilio.plays(refusal(code))
    error = refused(lambda: provider(twilio.url).send(outgoing()))
    assert (error.code, error.kind, error.retry_after) == (str(code), kind, None)
    assert len(twilio.seen) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ErrorKind.PERMANENT),
        (401, ErrorKind.ACCOUNT),
        (404, ErrorKind.ACCOUNT),
        (302, ErrorKind.ACCOUNT),
    ],
)
@pytest.mark.parametrize("body", ["<html>no</html>", "[]", '{"code": null}', ""])
def test_a_refusal_without_a_code_is_sorted_by_its_status(
    twilio: Twilio, status: int, kind: ErrorKind, body: str
) -> None:
    """A proxy's or a wrong server's refusal is final, and a redirect is not followed."""
    twilio.plays(answer(status, body, Location=f"{twilio.url}/elsewhere"))
    error = refused(lambda: provider(twilio.url).send(outgoing()))
    assert (error.code, error.kind) == (f"http_{status}", kind)
    assert len(twilio.seen) == 1


@pytest.mark.kills("only-201-is-a-success", "redirect-is-a-success")
@pytest.mark.parametrize("status", [200, 201, 202])
def test_every_kind_of_success_is_one(twilio: Twilio, status: int) -> None:
    """Each 2xx that names the message is an acceptance; a redirect is none, whatever it names."""
    body = {"sid": "SM1", "status": "queued"}
    twilio.plays(answer(status, body))
    assert provider(twilio.url).send(outgoing()).sid == "SM1"
    twilio.plays(answer(302, body, Location="/elsewhere"))
    assert refused(lambda: provider(twilio.url).send(outgoing())).code == "http_302"
    assert len(twilio.seen) == 2


def test_429_is_repeated_after_the_wait_twilio_asks_for(twilio: Twilio) -> None:
    """A request that was not processed is made again, no earlier than Retry-After says."""
    twilio.plays(answer(429, TOO_MANY, Retry_After="1"), SMS_OK)
    started = time.monotonic()
    assert provider(twilio.url).send(outgoing()) == Accepted("SM1", "queued")
    assert time.monotonic() - started >= 1
    assert len(twilio.seen) == 2
    first, second = ({**seen.form, "ValidityPeriod": None} for seen in twilio.seen)
    assert first == second


def test_a_long_retry_after_ends_the_call_at_once(twilio: Twilio) -> None:
    """When Twilio asks for more time than there is, the caller learns how much."""
    twilio.plays(answer(429, TOO_MANY, Retry_After="60"))
    error = refused(lambda: provider(twilio.url).send(outgoing()))
    assert (error.code, error.kind, error.retry_after) == ("20429", ErrorKind.TRANSIENT, 60)
    assert len(twilio.seen) == 1
    assert len(twilio.seen) == 1


def test_retry_after_may_be_a_date_or_nonsense(twilio: Twilio) -> None:
    """An HTTP date becomes seconds; anything else is as if it were not there."""
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    twilio.plays(answer(429, TOO_MANY, Retry_After=later))
    asked = refused(lambda: provider(twilio.url).send(outgoing())).retry_after
    assert asked is not None
    assert 80 < asked <= 90
    twilio.plays(answer(429, TOO_MANY, Retry_After="soon"), SMS_OK)
    assert provider(twilio.url).send(outgoing()).sid == "SM1"


def test_429_without_end_is_given_up_within_the_budget(twilio: Twilio) -> None:
    """A few tries in under three seconds, then the refusal is the caller's to wait for."""
    twilio.plays(answer(429, TOO_MANY))
    error = refused(lambda: provider(twilio.url).send(outgoing()))
    assert (error.code, error.kind) == ("20429", ErrorKind.TRANSIENT)
    assert 2 <= len(twilio.seen) <= 4


def test_a_used_up_daily_limit_is_not_hammered(twilio: Twilio) -> None:
    """A 429 whose code says that waiting seconds cannot help is one request."""
    twilio.plays(refusal(63038, status=429))
    error = refused(lambda: provider(twilio.url).send(outgoing()))
    assert (error.code, error.kind) == ("63038", ErrorKind.ACCOUNT)
    assert len(twilio.seen) == 1


@pytest.mark.parametrize(
    ("play", "code"),
    [
        (refusal(20500, status=500), "http_500"),
        (answer(503, "<html>busy</html>", Retry_After="1"), "http_503"),
        (hang, "read_timeout"),
        (hang_up, "connection_lost"),
        (half_an_answer, "connection_lost"),
        (answer(201, f"<html>{NUMBER} {TEXT}</html>"), "unreadable_answer"),
        (answer(201, ""), "unreadable_answer"),
        (answer(201, "[1]"), "unreadable_answer"),
        (answer(201, {"status": "queued"}), "unreadable_answer"),
        (answer(201, {"sid": "SM1", "error_code": TEXT, "date_sent": 5}), "unreadable_answer"),
    ],
    ids=[
        "500",
        "503",
        "hang",
        "hang_up",
        "half",
        "html",
        "empty",
        "list",
        "no_sid",
        "odd_fields",
    ],
)
def test_an_answer_that_proves_nothing_leaves_the_outcome_unknown(
    twilio: Twilio, play: Play, code: str
) -> None:
    """Once written, a request without a readable answer is never repeated blindly."""
    twilio.plays(play)
    assert unknown(lambda: provider(twilio.url).send(outgoing())).code == code
    assert len(twilio.seen) == 1


def test_a_refused_connection_is_surely_not_sent() -> None:
    """Without a connection nothing was accepted: tried again for a moment, then transient."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        error = refused(lambda: provider(url).send(outgoing()))
    assert (error.code, error.kind) == ("connect", ErrorKind.TRANSIENT)


def test_an_unknown_host_is_surely_not_sent() -> None:
    """A name that does not resolve is the same as no connection."""
    error = refused(lambda: provider("http://no-such-host.invalid").send(outgoing()))
    assert (error.code, error.kind) == ("connect", ErrorKind.TRANSIENT)


def test_a_failed_tls_handshake_is_surely_not_sent(twilio: Twilio) -> None:
    """A server that speaks no TLS, or never answers the handshake, got no request."""
    twilio.plays(SMS_OK)
    error = refused(lambda: provider(twilio.url.replace("http:", "https:")).send(outgoing()))
    assert (error.code, error.kind) == ("connect", ErrorKind.TRANSIENT)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        error = refused(lambda: provider(url, connect_timeout=0.2).send(outgoing()))
    assert (error.code, error.kind) == ("connect", ErrorKind.TRANSIENT)
    assert twilio.seen == []


def test_over_tls_a_request_goes_out_and_silence_is_unknown(
    twilio: Twilio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a trusted certificate TLS changes nothing; with an untrusted one nothing is sent."""
    certificate = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.twilio = twilio
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    url = f"https://127.0.0.1:{server.server_port}"
    try:
        twilio.plays(SMS_OK, SMS_OK, hang)
        assert refused(lambda: provider(url).send(outgoing())).code == "connect"
        assert twilio.seen == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        sender = provider(url)
        sender.send(outgoing())
        sender.send(outgoing())
        assert unknown(lambda: sender.send(outgoing())).code == "read_timeout"
        assert len({seen.client for seen in twilio.seen}) == 1
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def self_signed(directory: Path) -> Path:
    """A certificate for 127.0.0.1 with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(LOCALHOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = directory / "server.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    return path


def test_a_connection_that_came_too_late_is_not_used(
    twilio: Twilio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When resolving and connecting outlast the time for it, no request is written any more."""
    twilio.plays(SMS_OK)
    resolve = socket.getaddrinfo

    def slow(*args: Any, **kwargs: Any) -> Any:
        time.sleep(0.3)
        return resolve(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    late = provider(twilio.url)
    late._write_within = 0.1
    assert refused(lambda: late.send(outgoing())).code == "connect"
    assert twilio.seen == []


def test_calls_one_after_the_other_share_a_connection(twilio: Twilio) -> None:
    """Ten deliveries and a look-up make one TCP connection."""
    twilio.plays(*[SMS_OK] * 10, page("messages"))
    sender = provider(twilio.url)
    for _ in range(10):
        sender.send(outgoing())
    sender.find(outgoing(), datetime.now(UTC), none_known)
    assert len(twilio.seen) == 11
    assert len({seen.client for seen in twilio.seen}) == 1


def test_a_kept_connection_that_the_server_closed_is_replaced(twilio: Twilio) -> None:
    """An idle connection closed by the server costs a new one, not an unknown outcome."""

    def then_close(handler: _Handler) -> None:
        SMS_OK(handler)
        handler.close_connection = True

    twilio.plays(then_close, SMS_OK)
    sender = provider(twilio.url)
    sender.send(outgoing())
    time.sleep(0.1)
    assert sender.send(outgoing()).sid == "SM1"
    assert len({seen.client for seen in twilio.seen}) == 2


def test_threads_share_one_provider(twilio: Twilio) -> None:
    """Many threads at once get each its own answer over no more connections than slots."""
    twilio.plays(SMS_OK)
    sender = provider(twilio.url, read_timeout=5, connect_timeout=5)
    sids: list[str] = []
    threads = [
        threading.Thread(target=lambda: sids.append(sender.send(outgoing()).sid)) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sids == ["SM1"] * 16
    assert len({seen.client for seen in twilio.seen}) <= 4


SINCE = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)


def none_known() -> tuple[str, ...]:
    """The sids of other deliveries, where there are none."""
    return ()


def test_an_sms_is_found_by_its_text(twilio: Twilio) -> None:
    """Of the newest messages to the number, the one with our text since then is ours."""
    twilio.plays(
        page(
            "messages",
            message("SM9", SINCE, direction="inbound"),
            message("SM8", SINCE, body="Your Example code is 111111"),
            message("SM7", SINCE, body=None),
            message("SM6", SINCE + timedelta(seconds=2), status="queued"),
            message("SM5", SINCE - timedelta(minutes=3)),
        )
    )
    assert provider(twilio.url).find(outgoing(), SINCE, none_known) == Accepted("SM6", "queued")
    (seen,) = twilio.seen
    assert seen.query == {"To": [NUMBER], "PageSize": ["20"]}


@pytest.mark.parametrize(
    "body",
    [
        "<#> Ihr Bestätigungscode von Acme lautet: 483920 He42w354ol9",
        "您的验证码是483920。",
        "Sent from your Twilio trial account - 483920\n\n@example.com #483920",
    ],
)
def test_an_sms_is_found_by_its_code_in_other_words(twilio: Twilio, body: str) -> None:
    """What a resend changes of the text does not hide what was sent before it."""
    twilio.plays(page("messages", message("SM1", SINCE, body=body)))
    assert provider(twilio.url).find(outgoing(), SINCE, none_known) == Accepted("SM1", "sent")


@pytest.mark.parametrize("digits", ["483921", "1483920", "4839201", "48392", "a483920", "483920b"])
def test_another_code_is_not_ours(twilio: Twilio, digits: str) -> None:
    """Another verification's message is not taken for ours, nor is a longer word with our code."""
    twilio.plays(page("messages", message("SM1", SINCE, body=TEXT.replace("483920", digits))))
    assert provider(twilio.url).find(outgoing(), SINCE, none_known) is None


def test_no_code_is_shown_of_what_goes_out() -> None:
    """What is printed of a message tells neither its number nor its code."""
    assert not {NUMBER, "483920"} & set(re.findall(r"[+0-9]+", repr(outgoing())))


def test_a_trial_accounts_text_is_recognised(twilio: Twilio) -> None:
    """The sentence that Twilio puts before a trial account's texts does not hide ours."""
    text = f"Sent from your Twilio trial account - {TEXT}"
    twilio.plays(page("messages", message("SM1", SINCE, body=text)))
    assert provider(twilio.url).find(outgoing(), SINCE, none_known) == Accepted("SM1", "sent")


def test_an_older_sms_with_the_same_text_is_not_ours(twilio: Twilio) -> None:
    """An earlier delivery of the same code is not taken for this one; clocks may differ a bit."""
    twilio.plays(page("messages", message("SM1", SINCE - timedelta(seconds=30))))
    assert provider(twilio.url).find(outgoing(), SINCE, none_known) is None
    twilio.plays(page("messages", message("SM1", SINCE - timedelta(seconds=5))))
    assert provider(twilio.url).find(outgoing(), SINCE, none_known) is not None


def test_any_call_from_our_number_in_that_time_counts(twilio: Twilio) -> None:
    """Calls are looked up by both numbers, and an outbound one since then is found."""
    twilio.plays(
        page(
            "calls",
            message("CA3", SINCE, direction="inbound", status="completed"),
            message("CA2", SINCE, status="no-answer"),
        )
    )
    found = provider(twilio.url).find(outgoing(Channel.CALL), SINCE, none_known)
    assert found == Accepted("CA2", "no-answer")
    assert twilio.seen[0].query == {
        "To": [NUMBER],
        "From": ["+12025550199"],
        "PageSize": ["20"],
    }


@pytest.mark.parametrize(
    ("play", "code"),
    [
        (answer(500, "no"), "http_500"),
        (hang, "read_timeout"),
        (answer(200, f"{NUMBER} {TEXT}"), "unreadable_answer"),
        (answer(202, {"messages": []}), "unreadable_answer"),
    ],
)
def test_a_look_up_without_an_answer_says_so(twilio: Twilio, play: Play, code: str) -> None:
    """Not being told is not the same as not being there."""
    twilio.plays(play)
    assert unknown(lambda: provider(twilio.url).find(outgoing(), SINCE, none_known)).code == code


def test_a_refused_look_up_says_so(twilio: Twilio) -> None:
    """Wrong credentials are the account's fault, not an empty list."""
    twilio.plays(refusal(20003, status=401))
    error = refused(lambda: provider(twilio.url).find(outgoing(), SINCE, none_known))
    assert (error.code, error.kind) == ("20003", ErrorKind.ACCOUNT)


def test_no_log_line_tells_number_or_text(
    twilio: Twilio, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """With every logger at DEBUG, neither a send, a look-up nor a failure prints them."""
    caplog.set_level(logging.DEBUG)
    twilio.plays(SMS_OK, page("messages", message("SM1", SINCE)), refusal(99999))
    sender = provider(twilio.url)
    sender.send(outgoing())
    sender.find(outgoing(), SINCE, none_known)
    refused(lambda: sender.send(outgoing()))
    printed = caplog.text + "".join(capsys.readouterr())
    for secret in (NUMBER, NUMBER[1:], TEXT, "483920", TOKEN):
        assert secret not in printed


def test_the_environment_does_not_bend_the_host(
    twilio: Twilio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twilio's own region and edge variables leave the configured URL alone."""
    monkeypatch.setenv("TWILIO_REGION", "ie1")
    monkeypatch.setenv("TWILIO_EDGE", "dublin")
    twilio.plays(SMS_OK)
    assert provider(twilio.url).send(outgoing()).sid == "SM1"
