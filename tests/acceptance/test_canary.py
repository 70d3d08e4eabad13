"""A canary: one code and one number, looked for in everything that sendcode keeps or says."""

import base64
import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql

from tests.acceptance.authenticator import App, new_identity, read_picture
from tests.acceptance.console import PAGES, Console
from tests.acceptance.running import Up, until, wrong

AUTHY, HEADER, CANARY = "/protected/json", "X-Authy-API-Key", "canary@birds.example.com"
STARTED = "Text message sent to +1 {}-{}-{}."
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{12,}={0,2}")
HEX = re.compile(rb"(?:[0-9a-f]{2}){6,}")


def traces(number: str, codes: set[str]) -> list[bytes]:
    """What must not be found: the number without its country code too, the codes as they may be
    written, spoken or encoded.
    """
    texts = [number[2:], f"({number[2:5]}) {number[5:8]}-{number[8:]}"]
    for code in codes:
        texts += [code, *(mark.join(code) for mark in (", ", " ", ",", "-", ". "))]
    plain = [text.encode() for text in texts]
    return plain + [base64.b64encode(code.encode())[:-4] for code in codes]


def inside(data: bytes) -> Iterator[bytes]:
    """What the bytes hold as base64 or hexadecimal."""
    for match in set(BASE64.findall(data)):
        text = match.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
        text = text[: len(text) - (len(text) % 4 == 1)]
        yield base64.b64decode(text + b"=" * (-len(text) % 4))
    for match in set(HEX.findall(data)):
        yield bytes.fromhex(match.decode())


def found(data: bytes, wanted: "list[bytes] | re.Pattern[bytes]", depth: int = 3) -> set[bytes]:
    """Which traces are in the bytes, or encoded in them to some depth."""
    if isinstance(wanted, list):
        wanted = re.compile(b"|".join(map(re.escape, wanted)))
    hits = set(wanted.findall(data))
    if depth:
        hits.update(*(found(part, wanted, depth - 1) for part in inside(data)))
    return hits


def files(up: Up) -> dict[str, bytes]:
    """All files of the data folder but the phone's own store."""
    every = (path for path in up.root.rglob("*") if path.is_file())
    return {
        str(path.relative_to(up.root)): path.read_bytes()
        for path in every
        if not path.name.startswith("sandbox.db")
    }


def broker_values(up: Up) -> dict[str, bytes]:
    """Every key of the broker with everything in it."""
    client = up.redis()
    readers: dict[bytes, Any] = {
        b"string": client.get,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"hash": client.hgetall,
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1),
        b"none": lambda key: b"",  # it ended since it was listed
    }
    held = {}
    for key in client.scan_iter(count=1000):
        value = readers[client.type(key)](key) or b""
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        held[key.decode()] = key + b" " + (parts if isinstance(parts, bytes) else b" ".join(parts))
    return held


def tables(up: Up) -> dict[str, bytes]:
    """Every table of PostgreSQL as text; SQLite's are among the files."""
    if up.database_url.startswith("sqlite"):
        return {}
    plain = up.database_url.replace("postgresql+psycopg://", "postgresql://", 1)
    query = "SELECT table_schema, table_name FROM information_schema.tables"
    dumped = {}
    with psycopg.connect(plain, autocommit=True) as connection:
        for schema, name in connection.execute(f"{query} WHERE table_schema = 'public'").fetchall():
            copy = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(schema, name))
            with connection.cursor().copy(copy) as rows:
                dumped[name] = b"".join(bytes(row) for row in rows)
    return dumped


class Answers:
    """Keeps what the doors answer: headers and body without the `to` that is documented."""

    def __init__(self, up: Up) -> None:
        self.up = up
        self.kept: dict[str, bytes] = {}

    def post(self, path: str, **form: str) -> Any:
        return self._keep("POST", path, data=form)

    def get(self, path: str) -> Any:
        return self._keep("GET", path)

    def operate(self, verb: str, /, **values: Any) -> Any:
        """An operator's verb; of `reveal` all but the number that it is to show."""
        why = {"reason": "asked for"} | values
        answer = self.up.http.post(f"/operator/v1/{verb}", json=why)
        shown = {name: value for name, value in answer.json().items() if name != "number"}
        self.kept[f"{len(self.kept)} {verb} {answer.status_code}"] = str(shown).encode()
        return answer.json()

    def _keep(self, method: str, path: str, **options: Any) -> Any:
        answer = self.up.http.request(method, f"{self.up.path()}{path}", **options)
        text = re.sub(r'"to": ?"\+[0-9]+",', "", answer.text) if answer.is_success else answer.text
        heads = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        name = f"{len(self.kept)} {method} {answer.status_code}"
        self.kept[name] = f"{heads}\n\n{text}".encode()
        return answer.json()


def console_pages(up: Up, sid: str, to: str) -> dict[str, bytes]:
    """Every page of the console, searches for the number and what forms answer that take it, with
    the addresses and headers that lead there."""
    browser = Console.entered(up)
    for path in (*PAGES, f"/requests/{sid}", "/failures"):
        browser.open(f"/console{path}")
    browser.open("/console/")
    browser.click("failed by")
    browser.send("/console/search", q=to)
    browser.open("/console/limits")
    browser.send("/console/limits/number", number=to, service=up.account["SENDCODE_SERVICE_SID"])
    for path in ("retry", "cancel", "reveal"):
        browser.open(f"/console/act/{path}?sid={sid}")
    browser.open("/console/act/block")
    browser.send("/console/act/block", what=to, reason=f"a trial with {to}", **{"try": "1"})
    browser.close()
    return {
        f"console {i} {answer.url.path}": f"{answer.url}\n{answer.headers}\n{answer.text}".encode()
        for i, answer in enumerate(browser.answers)
    }


@pytest.fixture
def long_codes(up: Up) -> Iterator[None]:
    """Codes of ten digits, which no timestamp or sid holds by chance."""
    up.http.post(up.path(), data={"CodeLength": "10"})
    yield
    up.http.post(up.path(), data={"CodeLength": "6"})


def operate(doors: Answers, to: str, sid: str) -> None:
    """What operators do about a number and a code, with the number where it may be written."""
    asked = f"the owner of {to} called, ({to[2:5]}) {to[5:8]}-{to[8:]}"
    assert doors.operate("reveal", sid=sid, reason=asked)["number"] == to
    assert doors.operate("block", to=to, reason=asked)["result"] == "done"
    doors.operate("block", to=f"{to};ext=5")
    doors.operate("pause", kind="country", name=to)
    assert doors.post("/Verifications", To=to, Channel="sms")["code"] == 60410
    assert doors.operate("unblock", to=to, reason=asked)["result"] == "done"
    doors.operate("limits/reset", number=to, reason=asked)
    assert doors.post("/Verifications", To=to, Channel="sms")["status"] == "pending"
    doors.operate("unblock", to=f"BK{to}")
    for name in ("error_code", "country", "state", "channel", "verb", "by"):
        doors.operate("bulk", **{"verb": "cancel", name: to})
    doors.operate("bulk", verb="cancel", state="failed", reason=asked)
    for name in ("scope", "amount", "unit"):
        rest = {"scope": "all", "amount": "9999", "unit": "messages"} | {name: to}
        doors.operate("budget", reason=asked, **rest)
    doors.operate("budget", scope="all", amount="9999", unit="messages", reason=asked)
    doors.operate("budget/remove", scope=to, reason=asked)
    for name in ("audit", "blocks", "budgets", "pauses", "bulk"):
        answer = doors.up.http.get(f"/operator/v1/{name}")
        doors.kept[f"{len(doors.kept)} {name}"] = answer.content


@pytest.mark.kills("code-in-the-log")
def test_no_code_and_no_number_is_kept_or_said(up: Up, to: str, long_codes: None) -> None:
    """After sends, a call, faults, wrong and right checks, neither is in files, broker, database,
    logs or answers."""
    doors, held = Answers(up), {}
    first = doors.post("/Verifications", To=to, Channel="sms")
    message = up.wait(to)
    codes = {message["code"]}
    doors.post("/Verifications", To=to, Channel="call")
    message = up.wait(to, after=message["id"])
    # A stopped worker leaves what is published in its queue, to be looked at.
    os.kill(up.pid("worker"), signal.SIGSTOP)
    try:
        up.fault(to, fail="429", retry_after=0, times=1)
        for _ in range(2):
            doors.post("/Verifications", To=to, Channel="sms")
        held |= {f"waiting {name}": value for name, value in broker_values(up).items()}
        assert "waiting sms" in held
    finally:
        os.kill(up.pid("worker"), signal.SIGCONT)
    for _ in range(2):
        message = up.wait(to, after=message["id"])
    doors.post("/VerificationCheck", To=to, Code=next(wrong(message["code"])))
    doors.get(f"/Verifications/{to}")
    doors.get(f"/Verifications/{first['sid']}")
    checked = doors.post("/VerificationCheck", To=to, Code=message["code"])
    assert checked["status"] == "approved"
    for _ in range(2):
        doors.post("/VerificationCheck", To=to, Code=message["code"])
        doors.get(f"/Verifications/{to}")
    up.fault(to, fail="drop", times=1)
    again = doors.post("/Verifications", To=to, Channel="sms")
    message = up.wait(to, after=message["id"])
    codes.add(message["code"])
    up.fault(to, fail="500", times=1)
    doors.post("/Verifications", To=to, Channel="sms")
    up.fault(to, fail="reject", code=21211, times=1)
    doors.post("/Verifications", To=to, Channel="sms")
    up.settle()
    doors.post(f"/Verifications/{again['sid']}", Status="canceled")
    doors.post("/Verifications", To=f"{to};ext=5", Channel="sms")
    doors.post("/Verifications", To=to, Channel=to)
    doors.post("/Verifications", To=to, Channel="sms", Locale=to)
    doors.post("/VerificationCheck", To=to, Code=f"{message['code']} ")
    for _ in range(6):
        last = doors.post("/Verifications", To=to, Channel="sms")
    assert last["code"] == 60203
    forged = {"AccountSid": to, "MessageSid": to, "MessageStatus": to}
    answer = httpx.post(f"{up.url}/callbacks/twilio/sms/VL{'0' * 32}", data=forged)
    assert answer.status_code == 403

    operate(doors, to, again["sid"])

    wanted = traces(to, codes)
    held |= console_pages(up, first["sid"], to)
    held |= {**doors.kept, **files(up), **tables(up), **broker_values(up)}
    leaks = {name: hits for name, value in held.items() if (hits := found(value, wanted))}
    assert leaks == {}
    assert any(name.endswith(".aof") for name in held)
    assert any(name == "log/worker.log" for name in held)
    for kept in ("refused:number", "refused:country", "callbacks-refused"):
        assert any(name.startswith(f"sendcode:{kept}:") for name in held), kept


def test_the_authy_door_keeps_and_says_none(up: Up, to: str) -> None:
    """After users, sends, checks and QR codes of the Authy door, with its key in queries and paths,
    no code, number, address or key is in files, broker, database, logs or answers, but for the one
    answer that repeats the number to its caller."""
    key, kept = up.account["SENDCODE_AUTHY_API_KEY"], {}
    up.http.post(up.path(), data={"CodeLength": "10", "CustomCodeEnabled": "true"})

    def ask(method: str, path: str, **given: str) -> Any:
        body = {"params": {"api_key": key}} if method == "GET" else {"headers": {HEADER: key}}
        where = "params" if method == "GET" else "data"
        options = {**body, where: {**body.get(where, {}), **given}}
        answer = httpx.request(method, f"{up.url}{path}", trust_env=False, timeout=30, **options)
        shown = answer.text.replace(STARTED.format(to[2:5], to[5:8], to[8:]), "")
        heads = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        kept[f"{len(kept)} {method} {answer.status_code}"] = f"{heads}\n\n{shown}".encode()
        return answer.json()

    number = {"country_code": "1", "phone_number": to[2:]}
    try:
        user = ask(
            "POST",
            f"{AUTHY}/users/new",
            **{"user[email]": CANARY, "user[cellphone]": to[2:], "user[country_code]": "1"},
        )["user"]["id"]
        ask("POST", f"{AUTHY}/users/new", **{"user[email]": CANARY, "user[cellphone]": f"{to}9"})
        ask("GET", f"{AUTHY}/sms/{user}")
        message = up.wait(to)
        codes = {message["code"]}
        ask("GET", f"{AUTHY}/call/{user}", locale=to)
        ask("GET", f"{AUTHY}/verify/{next(wrong(message['code']))}/{user}")
        assert ask("GET", f"{AUTHY}/verify/{message['code']}/{user}")["token"] == "is valid"
        ask("GET", f"{AUTHY}/verify/{message['code']}/{user}")
        ask("GET", f"{AUTHY}/users/{user}/status")
        custom = "7319048265"
        sent = ask(
            "POST", f"{AUTHY}/phones/verification/start", via="sms", custom_code=custom, **number
        )
        message = up.wait(to, after=message["id"])
        codes.add(message["code"])
        path = f"/2010-04-01/Accounts/{key}/SMS/Messages/{sent['sms_id']}/Feedback.json"
        ask("POST", path, Outcome="received")
        ask("GET", f"{AUTHY}/phones/verification/status", **number)
        for code in (next(wrong(custom)), custom, custom):
            ask("GET", f"{AUTHY}/phones/verification/check", verification_code=code, **number)
        ask("GET", f"{AUTHY}/phones/info", **number)
        for name in ("details", "stats"):
            ask("GET", f"{AUTHY}/app/{name}")
        ask("POST", f"{AUTHY}/users/{user}/secret", label=f"{to}:")
        assert len(ask("POST", f"{AUTHY}/users/{user}/secret", label="Ann")["qr_code"]) > 500
        kept.popitem()  # the one that is to show the secret
        up.settle()
        until(lambda: not up.rows("SELECT sid FROM verifications WHERE code_sealed IS NOT NULL"))
    finally:
        up.http.post(up.path(), data={"CodeLength": "6", "CustomCodeEnabled": "false"})

    wanted = [*traces(to, codes), CANARY.encode(), key.encode(), key[:40].encode()]
    held = {**kept, **files(up), **tables(up), **broker_values(up)}
    del held["dev.env"]  # where the key is for its user
    leaks = {name: hits for name, value in held.items() if (hits := found(value, wanted))}
    assert leaks == {}
    assert str(user).encode() in b"".join(kept.values()), "the scan sees the answers"


def secrets_of(secret: str, codes: set[str], backup: list[str]) -> "re.Pattern[bytes]":
    """What must not be found of an authenticator and of backup codes: the secret as Base32, bytes
    and hexadecimal, the app's codes, and the backup codes as shown, typed and hashed.

    A code of eight digits is no part of a longer number, such as a time.
    """
    raw = base64.b32decode(secret)
    texts = [secret, secret.lower(), raw.hex()]
    for code in backup:
        texts += [code, code.replace("-", ""), code.lower()]
    plain = [re.escape(text) for text in (raw, *(text.encode() for text in texts))]
    numbers = [b"(?<![0-9])%s(?![0-9])" % code.encode() for code in codes]
    return re.compile(b"|".join(plain + numbers))


def test_no_secret_of_an_app_is_kept_or_said(up: Up) -> None:
    """After enrolment, QR codes, wrong and right codes, challenges and backup codes no secret, no
    code of the app and no backup code is in files, broker, database, logs or answers, but for the
    one answer that is to show it."""
    doors, owner = Answers(up), f"/Entities/{new_identity()}"
    config = {"Config.CodeLength": "8", "Config.TimeStep": "60", "Config.Skew": "2"}
    form = {"FriendlyName": "Phone", "FactorType": "totp", **config}
    made = up.http.post(f"{up.path()}{owner}/Factors", data=form).json()
    factor, secret = f"{owner}/Factors/{made['sid']}", made["binding"]["secret"]
    app = App(made["binding"]["uri"])
    codes = {app.code(step) for step in range(-2, 3)} | {app.wrong()}
    for kind in ("svg", "png"):
        picture = up.http.get(f"{up.path()}{factor}/QrCode.{kind}")
        assert read_picture(picture.content) == [made["binding"]["uri"]]
    doors.post(factor, AuthPayload=app.wrong())
    doors.post(factor, AuthPayload=f"{app.code()} ")
    assert doors.post(factor, AuthPayload=app.code(-2))["status"] == "verified"
    for kind in ("svg", "png"):
        doors.get(f"{factor}/QrCode.{kind}")
    copy = form | {"Binding.Secret": secret}
    assert doors.post(f"{owner}/Factors", **copy)["code"] == 60317
    doors.post(f"{owner}/Factors", **copy | {"Binding.Secret": f"{secret}!"})
    doors.post(f"{owner}/Factors", **copy | {"Config.Skew": secret})
    started = doors.post(f"{owner}/Challenges", FactorSid=made["sid"])
    challenge = f"{owner}/Challenges/{started['sid']}"
    doors.post(challenge, AuthPayload=app.wrong())
    assert doors.post(challenge, AuthPayload=app.code())["status"] == "approved"
    doors.post(challenge, AuthPayload=app.code(1))
    doors.post(f"{owner}/Challenges", FactorSid=made["sid"], AuthPayload=app.code())
    shown = up.http.post(f"{up.path()}{owner}/BackupCodes").json()["codes"]
    for code in (shown[0], shown[0], shown[1].lower(), f"{shown[2]}!"):
        doors.post(f"{owner}/BackupCodes/Check", Code=code)
    for path in ("", "/Factors", "/Challenges", "/BackupCodes"):
        doors.get(f"{owner}{path}")
    doors.get(factor)
    doors.get(challenge)

    wanted = secrets_of(secret, codes, shown)
    held = {**doors.kept, **files(up), **tables(up), **broker_values(up)}
    leaks = {name: hits for name, value in held.items() if (hits := found(value, wanted))}
    assert leaks == {}
    everything = b"".join(held.values())
    assert started["sid"].encode() in everything, "the scan sees the rows"
    for leak in (secret, shown[0], f"code={app.code()}"):
        for form_of_it in (leak.encode(), base64.b64encode(f"x {leak}".encode())):
            assert found(form_of_it, wanted), "the scan would find it"


def test_the_scan_would_find_it(up: Up, to: str, long_codes: None) -> None:
    """The scan finds number and code in the phone's store, and ids inside the broker's base64."""
    started = up.start_code(to)
    code = up.wait(to)["code"]
    store = b"".join(path.read_bytes() for path in up.root.glob("sandbox.db*"))
    hits = found(store, traces(to, {code}))
    assert {code.encode(), to[2:].encode()} <= hits
    argument = f'["{started["send_code_attempts"][0]["attempt_sid"]}"]'.encode()
    log = b"".join(value for name, value in files(up).items() if name.endswith(".aof"))
    assert argument not in log
    assert found(log, [argument]) == {argument}
    nested = base64.b64encode(b'{"body": "' + base64.b64encode(code.encode() + b" is it") + b'"}')
    assert found(b"x: " + nested, traces(to, {code}))
    assert found(to.encode().hex().encode(), traces(to, {code}))
