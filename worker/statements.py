"""Statements and limits that more than one use case needs."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import and_, insert

from worker.db import now_ms
from worker.limits import Limit
from worker.models import deliveries, new_sid, verifications
from worker.settings import Settings
from worker.states import Channel, DeliveryState, VerificationStatus

Publish = Callable[[Channel, Sequence[str], int, int], object]
"""Tells the broker of deliveries: channel, sids, seconds they live, and now by the database's
clock in ms."""

PENDING = VerificationStatus.PENDING.value
SPENT = VerificationStatus.MAX_ATTEMPTS.value
DAY = 86_400  # seconds
ALIVE = and_(verifications.c.status == PENDING, verifications.c.expires_at > now_ms())


def insert_delivery(
    statement: Any, verification_sid: str, channel: Channel, expires_at: int, *, fallback: bool
) -> Any:
    """The values of a delivery that is due now and of which the broker is told next."""
    return statement.values(
        sid=new_sid("VL"),
        verification_sid=verification_sid,
        channel=channel.value,
        state=DeliveryState.QUEUED.value,
        fallback=fallback,
        tries=0,
        doubts=0,
        call_wanted=False,
        next_try_at=now_ms(),
        hinted_at=now_ms(),
        expires_at=expires_at,
        created_at=now_ms(),
    )


def new_delivery(verification_sid: str, channel: Channel, expires_at: int) -> Any:
    """The INSERT of a delivery that a backend asked for; returns its row."""
    return insert_delivery(
        insert(deliveries), verification_sid, channel, expires_at, fallback=False
    ).returning(deliveries)


def service_limit(settings: Settings, service_sid: str, index: bytes) -> Limit:
    """Sends of one service to one number; given back by an approval or a cancel."""
    return Limit(
        "sends",
        f"{service_sid}:{index.hex()}",
        settings.limit_sends,
        settings.limit_sends_window,
    )


def number_limits(
    settings: Settings, service_sid: str, index: bytes, channel: Channel
) -> list[Limit]:
    """Every limit that one send to a number must pass."""
    number = index.hex()
    found = [
        service_limit(settings, service_sid, index),
        Limit("daily", number, settings.limit_daily, DAY),
    ]
    if channel is Channel.CALL:
        found.append(Limit("daily_calls", number, settings.limit_daily_calls, DAY))
    return found
