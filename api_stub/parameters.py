"""Reads a request's parameters, form or JSON, each name once and each value a short string."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_stub.errors import ApiError, Faces, answer, invalid

MAX_BODY = 64 * 1024
MAX_VALUE = 4096
MAX_FIELDS = 100
# Lists come as one name given several times.
REPEATABLE = frozenset({"Details.Fields", "EventTypes", "Passkeys.RelyingParty.Origins"})


class Parameters:
    """The parameters by Twilio's names. Every reader refuses what it cannot use.

    :param code: Twilio's code of a refusal
    """

    def __init__(self, values: Mapping[str, Any], code: int = 60200) -> None:
        self._values = values
        self._code = code

    def refusing_with(self, code: int) -> "Parameters":
        return Parameters(self._values, code)

    def refusal(self, name: str, reason: str) -> ApiError:
        return invalid(name, reason, self._code)

    def text(self, name: str) -> str | None:
        """A string, or None where the name is absent or empty."""
        value = self._values.get(name)
        if value is None or value == "":
            return None
        return self._plain(name, value)

    def texts(self, name: str) -> list[str]:
        """The strings of a name that may be given several times."""
        value = self._values.get(name)
        if value is None or value == "":
            return []
        return [self._plain(name, one) for one in (value if isinstance(value, list) else [value])]

    def _plain(self, name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise self.refusal(name, "must be a string")
        if len(value) > MAX_VALUE or not is_plain(value):
            raise self.refusal(name, "is too long, or holds a NUL or half a character")
        return value

    def required(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise self.refusal(name, "is required")
        return value

    def boolean(self, name: str) -> bool | None:
        value = self._values.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise self.refusal(name, "must be true or false")

    def integer(self, name: str) -> int | None:
        value = self._values.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, float) and value.is_integer():
            return int(value)  # JSON has one kind of number: 60.0 is 60
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
            return int(value)
        raise self.refusal(name, "must be a whole number")

    def only(self, *names: str) -> None:
        """
        :raises ApiError: a parameter of another name is given
        """
        unknown = [name for name in self._values if name not in names]
        if unknown:
            known = ", ".join(names)
            raise ApiError(400, 20001, f"Unknown parameters: there are {known or 'none'}")

    def items(self) -> list[tuple[str, Any]]:
        """What was given, by name."""
        return list(self._values.items())

    def required_integer(self, name: str) -> int:
        value = self.integer(name)
        if value is None:
            raise invalid(name, "is required")
        return value

    def emptied(self, name: str) -> bool:
        """Whether it is there and empty, which takes away what may be taken away."""
        return self._values.get(name) == ""

    def given(self, name: str) -> bool:
        return self._values.get(name) not in (None, "")


def is_plain(text: str) -> bool:
    """Whether every character is one that a database and an answer can hold."""
    return not any(c == "\x00" or "\ud800" <= c <= "\udfff" for c in text)


async def parameters(request: Request) -> Parameters:
    """The body's parameters.

    :raises ApiError: not a form or JSON object, or a name given twice
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return Parameters(_json_object(await request.body()))
    if kind not in ("", "application/x-www-form-urlencoded"):
        raise ApiError(415, 20015, "Send application/x-www-form-urlencoded or application/json")
    return Parameters(_once(_read("body", await request.body())))


def query(request: Request) -> Parameters:
    """The query's parameters.

    :raises ApiError: not UTF-8, or a name given twice
    """
    return Parameters(_once(_read("query", request.scope["query_string"])))


def pairs(raw: bytes) -> list[tuple[str, str]]:
    """What a form or a query holds, by name.

    :raises UnicodeDecodeError: as it is, or percent-decoded, it is not UTF-8
    :raises ValueError: more than `MAX_FIELDS`
    """
    return parse_qsl(
        raw.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
    )


def _read(what: str, raw: bytes) -> list[tuple[str, str]]:
    try:
        return pairs(raw)
    except UnicodeDecodeError:
        raise ApiError(400, 20001, f"The {what} is not UTF-8") from None
    except ValueError:
        message = f"The {what} has more than {MAX_FIELDS} parameters"
        raise ApiError(400, 20001, message) from None


def _once(items: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    lists: dict[str, list[str]] = {}  # made here: a list of JSON is a value like others
    for name, value in items:
        if name in lists and isinstance(value, str):
            lists[name].append(value)
            continue
        if name in values:
            raise invalid(name[:64], "is given more than once")
        if name in REPEATABLE and isinstance(value, str):
            value = lists[name] = [value]
        values[name] = value
    return values


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise ApiError(400, 20001, "The body is not valid JSON") from None
    if not isinstance(values, dict):
        raise ApiError(400, 20001, "The body must be a JSON object")
    return values


class BodyLimit:
    """Refuses a body over `MAX_BODY` bytes before anything reads it."""

    def __init__(self, app: ASGIApp, faces: Faces) -> None:
        self._app = app
        self._faces = faces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > MAX_BODY:
            refusal = answer(self._faces, Request(scope), _too_large())
            await refusal(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > MAX_BODY:
                raise _too_large()
            return message

        await self._app(scope, counted, send)


def _too_large() -> ApiError:
    return ApiError(413, 20001, f"The body is larger than {MAX_BODY} bytes")
