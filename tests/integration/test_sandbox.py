"""The sandbox, run as its own process and driven by Twilio's SDK as a stranger would."""

import base64
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import httpx
import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from api_stub.sandbox.access import phone_key
from api_stub.sandbox.app import create_app
from api_stub.sandbox.codes import find
from api_stub.sandbox.faults import MAGIC
from worker.errors import SettingsError

DOORS = ("AC" + "d" * 32, "doors-token")
PROVIDER = ("AC" + "e" * 32, "provider-token")
SENDER = "+15005550006"
ENVIRONMENT = {
    "SENDCODE_PROVIDER": "sandbox",
    "SENDCODE_SECRET_KEYS": "k1:" + base64.b64encode(b"k" * 32).decode(),
    "SENDCODE_ACCOUNT_SID": DOORS[0],
    "SENDCODE_AUTH_TOKEN": DOORS[1],
    "SENDCODE_TWILIO_ACCOUNT_SID": PROVIDER[0],
    "SENDCODE_TWILIO_AUTH_TOKEN": PROVIDER[1],
    "SENDCODE_TWILIO_FROM": SENDER,
    "SENDCODE_PUBLIC_URL": "http://doors.test:8080",
}
T = TypeVar("T")
numbers = (f"+1202555{n:04}" for n in range(100, 190))


@pytest.fixture
def to() -> str:
    """A number no other test uses."""
    return next(numbers)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """The sandbox's process."""

    def __init__(self, store: Path, **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SENDCODE_")}
        self._environment = kept | ENVIRONMENT | {"SENDCODE_SANDBOX_DB": str(store)} | environment
        self._log = store.with_suffix(".log")
        self._sdks: dict[float, Client] = {}
        single = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(
            base_url=self.url, limits=single, verify=False, trust_env=False, timeout=40
        )
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "uvicorn", "api_stub.sandbox.app:create_app", "--factory"),
                *("--host", "127.0.0.1", "--port", str(self.port)),
            ],
            env=self._environment,
            stdout=self._log.open("ab"),
            stderr=subprocess.STDOUT,
        )
        until(self._lives)

    def _lives(self) -> bool:
        assert self._process.poll() is None, self.log()
        try:
            return self._client.get("/sandbox/livez").status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> float:
        began = time.monotonic()
        self._process.terminate()
        self._process.wait(10)
        return time.monotonic() - began

    def log(self) -> str:
        return self._log.read_text()

    def api(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        return self._client.request(method, path, **{"auth": DOORS, "timeout": 10, **kwargs})

    def sdk(self, timeout: float = 5) -> Client:
        if timeout not in self._sdks:
            client = Client(*PROVIDER, http_client=TwilioHttpClient(timeout=timeout))
            client.api.base_url = self.url
            self._sdks[timeout] = client
        return self._sdks[timeout]

    def fault(self, **spec: Any) -> None:
        response = self.api("POST", "/sandbox/v1/faults", json=spec)
        assert response.status_code == 201, response.text

    def wait(self, to: str, after: int = 0, timeout: int = 30) -> dict[str, Any]:
        query = {"to": to, "after": after, "timeout": timeout}
        response = self.api("GET", "/sandbox/v1/messages/wait", params=query)
        assert response.status_code == 200, response.text
        return dict(response.json())

    def requests(self, to: str) -> list[dict[str, Any]]:
        response = self.api("GET", "/sandbox/v1/requests", params={"to": to})
        return list(response.json()["requests"])


def until(probe: Callable[[], T], seconds: float = 30) -> T:
    end = time.monotonic() + seconds
    while not (value := probe()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return value


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("sandbox") / "sandbox.db")
    yield server
    server.stop()
    log = server.log()
    assert "+1202" not in log
    assert "Traceback" not in log


class Receiver:
    """Our side's callbacks: keeps every form, and whether its signature was right."""

    def __init__(self) -> None:
        self.got: list[dict[str, str]] = []
        self.signed: list[bool] = []
        self.twiml = "<Response><Say>4, 0, 9, 1, 7, 7.</Say></Response>"
        self.fail_next = 0
        self.base = ""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                params = dict(parse_qsl(form, keep_blank_values=True))
                failing = receiver.fail_next > 0
                receiver.fail_next -= failing
                if not failing:
                    signature = self.headers["X-Twilio-Signature"]
                    url = (receiver.base or f"http://{self.headers['Host']}") + self.path
                    validator = RequestValidator(PROVIDER[1])
                    receiver.signed.append(validator.validate(url, params, signature))
                    receiver.got.append(params)
                self.send_response(503 if failing else 200)
                reply = receiver.twiml.encode()
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        serve = self._server.serve_forever
        threading.Thread(target=serve, args=(0.02,), daemon=True).start()

    def statuses(self) -> list[str]:
        return [form.get("MessageStatus") or form.get("CallStatus", "") for form in self.got]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def send(server: Server, to: str, body: str = "Your code is 482911", **extra: Any) -> Any:
    return server.sdk().messages.create(to=to, from_=SENDER, body=body, **extra)


def call(server: Server, to: str, twiml: str = "", **extra: Any) -> Any:
    twiml = twiml or "<Response><Say>Your code is 4, 8, 2, 9, 1, 1.</Say></Response>"
    return server.sdk().calls.create(to=to, from_=SENDER, twiml=twiml, **extra)


def refusal(work: Callable[[], object]) -> TwilioRestException:
    with pytest.raises(TwilioRestException) as caught:
        work()
    return caught.value


# Messages and calls over Twilio's REST API


def test_a_message_is_taken_and_delivered(sandbox: Server, to: str) -> None:
    """The SDK creates, fetches and lists a message that goes from queued to delivered."""
    message = send(sandbox, to, validity_period=300)
    assert message.status == "queued"
    assert message.sid.startswith("SM")
    assert message.date_sent is None
    assert message.num_segments == "1"
    fetch = sandbox.sdk().messages(message.sid).fetch
    delivered = until(lambda: (m := fetch()).status == "delivered" and m)
    assert delivered.body == "Your code is 482911"
    found = sandbox.sdk().messages.list(to=to, date_sent_after=delivered.date_sent)
    assert [m.sid for m in found] == [message.sid]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert sandbox.sdk().messages.list(to=to, date_sent_after=tomorrow) == []
    assert [m.sid for m in sandbox.sdk().messages.list(to=to, date_sent_before=tomorrow)]
    assert sandbox.sdk().messages.list(to=to, from_="+15005550001") == []


def test_dates_and_an_unescaped_plus_are_read(sandbox: Server, to: str) -> None:
    """A list takes `DateSent>=` with a plain date, and a `+` that nobody escaped."""
    send(sandbox, to)
    base = f"{sandbox.url}/2010-04-01/Accounts/{PROVIDER[0]}/Messages.json"
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    for query in (f"DateSent>={today}", f"DateSent={today}", f"DateSent%3E={today}T00:00:00Z"):
        answer = httpx.get(f"{base}?To={to}&{query}", auth=PROVIDER)
        assert len(answer.json()["messages"]) == 1, query
    assert httpx.get(f"{base}?DateSent=soon", auth=PROVIDER).json()["code"] == 20001
    body = f"To={to}&From={SENDER}&Body=hello"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert httpx.post(base, content=body, headers=form, auth=PROVIDER).status_code == 201


def test_lists_come_in_pages_newest_first(sandbox: Server, to: str) -> None:
    """Following next_page_uri gives each message once, newest first, even as more arrive."""
    sids = [send(sandbox, to).sid for _ in range(5)]
    pages = sandbox.sdk().messages.page(to=to, page_size=2)
    seen = [m.sid for m in pages]
    send(sandbox, to)
    while pages.next_page_url:
        pages = pages.next_page()
        seen += [m.sid for m in pages]
    assert seen == sids[::-1]


SHARED_KEYS = {
    *("account_sid", "api_version", "date_created", "date_updated", "direction", "from"),
    *("price", "price_unit", "sid", "status", "subresource_uris", "to", "uri"),
}
MESSAGE_KEYS = {
    *("body", "date_sent", "error_code", "error_message", "messaging_service_sid"),
    *("num_media", "num_segments"),
}
CALL_KEYS = {
    *("answered_by", "caller_name", "duration", "end_time", "forwarded_from", "from_formatted"),
    *("group_sid", "parent_call_sid", "phone_number_sid", "queue_time", "start_time"),
    *("to_formatted", "trunk_sid"),
}


def test_every_key_of_a_message_and_a_call_is_there(sandbox: Server, to: str) -> None:
    """Resources carry the keys of Twilio's OpenAPI, and no others."""
    base = f"/2010-04-01/Accounts/{PROVIDER[0]}"
    form = {"To": to, "From": SENDER, "Body": "hello", "Twiml": "<Response/>"}
    message = sandbox.api("POST", f"{base}/Messages.json", data=form, auth=PROVIDER).json()
    made = sandbox.api("POST", f"{base}/Calls.json", data=form, auth=PROVIDER).json()
    assert sorted(message) == sorted(SHARED_KEYS | MESSAGE_KEYS)
    assert sorted(made) == sorted(SHARED_KEYS | CALL_KEYS)
    assert message["uri"] == f"{base}/Messages/{message['sid']}.json"


def test_a_call_rings_speaks_and_ends(sandbox: Server, receiver: Receiver, to: str) -> None:
    """A call is answered on its own, tells every step it was asked to tell, and is listed."""
    events = ["initiated", "ringing", "answered", "completed"]
    url = f"{receiver.url}/status?delivery=7"
    made = call(sandbox, to, status_callback=url, status_callback_event=events)
    heard = sandbox.wait(to)
    assert (heard["channel"], heard["code"]) == ("call", "482911")
    until(lambda: len(receiver.got) == 4)
    assert receiver.statuses() == ["initiated", "ringing", "in-progress", "completed"]
    assert [form["SequenceNumber"] for form in receiver.got] == ["0", "1", "2", "3"]
    assert receiver.got[-1]["CallDuration"] == "1"
    assert all(receiver.signed)
    done = sandbox.sdk().calls(made.sid).fetch()
    assert (done.status, done.duration) == ("completed", "1")
    found = sandbox.sdk().calls.list(to=to, start_time_after=done.start_time)
    assert [c.sid for c in found] == [made.sid]


def test_without_an_event_list_only_the_end_is_told(
    sandbox: Server, receiver: Receiver, to: str
) -> None:
    """A call without StatusCallbackEvent reports `completed` alone."""
    call(sandbox, to, status_callback=receiver.url)
    until(lambda: receiver.got)
    assert receiver.statuses() == ["completed"]


def test_the_callee_presses_a_key(sandbox: Server, receiver: Receiver, to: str) -> None:
    """A Gather's action gets a signed form with Digits=1, and its TwiML is spoken next."""
    twiml = (
        f'<Response><Gather action="{receiver.url}/key" numDigits="1">'
        "<Say>Press any key.</Say></Gather><Say>Goodbye.</Say></Response>"
    )
    made = call(sandbox, to, twiml)
    heard = sandbox.wait(to)
    assert heard["body"] == "Press any key.\n4, 0, 9, 1, 7, 7."
    assert heard["code"] == "409177"
    assert receiver.got[0]["Digits"] == "1"
    assert receiver.got[0]["CallSid"] == made.sid
    assert receiver.signed == [True]


def gate(receiver: Receiver, keys: str = 'numDigits="1" timeout="30"') -> str:
    """A call that asks for a key before it tells the code."""
    return (
        f'<Response><Gather action="{receiver.url}/key" {keys}><Say language="de-DE">Taste?</Say>'
        "</Gather><Say>Goodbye.</Say></Response>"
    )


def answered(server: Server, to: str, twiml: str) -> Any:
    """A call that somebody answered by hand and listens to."""
    server.api("POST", f"/sandbox/v1/numbers/{to}", json={"answer": "manual"})
    made = call(server, to, twiml)
    until(lambda: made.fetch().status == "ringing")
    assert server.api("POST", f"/sandbox/v1/calls/{made.sid}/answer").status_code == 200
    until(lambda: made.fetch().status == "in-progress")
    return made


def test_the_key_that_was_pressed_goes_on(sandbox: Server, receiver: Receiver, to: str) -> None:
    """A person's call says nothing more until a key is pressed; that key is sent to the action."""
    made = answered(sandbox, to, gate(receiver))
    path = f"/sandbox/v1/calls/{made.sid}/press"
    until(lambda: "Taste?" in sandbox.api("GET", "/sandbox/phone", params={"to": to}).text)
    assert receiver.got == []
    assert sandbox.api("POST", path, json={"key": "77"}).status_code == 400
    until(lambda: sandbox.api("POST", path, json={"key": "7"}).status_code == 200)
    assert sandbox.wait(to)["body"] == "Taste?\n4, 0, 9, 1, 7, 7."
    assert [form["Digits"] for form in receiver.got] == ["7"]
    assert sandbox.api("POST", path, json={"key": "7"}).status_code == 409
    assert sandbox.api("POST", f"/sandbox/v1/calls/{made.sid}/end").status_code == 200
    until(lambda: made.fetch().status == "completed")


def test_without_a_key_the_call_goes_on(sandbox: Server, receiver: Receiver, to: str) -> None:
    """When its time is out a Gather is passed over, as Twilio does, and its action is not asked."""
    answered(sandbox, to, gate(receiver, 'timeout="0"'))
    assert sandbox.wait(to)["body"] == "Taste?\nGoodbye."
    assert receiver.got == []


def test_keys_are_gathered_until_the_finish(sandbox: Server, receiver: Receiver, to: str) -> None:
    """Without a number of digits they are gathered until #, which is not among them."""
    made = answered(sandbox, to, gate(receiver, 'timeout="30"'))
    for key in "40#":
        path = f"/sandbox/v1/calls/{made.sid}/press"
        until(lambda: sandbox.api("POST", path, json={"key": key}).status_code == 200)  # noqa: B023
    sandbox.wait(to)
    assert [form["Digits"] for form in receiver.got] == ["40"]


def test_who_hangs_up_hears_no_more(sandbox: Server, receiver: Receiver, to: str) -> None:
    """A call that is ended while it asks for a key is completed and tells no code."""
    made = answered(sandbox, to, gate(receiver))
    assert sandbox.api("POST", f"/sandbox/v1/calls/{made.sid}/end").status_code == 200
    until(lambda: made.fetch().status == "completed")
    assert receiver.got == []
    assert sandbox.api("GET", "/sandbox/v1/messages", params={"to": to}).json()["messages"] == []


def test_an_ignored_call_rings_until_its_time_is_out(sandbox: Server, to: str) -> None:
    """Ignored, it rings on, and ends as no-answer once the caller's time is out."""
    sandbox.api("POST", f"/sandbox/v1/numbers/{to}", json={"answer": "manual"})
    made = call(sandbox, to, timeout=4)
    path = f"/sandbox/v1/calls/{made.sid}/ignore"
    until(lambda: made.fetch().status == "ringing")
    assert sandbox.api("POST", path).status_code == 200
    page = until(
        lambda: (
            "Ignored" in (p := sandbox.api("GET", "/sandbox/phone", params={"to": to}).text) and p
        )
    )
    assert f"/calls/{made.sid}/answer" in page
    assert f"/calls/{made.sid}/ignore" not in page
    until(lambda: made.fetch().status == "no-answer")


def test_a_call_may_fetch_its_twiml(sandbox: Server, receiver: Receiver, to: str) -> None:
    """A call with Url asks it, signed, when it is answered."""
    sandbox.sdk().calls.create(to=to, from_=SENDER, url=f"{receiver.url}/voice")
    assert sandbox.wait(to)["code"] == "409177"
    assert receiver.signed == [True]


@pytest.mark.parametrize(
    ("answer", "status"), [("busy", "busy"), ("no-answer", "no-answer"), ("decline", "busy")]
)
def test_a_callee_who_does_not_talk(
    sandbox: Server, receiver: Receiver, to: str, answer: str, status: str
) -> None:
    """A number set to busy, no-answer or decline ends its calls so, and hears nothing."""
    set_to = sandbox.api("POST", f"/sandbox/v1/numbers/{to}", json={"answer": answer})
    assert set_to.json() == {"to": to, "answer": answer}
    call(sandbox, to, status_callback=receiver.url)
    until(lambda: receiver.got)
    assert receiver.statuses() == [status]
    assert receiver.got[0]["CallDuration"] == "0"
    assert sandbox.api("GET", "/sandbox/v1/messages", params={"to": to}).json() == {"messages": []}


@pytest.mark.parametrize(
    ("word", "status"), [("answer", "completed"), ("decline", "busy"), ("end", "canceled")]
)
def test_a_call_waits_for_the_callee(sandbox: Server, to: str, word: str, status: str) -> None:
    """A call to a number set to manual rings until it is answered, declined or taken back."""
    sandbox.api("POST", f"/sandbox/v1/numbers/{to}", json={"answer": "manual"})
    made = call(sandbox, to)
    time.sleep(0.6)
    live = sandbox.sdk().calls(made.sid)
    assert live.fetch().status == "ringing"
    if word == "end":
        assert live.update(status="completed").status == "canceled"
    else:
        path = f"/sandbox/v1/calls/{made.sid}/{word}"
        assert sandbox.api("POST", path).status_code == 200
    assert until(lambda: live.fetch().status == status)
    assert sandbox.api("POST", f"/sandbox/v1/calls/{made.sid}/answer").status_code == 409
    assert refusal(lambda: live.update(status="completed")).code == 21220


# Refusals


BAD_MESSAGES = [
    ({"To": ""}, 21604),
    ({"To": "+1500"}, 21211),
    ({"To": "12025550100"}, 21211),
    ({"From": ""}, 21603),
    ({"From": "not a sender!"}, 21212),
    ({"From": "", "MessagingServiceSid": "MG1"}, 21701),
    ({"Body": ""}, 21602),
    ({"Body": "x" * 1601}, 21617),
    ({"ValidityPeriod": "0"}, 21624),
    ({"ValidityPeriod": "36001"}, 21624),
    ({"ValidityPeriod": "soon"}, 21624),
    ({"StatusCallback": "not a url"}, 21609),
]
BAD_CALLS = [
    ({"To": ""}, 21201),
    ({"To": "+1500"}, 21211),
    ({"From": ""}, 21213),
    ({"Twiml": ""}, 21205),
    ({"Twiml": "<Response>"}, 12100),
    ({"Twiml": "<Say>hi</Say>"}, 12100),
    ({"Twiml": '<!DOCTYPE r [<!ENTITY a "b">]><Response><Say>&a;</Say></Response>'}, 12100),
    ({"Twiml": f"<Response><Say>{'x' * 4000}</Say></Response>"}, 12100),
    ({"StatusCallback": "ftp://127.0.0.1/"}, 21609),
]


@pytest.mark.parametrize(
    ("kind", "change", "code"),
    [("Messages", *case) for case in BAD_MESSAGES] + [("Calls", *case) for case in BAD_CALLS],
)
def test_bad_parameters_get_twilios_codes(
    sandbox: Server, kind: str, change: dict[str, str], code: int
) -> None:
    """Each bad parameter is refused with 400, Twilio's code and its envelope."""
    twiml = "<Response><Say>hi</Say></Response>"
    good = {"To": "+12025550100", "From": SENDER, "Body": "hi", "Twiml": twiml}
    path = f"/2010-04-01/Accounts/{PROVIDER[0]}/{kind}.json"
    answer = sandbox.api("POST", path, data=good | change, auth=PROVIDER)
    assert answer.status_code == 400
    assert sorted(answer.json()) == ["code", "message", "more_info", "status"]
    assert (answer.json()["code"], answer.json()["status"]) == (code, 400)


def test_strangers_are_refused(sandbox: Server) -> None:
    """Wrong credentials get 401 on every door, and another account 404."""
    other = "AC" + "f" * 32
    path = f"/2010-04-01/Accounts/{PROVIDER[0]}/Messages.json"
    for auth in (
        DOORS,
        (DOORS[0], PROVIDER[1]),
        (PROVIDER[0], ""),
        ("", ""),
        (PROVIDER[0], "provider-tokeñ"),
    ):
        answer = sandbox.api("GET", path, auth=auth)
        assert (answer.status_code, answer.json()["code"]) == (401, 20003)
    answer = sandbox.api("GET", path.replace(PROVIDER[0], other), auth=PROVIDER)
    assert (answer.status_code, answer.json()["code"]) == (404, 20404)
    assert sandbox.api("GET", path.replace("Messages", "Faxes"), auth=PROVIDER).status_code == 404
    for method, inner in (
        ("GET", "messages"),
        ("GET", "messages/wait"),
        ("GET", "requests"),
        ("POST", "faults"),
        ("DELETE", "faults"),
        ("POST", "numbers/+12025550100"),
        ("POST", "calls/CA1/answer"),
    ):
        answer = sandbox.api(method, f"/sandbox/v1/{inner}", auth=PROVIDER)
        assert answer.status_code == 401, inner
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
    header = {"Authorization": "Basic %%%"}
    assert sandbox.api("GET", "/sandbox/v1/faults", auth=None, headers=header).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "messages?to=12025550100", None),
        ("GET", "messages?limit=0", None),
        ("GET", "messages/wait", None),
        ("GET", "messages/wait?to=%2B12025550100&timeout=61", None),
        ("GET", "messages/wait?to=%2B12025550100&after=-1", None),
        ("POST", "faults", b"nonsense"),
        ("POST", "faults", b"[]"),
        ("POST", "faults", b"{}"),
        ("POST", "faults", b'{"fail": "explode"}'),
        ("POST", "faults", b'{"fail": "reject"}'),
        ("POST", "faults", b'{"to": "me", "fail": "drop"}'),
        ("POST", "faults", b'{"to": 7, "fail": "drop"}'),
        ("POST", "faults", b'{"fail": "drop", "surprise": 1}'),
        ("POST", "numbers/+12025550100", b'{"answer": "perhaps"}'),
        ("POST", "numbers/+12025550100", b'{"answer": []}'),
    ],
)
def test_bad_input_gets_a_clear_error(
    sandbox: Server, method: str, path: str, body: bytes | None
) -> None:
    """The programs' API answers bad input with 400 and a sentence, and orders nothing."""
    answer = sandbox.api(method, f"/sandbox/v1/{path}", content=body)
    assert answer.status_code == 400
    assert len(answer.json()["error"]) > 10
    assert sandbox.api("GET", "/sandbox/v1/faults").json() == {"faults": []}


def test_it_starts_for_the_sandbox_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """With another provider, or without credentials, there is no sandbox."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SENDCODE_TWILIO_AUTH_TOKEN", "")
    with pytest.raises(SettingsError, match="SENDCODE_TWILIO_AUTH_TOKEN"):
        create_app()
    monkeypatch.setenv("SENDCODE_TWILIO_AUTH_TOKEN", PROVIDER[1])
    monkeypatch.setenv("SENDCODE_PROVIDER", "twilio")
    with pytest.raises(SettingsError, match="SENDCODE_PROVIDER"):
        create_app()


# Callbacks


def test_callbacks_are_signed_and_in_order(sandbox: Server, receiver: Receiver, to: str) -> None:
    """Each step of a message is told in order, signed over the very URL, and repeated on 503."""
    receiver.fail_next = 1
    message = send(sandbox, to, status_callback=f"{receiver.url}/receipt?delivery=a+b%20c")
    until(lambda: len(receiver.got) == 2)
    assert receiver.statuses() == ["sent", "delivered"]
    assert receiver.signed == [True, True]
    form = receiver.got[0]
    assert form["MessageSid"] == form["SmsSid"] == message.sid
    assert (form["AccountSid"], form["To"], form["From"]) == (PROVIDER[0], to, SENDER)


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("none", []),
        ("twice", ["sent", "sent", "delivered", "delivered"]),
        ("reversed", ["delivered", "sent"]),
    ],
)
def test_callbacks_misbehave_on_order(
    sandbox: Server, receiver: Receiver, to: str, mode: str, told: list[str]
) -> None:
    """Callbacks are left out, doubled or reversed as ordered."""
    sandbox.fault(to=to, callbacks=mode, times=1)
    send(sandbox, to, status_callback=receiver.url)
    sandbox.wait(to)
    if told:
        until(lambda: len(receiver.got) == len(told))
    time.sleep(0.1)
    assert receiver.statuses() == told


def test_nothing_leaves_the_machine(sandbox: Server, receiver: Receiver, to: str) -> None:
    """A callback to a host that is not ours is not sent, and the message is delivered anyway."""
    port = receiver.url.rpartition(":")[2]
    send(sandbox, to, status_callback=f"http://0.0.0.0:{port}/receipt")
    assert sandbox.wait(to)["status"] == "delivered"
    until(lambda: sandbox.log().count("sandbox.callback_refused") == 2)
    assert receiver.got == []


# Faults


def test_refusals_on_order(sandbox: Server, to: str) -> None:
    """429 with Retry-After, 500, 503 and a rejection each meet as many requests as ordered."""
    sandbox.fault(to=to, fail=429, retry_after=7, times=1)
    sandbox.fault(to=to, fail="500", times=2)
    sandbox.fault(to=to, fail="503", times=1)
    sandbox.fault(to=to, fail="reject", code=21614, times=1)
    path = f"/2010-04-01/Accounts/{PROVIDER[0]}/Messages.json"
    form = {"To": to, "From": SENDER, "Body": "hi"}
    answer = sandbox.api("POST", path, data=form, auth=PROVIDER)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert answer.json()["code"] == 20429
    assert [refusal(lambda: send(sandbox, to)).status for _ in range(4)] == [500, 500, 503, 400]
    assert send(sandbox, to).status == "queued"
    assert len(sandbox.sdk().messages.list(to=to)) == 1
    answers = [entry["status_code"] for entry in sandbox.requests(to)]
    assert answers == [200, 201, 400, 503, 500, 500, 429]


def test_a_refusal_that_was_accepted(sandbox: Server, to: str) -> None:
    """A 503 with `accept` answers 503 although the message goes out."""
    sandbox.fault(to=to, fail="503", accept=True, times=1)
    assert refusal(lambda: send(sandbox, to)).status == 503
    assert sandbox.wait(to)["code"] == "482911"


def test_an_order_for_one_sender(sandbox: Server, to: str) -> None:
    """A fault that names a sender meets what that one sends, and nobody else's."""
    other = "+447700900002"
    sandbox.fault(sender=other, fail="503")
    assert send(sandbox, to).status == "queued"
    create = sandbox.sdk().messages.create
    assert refusal(lambda: create(to=to, from_=other, body="hi")).status == 503
    sandbox.api("DELETE", "/sandbox/v1/faults")


def test_an_order_for_all_and_clearing_it(sandbox: Server, to: str) -> None:
    """A fault for `*` meets every number until it is cleared, but only the channel it names."""
    sandbox.fault(to="*", channel="call", fail="500")
    assert refusal(lambda: call(sandbox, to)).status == 500
    assert send(sandbox, to).sid
    listed = sandbox.api("GET", "/sandbox/v1/faults").json()["faults"]
    assert [(f["to"], f["fail"], f["remaining"]) for f in listed] == [("*", "500", None)]
    assert sandbox.api("DELETE", "/sandbox/v1/faults").json() == {"cleared": 1}
    assert call(sandbox, to).sid


def test_an_order_for_a_prefix(sandbox: Server) -> None:
    """A prefix meets what begins so; a longer one goes before it, a number before all."""
    first, second, third = (f"+3361234567{n}" for n in range(3))
    sandbox.fault(to="*", fail="429", times=9)
    sandbox.fault(to="+33*", fail="reject", code=21408, times=9)
    sandbox.fault(to="+336*", fail="reject", code=21610, times=9)
    sandbox.fault(to=first, fail="reject", code=21211, times=9)
    assert refusal(lambda: send(sandbox, first)).code == 21211
    assert refusal(lambda: send(sandbox, second)).code == 21610
    assert sandbox.api("DELETE", "/sandbox/v1/faults?to=%2B336*").json() == {"cleared": 1}
    assert refusal(lambda: send(sandbox, third)).code == 21408
    assert refusal(lambda: send(sandbox, "+4915123456789")).status == 429
    assert sandbox.api("DELETE", "/sandbox/v1/faults").json()["cleared"] >= 3


def test_a_message_comes_late_on_order(sandbox: Server, to: str) -> None:
    """With `late` a message stays sent for that long, and then is delivered."""
    sandbox.fault(to=to, late=1, times=1)
    message = send(sandbox, to)
    until(lambda: message.fetch().status == "sent")
    before = sandbox.api("GET", "/sandbox/v1/messages", params={"to": to}).json()["messages"]
    assert before == []
    assert sandbox.wait(to)["sid"] == message.sid


def test_what_was_taken_is_listed_late_on_order(sandbox: Server, to: str) -> None:
    """Messages and calls stay out of lists as long as ordered, and are sent and fetched all the
    same; another one is listed at once, and a late one in the end."""
    sandbox.fault(to=to, list_late=3600, times=1)
    sandbox.fault(to=to, list_late=3600, channel="call", times=1)
    late, late_call = send(sandbox, to), call(sandbox, to)
    prompt, prompt_call = send(sandbox, to), call(sandbox, to)
    sdk = sandbox.sdk()
    assert [m.sid for m in sdk.messages.list(to=to)] == [prompt.sid]
    assert [c.sid for c in sdk.calls.list(to=to)] == [prompt_call.sid]
    assert sdk.messages(late.sid).fetch().sid == late.sid
    assert sdk.calls(late_call.sid).fetch().sid == late_call.sid
    assert sandbox.wait(to)["code"] == "482911"
    sandbox.fault(to=to, list_late=0.2, times=1)
    later = send(sandbox, to)
    until(lambda: later.sid in [m.sid for m in sdk.messages.list(to=to)])
    wrong = {"to": to, "on": "lookup", "list_late": 1}
    assert sandbox.api("POST", "/sandbox/v1/faults", json=wrong).status_code == 400


def test_lookups_fail_on_order(sandbox: Server, to: str) -> None:
    """A fault on lookups meets lists and fetches, not sends."""
    sandbox.fault(to=to, on="lookup", fail="503", times=2)
    message = send(sandbox, to)
    assert refusal(lambda: sandbox.sdk().messages(message.sid).fetch()).status == 503
    answer = sandbox.api(
        "GET",
        f"/2010-04-01/Accounts/{PROVIDER[0]}/Messages.json",
        params={"To": to},
        auth=PROVIDER,
    )
    assert answer.status_code == 503
    assert sandbox.sdk().messages(message.sid).fetch().sid == message.sid


def test_the_answer_is_held_back(sandbox: Server, to: str) -> None:
    """With delay_ms the message goes out at once and the answer comes late."""
    sandbox.fault(to=to, delay_ms=400, times=1)
    began = time.monotonic()
    assert send(sandbox, to).status == "queued"
    assert time.monotonic() - began >= 0.4


def raw_post(server: Server, form: bytes) -> bytes:
    """POST over a bare socket; what came back until the connection ended."""
    auth = base64.b64encode(":".join(PROVIDER).encode()).decode()
    head = (
        f"POST /2010-04-01/Accounts/{PROVIDER[0]}/Messages.json HTTP/1.1\r\nHost: t\r\n"
        f"Authorization: Basic {auth}\r\nContent-Length: {len(form)}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
        connection.sendall(head.encode() + form)
        try:
            return connection.recv(100)
        except ConnectionResetError:
            return b""


def test_a_dropped_answer(sandbox: Server, to: str) -> None:
    """With `drop` the message goes out and the connection ends without one byte of answer."""
    sandbox.fault(to=to, fail="drop", times=2)
    form = f"To={to}&From={SENDER}&Body=hi+4711".replace("+", "%2B", 1).encode()
    assert raw_post(sandbox, form) == b""
    with pytest.raises(Exception, match=r"Connection aborted|RemoteDisconnected|reset"):
        send(sandbox, to)
    arrived = until(
        lambda: (
            (m := sandbox.api("GET", "/sandbox/v1/messages", params={"to": to}).json())
            and len(m["messages"]) == 2
            and m["messages"]
        )
    )
    assert arrived[0]["id"] > arrived[1]["id"]
    assert [entry["status_code"] for entry in sandbox.requests(to)] == [None, None]
    assert all(entry["sid"] for entry in sandbox.requests(to))


def test_a_hanging_answer(sandbox: Server, to: str) -> None:
    """With `hang` the message goes out and the client waits until its own timeout."""
    sandbox.fault(to=to, fail="hang", seconds=20, times=1)
    with pytest.raises(Exception, match="timed out"):
        sandbox.sdk(timeout=0.4).messages.create(to=to, from_=SENDER, body="Code 4711")
    assert sandbox.wait(to)["code"] == "4711"


def test_an_undelivered_message(sandbox: Server, receiver: Receiver, to: str) -> None:
    """With `undelivered` the message is accepted, then fails with the code, and no phone has it."""
    sandbox.fault(to=to, fail="undelivered", code=30005, times=1)
    message = send(sandbox, to, status_callback=receiver.url)
    until(lambda: len(receiver.got) == 2)
    assert receiver.statuses() == ["sent", "undelivered"]
    assert receiver.got[1]["ErrorCode"] == "30005"
    assert sandbox.sdk().messages(message.sid).fetch().error_code == 30005
    query = {"to": to, "timeout": 0}
    assert sandbox.api("GET", "/sandbox/v1/messages/wait", params=query).status_code == 408


def test_numbers_that_always_misbehave(sandbox: Server, receiver: Receiver) -> None:
    """The numbers of the table do what it says, without any order."""

    def status(to: str) -> int:
        form = {"To": to, "From": SENDER, "Body": "hi 1234", "StatusCallback": receiver.url}
        path = f"/2010-04-01/Accounts/{PROVIDER[0]}/Messages.json"
        try:
            answer = sandbox.api("POST", path, data=form, auth=PROVIDER)
        except httpx.RemoteProtocolError:
            return 0
        return int(answer.json().get("code") or answer.status_code)

    lost, no_number, stopped, busy_api, broken, mute, busy, absent, silent = MAGIC
    assert status(lost) == 201
    until(lambda: receiver.statuses() == ["sent", "undelivered"])
    assert [status(no_number), status(stopped)] == [21211, 21610]
    assert [status(busy_api) for _ in range(4)] == [20429, 20429, 201, 20429]
    assert [status(broken) for _ in range(3)] == [20500, 201, 20500]
    assert [status(mute), status(mute)] == [0, 0]
    receiver.got.clear()
    assert status(silent) == 201
    calls = [call(sandbox, busy), call(sandbox, absent)]
    ends = [until(lambda c=c: (s := c.fetch().status) not in LIVING and s) for c in calls]
    assert ends == ["busy", "no-answer"]
    assert "delivered" not in [f.get("MessageStatus") for f in receiver.got if f["To"] == silent]


LIVING = ("queued", "ringing", "in-progress")


# Programs


def test_waiting_for_a_code(sandbox: Server, to: str) -> None:
    """A waiting program gets the first message after the one it knows, or 408."""
    query = {"to": to, "timeout": 0}
    nothing = sandbox.api("GET", "/sandbox/v1/messages/wait", params=query)
    assert (nothing.status_code, list(nothing.json())) == (408, ["error"])
    timer = threading.Timer(0.3, lambda: send(sandbox, to, "Your code is 0042"))
    timer.start()
    first = sandbox.wait(to)
    assert (first["code"], first["to"], first["channel"]) == ("0042", to, "sms")
    assert datetime.fromisoformat(first["created_at"]).tzinfo
    send(sandbox, to, "Your code is 7777")
    second = sandbox.wait(to, after=first["id"])
    assert second["code"] == "7777"
    query = {"to": to, "limit": 1}
    newest = sandbox.api("GET", "/sandbox/v1/messages", params=query).json()["messages"]
    assert newest == [second]


@pytest.mark.parametrize(
    ("text", "channel", "code"),
    [
        ("Your Acme code is 048291. It ends in 10 minutes.", "sms", "048291"),
        ("1234 is your code\n\n@acme.test #1234", "sms", "1234"),
        ("Street 5150: code 991122\n@street.test #991122", "sms", "991122"),
        ("Your code is 1, 2, 3, 4. Again: 1, 2, 3, 4.", "call", "1234"),
        ("1, 2, 3, 4\n1, 2, 3, 4\n1, 2, 3, 4", "call", "1234"),
        ("Press 1. Code: 9 8 7 6 5 4", "call", "987654"),
        ("Call +12025550100", "sms", None),
        ("No code here, 12 3", "sms", None),
    ],
)
def test_the_code_is_found(text: str, channel: str, code: str | None) -> None:
    """The code is read from a text or a speech as a person would."""
    found = find(text, channel)
    assert (found.code if found else None) == code


def test_requests_are_accounted_for(sandbox: Server, to: str) -> None:
    """Every provider request is noted, refused ones too, and never with the text."""
    message = send(sandbox, to, "Your code is 8341")
    path = f"/2010-04-01/Accounts/{PROVIDER[0]}/Messages.json"
    sandbox.api("POST", path, data={"To": to, "Body": "8341"}, auth=("AC1", "wrong"))
    entries = sandbox.requests(to)
    assert [(e["kind"], e["status_code"], e["sid"]) for e in entries] == [
        ("sms.create", 401, None),
        ("sms.create", 201, message.sid),
    ]
    assert entries[1]["params"] == {"To": [to], "From": [SENDER]}
    assert "8341" not in str(entries)


# The store


def test_a_restart_loses_nothing(tmp_path: Path, receiver: Receiver, to: str) -> None:
    """After kill -9 the messages are there, a call rings on, and receipts that failed are sent."""
    receiver.base = ENVIRONMENT["SENDCODE_PUBLIC_URL"]
    server = Server(tmp_path / "sandbox.db", SENDCODE_SANDBOX_CALLBACK_URL=receiver.url)
    try:
        server.api("POST", f"/sandbox/v1/numbers/{to}", json={"answer": "manual"})
        first = send(server, to)
        known = server.wait(to)
        ringing = call(server, to)
        server.fault(to=to, fail="drop")
        receiver.fail_next = 99
        late = server.sdk().messages.create(
            to="+12025550189",
            from_=SENDER,
            body="Code 5555",
            status_callback=f"{receiver.base}/receipt",
        )
        server.wait("+12025550189")
        server.kill()
        receiver.fail_next = 0
        server.start()
        assert [m.sid for m in server.sdk().messages.list(to=to)] == [first.sid]
        assert server.wait(to) == known
        assert server.wait("+12025550189")["sid"] == late.sid
        until(lambda: receiver.statuses() == ["sent", "delivered"])
        assert receiver.signed == [True, True]
        assert server.sdk().calls(ringing.sid).fetch().status == "ringing"
        assert server.api("POST", f"/sandbox/v1/calls/{ringing.sid}/answer").status_code == 200
        assert server.wait(to, after=known["id"])["channel"] == "call"
        assert len(server.api("GET", "/sandbox/v1/faults").json()["faults"]) == 1
        query = {"to": to, "after": 999, "timeout": 60}
        waiting = threading.Thread(
            target=lambda: server.api("GET", "/sandbox/v1/messages/wait", params=query, timeout=20)
        )
        waiting.start()
        time.sleep(0.3)
        assert server.stop() < 3
        waiting.join()
    finally:
        server.kill()


# The phone page


def test_the_phone_shows_texts_escaped(sandbox: Server, to: str) -> None:
    """Markup in a message is shown as text, under a policy that runs no inline script."""
    send(sandbox, to, '<script>alert("x")</script> <img src=x onerror=alert(1)> 482911')
    sandbox.wait(to)
    page = sandbox.api("GET", "/sandbox/phone", params={"to": to})
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "<img" not in page.text
    assert "&lt;script&gt;alert" in page.text
    assert "<mark>482911</mark>" in page.text
    assert "nothing leaves this machine" in page.text
    assert "script-src 'self'; style-src 'self'" in page.headers["Content-Security-Policy"]
    assert "style=" not in page.text
    assert "http" not in page.text.split("<title>")[1]
    same = {"If-None-Match": page.headers["ETag"]}
    answer = sandbox.api("GET", "/sandbox/phone", params={"to": to}, headers=same)
    assert answer.status_code == 304
    for name in ("phone.css", "phone.js", "icon.svg"):
        assert sandbox.api("GET", f"/sandbox/static/{name}", auth=None).status_code == 200


def test_the_phone_link_lets_in(sandbox: Server, to: str) -> None:
    """The link's key becomes a cookie and leaves the address; without it, or forged, it is 401."""
    with httpx.Client(base_url=sandbox.url) as browser:
        assert browser.get("/sandbox/phone").status_code == 401
        assert browser.get("/sandbox/phone?key=" + "0" * 32).status_code == 401
        assert browser.get("/sandbox/phone?key=%C3%BF").status_code == 401
        key = phone_key(DOORS[1])
        answer = browser.get("/sandbox/phone", params={"key": key, "to": to})
        assert answer.status_code == 303
        assert key not in answer.headers["Location"]
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=lax" in cookie.lower()
        page = browser.get(answer.headers["Location"])
        assert page.status_code == 200
        assert browser.get("/sandbox/phone?to=nonsense").status_code == 400
    assert key not in sandbox.log()


def test_a_call_is_answered_on_the_page(sandbox: Server, to: str) -> None:
    """The page's plain forms hold a number, answer its call and show what was said."""
    form = {"to": to, "answer": "manual"}
    alien = {"Sec-Fetch-Site": "cross-site"}
    answer = sandbox.api("POST", "/sandbox/phone/answer", data=form, headers=alien)
    assert answer.status_code == 403
    assert sandbox.api("POST", "/sandbox/phone/answer", data=form).status_code == 303
    made = call(sandbox, to)
    until(lambda: made.fetch().status == "ringing")
    action = f"/sandbox/phone/calls/{made.sid}/answer"
    assert action in sandbox.api("GET", "/sandbox/phone", params={"to": to}).text
    assert sandbox.api("POST", action, auth=None).status_code == 401
    assert sandbox.api("POST", action).status_code == 303
    sandbox.wait(to)
    page = sandbox.api("GET", "/sandbox/phone", params={"to": to}).text
    assert "<mark>4, 8, 2, 9, 1, 1</mark>" in page
    assert action not in page


def test_the_whole_call_on_the_page(sandbox: Server, receiver: Receiver, to: str) -> None:
    """Its forms answer, press the key that is sent on, show the transcript in its language, and
    hang up."""
    made = answered(sandbox, to, gate(receiver))
    base = f"/sandbox/phone/calls/{made.sid}"

    def page() -> str:
        return sandbox.api("GET", "/sandbox/phone", params={"to": to}).text

    until(lambda: "The call asks for a key" in page())
    assert '<li lang="de-DE">Taste?</li>' in page()
    assert sandbox.api("POST", f"{base}/press", data={"key": "x"}).status_code == 400
    assert sandbox.api("POST", f"{base}/press", data={"key": "#1"}).status_code == 400
    assert sandbox.api("POST", f"{base}/press", data={"key": "3"}).status_code == 303
    until(lambda: receiver.got)
    assert receiver.got[0]["Digits"] == "3"
    until(lambda: "<mark>4, 0, 9, 1, 7, 7</mark>" in page())
    assert f'action="{base}/end"' in page()
    assert sandbox.api("POST", f"{base}/end").status_code == 303
    until(lambda: f"{base}/" not in page())


def test_a_bubble_tells_how_it_was_sent(sandbox: Server, to: str) -> None:
    """It shows the code to copy, encoding, segments, its way, and what browsers make of it."""
    send(sandbox, to, "482911 is your code – {" + "x" * 60 + "\n\n@example.com #482911")
    sandbox.wait(to)
    text = sandbox.api("GET", "/sandbox/phone", params={"to": to}).text
    assert 'data-copy="482911"' in text
    assert "UCS-2 · 2 segments" in text
    assert "WebOTP: browsers offer it on example.com alone" in text
    ways = [re.sub(r"<[^>]+>", "", way).split() for way in re.findall(r"<li class=.*</li>", text)]
    assert ways == [["✓", "queued"], ["✓", "sent"], ["✓", "delivered"]]


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        ("482911 is your code", "no origin line"),
        ("482911 is your code\n@example.com 482911", "not “@domain #code”"),
        ("482911 is your code\n@example.com #111111", "another code than the text"),
    ],
)
def test_what_browsers_cannot_read_is_said(sandbox: Server, to: str, body: str, seen: str) -> None:
    """A text without a usable origin line is told apart."""
    send(sandbox, to, body)
    sandbox.wait(to)
    assert seen in sandbox.api("GET", "/sandbox/phone", params={"to": to}).text


def test_the_page_orders_the_carrier(sandbox: Server, to: str) -> None:
    """Its form orders a fault, which is listed, met, and taken back; nonsense orders nothing."""
    path, here = "/sandbox/phone/orders", {"here": to, "to": to}
    for what, seen in (("undelivered", "30003"), ("late", "seconds 10"), ("twice", "twice")):
        assert sandbox.api("POST", path, data={**here, "what": what}).status_code == 303
        assert seen in sandbox.api("GET", "/sandbox/phone", params={"to": to}).text
        assert sandbox.api("POST", path, data={**here, "what": "deliver"}).status_code == 303
    order = {**here, "what": "reject", "value": "21610", "times": "1"}
    assert sandbox.api("POST", path, data=order, auth=None).status_code == 401
    alien = {"Sec-Fetch-Site": "cross-site"}
    assert sandbox.api("POST", path, data=order, headers=alien).status_code == 403
    for bad in ({"to": "<b>"}, {"what": "x"}, {"value": "-1"}, {"value": "9"}, {"channel": "fax"}):
        refused = sandbox.api("POST", path, data={**order, **bad})
        assert refused.status_code == 400, bad
        assert "Nothing was ordered" in refused.text
        assert "<b>" not in refused.text.partition("Nothing was ordered")[2].partition("</p>")[0]
    assert "Everything is delivered as usual" in sandbox.api("GET", "/sandbox/phone").text
    sandbox.api("POST", path, data=order)
    assert refusal(lambda: send(sandbox, to)).code == 21610
    page = sandbox.api("GET", "/sandbox/phone", params={"to": to}).text
    assert '<b class="bad">400</b>' in page
    sandbox.api("POST", path, data={**order, "times": ""})
    page = sandbox.api("GET", "/sandbox/phone", params={"to": to}).text
    (drop,) = re.findall(r"/sandbox/phone/orders/\d+/drop", page)
    assert sandbox.api("POST", drop, data={"here": to}).status_code == 303
    assert sandbox.api("POST", f"{path}/{10**30}/drop").status_code == 422
    assert send(sandbox, to).sid
