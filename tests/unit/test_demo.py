"""What `./dev up` says of its show."""

import os

import pytest

from worker.embedded import demo

ACCOUNT = dict.fromkeys(
    ("SENDCODE_ACCOUNT_SID", "SENDCODE_AUTH_TOKEN", "SENDCODE_SERVICE_SID"), "x"
) | {"SENDCODE_URL": "http://127.0.0.1:9"}


def test_a_show_that_failed_claims_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a command takes too long it says which and why that may be, and not that all went well
    beside it."""
    said: list[str] = []
    monkeypatch.setattr(demo, "CLI_SECONDS", 0.01)
    monkeypatch.setattr(demo, "_approved", lambda *_: "VE1")
    assert demo.show(ACCOUNT, dict(os.environ), said.append) is False
    (line,) = said
    assert "`sendcode status VE1` took over" in line
    assert "busy" in line
