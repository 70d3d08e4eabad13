"""The Celery tasks, each a line around a use case. Arguments carry ids, never a code."""

import re
import time
from collections.abc import Sequence
from typing import Any

import structlog
from celery.exceptions import Reject

from worker import logs, metrics, tracing
from worker.celery_app import DELIVER, ENQUIRE, HEARTBEAT, SEND_CODE, app
from worker.db import UNAVAILABLE
from worker.errors import (
    LimitsUnavailableError,
    NumberBusyError,
    RequestRunningError,
    SendcodeError,
)
from worker.settings import Settings
from worker.standing import HEARTBEAT as HEARTBEAT_KEY
from worker.states import Channel
from worker.verifications import Start
from worker.wiring import Sendcode

log = structlog.get_logger()


_DELIVERY = re.compile(r"VL[0-9a-f]{32}", re.ASCII)
_parts: dict[str, Sendcode] = {}


def use(settings: Settings) -> None:
    """Make this process's parts, so that the first task finds them warm."""
    parts = Sendcode(settings)
    with parts.db.statement():
        _ = parts.dispatch, parts.verifications
    _parts["ours"] = parts


def sendcode() -> Sendcode:
    """This process's parts."""
    return _parts["ours"]


@app.task(name=DELIVER, bind=True)
def deliver(self: Any, sids: Sequence[str], published_at: int | None = None) -> None:
    """Deliver what is due among the deliveries `sids`."""
    ours = [sid for sid in sids if isinstance(sid, str) and _DELIVERY.fullmatch(sid)]
    if len(ours) != len(sids):
        log.error("message.rejected", reason="not all are sids of deliveries")
    try:
        with tracing.received(self.request):
            sendcode().dispatch.deliver(ours, published_at)
    except Exception as error:
        # The row keeps the job: the relay brings it back when its lease or its turn comes.
        log.error("job.crashed", deliveries=ours, error_class=type(error).__name__)
        metrics.crashed()
        raise


@app.task(name=SEND_CODE, bind=True)
def send_code(
    self: Any,
    to: str,
    channel: str = "sms",
    service: str | None = None,
    request_id: str | None = None,
    locale: str | None = None,
) -> None:
    """Start a verification for a backend that speaks Celery instead of HTTP.

    :param service: `VA…`
    :param request_id: the same one twice is one verification; the message's own id otherwise, so
        that a message delivered twice is one verification too
    """
    unsound = [
        name
        for name, value in (("to", to), ("channel", channel), ("service", service))
        if not _is_word(value)
    ]
    unsound += [
        name
        for name, value in (("request_id", request_id), ("locale", locale))
        if value is not None and not _is_word(value)
    ]
    if channel not in list(Channel):
        unsound.append("channel")
    with logs.about(task=self.request.id):
        if unsound:
            reason = f"not usable: {', '.join(sorted({*unsound}))}"
            log.info("request.rejected", act="start", reason=reason)
            return
        _start(
            Start(
                service_sid=service or "",
                to=to,
                channel=Channel(channel),
                locale=locale,
                request_id=request_id or f"task {self.request.id}",
            )
        )


def _start(wanted: Start) -> None:
    parts = sendcode()
    try:
        parts.verifications.start(parts.settings.account_sid, wanted, has_waited=True)
    except (LimitsUnavailableError, NumberBusyError, RequestRunningError, *UNAVAILABLE) as error:
        # Nothing is written yet, so the message must not be lost: back to the queue, slowly.
        log.warning("job.deferred", error_class=type(error).__name__)
        time.sleep(1)
        raise Reject(requeue=True) from None
    except SendcodeError:
        pass  # `start` has told why
    except Exception as error:
        log.error("request.crashed", error_class=type(error).__name__)


def _is_word(value: object) -> bool:
    """A short string that every database takes."""
    return (
        isinstance(value, str)
        and len(value) <= 255
        and "\x00" not in value
        and not any("\ud800" <= char <= "\udfff" for char in value)
    )


@app.task(name=ENQUIRE)
def enquire(sids: Sequence[str]) -> None:
    """Ask the provider about the accepted deliveries `sids`, on which nobody reported."""
    sendcode().enquiry.ask(sids)


@app.task(name=HEARTBEAT)
def heartbeat(sent_at: int) -> None:
    """Prove that a worker takes messages: the relay sends this through the queue."""
    sendcode().redis.set(HEARTBEAT_KEY, sent_at, ex=3600)
