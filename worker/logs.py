"""Log lines: JSON on a machine, readable on a terminal; the libraries' lines go the same way."""

import logging
import re
import sys
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import structlog

from worker import __version__, tracing
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
    "alembic": logging.WARNING,
    "kombu": logging.WARNING,
    "amqp": logging.WARNING,
    "asyncio": logging.WARNING,
    "celery.pool": logging.WARNING,
    "celery.concurrency": logging.WARNING,
    "celery.worker.strategy": logging.WARNING,
    "celery.worker.request": logging.CRITICAL,
    "celery.app.trace": logging.CRITICAL,
}


log = structlog.get_logger()
_HASH_DIGITS = 16  # of a number's keyed hash: enough to join lines by
_of_process: dict[str, Any] = {}
# structlog's own context takes ten times as long to bind, and as long as a line to merge.
_about: ContextVar[dict[str, Any] | None] = ContextVar("about", default=None)
_processors: list[Any] = []  # one list for good: loggers are kept with it


@contextmanager
def about(**fields: Any) -> Iterator[None]:
    """Put fields on every line that is written inside, whoever writes it."""
    token = _about.set({**(_about.get() or {}), **fields})
    try:
        yield
    finally:
        _about.reset(token)


def learned(**fields: Any) -> None:
    """Put more fields on the lines of the present `about`."""
    known = _about.get()
    if known is not None:
        known.update(fields)


def of_process(**fields: Any) -> None:
    """Put fields on every line of this process from now on."""
    _of_process.update(fields)


def number_hash(index: bytes) -> str:
    """How lines name a number: the start of its keyed hash, by which they can be joined.

    :param index: see `worker.codes.Keyring.number_index`
    """
    return index.hex()[:_HASH_DIGITS]


def ms_since(began: float) -> int:
    """
    :param began: on the monotonic clock
    """
    return int((time.monotonic() - began) * 1000)


def common(logger: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add what is known of the process and of what it works on; the line's own values win."""
    line = {**_of_process, **(_about.get() or {}), **event}
    verification = line.get("verification")
    if isinstance(verification, str) and tracing.is_on():
        line["trace_id"] = verification[2:]
    return line


def configure(settings: Settings, quiet: bool = False) -> None:
    """Send structlog and the standard library's loggers to stderr in one format.

    :param quiet: for somebody who reads what a command answers: no line, unless a level is set
    """
    shared: list[Any] = [
        common,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
    ]
    console = settings.log_format == "console" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    quiet = quiet and "log_level" not in settings.model_fields_set
    level = logging.CRITICAL if quiet else getattr(logging, settings.log_level.upper())
    _processors[:] = [*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter]
    structlog.configure(
        processors=_processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,  # a line that is not written then costs a third
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
                *((_without_controls,) if console else ()),
                renderer,
            ],
        )
    )
    # What no line shows and each record would look up (Python's logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
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
        event["event"] = _plain(text)
    return event


def _without_controls(logger: Any, name: str, event: Any) -> Any:
    """So may a value; JSON escapes them by itself."""
    return {key: _plain(value) for key, value in event.items()}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _CONTROL.sub(lambda found: repr(found[0])[1:-1], value)
    if isinstance(value, dict):
        return {_plain(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    return _plain(repr(value))


def told_settings(settings: Settings, process: str) -> None:
    """Say what this process runs with: which settings were given, none of their values but these.

    :param process: `api`, `worker`, `relay` or `sandbox`
    """
    log.info(
        "config.loaded",
        process=process,
        version=__version__,
        provider=settings.provider,
        database=settings.database_url.partition(":")[0],
        senders=[sender.name for sender in settings.all_senders()],
        log_level=settings.log_level,
        given=sorted(settings.model_fields_set),
    )


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
