"""Each line of the Celery configuration that a promise hangs on."""

import pytest

from tests.unit.test_settings import COMPLETE
from worker.celery_app import QUEUES, configuration
from worker.settings import load

CONFIGURATION = configuration(load(**COMPLETE))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task_acks_late", True),
        ("task_reject_on_worker_lost", True),
        ("task_acks_on_failure", True),
        ("worker_prefetch_multiplier", 1),
        ("task_ignore_result", True),
        ("result_backend", None),
        ("accept_content", ["json"]),
        ("result_accept_content", ["json"]),
        ("task_serializer", "json"),
        ("worker_enable_remote_control", False),
        ("worker_send_task_events", False),
        ("task_send_sent_event", False),
        ("worker_cancel_long_running_tasks_on_connection_loss", False),
        ("broker_connection_max_retries", None),
        ("task_create_missing_queues", False),
        ("worker_pool", "threads"),
    ],
)
def test_settings_that_promises_hang_on(name: str, value: object) -> None:
    """Celery runs as measured: late acknowledgement, JSON, no results, no events, no pidbox."""
    assert CONFIGURATION[name] == value


def test_transport_cannot_hang_or_hoard() -> None:
    """Half-open connections end in seconds and abandoned messages return within the code's life."""
    options = CONFIGURATION["broker_transport_options"]
    assert options["socket_timeout"] == 5
    assert options["health_check_interval"] == 5
    assert options["visibility_timeout"] == CONFIGURATION["visibility_timeout"] < 600
    assert (options["unacked_restore_interval"], options["unacked_restore_throttle"]) == (5, 1)
    assert options["priority_steps"] == [0]
    assert options["max_connections"] > CONFIGURATION["worker_concurrency"]


def test_each_broker_has_its_transport() -> None:
    """Messages are noted and forgotten by one command, at a master that Sentinel names as well."""
    assert CONFIGURATION["broker_transport"] == "worker.transport:Transport"
    sentinel = load(**{**COMPLETE, "broker_url": "sentinel://one:26379", "broker_master": "codes"})
    assert configuration(sentinel)["broker_transport"] == "worker.transport:SentinelTransport"


def test_every_queue_has_a_consumer() -> None:
    """A worker started without options takes from every queue that exists."""
    assert [q.name for q in CONFIGURATION["task_queues"]] == list(QUEUES)


def test_remote_control_is_there_when_asked_for() -> None:
    """The setting turns Celery's remote control on."""
    settings = load(**COMPLETE, remote_control=True)
    assert configuration(settings)["worker_enable_remote_control"] is True
