"""Receipts: the provider's later word on a delivery, in any order, any number of times."""

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

import structlog
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    func,
    null,
    or_,
    select,
    update,
)

from worker import logs, metrics, tracing
from worker.db import Database, now_ms
from worker.models import deliveries, receipts, verifications
from worker.outbox import OF_STATE, note
from worker.states import NO_RECEIPT, RECEIPT_MAY_FOLLOW, DeliveryState

log = structlog.get_logger()

_d, _v, _r = deliveries.c, verifications.c, receipts.c


_SAME = _d.provider_sid == bindparam("b_provider_sid")


def _may_follow(state: DeliveryState, before: Collection[DeliveryState]) -> ColumnElement[bool]:
    """Where one delivery became two messages, as an unknown outcome may, either one's arrival
    counts, and only the known one's failure.
    """
    allowed = _d.state.in_(before)
    if state is DeliveryState.DELIVERED:
        # We gave up waiting for this very word, or it was the other one that did not arrive.
        undone = or_(_d.error_code == NO_RECEIPT, ~_SAME)
        return or_(allowed, and_(_d.state == DeliveryState.UNDELIVERED, undone))
    if state is DeliveryState.UNDELIVERED:
        return and_(allowed, or_(_d.provider_sid.is_(None), _SAME))
    return allowed


def _follow_at(state: DeliveryState) -> ColumnElement[Any]:
    """When the plan goes on: never behind one that arrived, at once where there is hope."""
    if state is DeliveryState.UNDELIVERED:
        return case((bindparam("b_hope", type_=Boolean), now_ms()), else_=null())
    return null() if state is DeliveryState.DELIVERED else _d.follow_at


_KNOWN = (
    select(
        _d.verification_sid,
        _d.sender,
        _d.channel,
        _v.country,
        _v.service_sid,
        (now_ms() - _d.created_at).label("age"),
    )
    .join(verifications, _v.sid == _d.verification_sid)
    .where(_d.sid == bindparam("sid"))
)
_MOVE = {
    state: update(deliveries)
    .where(_d.sid == bindparam("b_sid"), _may_follow(state, before))
    .values(
        state=state.value,
        provider=bindparam("b_provider"),
        provider_sid=bindparam("b_provider_sid")
        if state is DeliveryState.DELIVERED
        else func.coalesce(_d.provider_sid, bindparam("b_provider_sid")),
        error_code=bindparam("b_error"),
        delivered_at=now_ms() if state is DeliveryState.DELIVERED else _d.delivered_at,
        ended_at=now_ms() if state.final else _d.ended_at,
        # A receipt proves acceptance even where the answer to our request was lost.
        accepted_at=func.coalesce(_d.accepted_at, now_ms()),
        follow_at=_follow_at(state),
    )
    for state, before in RECEIPT_MAY_FOLLOW.items()
}


_CAME_LATER = (
    update(receipts)
    .where(
        _r.provider == bindparam("b_provider"),
        _r.provider_sid == bindparam("b_provider_sid"),
        _r.status == bindparam("b_status"),
        _r.delivery_sid == bindparam("b_delivery"),
        _r.asked.is_(True),
    )
    .values(asked=False)
)


class Receipts:
    """Applies receipts that were already proven genuine."""

    def __init__(self, db: Database, on_undelivered: Callable[[str], object]) -> None:
        self._db = db
        self._on_undelivered = on_undelivered

    def apply(
        self,
        delivery_sid: str,
        *,
        provider: str,
        provider_sid: str,
        status: str,
        words: Mapping[str, DeliveryState],
        error_code: str | None = None,
        hope: bool = False,
        asked: bool = False,
    ) -> bool:
        """Move the delivery to where `status` says, if the transition table allows.

        :param words: the provider's words and the state each means
        :param hope: of an undelivered one: whether its reason leaves hope for another try
        :param asked: it is the answer to our question, and did not come by callback
        :returns: False when nothing changed: a repeat, an old word, an unknown word or delivery
        """
        state = words.get(status)
        if state is None:
            log.error("receipt.word_unknown", provider=provider, status=status[:20])
            return False
        with logs.about(
            delivery=delivery_sid,
            provider=provider,
            provider_sid=provider_sid,
            status=status,
            error_code=error_code,
        ):
            moved = self._apply(
                *(delivery_sid, provider, provider_sid, status, state, error_code, hope, asked)
            )
        if moved and state is DeliveryState.UNDELIVERED and hope:
            self._on_undelivered(delivery_sid)
        return moved

    def _apply(
        self,
        delivery_sid: str,
        provider: str,
        provider_sid: str,
        status: str,
        state: DeliveryState,
        error_code: str | None,
        hope: bool,
        asked: bool,
    ) -> bool:
        with self._db.begin() as connection:
            known = connection.execute(_KNOWN, {"sid": delivery_sid}).one_or_none()
            if known is None:
                log.warning("receipt.unmatched")
                return False
            logs.learned(
                verification=known.verification_sid,
                service=known.service_sid,
                channel=known.channel,
                country=known.country,
                sender=known.sender,
            )
            if not self._first_time(
                connection, delivery_sid, provider, provider_sid, status, error_code, asked
            ):
                log.info("receipt.duplicate")
                return False
            moved = connection.execute(
                _MOVE[state],
                {
                    "b_sid": delivery_sid,
                    "b_provider": provider,
                    "b_provider_sid": provider_sid,
                    "b_error": error_code,
                    **({"b_hope": hope} if state is DeliveryState.UNDELIVERED else {}),
                },
            ).rowcount
            if moved and state.value in OF_STATE:
                note(connection, OF_STATE[state.value], [delivery_sid])
        if moved:
            bad = state is DeliveryState.UNDELIVERED
            log.log(logging.INFO if bad else logging.DEBUG, "receipt.received", state=state.value)
        else:
            log.info("receipt.out_of_order", state=state.value)
        tracing.mark("receipt", known.verification_sid, delivery=delivery_sid, status=status)
        metrics.receipt(
            *(known.sender or "", known.channel, known.country, state, error_code),
            *(known.age / 1000, asked),
        )
        return bool(moved)

    def _first_time(
        self,
        connection: Connection,
        delivery_sid: str,
        provider: str,
        provider_sid: str,
        status: str,
        error_code: str | None,
        asked: bool,
    ) -> bool:
        statement = self._db.insert(receipts).values(
            provider=provider,
            provider_sid=provider_sid,
            status=status,
            delivery_sid=delivery_sid,
            error_code=error_code,
            received_at=now_ms(),
            asked=asked,
        )
        inserted = statement.on_conflict_do_nothing().returning(_r.status)
        if connection.execute(inserted).first() is not None:
            return True
        if not asked:  # we were faster, and callbacks come all the same
            row = {"b_provider": provider, "b_provider_sid": provider_sid, "b_status": status}
            connection.execute(_CAME_LATER, row | {"b_delivery": delivery_sid})
        return False
