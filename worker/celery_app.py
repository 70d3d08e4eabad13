"""The Celery application. Every setting's reason was measured; see docs/decisions.md."""

from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from kombu.entity import Queue

from worker.settings import Settings
from worker.states import QUEUES

DELIVER = "sendcode.deliver"
SEND_CODE = "sendcode.send_code"
ENQUIRE = "sendcode.enquire"
HEARTBEAT = "sendcode.heartbeat"


def configuration(settings: Settings) -> dict[str, Any]:
    """Celery's settings. The row is the truth, a message is a hint that may be lost or doubled."""
    return {
        "broker_url": settings.broker_url.get_secret_value(),
        "broker_transport": (
            "worker.transport:SentinelTransport"
            if settings.broker_master
            else "worker.transport:Transport"
        ),
        # No backend: results live in our rows.
        "task_ignore_result": True,
        "result_backend": None,
        "task_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        # A killed worker's message comes back; the claim makes the repeat harmless.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_acks_on_failure": True,
        "worker_prefetch_multiplier": 1,
        "worker_disable_rate_limits": True,
        "worker_enable_remote_control": settings.remote_control,
        "worker_send_task_events": False,
        "task_send_sent_event": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_hijack_root_logger": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_pool_limit": 10,
        "task_publish_retry_policy": {
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 0.5,
        },
        # One number for everything that may wait for a message, far below a ten-minute code's
        # life and above a lease. No ETA task exists, so short is safe.
        "visibility_timeout": VISIBILITY_TIMEOUT,
        "broker_transport_options": {
            "visibility_timeout": VISIBILITY_TIMEOUT,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "unacked_mutex_expire": 30,
            "unacked_restore_limit": 1000,
            # Ends the hang on a half-open connection, for worker and producer alike.
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "health_check_interval": 5,
            "max_connections": settings.worker_slots + 32,
            "priority_steps": [0],
            "client_name": "sendcode",
            **_sentinel(settings),
        },
        "task_default_queue": "sms",
        "task_queues": [Queue(name) for name in QUEUES],
        "task_create_missing_queues": False,
        "task_routes": {HEARTBEAT: {"queue": "relay"}},
        "worker_consumer": "worker.consumer:SturdyConsumer",
        "worker_pool": "threads",
        "worker_concurrency": settings.worker_slots,
    }


def _sentinel(settings: Settings) -> dict[str, Any]:
    if not settings.broker_master:
        return {}
    node = urlsplit(settings.broker_url.get_secret_value().partition(";")[0])
    bounds = {"socket_timeout": 2, "socket_connect_timeout": 2}
    credentials = {"username": node.username, "password": node.password}
    return {"master_name": settings.broker_master, "sentinel_kwargs": bounds | credentials}


VISIBILITY_TIMEOUT = 180  # seconds

app = Celery("sendcode", set_as_current=True)


def configure(settings: Settings) -> Celery:
    """Give the application its settings; done once in each process."""
    app.conf.update(configuration(settings))
    return app
