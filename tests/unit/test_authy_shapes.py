"""The pure pieces of the Authy door: numbers, ids, months, files, parameters and errors."""

import itertools
import json
from typing import Any

import pytest
from starlette.requests import Request

from api_stub.authy_v1 import errors, shapes
from api_stub.authy_v1.reading import parameters
from worker.authy.figures import spans
from worker.authy.transfer import BadUser, UserRow, international, read_users
from worker.errors import (
    ChecksSpentError,
    FactorRefusedError,
    FeatureOffError,
    InvalidParameterError,
    KeyMissingError,
    LandlineError,
    LimitReachedError,
    LimitsUnavailableError,
    NotFoundError,
    NumberDisabledError,
    OverloadedError,
    RequestRunningError,
)
from worker.states import FactorRefusal

REQUEST = Request({"type": "http", "path": "/protected/json/sms/1", "headers": []})


@pytest.mark.parametrize(
    ("e164", "shown"),
    [
        ("+13173389302", (1, "XXX-XXX-XX02")),
        ("+447400123456", (44, "XXX-XXX-XX56")),
        ("+5491123456789", (54, "XXX-XXX-XXX89")),
        ("+390236618300", (39, "XXX-XXX-XX00")),
    ],
)
def test_a_mask_shows_the_last_two_digits(e164: str, shown: tuple[int, str]) -> None:
    """Of a number its calling code and two digits are shown, in Authy's groups."""
    assert shapes.masked(e164) == shown


def test_a_verification_has_one_uuid() -> None:
    """A sid and its uuid are each other's, whatever the letters' case."""
    sid = "VE" + "0123456789abcdef" * 2
    uuid = shapes.uuid_of(sid)
    assert uuid == "01234567-89ab-cdef-0123-456789abcdef"
    assert shapes.sid_of(uuid) == shapes.sid_of(uuid.upper()) == sid


@pytest.mark.parametrize(
    ("country", "number", "whole"),
    [
        ("1", "317-338-9302", "+13173389302"),
        ("+44", "(7400) 123456", "+447400123456"),
        ("44", "7400 123456\r\n\x00", "+447400123456"),
        ("1", "٣١٧", "+1"),
        ("1 242", "359 1234", "+12423591234"),
        ("+1-876", "555 0123", "+18765550123"),
    ],
)
def test_what_is_no_digit_goes(country: str, number: str, whole: str) -> None:
    """A number's spelling makes no difference, and only ASCII digits are digits."""
    assert international(country, number) == whole


@pytest.mark.parametrize("country", ["", "US", "٣٣", "0", "033", "999", "1142", "12423", "--"])
def test_what_is_no_calling_code_is_refused(country: str) -> None:
    """A number without its calling code is no number: its digits may be another country's."""
    with pytest.raises(InvalidParameterError):
        international(country, "33 6 12 34 56 78")


def test_months_reach_as_far_as_rows_are_kept() -> None:
    """The spans are calendar months without a gap, newest first, a year at most."""
    now = 1_767_600_000_000  # 2026-01-05T08:00Z
    found = spans(now, 30)
    assert found == [(1_767_225_600_000, 1_769_904_000_000), (1_764_547_200_000, 1_767_225_600_000)]
    year = spans(now, 10_000)
    assert len(year) == 12
    assert all(later[0] == earlier[1] for later, earlier in itertools.pairwise(year))


def test_a_file_of_users_is_read() -> None:
    """Columns come in any order, the address may be missing, and blank lines do not count."""
    text = "\ufeffcellphone,Authy_ID,country_code\n317-338-9302,1635,1\n\n7400123456,7,44\n"
    text += "359 1234,8,1 242\n"
    assert list(read_users(text)) == [
        UserRow(2, 1635, "+13173389302", ""),
        UserRow(4, 7, "+447400123456", ""),
        UserRow(5, 8, "+12423591234", ""),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0,1,317-338-9302,a@b.cc", "authy_id"),
        ("-5,1,317-338-9302,a@b.cc", "authy_id"),
        ("9007199254740992,1,317-338-9302,a@b.cc", "authy_id"),
        ("5,1,317,a@b.cc", "cellphone"),
        ("5,US,1 317-338-9302,a@b.cc", "country_code"),
        ("5,1,317-338-9302,a b@b.cc", "email"),
        ("5,1,317-338-9302", "cells"),
        ('5,1,317-338-9302,"a@b.cc', "CSV"),
    ],
)
def test_a_bad_line_is_named_and_not_repeated(line: str, reason: str) -> None:
    """What cannot be used is told by line and reason, never by its values."""
    found = list(read_users(f"authy_id,country_code,cellphone,email\n{line}\n"))
    assert [type(one) for one in found] == [BadUser]
    bad = found[0]
    assert isinstance(bad, BadUser)
    assert reason in bad.reason
    assert "9302" not in bad.reason
    assert "b.cc" not in bad.reason


@pytest.mark.parametrize("head", ["", "authy_id,cellphone", "authy_id,country_code,cellphone,name"])
def test_a_file_with_other_columns_is_refused(head: str) -> None:
    """A file must name Authy's columns, and no other."""
    found = list(read_users(f"{head}\n1,2,3\n"))
    assert [one.line for one in found] == [1]


async def _read(method: str, query: bytes, kind: str, body: bytes) -> Any:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", kind.encode())] if kind else []
    scope = {
        "type": "http",
        "method": method,
        "path": "/protected/json/x",
        "query_string": query,
        "headers": headers,
    }
    return await parameters(Request(scope, receive))


def read(query: bytes = b"", kind: str = "", body: bytes = b"", method: str = "GET") -> Any:
    coroutine = _read(method, query, kind, body)
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits for something")


FORM, JSON = "application/x-www-form-urlencoded; charset=utf-8", "application/json"


@pytest.mark.parametrize(
    ("query", "kind", "body"),
    [
        (b"user[email]=a&force=true", "", b""),
        (b"user%5Bemail%5D=a", FORM, b"force=True"),
        (b"force=1&api_key=k", JSON, b'{"user": {"email": "a"}}'),
        (b"", "", b"user[email]=a&force=TRUE"),
        (b"", JSON, b'{"user": {"email": "a"}, "force": true}'),
    ],
)
def test_parameters_come_from_query_and_body(query: bytes, kind: str, body: bytes) -> None:
    """Query, form and JSON are one set of parameters, with a GET too."""
    found = read(query, kind, body)
    assert found.text("user[email]") == "a"
    assert found.flag("force")
    assert found.text("api_key") is None


@pytest.mark.parametrize(
    ("query", "kind", "body", "code"),
    [
        (b"a=1&a=2", "", b"", 60000),
        (b"a=1", FORM, b"a=1", 60000),
        (b"a=1", JSON, b'{"a": "1"}', 60000),
        (b"", JSON, b'{"a": 1, "a": 2}', 60000),
        (b"", JSON, b'{"user": {"email": "a"}, "user[email]": "b"}', 60000),
        (b"", JSON, b"[1]", 60002),
        (b"", JSON, b"{", 60002),
        (b"", JSON, b"[" * 50_000, 60002),
        (b"", FORM, b"a=\xff", 60005),
        (b"", JSON, b'{"a": "\xff"}', 60005),
        (b"", FORM, b"&".join(b"a%d=1" % n for n in range(200)), 60002),
        (b"", "text/xml", b"<a/>", 60002),
    ],
)
def test_what_is_no_set_of_parameters(query: bytes, kind: str, body: bytes, code: int) -> None:
    """A name twice, wherever, and a body of another kind are refused in Authy's codes."""
    with pytest.raises(errors.AuthyError) as caught:
        read(query, kind, body)
    assert (caught.value.status, caught.value.code) == (400, code)


@pytest.mark.parametrize("value", [b'["a"]', b"1.5", b"true", b'{"b": {"c": 1}}', b'"a\\u0000"'])
def test_a_value_of_another_type_is_refused(value: bytes) -> None:
    """Lists, fractions, booleans, objects and NULs are no text."""
    found = read(b"", JSON, b'{"a": %s, "a[b]": %s}' % (value, value))
    name = "a[b]" if value.startswith(b"{") else "a"
    with pytest.raises(errors.AuthyError) as caught:
        found.text(name)
    assert caught.value.code == 60000


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (LimitReachedError("sends", 17), 429, "60003", "17"),
        (OverloadedError(5), 429, "60003", "5"),
        (ChecksSpentError(300), 429, "60003", "300"),
        (FactorRefusedError(FactorRefusal.TOO_MANY_CHALLENGES, 9), 429, "60003", "9"),
        (FactorRefusedError(FactorRefusal.TOO_MANY_FACTORS), 400, "60122", None),
        (FactorRefusedError(FactorRefusal.DISABLED), 403, "60018", None),
        (NumberDisabledError("disabled"), 403, "60018", None),
        (LandlineError("To", "is a landline"), 403, "60082", None),
        (InvalidParameterError("To", "is short"), 400, "60033", None),
        (InvalidParameterError("Locale", "is unknown"), 400, "60000", None),
        (FeatureOffError("CustomCode"), 403, "60021", None),
        (NotFoundError("user"), 404, "60026", None),
        (NotFoundError("verification"), 404, "60023", None),
        (RequestRunningError("running"), 409, "60000", "1"),
        (LimitsUnavailableError("ConnectionError"), 503, "60000", "2"),
        (KeyMissingError("k1"), 503, "60000", "2"),
        (RuntimeError("to +447400123456"), 500, "60000", None),
    ],
)
def test_every_error_has_authys_shape(
    error: Exception, status: int, code: str, retry_after: str | None
) -> None:
    """Each error of ours is Authy's envelope, its code as a string, and says when to come back."""
    response = errors.answer(REQUEST, error)
    body = json.loads(bytes(response.body))
    assert (response.status_code, body["error_code"]) == (status, code)
    assert response.headers.get("retry-after") == retry_after
    assert set(body) == {"message", "success", "errors", "error_code"}
    assert body["success"] is False
    assert body["errors"] == {"message": body["message"]}
    assert "447400123456" not in body["message"]
