"""Bad input over HTTP: a clear error in Twilio's shape, nothing written, nothing sent."""

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import httpx
import pytest

from tests.acceptance.running import NUMBERS, Up

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
GOOD = "+13605550123"  # never sent to: every request that names it is refused

BAD_NUMBERS = {
    "letters": "+1360555abcd",
    "letters after it": "+13605550123abc",
    "vanity letters": "+1360555CODE",
    "extension ext": "+13605550123;ext=12",
    "extension x": "+13605550123 x12",
    "extension comma": "+13605550123,,123#",
    "extension hash": "+13605550123#12",
    "two numbers": "+13605550123,+13605550124",
    "short": "+1360",
    "one digit short": "+1360555012",
    "one digit long": "+136055501234",
    "too long": "+" + "1" * 40,
    "very long": "+1" + "3" * 3000,
    "no plus": "13605550123",
    "international prefix": "01113605550123",
    "trunk prefix": "0013605550123",
    "national": "3605550123",
    "plus alone": "+",
    "spaces alone": "   ",
    "no such country code": "+999360555012",
    "no such area": "+10005550123",
    "premium": "+19005551234",
    "toll-free": "+18003569377",
    "shared cost": "+448431234567",
    "satellite": "+8816123456789",
    "landline for sms": "+390236618300",
    "short code": "+112",
    "control character": "+1360555\x070123",
    "line feed": "+13605550123\n",
    "NUL": "+13605550123\x00",
    "minus": "-13605550123",
    "e-mail address": "someone@example.com",
    "WhatsApp address": "whatsapp:+13605550123",
    "superscripts": "+1360555012³",
    "roman numeral": "+1360555012Ⅲ",
    "SQL": "+13605550123' OR '1'='1",
}
BAD_STARTS = {
    "no To": ({"Channel": "sms"}, 400, 60200),
    "empty To": ({"To": "", "Channel": "sms"}, 400, 60200),
    "no Channel": ({"To": GOOD}, 400, 60200),
    "unknown channel": ({"To": GOOD, "Channel": "pigeon"}, 400, 60200),
    "channel email": ({"To": "someone@example.com", "Channel": "email"}, 400, 60223),
    "channel whatsapp": ({"To": GOOD, "Channel": "whatsapp"}, 400, 60223),
    "channel sna": ({"To": GOOD, "Channel": "sna"}, 400, 60223),
    "unknown locale": ({"To": GOOD, "Channel": "sms", "Locale": "xx"}, 400, 60200),
    "no locale": ({"To": GOOD, "Channel": "sms", "Locale": "../../etc"}, 400, 60200),
    "bad app hash": ({"To": GOOD, "Channel": "sms", "AppHash": "short"}, 400, 60200),
    "app hash with a call": ({"To": GOOD, "Channel": "call", "AppHash": "a" * 11}, 400, 60602),
    "custom code": ({"To": GOOD, "Channel": "sms", "CustomCode": "123456"}, 403, 60204),
    "custom message": ({"To": GOOD, "Channel": "sms", "CustomMessage": "Hi"}, 400, 60243),
    "amount": ({"To": GOOD, "Channel": "sms", "Amount": "9.99"}, 403, 60204),
    "rate limits": ({"To": GOOD, "Channel": "sms", "RateLimits": '{"a": "b"}'}, 400, 60200),
}
BAD_CODES = {
    "Arabic digits": "١٢٣٤٥٦",
    "full-width digits": "１２３４５６",
    "superscripts": "¹²³⁴⁵⁶",
    "spaces": "123 456",
    "space before": " 123456",
    "line feed after": "123456\n",
    "too short": "123",
    "too long": "12345678901",
    "very long": "1" * 4000,
    "letters": "12345a",
    "sign": "-12345",
    "fraction": "1234.5",
    "hexadecimal": "0x1234",
    "separator": "123_456",
    "NUL": "12345\x00",
    "empty": "",
}
BAD_BODIES = {
    "no JSON": (JSON, b"{", 400, 20001),
    "JSON list": (JSON, b'["+13605550123"]', 400, 20001),
    "JSON text": (JSON, b'"To"', 400, 20001),
    "deep JSON": (JSON, b"[" * 60_000, 400, 20001),
    "no UTF-8": (JSON, b'{"To": "\xff"}', 400, 20001),
    "number for To": (JSON, b'{"To": 13605550123, "Channel": "sms"}', 400, 60200),
    "list for To": (JSON, b'{"To": ["+13605550123"], "Channel": "sms"}', 400, 60200),
    "object for To": (JSON, b'{"To": {"a": 1}, "Channel": "sms"}', 400, 60200),
    "true for Channel": (JSON, b'{"To": "+13605550123", "Channel": true}', 400, 60200),
    "JSON To twice": (JSON, b'{"To": "+13605550123", "To": "+1", "Channel": "sms"}', 400, 60200),
    "form To twice": (FORM, b"To=%2B13605550123&To=%2B13605550124&Channel=sms", 400, 60200),
    "Channel twice": (FORM, b"To=%2B13605550123&Channel=sms&Channel=call", 400, 60200),
    "no parameters": (FORM, b"", 400, 60200),
    "another kind": ("text/xml", b"<To>+13605550123</To>", 415, 20015),
    "a megabyte": (FORM, b"To=%2B13605550123&Channel=sms&Pad=" + b"x" * 1_000_000, 413, 20001),
    "a JSON megabyte": (JSON, b'{"Pad": "' + b"x" * 1_000_000 + b'"}', 413, 20001),
}
BAD_HEADERS = {
    "no credentials": None,
    "no Basic": "Bearer " + "a" * 32,
    "no base64": "Basic !!!!",
    "no colon": "Basic " + base64.b64encode(b"AC1").decode(),
    "colon alone": "Basic Og==",
    "bytes": "Basic " + base64.b64encode(b"\xff\xfe:\x00\x01").decode(),
    "word alone": "Basic",
}


def refused(answer: httpx.Response, status: int, code: int) -> None:
    """It is an error in Twilio's envelope, and its words do not repeat a number."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == JSON
    body = answer.json()
    assert set(body) - {"details"} == {"code", "message", "more_info", "status"}
    assert (body["code"], body["status"]) == (code, status)
    assert body["more_info"] == f"https://www.twilio.com/docs/errors/{code}"
    words = re.sub(r"[A-Z]{2}[0-9a-f]{32}", "", body["message"])
    assert body["message"]
    assert not re.search(r"[0-9]{6}", words)
    assert "@" not in words


@contextmanager
def unchanged(up: Up) -> Iterator[None]:
    """What happens inside writes nothing and sends nothing."""
    up.settle()
    before = up.footprint()
    yield
    assert up.footprint() == before


def test_bad_numbers(up: Up) -> None:
    """Every spelling that is not one number we may reach is refused, on every door."""
    doors = (
        ("Verifications", {"Channel": "sms"}),
        ("VerificationCheck", {"Code": "123456"}),
    )
    with unchanged(up):
        for name, number in BAD_NUMBERS.items():
            for door, form in doors:
                if (name, door) == ("landline for sms", "VerificationCheck"):
                    continue  # a call may have gone there
                answer = up.http.post(f"{up.path()}/{door}", data={**form, "To": number})
                refused(answer, 400, 60200)
                assert number.strip() not in answer.json()["message"] or not number.strip()
                as_json = up.http.post(f"{up.path()}/{door}", json={**form, "To": number})
                refused(as_json, 400, 60200)


@pytest.mark.parametrize("name", BAD_STARTS)
def test_bad_starts(up: Up, name: str) -> None:
    """A start with a missing, unknown or unsupported value says which, and does nothing."""
    form, status, code = BAD_STARTS[name]
    with unchanged(up):
        refused(up.http.post(f"{up.path()}/Verifications", data=form), status, code)
        refused(up.http.post(f"{up.path()}/Verifications", json=form), status, code)


def test_bad_codes(up: Up, to: str) -> None:
    """A code that is not 4 to 10 ASCII digits in a string is refused and costs no guess."""
    sid = up.start_code(to)["sid"]
    right = up.wait(to)["code"]
    path = f"{up.path()}/VerificationCheck"
    with unchanged(up):
        for code in BAD_CODES.values():
            for target in ({"To": to}, {"VerificationSid": sid}):
                refused(up.http.post(path, data={"Code": code, **target}), 400, 60200)
                refused(up.http.post(path, json={"Code": code, **target}), 400, 60200)
        for value in (int(right), float(right), True, [right], {"a": right}, None):
            refused(up.http.post(path, json={"Code": value, "To": to}), 400, 60200)
        refused(up.http.post(path, data={"To": to}), 400, 60200)
        refused(up.http.post(path, data={"Code": right}), 400, 60221)
        refused(up.http.post(path, data={"Code": [right, right], "To": to}), 400, 60200)
    assert up.check(right, To=to).json()["status"] == "approved"


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_bodies(up: Up, name: str) -> None:
    """A body that cannot be read, or is too large, is refused before anything is done."""
    kind, body, status, code = BAD_BODIES[name]
    headers = {"Content-Type": kind}
    with unchanged(up):
        answer = up.http.post(f"{up.path()}/Verifications", content=body, headers=headers)
        refused(answer, status, code)


def test_a_large_body_of_no_stated_length(up: Up) -> None:
    """A megabyte in chunks is refused as well, although no header announced it."""
    chunks = (b"To=%2B13605550123&Channel=sms&Pad=", *[b"x" * 10_000] * 100)
    headers = {"Content-Type": FORM}
    with unchanged(up):
        answer = up.http.post(f"{up.path()}/Verifications", content=iter(chunks), headers=headers)
        refused(answer, 413, 20001)


def test_unknown_services_and_verifications(up: Up, to: str) -> None:
    """A service or verification that is not there, or a sid of another kind, is 404 and 20404."""
    started = up.start_code(to)
    up.wait(to)
    account, service = up.credentials[0], up.account["SENDCODE_SERVICE_SID"]
    form = {"To": GOOD, "Channel": "sms"}
    with unchanged(up):
        for sid in ("VA" + "0" * 32, started["sid"], account, "VA1", "nonsense", "VA%00"):
            refused(up.http.post(f"/v2/Services/{sid}/Verifications", data=form), 404, 20404)
            refused(up.http.get(f"/v2/Services/{sid}"), 404, 20404)
            check = {"To": to, "Code": "123456"}
            refused(up.http.post(f"/v2/Services/{sid}/VerificationCheck", data=check), 404, 20404)
        for sid in ("VE" + "0" * 32, "VE1", GOOD, started["send_code_attempts"][0]["attempt_sid"]):
            path = f"{up.path()}/Verifications/{sid}"
            refused(up.http.get(path), 404, 20404)
            refused(up.http.post(path, data={"Status": "canceled"}), 404, 20404)
        path = f"{up.path()}/VerificationCheck"
        for sid in ("VE" + "0" * 32, service, "x"):
            answer = up.http.post(path, data={"VerificationSid": sid, "Code": "123456"})
            refused(answer, 404, 20404)
        path = f"{up.path()}/Verifications/{started['sid']}"
        refused(up.http.post(path, data={"Status": "deleted"}), 400, 60200)
        refused(up.http.post(path, data={}), 400, 60200)
        refused(up.http.get("/v2/Nothing"), 404, 20404)
        refused(up.http.delete(f"{up.path()}/Verifications"), 405, 20004)


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_bad_credentials(up: Up, name: str) -> None:
    """Without the account's credentials every door answers 401 and 20003, and does nothing."""
    value = BAD_HEADERS[name]
    headers = {} if value is None else {"Authorization": value}
    form = {"To": GOOD, "Channel": "sms", "Code": "123456", "FriendlyName": "Mine"}
    doors = (
        "/v2/Services",
        up.path(),
        f"{up.path()}/Verifications",
        f"{up.path()}/VerificationCheck",
    )
    with unchanged(up), httpx.Client(base_url=up.url, headers=headers) as stranger:
        services = up.rows("SELECT count(*) AS n FROM services")
        for door in doors:
            refused(stranger.post(door, data=form), 401, 20003)
        for door in doors[:2]:
            refused(stranger.get(door), 401, 20003)
        refused(stranger.get(f"{up.path()}/Verifications/{quote(GOOD)}"), 401, 20003)
        assert stranger.get("/sandbox/v1/messages").status_code == 401
        assert up.rows("SELECT count(*) AS n FROM services") == services


def test_bad_services(up: Up) -> None:
    """A service with a value out of range is refused and not made."""
    before = up.rows("SELECT count(*) AS n FROM services")
    good = {"FriendlyName": "Fine"}
    for change in (
        {"FriendlyName": ""},
        {"FriendlyName": "x" * 40},
        {"CodeLength": "3"},
        {"CodeLength": "11"},
        {"CodeLength": "six"},
        {"CodeLength": "٦"},
        {"CodeLife": "59"},
        {"CodeLife": "86401"},
        {"SendLimit": "0"},
        {"SendLimit": "100001"},
        {"CheckLimit": "0"},
        {"CheckLimit": "11"},
        {"DtmfInputRequired": "perhaps"},
        {"Totp.Skew": "3"},
    ):
        refused(up.http.post("/v2/Services", data=good | change), 400, 60200)
    refused(up.http.post("/v2/Services", data={}), 400, 60200)
    for query in ("PageSize=0", "PageSize=1001", "PageSize=x", "Page=-1"):
        refused(up.http.get(f"/v2/Services?{query}"), 400, 60200)
    assert up.rows("SELECT count(*) AS n FROM services") == before


ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
FULL_WIDTH = str.maketrans("+0123456789", "＋０１２３４５６７８９")
SPELLINGS = {
    "brackets and dash": "+1 ({0}) 555-{1}",
    "dashes": "+1-{0}-555-{1}",
    "dots": "+1.{0}.555.{1}",
    "tel URI": "tel:+1-{0}-555-{1}",
    "zero-width space": "+1{0}\u200b555{1}",
    "two plus signs": "++1{0}555{1}",
    "no-break space": "+1\u00a0{0}\u00a0555\u00a0{1}",
    "direction marks": "\u202a+1 {0} 555 {1}\u202c",
    "spaces around": "  +1{0}555{1} ",
}


def one_sid(up: Up, canonical: str, spelling: str) -> None:
    """Both spellings are one verification, on every door."""
    started = up.start_code(canonical)
    resent = up.start_code(spelling)
    assert (resent["sid"], resent["to"]) == (started["sid"], canonical)
    fetched = up.http.get(f"{up.path()}/Verifications/{quote(spelling, safe='')}")
    assert fetched.json()["sid"] == started["sid"]
    answer = up.check(up.wait(canonical)["code"], To=spelling)
    assert (answer.json()["sid"], answer.json()["status"]) == (started["sid"], "approved")


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_is_one_number(up: Up, to: str, name: str) -> None:
    """A spelling that means the number is the same verification at start, fetch and check."""
    one_sid(up, to, SPELLINGS[name].format(to[2:5], to[8:]))


@pytest.mark.parametrize("digits", [ARABIC, FULL_WIDTH], ids=["Arabic", "full-width"])
def test_digits_of_every_script_are_one_number(up: Up, to: str, digits: dict[int, int]) -> None:
    """Arabic and full-width digits mean the number that they spell."""
    one_sid(up, to, to.translate(digits))


@pytest.mark.parametrize(
    ("canonical", "spelling"),
    [
        ("+447400123411", "+44 (0)7400 123411"),
        ("+447400123412", "+44 0 7400 123412"),
        ("+5491123456713", "+54 11 2345-6713"),
    ],
)
def test_trunk_zeros_and_aliases_are_one_number(up: Up, canonical: str, spelling: str) -> None:
    """A trunk zero after the country code, and Argentina's spelling without 9, are folded."""
    one_sid(up, canonical, spelling)


def test_every_spelling_shares_the_limit(up: Up) -> None:
    """Five sends to a number are five, however each of them is spelled."""
    to = next(NUMBERS)
    spellings = [text.format(to[2:5], to[8:]) for text in SPELLINGS.values()]
    for spelling in spellings[:5]:
        up.start_code(spelling)
    form = {"To": spellings[5], "Channel": "sms"}
    refused(up.http.post(f"{up.path()}/Verifications", data=form), 429, 60203)


def test_refused_requests_are_not_logged(up: Up) -> None:
    """What a refused request carried is in none of the logs."""
    for log in (up.root / "log").iterdir():
        text = log.read_text(errors="replace")
        assert GOOD[1:] not in text, log.name
        assert "someone@example.com" not in text, log.name


BAD_NAMES = {
    "line break": "Acme\r\nEvil",
    "line feed": "Acme\nEvil",
    "NUL": "Acme\x00",
    "escape": "Acme\x1b[31m",
    "line separator": "Acme\u2028Evil",
    "paragraph separator": "Acme\u2029Evil",
}
BAD_TEXTS = {
    "markup": "<b>{{code}}</b>",
    "script": "<script>alert(1)</script> {{code}}",
    "link": "{{code}} https://evil.example.com",
    "line break": "{{code}}\r\nsecond line",
    "line separator": "{{code}}\u2028second line",
    "NUL": "{{code}}\x00",
    "another place": "{{code}} {{secret}}",
    "place of another language": "{{code}} {% for a in b %}",
    "no code": "Hello",
}


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_with_hidden_characters(up: Up, name: str) -> None:
    """A name that holds a control character is refused wherever a name is given."""
    text, resources = BAD_NAMES[name], ("services", "api_keys", "rate_limits", "templates")
    before = {r: up.rows(f"SELECT count(*) AS n FROM {r}") for r in resources}
    start = {"To": GOOD, "Channel": "sms", "CustomFriendlyName": text}
    doors = (
        ("/v2/Services", {"FriendlyName": text}, 60200),
        ("/v2/ApiKeys", {"FriendlyName": text, "Scopes": "read"}, 60200),
        (f"{up.path()}/RateLimits", {"UniqueName": text}, 60200 if "\x00" in text else 60209),
        ("/v2/Templates", {"FriendlyName": text, "Text": "{{code}}"}, 60200),
        (f"{up.path()}/Verifications", start, 60200),
    )
    with unchanged(up):
        for path, form, code in doors:
            refused(up.http.post(path, data=form), 400, code)
            refused(up.http.post(path, json=form), 400, code)
    assert {r: up.rows(f"SELECT count(*) AS n FROM {r}") for r in resources} == before


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_templates_with_markup(up: Up, name: str) -> None:
    """A template that is more than a line of text with the code in it is refused."""
    before = up.rows("SELECT count(*) AS n FROM templates")
    form = {"FriendlyName": "Mine", "Text": BAD_TEXTS[name]}
    for given in ({"data": form}, {"json": form}):
        answer = up.http.post("/v2/Templates", **given)
        assert (answer.status_code, answer.json()["code"]) == (400, 60200)
        assert BAD_TEXTS[name] not in answer.json()["message"]
    assert up.rows("SELECT count(*) AS n FROM templates") == before


def test_unknown_and_repeated_parameters(up: Up) -> None:
    """A name that our own routes do not have gets 20001, one given twice 60200."""
    before = up.rows("SELECT count(*) AS n FROM rate_limits")
    path, form = f"{up.path()}/RateLimits", {"UniqueName": "mine", "Nonsense": "1"}
    refused(up.http.post(path, data=form), 400, 20001)
    refused(up.http.post(path, data={"UniqueName": ["mine", "yours"]}), 400, 60200)
    refused(up.http.get(f"{path}?Nonsense=1"), 400, 20001)
    refused(up.http.get(f"{path}?PageSize=1&PageSize=2"), 400, 60200)
    assert up.rows("SELECT count(*) AS n FROM rate_limits") == before


def test_a_list_of_no_event_types(up: Up) -> None:
    """A hook that would be told of nothing is refused, as if no list were given."""
    hook = {"FriendlyName": "Mine", "WebhookUrl": "https://example.com/", "EventTypes": []}
    refused(up.http.post(f"{up.path()}/Webhooks", json=hook), 400, 60200)
    told = {"Url": "https://example.com/", "EventTypes": []}
    refused(up.http.post(f"{up.path()}/EventHooks", json=told), 400, 60200)


def test_sids_of_another_service_and_kind(up: Up, to: str) -> None:
    """What belongs to another service, and a sid of the wrong kind, is not there: 404, 20404."""
    other = up.http.post("/v2/Services", data={"FriendlyName": "Other"}).json()["sid"]
    limit = up.http.post(f"{up.path(other)}/RateLimits", data={"UniqueName": "theirs"}).json()
    verification = up.start_code(to, service=other)["sid"]
    up.wait(to)
    with unchanged(up):
        for sid in (limit["sid"], verification, other, "RK" + "0" * 32):
            path = f"{up.path()}/RateLimits/{sid}"
            for answer in (up.http.get(path), up.http.post(path, data={}), up.http.delete(path)):
                refused(answer, 404, 20404)
            refused(up.http.get(f"{path}/Buckets"), 404, 20404)
        for sid in (verification, limit["sid"]):
            path = f"{up.path()}/Verifications/{sid}"
            refused(up.http.get(path), 404, 20404)
            refused(up.http.post(path, data={"Status": "canceled"}), 404, 20404)
        for path in ("Templates", "ApiKeys", "Attempts"):
            refused(up.http.get(f"/v2/{path}/{verification}"), 404, 20404)


def test_a_plus_in_a_path_is_a_plus(up: Up, to: str) -> None:
    """A number's `+` in a path means itself, escaped or not, and never a space."""
    sid = up.start_code(to)["sid"]
    for spelled in (to, to.replace("+", "%2B")):
        answer = up.http.get(f"{up.path()}/Verifications/{spelled}")
        assert (answer.status_code, answer.json()["sid"]) == (200, sid)
    refused(up.http.get(f"{up.path()}/Verifications/{to.replace('+', '%20')}"), 400, 60200)


def test_a_form_with_a_bare_plus_is_refused(up: Up) -> None:
    """In a form a bare `+` is a space: the number has lost its beginning, and is not guessed."""
    body = f"To={GOOD}&Channel=sms".encode()
    with unchanged(up):
        path = f"{up.path()}/Verifications"
        refused(up.http.post(path, content=body, headers={"Content-Type": FORM}), 400, 60200)


def test_allow_names_every_method_of_the_path(up: Up) -> None:
    """A method that a path does not have gets 405, 20004 and all methods that it has."""
    service = up.path()
    for path, methods in (
        ("/v2/Services", "GET, POST"),
        (service, "GET, POST, DELETE"),
        (f"{service}/VerificationCheck", "POST"),
    ):
        answer = up.http.put(path)
        refused(answer, 405, 20004)
        assert answer.headers["allow"] == methods


def test_a_whole_number_of_json_is_one_however_it_is_written(up: Up) -> None:
    """JSON has one kind of number: 5.0 is 5, and 5.5 is refused."""
    form = {"FriendlyName": "Numbers", "CodeLength": 5.0}
    assert up.http.post("/v2/Services", json=form).json()["code_length"] == 5
    refused(up.http.post("/v2/Services", json=form | {"CodeLength": 5.5}), 400, 60200)
