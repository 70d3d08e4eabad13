"""Log lines: JSON on a machine, readable on a terminal; the libraries' lines go the same way."""

import logging
import re
import sys
from typing import Any

import structlog

from worker.redaction import redact
from worker.settings import Settings

# Libraries that write what they send or take: numbers, URLs, bodies, a task's arguments.
_FLOORS = {
    "twilio": logging.ERROR,
    "urllib3": logging.ERROR,
    "httpx": logging.ERROR,
    "httpcore": logging.ERROR,
    "multipart": logging.ERROR,
    "python_multipart": logging.ERROR,
    "uvicorn.access": logging.CRITICAL,
    "sqlalchemy": logging.WARNING,
    "kombu": logging.WARNING,
    "amqp": logging.WARNING,
    "asyncio": logging.WARNING,
    "celery.pool": logging.WARNING,
    "celery.concurrency": logging.WARNING,
    "celery.worker.strategy": logging.WARNING,
    "celery.worker.request": logging.CRITICAL,
    "celery.app.trace": logging.CRITICAL,
}


def configure(settings: Settings) -> None:
    """Send structlog and the standard library's loggers to stderr in one format."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
    ]
    console = settings.log_format == "console" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    level = getattr(logging, settings.log_level.upper())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    renderer: Any = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # Tracebacks of the libraries may print values they hold; the type is enough.
                _exception_type_only,
                redact,
                _one_line,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, floor in _FLOORS.items():
        logging.getLogger(name).setLevel(max(floor, level))
    for name in ("celery.worker.consumer", "celery.worker.consumer.consumer"):
        consumer = logging.getLogger(name)
        if _without_messages not in consumer.filters:
            consumer.addFilter(_without_messages)


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def _one_line(logger: Any, name: str, event: Any) -> Any:
    """A library's text may hold what a stranger sent: it ends no line and moves no cursor."""
    if isinstance(text := event.get("event"), str):
        event["event"] = _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)
    return event


def _without_messages(record: logging.LogRecord) -> bool:
    """Celery's consumer prints the body of a message it cannot use; only that it came is kept."""
    text = str(record.msg).lower()
    if not any(word in text for word in ("message", "task", "body")):
        return True
    record.msg, record.args = "A message that is no job of ours was dropped", ()
    record.exc_info = record.exc_text = None
    return record.levelno >= logging.WARNING


def _exception_type_only(logger: Any, name: str, event: Any) -> Any:
    exception = event.pop("exc_info", None)
    if exception is True:
        exception = sys.exc_info()
    event.pop("exc_text", None)
    event.pop("stack_info", None)
    if exception:
        kind = exception[0] if isinstance(exception, tuple) else type(exception)
        event["exception"] = getattr(kind, "__name__", str(kind))
        trace = exception[2] if isinstance(exception, tuple) else exception.__traceback__
        if trace is not None:
            while trace.tb_next:
                trace = trace.tb_next
            code = trace.tb_frame.f_code
            event["where"] = f"{code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
    return event
