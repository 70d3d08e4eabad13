"""Start, check and fetch, request by request: what is asked to the byte, what is answered to the
word.

The table promises that each of these requests gets this status, this code, this message, these
details and these headers, in Twilio's envelope, and that none of them writes or sends anything.
Whoever makes another way through the doors keeps every row. The walks below it promise the same of
what is accepted: every key of the answers, in order.

`{service}` is a path and `{VA}` its sid, `{sid}` a pending verification, `{theirs}` one of the
service `{others}`, `{quoted}` the number of both as a form spells it, `{token}` the auth token.
"""

import base64
import http.client
import json
import re
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.acceptance.running import NUMBERS, Up, wrong
from tests.acceptance.test_bad_input import unchanged
from tests.acceptance.wire.bodies import BODIES
from tests.acceptance.wire.paths import CREDENTIALS, FETCHES, ORDER, PATHS
from tests.acceptance.wire.rows import FORM, JSON, Answer, Headers, Row, missing
from tests.acceptance.wire.values import CHECKS, STARTS

TABLE = (*BODIES, *STARTS, *CHECKS, *FETCHES, *PATHS, *CREDENTIALS, *ORDER)


USED_KEY = (20422, "The Idempotency-Key was used for another request")


class Names(dict[str, str]):
    """Puts what a running api has for `{…}`, and leaves every other brace as it is."""

    def into(self, text: str) -> str:
        for name, value in self.items():
            text = text.replace(f"{{{name}}}", value)
        return text


def names(up: Up, to: str) -> Names:
    """One pending verification here, one in another service."""
    others = str(up.http.post("/v2/Services", data={"FriendlyName": "Theirs"}).json()["sid"])
    sid = str(up.start_code(to)["sid"])
    theirs = str(up.start_code(to, service=others)["sid"])
    own = up.account["SENDCODE_SERVICE_SID"]
    told = {"service": up.path(), "VA": own, "sid": sid, "SID": sid.upper(), "others": others}
    return Names(told, theirs=theirs, quoted=f"%2B{to[1:]}", token=up.credentials[1])


def ask(
    up: Up,
    method: str,
    path: str,
    headers: Headers = FORM,
    body: str | bytes = b"",
    *,
    account: bool = True,
) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own, to the byte; status, headers and body."""
    body = body.encode() if isinstance(body, str) else body
    credentials = base64.b64encode(":".join(up.credentials).encode()).decode()
    shown = {"Authorization": f"Basic {credentials}"} if account else {}
    length = {"Content-Length": str(len(body))} if body else {}
    address = up.url.removeprefix("http://")
    with closing(http.client.HTTPConnection(address, timeout=30)) as connection:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in (*headers, *shown.items(), *length.items()):
            connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        further = {name: value for name, value in found.items() if name not in EVERY_ANSWER}
        assert found["content-type"] == "application/json", path
        return answer.status, further, answer.read()


EVERY_ANSWER = {"date", "server", "content-length", "content-type"}


def envelope(status: int, text: bytes) -> tuple[int, str, dict[str, Any]]:
    """Code, message and details of an error, which is Twilio's envelope to the byte."""
    said = json.loads(text)
    url = f"https://www.twilio.com/docs/errors/{said['code']}"
    twilios = {"code": said["code"], "message": said["message"], "more_info": url, "status": status}
    details = said.get("details", {})
    written = twilios | ({"details": details} if details else {})
    assert text == json.dumps(written, separators=(",", ":"), ensure_ascii=False).encode()
    return said["code"], said["message"], details


def answered(up: Up, row: Row, known: Names) -> Answer:
    body = known.into(row.body) if isinstance(row.body, str) else row.body
    status, further, text = ask(
        up, row.method, known.into(row.path), row.headers, body, account=row.account
    )
    if row.method == "HEAD":
        return status, None, text.decode(), {}, further
    return status, *envelope(status, text), further


def wanted(row: Row, known: Names) -> Answer:
    return row.status, row.code, known.into(row.message), row.details, row.answers


def test_every_refused_request_has_its_answer(up: Up) -> None:
    """Each row of the table gets its answer, and all of them together change nothing."""
    known = names(up, next(NUMBERS))
    assert len({row.name for row in TABLE}) == len(TABLE)
    with unchanged(up):
        found = {row.name: answered(up, row, known) for row in TABLE}
    assert found == {row.name: wanted(row, known) for row in TABLE}


def shown(up: Up, sid: str, to: str, status: str, sent: list[tuple[str, str]]) -> dict[str, Any]:
    """A verification as it is answered, but for its times.

    :param sent: channel and sid of each delivery
    """
    return {
        "sid": sid,
        "service_sid": up.account["SENDCODE_SERVICE_SID"],
        "account_sid": up.credentials[0],
        "to": to,
        "channel": "sms",
        "status": status,
        "valid": status == "approved",
        "date_created": "",
        "date_updated": "",
        "lookup": {},
        "amount": None,
        "payee": None,
        "send_code_attempts": [{"time": "", "channel": c, "attempt_sid": s} for c, s in sent],
        "sna": None,
        "url": f"{up.url}{up.path()}/Verifications/{sid}",
    }


def checked(up: Up, sid: str, to: str, status: str) -> dict[str, Any]:
    """A check as it is answered, but for its times."""
    found = shown(up, sid, to, status, [])
    for name in ("lookup", "send_code_attempts", "sna", "url", "date_created", "date_updated"):
        del found[name]
    return found | {"sna_attempts_error_codes": [], "date_created": "", "date_updated": ""}


def said(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, dict[str, str], str]:
    """Status, headers and body; each time in it is a recent one in whole seconds, and left out."""
    status, headers, text = answer
    for name in ("date_created", "date_updated", "time"):
        for time in re.findall(rf'"{name}":"([^"]+)"', text.decode()):
            age = datetime.now(UTC) - datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ").replace(
                tzinfo=UTC
            )
            assert timedelta(seconds=-1) < age < timedelta(minutes=10)
    return (
        status,
        headers,
        re.sub(r'"(date_created|date_updated|time)":"[^"]+"', r'"\1":""', text.decode()),
    )


def written(body: dict[str, Any]) -> str:
    return json.dumps(body, separators=(",", ":"))


def test_what_is_accepted_is_answered_to_the_byte(up: Up, to: str) -> None:
    """Start, resend, fetch, wrong and right check answer with these keys, in this order, and these
    headers; then the number has no verification any more, and why.
    """
    start, check = f"{up.path()}/Verifications", f"{up.path()}/VerificationCheck"
    form = f"To=%2B{to[1:]}&Channel=sms"
    status, headers, text = ask(up, "POST", start, FORM, form)
    first = json.loads(text)
    sid, sent = first["sid"], [("SMS", first["send_code_attempts"][0]["attempt_sid"])]
    wanted = written(shown(up, sid, to, "pending", sent))
    assert said((status, headers, text)) == (201, {}, wanted)
    code = up.wait(to)["code"]
    for name in (sid, to, f"%2B{to[1:]}"):
        assert said(ask(up, "GET", f"{start}/{name}", ())) == (200, {}, wanted)
    key = (("Idempotency-Key", f"wire {to}"), *FORM)
    again = ask(up, "POST", start, key, form)
    sent.append(("SMS", json.loads(again[2])["send_code_attempts"][-1]["attempt_sid"]))
    wanted = written(shown(up, sid, to, "pending", sent))
    assert said(again) == said(ask(up, "POST", start, key, form)) == (201, {}, wanted)
    other = ask(up, "POST", start, key, form.replace("sms", "call"))
    assert (other[0], envelope(422, other[2])[:2]) == (422, USED_KEY)
    guess = next(wrong(code))
    for left, target in ((4, f"To=%2B{to[1:]}"), (3, f"VerificationSid={sid}")):
        answer = said(ask(up, "POST", check, FORM, f"{target}&Code={guess}"))
        wanted = written(checked(up, sid, to, "pending"))
        assert answer == (200, {"sendcode-attempts-remaining": str(left)}, wanted)
    right = {"To": to, "Code": code}
    answer = said(ask(up, "POST", check, JSON, written(right)))
    wanted = written(checked(up, sid, to, "approved"))
    assert answer == (200, {"sendcode-attempts-remaining": "2"}, wanted)
    over = ask(up, "POST", check, JSON, written(right))
    gone = {"reason": "approved", "attempts_remaining": 0}
    assert (over[0], envelope(404, over[2])) == (404, (*missing_at(check), gone))
    fetched = ask(up, "GET", f"{start}/{sid}", ())
    assert envelope(404, fetched[2]) == (*missing_at(f"{start}/{sid}"), {"reason": "approved"})


def missing_at(path: str) -> tuple[int, str]:
    return missing(path.removeprefix("/v2"))[1:]


def test_too_many_guesses_and_sends_are_answered_to_the_word(up: Up, to: str) -> None:
    """The sixth guess gets 60202 and the sixth send 60203, each with when to come again in a header
    and in the details.
    """
    start, check = f"{up.path()}/Verifications", f"{up.path()}/VerificationCheck"
    sid = up.start_code(to)["sid"]
    guess = next(wrong(up.wait(to)["code"]))
    for left in (4, 3, 2, 1, 0):
        _, headers, _ = ask(up, "POST", check, FORM, f"VerificationSid={sid}&Code={guess}")
        assert headers == {"sendcode-attempts-remaining": str(left)}
    status, headers, text = ask(up, "POST", check, FORM, f"To=%2B{to[1:]}&Code={guess}")
    wait = int(headers["retry-after"])
    details = {"retry_after": wait, "attempts_remaining": 0}
    assert headers == {"retry-after": str(wait)}
    assert (status, *envelope(429, text)) == (429, 60202, "Max check attempts reached", details)
    assert 0 < wait <= 600
    other = next(NUMBERS)
    form = f"To=%2B{other[1:]}&Channel=sms"
    for _ in range(5):
        assert ask(up, "POST", start, FORM, form)[0] == 201
    status, headers, text = ask(up, "POST", start, FORM, form)
    wait = int(headers["retry-after"])
    code, message, details = envelope(429, text)
    assert headers == {"retry-after": str(wait)}
    assert (status, code, message) == (429, 60203, "Max send attempts reached")
    assert details == {"limit": details["limit"], "retry_after": wait}
    assert 0 < wait <= 600
