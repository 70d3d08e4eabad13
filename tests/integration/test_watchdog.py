"""The watchdog on a real Valkey."""

import threading

import pytest
import redis

from worker.watchdog import DEAF_AFTER, Watchdog


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def broker(broker_url: str) -> redis.Redis:
    client = redis.Redis.from_url(broker_url)
    client.flushdb()
    return client


@pytest.mark.kills("deafness-is-not-seen")
def test_silence_before_a_full_queue_is_deafness(broker: redis.Redis) -> None:
    """Messages that wait while this worker has room and hears nothing are found out, in time."""
    clock = Clock()
    watchdog = Watchdog(broker, ["sms"], slots=2, clock=clock)
    assert not watchdog.is_deaf()
    broker.lpush("sms", "job")
    assert not watchdog.is_deaf()
    clock.now = DEAF_AFTER - 0.1
    assert not watchdog.is_deaf()
    clock.now = DEAF_AFTER
    assert watchdog.is_deaf()


def test_a_job_heard_is_no_deafness(broker: redis.Redis) -> None:
    """A worker that takes jobs is not deaf, however long the queue."""
    clock = Clock()
    watchdog = Watchdog(broker, ["sms"], slots=2, clock=clock)
    broker.lpush("sms", "job")
    for second in range(0, 60, 5):
        clock.now = float(second)
        assert not watchdog.is_deaf()
        watchdog.job_began()
        watchdog.job_ended()


def test_a_full_worker_is_not_deaf(broker: redis.Redis) -> None:
    """A worker with every slot busy cannot take more and is left alone."""
    clock = Clock()
    watchdog = Watchdog(broker, ["sms"], slots=1, clock=clock)
    watchdog.job_began()
    broker.lpush("sms", "job")
    watchdog.is_deaf()
    clock.now = DEAF_AFTER * 2
    assert not watchdog.is_deaf()


def test_a_broker_that_is_away_proves_nothing() -> None:
    """Without an answer from the broker the worker goes on waiting for it."""
    clock = Clock()
    away = redis.Redis(port=1, socket_connect_timeout=0.2)
    watchdog = Watchdog(away, ["sms"], slots=1, clock=clock)
    watchdog.is_deaf()
    clock.now = DEAF_AFTER * 2
    assert not watchdog.is_deaf()


def test_the_loop_tells_once_and_ends(broker: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deafness is reported once, by the loop that the worker runs."""
    monkeypatch.setattr("worker.watchdog.LOOK_EVERY", 0.01)
    monkeypatch.setattr("worker.watchdog.DEAF_AFTER", 0.1)
    broker.lpush("sms", "job")
    told: list[bool] = []
    Watchdog(broker, ["sms"], slots=1).run(threading.Event(), lambda: told.append(True))
    assert told == [True]


def test_a_running_job_is_let_end(broker: redis.Redis) -> None:
    """A deaf worker is not ended while it is in the middle of a delivery, but right after."""
    clock = Clock()
    watchdog = Watchdog(broker, ["sms"], slots=2, clock=clock)
    watchdog.job_began()
    broker.lpush("sms", "job")
    assert not watchdog.is_deaf()
    clock.now = DEAF_AFTER + 5
    assert not watchdog.is_deaf()
    watchdog.job_ended()
    assert watchdog.is_deaf()


def test_a_quiet_worker_is_not_deaf(broker: redis.Redis) -> None:
    """A worker that is told to take nothing is left alone, however long the queue."""
    clock = Clock()
    watchdog = Watchdog(broker, ["sms"], slots=1, clock=clock)
    watchdog.resting = True
    broker.lpush("sms", "job")
    watchdog.is_deaf()
    clock.now = DEAF_AFTER * 2
    assert not watchdog.is_deaf()
