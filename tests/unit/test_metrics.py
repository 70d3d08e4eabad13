"""Counters of processes that share a port."""

import os
import subprocess
import sys

import pytest

from worker import metrics
from worker.errors import RateLimitedError

COUNT = "from worker import metrics; metrics.webhook('twilio', 'ok')"
SHOW = "from worker import metrics; print(metrics.text().decode())"


def python(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_processes_on_one_port_count_together() -> None:
    """What any of them counted is in the answer of each, and in no answer afterwards."""
    wanted = 'sendcode_webhooks_total{provider="twilio",result="ok"} 2.0'
    with metrics.counting_together(2):
        for _ in range(2):
            python(COUNT)
        assert wanted in python(SHOW)
    assert wanted not in python(SHOW)
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ


def test_a_limit_of_a_services_own_is_not_named() -> None:
    """Names that callers chose make no label: all limits of services count as one."""

    @metrics.refusals_of_starts
    def start() -> None:
        raise RateLimitedError("per-address", 60)

    with pytest.raises(RateLimitedError):
        start()
    text = metrics.text().decode()
    assert "per-address" not in text
    assert 'sendcode_rate_limited_total{limit="of_service"} 1.0' in text
    assert 'sendcode_codes_rejected_total{reason="rate_limited"} 1.0' in text


def test_one_process_counts_alone() -> None:
    """A process alone keeps its counts in memory: no files."""
    with metrics.counting_together(1):
        assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
