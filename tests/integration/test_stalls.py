"""A Redis that stalls, or whose clock is another: what nobody waits for counts nowhere."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.helpers import count
from tests.integration.conftest import ACCOUNT
from tests.integration.operating import start
from tests.servers import BrokerHandle, start_broker
from worker import limits
from worker.errors import LimitsUnavailableError
from worker.recall import Limit
from worker.services import Service
from worker.states import Lane
from worker.wiring import Sendcode

LIMIT = Limit("sends", "key", 5, 600)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerHandle]:
    """One of its own, which may be stopped."""
    handle = start_broker(tmp_path)
    yield handle
    os.kill(handle.pid, signal.SIGCONT)
    handle.stop()


def scripts_run(client: "redis.Redis") -> int:
    stats: Any = client.info("commandstats")
    return int(stats["cmdstat_evalsha"]["calls"])


def sends_counted(parts: Sendcode) -> set[int]:
    """By the limits, each of which holds as many."""
    return {parts.redis.llen(key) for key in parts.redis.scan_iter("sendcode:limit:*")}


@pytest.mark.kills("a-stalled-admission-counts")
def test_what_a_stall_kept_waiting_counts_nowhere(
    make_parts: Callable[..., Sendcode], broker: BrokerHandle
) -> None:
    """A start that was refused because Redis stalled leaves no count and no mark when Redis goes
    on: the same request, made again, is answered at once.
    """
    parts = make_parts(broker_url=broker.url)
    service = parts.services.create(ACCOUNT, "Example")
    start(parts, service)
    run = scripts_run(parts.redis)
    os.kill(broker.pid, signal.SIGSTOP)
    with pytest.raises(LimitsUnavailableError):
        start(parts, service, request_id="r1")
    os.kill(broker.pid, signal.SIGCONT)
    while scripts_run(parts.redis) == run:
        time.sleep(0.01)
    assert not list(parts.redis.scan_iter("sendcode:running:*"))
    assert (sends_counted(parts), count(parts, "deliveries")) == ({1}, 1)
    start(parts, service, request_id="r1")
    assert count(parts, "deliveries") == 2


@pytest.mark.kills("another-clock-refuses-for-good")
@pytest.mark.parametrize("by", [-3_600_000, 3_600_000])
def test_a_clock_that_jumps_refuses_nobody(parts: Sendcode, service: Service, by: int) -> None:
    """Where Redis's clock is another than it was, as after a failover, a start is admitted, and
    counted once.
    """
    start(parts, service)
    assert parts.limits._ahead is not None
    parts.limits._ahead += by
    start(parts, service)
    assert sends_counted(parts) == {2}


def test_a_script_that_is_late_does_nothing(
    parts: Sendcode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes no key and tells the time, by which the next one is asked."""
    assert parts.limits.admit([LIMIT]) is Lane.USUAL
    assert parts.limits._ahead is not None
    parts.limits._ahead -= 3_600_000
    before = {key: parts.redis.dump(key) for key in parts.redis.scan_iter()}
    with monkeypatch.context() as once:
        once.setattr(limits, "ASKED", 1)
        with pytest.raises(LimitsUnavailableError):
            parts.limits.admit([LIMIT], running="r1")
    assert {key: parts.redis.dump(key) for key in parts.redis.scan_iter()} == before
    with monkeypatch.context() as once:
        once.setattr(limits, "ASKED", 1)
        assert parts.limits.admit([LIMIT], running="r1") is Lane.USUAL
    assert parts.redis.llen(LIMIT.redis_key) == 2
