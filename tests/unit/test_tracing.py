"""Tracing costs nothing until it is asked for."""

import subprocess
import sys

import pytest

from worker import tracing
from worker.errors import SettingsError

UNTRACED = """
import sys
import api_stub.app, worker.process, worker.relay, worker.tasks
from worker import tracing
tracing.configure("", "1")
tracing.mark("check", "VE" + "0" * 32)
assert tracing.headers() == {}
costly = ("opentelemetry.sdk.trace", "opentelemetry.exporter")
print([name for name in sys.modules if name.startswith(costly)])
"""


def test_nothing_is_imported_without_the_setting() -> None:
    """No process loads the tracer or its exporter when no endpoint is set."""
    command = [sys.executable, "-c", UNTRACED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "[]", done.stderr[-500:]


def test_an_absent_extra_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an endpoint and without the extra the process does not start, and says what to do."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingsError, match=r"pip install 'sendcode\[otel\]'"):
        tracing.configure("http://127.0.0.1:4318", "1")
