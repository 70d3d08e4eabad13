"""A request and its answer, and the words that many answers share."""

import base64
from dataclasses import dataclass, field
from typing import Any

from api_stub.verify_v2.openapi import START

FORM = (("Content-Type", "application/x-www-form-urlencoded"),)
JSON = (("Content-Type", "application/json"),)
GOOD = "+13605550123"  # never sent to: every request that names it is refused
VERIFICATIONS, CHECK = "{service}/Verifications", "{service}/VerificationCheck"
FETCH = "{service}/Verifications/{sid}"
TO_START = f"To=%2B{GOOD[1:]}&Channel=sms"
AS_JSON = f'{{"To": "{GOOD}", "Channel": "sms"}}'
ZEROS = "0" * 32

Headers = tuple[tuple[str, str], ...]
# Status, code, message, details, and headers beside those that every answer has.
Answer = tuple[int, int | None, str, dict[str, Any], dict[str, str]]


@dataclass(frozen=True)
class Row:
    """A request and its answer.

    :param body: what `{…}` stands for is put into a string, and not into bytes
    :param account: whether the account's credentials go with it, after `headers`
    :param answers: `Allow`, `Retry-After` and the like, by lower-case names
    """

    name: str
    method: str
    path: str
    headers: Headers
    body: str | bytes
    status: int
    code: int | None
    message: str
    details: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    account: bool = True


def start(name: str, body: str | bytes, *answer: Any, headers: Headers = FORM, **rest: Any) -> Row:
    return Row(name, "POST", VERIFICATIONS, headers, body, *answer, **rest)


def check(name: str, body: str | bytes, *answer: Any, headers: Headers = FORM, **rest: Any) -> Row:
    return Row(name, "POST", CHECK, headers, body, *answer, **rest)


def fetch(name: str, path: str, *answer: Any, **rest: Any) -> Row:
    return Row(name, "GET", path, (), "", *answer, **rest)


def parameter(name: str, reason: str) -> tuple[int, int, str]:
    return 400, 60200, f"Invalid parameter `{name}`: {reason}"


def missing(path: str) -> tuple[int, int, str]:
    return 404, 20404, f"The requested resource {path} was not found"


ONLY_PLUS = "must start with + and the country code (a form needs the + encoded)"
ODD = "is too long, or holds a NUL or half a character"
TWICE = "is given more than once"
FOUR_TO_TEN = "must be 4 to 10 digits, sent as a string"
NAME = "may hold letters, digits, spaces and . , ' - & _ ( ) + ! only"
NO_JSON = (400, 20001, "The body is not valid JSON")
NO_UTF8 = (400, 20001, "The body is not UTF-8")
NO_OBJECT = (400, 20001, "The body must be a JSON object")
WRONG_KIND = (415, 20015, "Send application/x-www-form-urlencoded or application/json")
TOO_LARGE = (413, 20001, "The body is larger than 65536 bytes")
WHO = (401, 20003, "Authentication Error - invalid username or password")
ASKED_WHO: dict[str, Any] = {"answers": {"www-authenticate": 'Basic realm="sendcode"'}}
NO_METHOD = (405, 20004, "Method not allowed")
NAMELESS = (400, 60221, "Name the verification: To or VerificationSid is required")
NO_CHECK = missing("/Services/{VA}/VerificationCheck")
_OF_A_START = ", ".join((*START, "CustomMessage"))
UNKNOWN_NAME = (400, 20001, f"Unknown parameters: there are {_OF_A_START}")
UNKNOWN: dict[str, Any] = {"details": {"reason": "unknown", "attempts_remaining": 0}}
BAD_KEY = parameter("Idempotency-Key", "must be 1 to 255 printable ASCII characters")


def basic(text: bytes) -> Headers:
    return (("Authorization", f"Basic {base64.b64encode(text).decode()}"), *FORM)


def kind(value: str) -> Headers:
    return (("Content-Type", value),)


def key(value: str) -> Headers:
    return (("Idempotency-Key", value), *FORM)
