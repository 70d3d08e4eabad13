"""A request's parameters: those of query, form and JSON body together, each name once.

Old clients send a form with a GET, or JSON with some and a query with others.
"""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Request

from api_stub.authy_v1.access import IN_QUERY
from api_stub.authy_v1.errors import GENERAL, INVALID_ENCODING, INVALID_REQUEST, AuthyError
from api_stub.parameters import MAX_VALUE, is_plain, pairs

_NAME = re.compile(r"[A-Za-z_\[\]]{1,64}", re.ASCII)  # a caller's own may hold anything


class Parameters:
    """The parameters by Authy's names; an object's come as `user[email]`.

    :param code: Authy's code of a refusal
    """

    def __init__(self, values: Mapping[str, Any], code: int = GENERAL) -> None:
        self._values = values
        self._code = code

    def refusing_with(self, code: int) -> "Parameters":
        return Parameters(self._values, code)

    def refusal(self, name: str, reason: str) -> AuthyError:
        return AuthyError(400, self._code, f"Invalid parameter: {name} {reason}")

    def text(self, name: str) -> str | None:
        """A string, or None where the name is absent or empty."""
        value = self._values.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise self.refusal(name, "must be a string")
        if len(value) > MAX_VALUE or not is_plain(value):
            raise self.refusal(name, "is too long, or holds a character that cannot be used")
        return value

    def number(self, name: str) -> str | None:
        """Like `text`, and a JSON number where no leading zero can be lost."""
        value = self._values.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self.text(name)

    def required(self, name: str) -> str:
        value = self.number(name)
        if value is None:
            raise self.refusal(name, "is required")
        return value

    def integer(self, name: str, allowed: range) -> int | None:
        value = self.number(name)
        if value is None:
            return None
        if not (value.isascii() and value.isdigit() and len(value) < 6 and int(value) in allowed):
            raise self.refusal(name, f"must be from {allowed[0]} to {allowed[-1]}")
        return int(value)

    def flag(self, name: str) -> bool:
        """Whether it is true in any of the spellings that clients have."""
        return str(self._values.get(name, "")).lower() in ("true", "1")

    def refuse(self, *names: str) -> None:
        """
        :raises AuthyError: one is given of those that change a request and are not offered
        """
        for name in names:
            if self._values.get(name) not in (None, "", {}, []):
                raise self.refusal(name, "is not offered")


async def parameters(request: Request) -> Parameters:
    """
    :raises AuthyError: a body that is no form and no JSON object, or a name given twice
    """
    values: dict[str, Any] = {}
    for name, value in _pairs(request.scope["query_string"]):
        if name != IN_QUERY:
            _put(values, name, value)
    for name, value in _body(request, await request.body()):
        _put(values, name, value)
    return Parameters(values)


Given = Annotated[Parameters, Depends(parameters)]


def _body(request: Request, body: bytes) -> list[tuple[str, Any]]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not body.strip():
        return []
    if kind not in ("", "application/json", "application/x-www-form-urlencoded"):
        raise AuthyError(400, INVALID_REQUEST, "Send a form or JSON")
    return _flat(_json_object(body)) if kind == "application/json" else _pairs(body)


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    try:
        return pairs(raw)
    except UnicodeDecodeError:
        raise _not_utf8() from None
    except ValueError:
        raise AuthyError(400, INVALID_REQUEST, "Too many parameters") from None


def _not_utf8() -> AuthyError:
    return AuthyError(400, INVALID_ENCODING, "The parameters are not UTF-8")


def _flat(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            found += [(f"{name}[{key}]", one) for key, one in value.items()]
        else:
            found.append((name, value))
    return found


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body.decode(), object_pairs_hook=_once)
    except UnicodeDecodeError:
        raise _not_utf8() from None
    except (ValueError, RecursionError):
        raise AuthyError(400, INVALID_REQUEST, "The body is not valid JSON") from None
    if not isinstance(values, dict):
        raise AuthyError(400, INVALID_REQUEST, "The body must be a JSON object")
    return values


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        _put(values, name, value)
    return values


def _put(values: dict[str, Any], name: str, value: Any) -> None:
    if name in values:
        shown = name if _NAME.fullmatch(name) else "-"
        raise AuthyError(400, GENERAL, f"Invalid parameter: {shown} is given more than once")
    values[name] = value
