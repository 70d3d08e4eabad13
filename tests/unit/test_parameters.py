"""A request's parameters, as they are read before anything is looked up."""

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from api_stub.errors import ApiError
from api_stub.parameters import Parameters, parameters


def read(body: bytes, kind: str = "application/json") -> Parameters:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", kind.encode())]}
    return asyncio.run(parameters(Request(scope, receive)))


@pytest.mark.parametrize(
    "twice",
    [
        b'"EventTypes": 1, "EventTypes": "a"',
        b'"EventTypes": null, "EventTypes": "a"',
        b'"EventTypes": {}, "EventTypes": "a"',
        b'"EventTypes": ["a"], "EventTypes": "b"',
        b'"EventTypes": "a", "EventTypes": ["b"]',
        b'"EventTypes": "a", "EventTypes": 1',
        b'"EventTypes": "a", "EventTypes": "b", "EventTypes": 1',
    ],
)
@pytest.mark.parametrize("around", [b"{%b}", b'{"A": {%b}}', b'{"A": [{%b}]}'])
def test_a_list_is_given_by_strings_or_once(around: bytes, twice: bytes) -> None:
    """A name that may be repeated with strings is refused with any other value beside them, and so
    it is further down in JSON.
    """
    with pytest.raises(ApiError) as caught:
        read(around % twice)
    found = caught.value
    assert (found.status, found.code, found.field) == (400, 60200, "EventTypes")
    assert "is given more than once" in found.message


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"EventTypes": ["a", "b"]}', "application/json"),
        (b'{"EventTypes": "a", "EventTypes": "b"}', "application/json"),
        (b"EventTypes=a&EventTypes=b", "application/x-www-form-urlencoded"),
    ],
)
def test_a_list_in_every_spelling(body: bytes, kind: str) -> None:
    """A JSON list and a name repeated with strings are the same."""
    assert read(body, kind).texts("EventTypes") == ["a", "b"]
