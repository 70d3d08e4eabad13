"""Celery's consumer, made to survive any message that Celery or a like of it can publish.

As it comes, a message with a task but no id, or with a body that cannot be read, ends the
consumer's loop or stays unacknowledged and returns for ever. What is no message at all, pushed
into a list by hand, ends the process in kombu before it comes here; its supervisor starts it anew.
"""

import json
from collections.abc import Callable
from typing import Any

import structlog
from celery.exceptions import InvalidTaskError
from celery.utils.log import get_logger
from celery.worker.consumer import Consumer

from worker import outage

log = structlog.get_logger()
_celery_log = get_logger(__name__)


class SturdyConsumer(Consumer):  # type: ignore[misc]
    """Rejects, for good, whatever is no job: a line in the log, and the next message."""

    def connect(self) -> Any:
        connection = super().connect()
        outage.over()
        return connection

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        outage.lost(exc)
        super().on_connection_error_before_connected(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        outage.lost(exc)
        super().on_connection_error_after_connected(exc)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        handle = super().create_task_handler(*args, **kwargs)

        def take(message: Any) -> None:
            try:
                if not is_job(message):
                    raise InvalidTaskError
                handle(message)
            except self.connection_errors:
                raise
            except Exception as error:
                log.error("message.rejected", error_class=type(error).__name__)
                message.reject_log_error(_celery_log, self.connection_errors)

        return take


def is_job(message: Any) -> bool:
    """Whether this is a Celery message, protocol 2, whose JSON body can be called."""
    headers = message.headers
    if not isinstance(headers, dict) or message.content_type != "application/json":
        return False
    if not all(isinstance(headers.get(name), str) and headers[name] for name in ("id", "task")):
        return False
    try:
        arguments, keywords, _ = json.loads(message.body)
    except (ValueError, TypeError, RecursionError):
        return False
    return isinstance(arguments, list) and isinstance(keywords, dict)
