"""What this process counts and times, for Prometheus. No label holds a number, a sid or an address.

The use cases call the functions below, one line each beside their log lines. The log level must
not change what is counted, so nothing is derived from the log.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from tempfile import TemporaryDirectory
from typing import ParamSpec, TypeVar

import structlog
from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
    start_http_server,
)
from prometheus_client.multiprocess import MultiProcessCollector

from worker.errors import (
    LimitReachedError,
    OutcomeUnknownError,
    ProviderError,
    RateLimitedError,
    SendcodeError,
)
from worker.states import DELIVERY_QUEUES

log = structlog.get_logger()
disable_created_metrics()  # type: ignore[no-untyped-call]

P = ParamSpec("P")
R = TypeVar("R")

_TOGETHER = "PROMETHEUS_MULTIPROC_DIR"
# Seconds: from a provider's answer to a text that needs minutes.
_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(f"sendcode_{name}", text, labels)


def _histogram(name: str, text: str, *labels: str) -> Histogram:
    return Histogram(f"sendcode_{name}_seconds", text, labels, buckets=_BUCKETS)


_ACCEPTED = _counter("codes_accepted", "Codes promised to a number.", "channel", "country")
_REJECTED = _counter("codes_rejected", "Starts that were refused.", "reason")
_RATE_LIMITED = _counter("rate_limited", "Sends that a limit refused.", "limit")
_VERIFICATIONS = _counter(
    "verifications",
    "Checks by result; attempts_exceeded counts the codes whose last guess was wrong.",
    *("channel", "country", "result"),
)
_CHECKS_REJECTED = _counter("checks_rejected", "Checks that compared no code.", "reason")
_EXPIRED = _counter("verifications_expired", "Verifications that ended unused.")
_ATTEMPTS = _counter(
    "attempts",
    "Deliveries handed to a provider, or skipped before that.",
    *("sender", "channel", "outcome", "error_class"),
)
_PROVIDER_ERRORS = _counter(
    "provider_errors", "Codes of refusals and of receipts that deny arrival.", "sender", "code"
)
_RECEIPTS = _counter(
    "receipts",
    "Receipts, each word on a delivery once.",
    *("sender", "channel", "country", "status", "way"),
)
_RECEIPTS_MISSING = _counter("receipts_missing", "Accepted deliveries nobody reported on.")
_RETRIES = _counter("retries", "Tries that were put off.", "channel", "reason")
_FALLBACKS = _counter(
    "fallbacks", "Steps of a plan that were taken.", "from_channel", "to_channel", "reason"
)
_DISCARDED = _counter(
    "jobs_discarded", "Deliveries that ended before they were sent.", "queue", "reason"
)
_CRASHED = _counter("jobs_crashed", "Jobs that ended in an error of ours.")
_WEBHOOKS = _counter("webhooks", "Callbacks of the provider.", "provider", "result")
_CHORES_FAILED = _counter("relay_chores_failed", "Looks of the relay that failed.", "chore")
_ACTIONS = _counter("operator_actions", "What operators did.", "action", "result")
_SEGMENTS = _counter("segments", "Messages that texts took.", "provider", "encoding")
_COST = _counter(
    "cost_micros",
    "Cost of deliveries, each once: as told, or as estimated before, in millionths.",
    *("provider", "channel", "country", "currency"),
)
_QUEUE_WAIT = _histogram("queue_wait", "From due to taken by a worker.", "queue")
_REQUEST = _histogram(
    "provider_request", "A provider call with its quick repeats.", "sender", "channel"
)
_HANDOFF = _histogram("handoff", "From the promise to the provider's acceptance.", "channel")
_DELIVERY = _histogram(
    "delivery", "From the promise to the receipt of arrival.", "sender", "channel", "country"
)
_TO_VERIFY = _histogram("time_to_verify", "From the promise to the right code.", "channel")

# A series that begins with 1 is no increase to Prometheus: what alerts look at begins with 0.
for _queue in DELIVERY_QUEUES:
    for _word in ("expired", "canceled", "no_time_left"):
        _DISCARDED.labels(_queue, _word)
for _word in ("ok", "bad_signature", "other_account"):
    _WEBHOOKS.labels("twilio", _word)
for _word in ("settle", "publish", "end_overdue", "send_heartbeat", "purge", "rollup"):
    _CHORES_FAILED.labels(_word)
_REJECTED.labels("overloaded")


def serve(host: str, port: int) -> None:
    """Answer `/metrics` on a port of this process; on none when `port` is 0.

    A port that is taken is an error in the log: codes go out all the same.
    """
    if not port:
        return
    try:
        start_http_server(port, host)
    except OSError as error:
        log.error("metrics.not_served", host=host, port=port, reason=error.strerror)


def text() -> bytes:
    """What this process counted, or all the processes of one `counting_together`."""
    if not os.environ.get(_TOGETHER):
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


@contextmanager
def counting_together(processes: int) -> Iterator[None]:
    """Where several processes share a port, each of them answers for all: by files."""
    if processes == 1:
        yield
        return
    with TemporaryDirectory(prefix="sendcode-metrics-") as folder:
        os.environ[_TOGETHER] = folder  # a process reads it when it imports the library
        try:
            yield
        finally:
            del os.environ[_TOGETHER]


def refusals_of_starts(start: Callable[P, R]) -> Callable[P, R]:
    """Counts what `start` refuses, by reason."""
    return _counting(start, _REJECTED)


def refusals_of_checks(check: Callable[P, R]) -> Callable[P, R]:
    """Counts what `check` refuses without comparing, by reason."""
    return _counting(check, _CHECKS_REJECTED)


def refused_at_the_door(act: str, reason: str) -> None:
    """A `start` or `check` was refused before the core was asked."""
    (_REJECTED if act == "start" else _CHECKS_REJECTED).labels(reason).inc()


def _counting(act: Callable[P, R], refused: Counter) -> Callable[P, R]:
    @wraps(act)
    def counted(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return act(*args, **kwargs)
        except Exception as error:
            refused.labels(_reason(error)).inc()
            if isinstance(error, LimitReachedError):
                # A service may have any number of limits, under names that callers chose.
                of_service = isinstance(error, RateLimitedError)
                rate_limited("of_service" if of_service else error.limit)
            raise

    return counted


def _reason(error: Exception) -> str:
    """`LimitReachedError` as `limit_reached`; what is none of ours is `unavailable`."""
    if not isinstance(error, SendcodeError):
        return "unavailable"
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__.removesuffix("Error")).lower()


def rate_limited(limit: str) -> None:
    _RATE_LIMITED.labels(limit).inc()


def accepted(channel: str, country: str) -> None:
    """A code was promised."""
    _ACCEPTED.labels(channel, country).inc()


def checked(channel: str, country: str, status: str, seconds: float) -> None:
    """A code was compared.

    :param status: of the verification after it
    :param seconds: since its start
    """
    if status == "approved":
        _VERIFICATIONS.labels(channel, country, "approved").inc()
        _TO_VERIFY.labels(channel).observe(seconds)
        return
    _VERIFICATIONS.labels(channel, country, "wrong").inc()
    if status == "max_attempts_reached":
        _VERIFICATIONS.labels(channel, country, "attempts_exceeded").inc()


def expired(count: int) -> None:
    """Verifications ended unused."""
    _EXPIRED.inc(count)


def taken(queue: str, waited: float) -> None:
    """A worker took a delivery, `waited` seconds after it was due."""
    _QUEUE_WAIT.labels(queue).observe(max(0.0, waited))


@contextmanager
def attempt(sender: str, channel: str) -> Iterator[None]:
    """Times a provider call and counts what came of it."""
    began = time.monotonic()
    outcome, error_class = "accepted", ""
    try:
        yield
    except ProviderError as error:
        outcome, error_class = "failed", error.kind.value
        _PROVIDER_ERRORS.labels(sender, error.code).inc()
        raise
    except OutcomeUnknownError as error:
        outcome, error_class = "timeout", "unknown"
        _PROVIDER_ERRORS.labels(sender, error.code).inc()
        raise
    finally:
        _REQUEST.labels(sender, channel).observe(time.monotonic() - began)
        _ATTEMPTS.labels(sender, channel, outcome, error_class).inc()


def skipped(channel: str, reason: str) -> None:
    """A delivery failed without a provider call."""
    _ATTEMPTS.labels("", channel, "skipped", reason).inc()


def handed_over(channel: str, seconds: float) -> None:
    """The provider accepted a delivery, `seconds` after it was promised."""
    _HANDOFF.labels(channel).observe(max(0.0, seconds))


def segments(provider: str, encoding: str, parts: int) -> None:
    """A provider took a text that goes as this many messages."""
    _SEGMENTS.labels(provider, encoding).inc(parts)


def cost(provider: str, channel: str, country: str, currency: str, micros: int) -> None:
    """What a delivery costs became known, or was estimated."""
    _COST.labels(provider, channel, country, currency).inc(micros)


def put_off(channel: str, reason: str, count: int = 1) -> None:
    """A delivery is tried again later."""
    _RETRIES.labels(channel, reason).inc(count)


def discarded(queue: str, reason: str) -> None:
    """A delivery ended before it was sent."""
    _DISCARDED.labels(queue, reason).inc()


def crashed() -> None:
    """A job ended in an error of ours."""
    _CRASHED.inc()


def fell_back(from_channel: str, to_channel: str, state: str) -> None:
    """A plan's next step was taken, after a delivery in `state`."""
    reason = state if state in ("failed", "undelivered") else "waited"
    _FALLBACKS.labels(from_channel, to_channel, reason).inc()


def receipt(
    sender: str,
    channel: str,
    country: str,
    state: str,
    error_code: str | None,
    seconds: float,
    asked: bool,
) -> None:
    """A receipt came for the first time.

    :param state: what it means
    :param seconds: since the delivery was promised
    :param asked: it did not come by callback
    """
    _RECEIPTS.labels(sender, channel, country, state, "enquiry" if asked else "callback").inc()
    if state == "delivered":
        _DELIVERY.labels(sender, channel, country).observe(max(0.0, seconds))
    elif error_code:
        _PROVIDER_ERRORS.labels(sender, error_code).inc()


def receipts_missing(count: int) -> None:
    """Accepted deliveries were given up without a receipt."""
    _RECEIPTS_MISSING.inc(count)


def webhook(provider: str, result: str) -> None:
    """A callback came: `ok`, or why it was refused."""
    _WEBHOOKS.labels(provider, result).inc()


def chore_failed(chore: str) -> None:
    """A look of the relay failed."""
    _CHORES_FAILED.labels(chore).inc()


def acted(action: str, result: str) -> None:
    """An operator did something, or was refused."""
    _ACTIONS.labels(action, result).inc()
