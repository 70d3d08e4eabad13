"""Callbacks that are refused are counted for whoever looks, and only those."""

import socket
import threading
from collections.abc import Callable

import pytest
import redis
from fastapi.testclient import TestClient
from twilio.request_validator import RequestValidator

from api_stub.app import create_app
from api_stub.console.looks import Looks
from tests.helpers import at_once
from tests.integration.test_console import ann
from tests.pages import Page
from worker.refused_callbacks import TOO_MANY, RefusedCallbacks
from worker.settings import Settings
from worker.wiring import Sendcode

__all__ = ["ann"]
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

PATH = f"/callbacks/twilio/sms/VL{'0' * 32}"
OURS = "AC" + "1" * 32


def call_back(parts: Sendcode, account: str = OURS, token: str = "wrong") -> int:
    """The status of our answer to a callback that is signed with a token."""
    client = TestClient(create_app(parts.settings), base_url=parts.settings.base_url)
    values = {"AccountSid": account, "MessageSid": f"SM{'2' * 32}", "MessageStatus": "sent"}
    url = f"{parts.settings.base_url}{PATH}"
    signature = RequestValidator(token).compute_signature(url, values)
    return client.post(PATH, data=values, headers={"X-Twilio-Signature": signature}).status_code


def test_refused_callbacks_are_counted_by_reason(parts: Sendcode) -> None:
    """Another process sees how many an api refused, by reason and by our account, and a good
    callback writes nothing."""
    assert call_back(parts, token="provider-token") == 200
    assert list(parts.redis.scan_iter("sendcode:callbacks-refused*")) == []
    assert [call_back(parts) for _ in range(3)] == [403] * 3
    assert call_back(parts, account="AC" + "0" * 32) == 403
    found = parts.refused_callbacks.look()
    assert found.reasons == {"bad_signature": 3, "other_account": 1}
    assert found.accounts == {OURS: 3}


def test_garbage_leaves_only_words_of_ours(parts: Sendcode) -> None:
    """Whatever stands in a callback that is refused, Redis keeps our words and accounts, for a
    while."""
    for n in range(5):
        call_back(parts, account=f"{n}+447400123456 {'x' * 200}")
    (key,) = parts.redis.scan_iter("sendcode:callbacks-refused*")
    assert parts.redis.zrange(key, 0, -1) == [b"other_account "]
    assert 0 < int(str(parts.redis.ttl(key))) <= 660


def test_a_refusal_stands_without_a_broker(make_settings: Callable[..., Settings]) -> None:
    """Where Redis is away a wrong signature gets its 403 all the same."""
    assert call_back(Sendcode(make_settings(broker_url="redis://127.0.0.1:1/0"))) == 403


def test_none_is_lost_among_many(parts: Sendcode) -> None:
    """Refusals at the same moment are all counted."""
    at_once(50, lambda _: parts.refused_callbacks.note("bad_signature", OURS))
    assert parts.refused_callbacks.look().total == 50


def test_a_broker_that_hangs_holds_one_thread(parts: Sendcode) -> None:
    """While one refusal waits for Redis the others do not wait, so callbacks that are good find
    threads."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        client = redis.Redis(port=deaf.getsockname()[1], socket_timeout=10)
        tally = RefusedCallbacks(client)
        first = threading.Thread(target=tally.note, args=("bad_signature",))
        first.start()
        connection, _ = deaf.accept()
        tally.note("bad_signature")
        assert first.is_alive()
        connection.close()
    first.join()


def test_the_console_says_how_many(parts: Sendcode, ann: TestClient) -> None:
    """A few are told on the page of the senders alone; more of them need attention."""

    def concerns() -> list[str]:
        return [one.what for one in Looks(lambda: parts).look().concerns]

    said = "callbacks were refused in 10 minutes: wrong auth token or public URL"
    for _ in range(TOO_MANY):
        parts.refused_callbacks.note("bad_signature", OURS)
    assert not [what for what in concerns() if said in what]
    text = Page(ann.get("/console/senders").text).text
    assert "5 refused in 10 minutes" in text
    assert "5 bad_signature" in text
    parts.refused_callbacks.note("other_account")
    assert f"6 {said}" in concerns()
