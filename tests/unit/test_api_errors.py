"""Our errors as the doors answer them: Twilio's envelope, a code, and when to come back."""

import json
from typing import Any

import pytest
from starlette.requests import Request

from api_stub.errors import invalid, translate
from worker.errors import (
    BusyError,
    ChecksSpentError,
    KeyMissingError,
    LimitReachedError,
    LimitsUnavailableError,
    NumberDisabledError,
    OverloadedError,
    RequestConflictError,
    RequestRunningError,
)

REQUEST = Request({"type": "http", "path": "/v2/Services/x/Verifications", "headers": []})


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (LimitReachedError("sends", 17), 429, 60203, "17"),
        (OverloadedError(5), 429, 20429, "5"),
        (BusyError(1), 429, 20429, "1"),
        (ChecksSpentError(300), 429, 60202, "300"),
        (RequestRunningError("running"), 409, 20409, "1"),
        (RequestConflictError("other values"), 422, 20422, None),
        (NumberDisabledError("disabled"), 403, 60238, None),
        (LimitsUnavailableError("ConnectionError"), 503, 20503, "2"),
        (KeyMissingError("k1"), 503, 20503, "2"),
    ],
)
def test_a_refusal_says_what_it_is_and_when_to_come_back(
    error: Exception, status: int, code: int, retry_after: str | None
) -> None:
    """Every error of ours has its status, Twilio's code for it, and Retry-After where it ends."""
    response = translate(REQUEST, error).response()
    body: dict[str, Any] = json.loads(bytes(response.body))
    assert (response.status_code, body["status"], body["code"]) == (status, status, code)
    assert response.headers.get("retry-after") == retry_after
    assert set(body) - {"details"} == {"code", "message", "more_info", "status"}


def test_what_nobody_expected_says_nothing_of_itself() -> None:
    """An unforeseen error is a 500 in the envelope, without its text."""
    response = translate(REQUEST, RuntimeError("to +447400123456, code 123456")).response()
    assert response.status_code == 500
    assert b"123456" not in bytes(response.body)


@pytest.mark.parametrize(
    ("name", "said"),
    [("dry_run", "dry_run"), ("ChannelData.To", "ChannelData.To"), ("+13605550123", "-")],
)
def test_a_bad_parameter_is_named(name: str, said: str) -> None:
    """A refusal names each parameter of ours, and repeats nothing else that was given as a name."""
    assert str(invalid(name, "is wrong")) == f"Invalid parameter `{said}`: is wrong"
