"""Callbacks over HTTP: without the provider's signature over our URL nothing happens."""

from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from twilio.request_validator import RequestValidator

from tests.acceptance.running import Up, until

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Sent:
    """An accepted SMS of which no callback came, and the callbacks that could come."""

    def __init__(self, up: Up, to: str, channel: str = "sms") -> None:
        self.up = up
        up.fault(to, callbacks="none", times=1)
        started = up.start_code(to, channel)
        self.sid = started["send_code_attempts"][0]["attempt_sid"]
        up.wait(to)
        until(lambda: self.row["state"] == "accepted")
        self.url = f"{up.url}/callbacks/twilio/{channel}/{self.sid}"
        self.values = {
            "AccountSid": up.secrets["SENDCODE_TWILIO_ACCOUNT_SID"],
            "MessageSid": str(self.row["provider_sid"]),
            "MessageStatus": "delivered",
            "To": to,
            "From": "+442079460018",
        }
        self.token = up.secrets["SENDCODE_TWILIO_AUTH_TOKEN"]

    @property
    def row(self) -> dict[str, Any]:
        return self.up.delivery(self.sid)

    @property
    def receipts(self) -> list[dict[str, Any]]:
        return self.up.rows("SELECT * FROM receipts WHERE delivery_sid = :sid", sid=self.sid)

    def sign(self, values: dict[str, str], url: str = "", token: str = "") -> str:
        validator = RequestValidator(token or self.token)
        return str(validator.compute_signature(url or self.url, values))

    def post(self, values: dict[str, str], signature: str | None, url: str = "") -> httpx.Response:
        headers = {} if signature is None else {"X-Twilio-Signature": signature}
        return httpx.post(url or self.url, data=values, headers=headers)

    def told(self, status: str, **more: str) -> int:
        """A genuine callback; the status of our answer."""
        values = self.values | {"MessageStatus": status} | more
        return self.post(values, self.sign(values)).status_code


@pytest.fixture
def sent(up: Up, to: str) -> Sent:
    return Sent(up, to)


@pytest.mark.kills("callback-unsigned")
def test_forged_callbacks_change_nothing(sent: Sent) -> None:
    """Unsigned, wrongly signed, tampered and foreign callbacks are 403, and change nothing."""
    before, values, right = sent.row, sent.values, sent.sign(sent.values)
    tampered = values | {"MessageStatus": "undelivered", "ErrorCode": "30003"}
    foreign = values | {"AccountSid": "AC" + "0" * 32}
    other_host = sent.url.replace("127.0.0.1", "localhost")
    https = sent.url.replace("http:", "https:")
    answers = {
        "no signature": sent.post(values, None),
        "empty signature": sent.post(values, ""),
        "no base64": sent.post(values, "!" * 28),
        "another's token": sent.post(values, sent.sign(values, token="0" * 32)),
        "tampered": sent.post(tampered, right),
        "a value more": sent.post(values | {"ErrorCode": "30003"}, right),
        "a value less": sent.post({k: v for k, v in values.items() if k != "From"}, right),
        "another account": sent.post(foreign, sent.sign(foreign)),
        "another host": sent.post(values, sent.sign(values, other_host)),
        "another scheme": sent.post(values, sent.sign(values, https)),
        "another query": sent.post(values, right, f"{sent.url}?a=b"),
        "another delivery": sent.post(values, right, f"{sent.url[:-32]}{'0' * 32}"),
        "another door": sent.post(values, right, sent.url.replace("/sms/", "/gate/")),
        "path escaped": sent.post(values, right, sent.url.replace("/sms/", "/%73ms/")),
        "nothing": sent.post({}, None),
    }
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(
        answers, 403
    )
    for answer in answers.values():
        assert set(answer.json()) == {"code", "message", "more_info", "status"}
    assert (sent.row, sent.receipts) == (before, [])


def test_a_form_cut_elsewhere_changes_nothing(sent: Sent) -> None:
    """The signature joins names and values without a mark; cut at other places it has no effect."""
    before, values, right = sent.row, sent.values, sent.sign(sent.values)
    account, rest = values["AccountSid"], {k: v for k, v in values.items() if k != "AccountSid"}
    status = values["MessageStatus"]
    swallowed = {k: v for k, v in values.items() if k != "MessageStatus"}
    answers = [
        sent.post({"ccountSid": account, **rest}, right, f"{sent.url}A"),
        sent.post({"A": f"ccountSid{account}", **rest}, right),
        sent.post(
            swallowed | {"MessageSid": f"{values['MessageSid']}MessageStatus{status}"}, right
        ),
        sent.post(swallowed | {"MessageStatusd": status[1:]}, right),
        sent.post(
            {k: v for k, v in values.items() if k != "To"}
            | {"MessageStatus": f"{status}To{values['To']}"},
            right,
        ),
    ]
    assert all(answer.status_code in (400, 403) for answer in answers)
    assert (sent.row, sent.receipts) == (before, [])


def test_other_bodies_change_nothing(sent: Sent) -> None:
    """JSON, doubled parameters, a file and a huge body are refused, however they are signed."""
    before, values, right = sent.row, sent.values, sent.sign(sent.values)
    headers = {"X-Twilio-Signature": right}
    as_json = httpx.post(sent.url, json=values, headers=headers)
    no_kind = httpx.post(sent.url, content=urlencode(values), headers=headers)
    body = urlencode([*values.items(), ("MessageStatus", "undelivered")])
    doubled = httpx.post(sent.url, content=body, headers=headers | FORM)
    many = httpx.post(sent.url, data=values | {f"x{n}": "1" for n in range(200)}, headers=headers)
    file = httpx.post(sent.url, data=values, files={"a": b"b"}, headers=headers)
    padded = values | {"Pad": "x" * 100_000}
    huge = sent.post(padded, sent.sign(padded))
    statuses = [a.status_code for a in (as_json, no_kind, doubled, file)]
    assert statuses == [403] * 4
    assert many.status_code in (400, 403)
    assert huge.status_code == 413
    assert httpx.get(sent.url, headers=headers).status_code == 405
    assert (sent.row, sent.receipts) == (before, [])


def test_a_genuine_callback_moves_it_once(sent: Sent) -> None:
    """A signed callback is taken; replayed, late and unknown ones are 200 and change nothing."""
    assert sent.told("delivered") == 200
    after = sent.row
    assert after["state"] == "delivered"
    for status in ("delivered", "sent", "queued", "undelivered", "failed", "teleported"):
        assert sent.told(status, ErrorCode="30003") == 200
    assert sent.row == after


def test_a_callback_for_nothing_of_ours(sent: Sent) -> None:
    """A signed callback for an unknown delivery is 200, and is not written down."""
    for sid in ("VL" + "0" * 32, "nonsense", "VL" + "0" * 5000):
        url = sent.url.replace(sent.sid, sid)
        assert sent.post(sent.values, sent.sign(sent.values, url), url).status_code == 200
    query = "SELECT * FROM receipts WHERE provider_sid = :sid"
    assert sent.up.rows(query, sid=sent.values["MessageSid"]) == []
    assert sent.row["state"] == "accepted"


def test_a_callback_without_its_values(sent: Sent) -> None:
    """A signed callback that names no message or status is 400, and changes nothing."""
    for change in ({"MessageSid": ""}, {"MessageStatus": ""}, {"MessageStatus": "x" * 99}):
        values = sent.values | change
        answer = sent.post(values, sent.sign(values))
        assert (answer.status_code, answer.json()["code"]) == (400, 60200)
    assert (sent.row["state"], sent.receipts) == ("accepted", [])


def test_the_gate_speaks_to_the_provider_only(up: Up, sent: Sent) -> None:
    """The words of a press-any-key call carry the code, and only a signed request gets them."""
    code = up.wait(sent.values["To"])["code"]
    url = f"{up.url}/callbacks/twilio/gate/{sent.sid}"
    spoken = sent.post(sent.values, sent.sign(sent.values, url), url)
    assert spoken.status_code == 200
    assert spoken.headers["cache-control"] == "no-store"
    assert code in "".join(filter(str.isdecimal, spoken.text))
    assert sent.post(sent.values, sent.sign(sent.values), url).status_code == 403
    assert up.check(code, To=sent.values["To"]).json()["status"] == "approved"
    late = sent.post(sent.values, sent.sign(sent.values, url), url)
    assert "<Hangup" in late.text
    assert not any(map(str.isdecimal, late.text.partition("?>")[2]))


def test_nothing_of_a_callback_is_logged(sent: Sent) -> None:
    """A callback's parameters, genuine or forged, are in none of the logs."""
    sent.told("delivered")
    sent.post(sent.values, None)
    for log in (sent.up.root / "log").iterdir():
        assert sent.values["To"][1:] not in log.read_text(errors="replace"), log.name
