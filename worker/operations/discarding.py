"""Discard: what waits is dropped unsent, one delivery or a queue's. What a worker holds is not."""

from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    text,
    update,
)

from worker import metrics
from worker.audit import Operator, clean_reason, write_down
from worker.db import Database, now_ms
from worker.errors import ActionRefusedError, InvalidParameterError, NotFoundError
from worker.models import deliveries, verifications
from worker.operations.words import Outcome, Result, acting, done_or_would
from worker.outbox import Event, note
from worker.settings import Settings
from worker.statements import PENDING
from worker.states import DELIVERY_QUEUES, DISCARDED, DeliveryState

MOST = 10_000  # deliveries that are dropped at once, in one transaction
SHARE = 1_000  # in one statement
_d, _v = deliveries.c, verifications.c
_QUEUED = text("deliveries.state = 'queued'")
_OVER = _d.expires_at <= now_ms()
_ENDED = ~exists().where(_v.sid == _d.verification_sid, _v.status == PENDING)
# Whatever the provider may have already is no waiting one: it is asked about, not dropped.
_UNSENT = (_d.doubts == 0, _d.accepted_at.is_(None))


class Which(StrEnum):
    EXPIRED = "expired"  # of no use any more: the code's life or its verification is over
    ALL = "all"


# One and the same row is a claim's or this statement's: both ask for `queued` under its lock.
_DROP = (
    update(deliveries)
    .where(
        _d.sid.in_(bindparam("b_sids", expanding=True)),
        _d.state == DeliveryState.QUEUED,
        *_UNSENT,
    )
    .values(
        state=case(
            (_OVER, DeliveryState.EXPIRED.value),
            (_ENDED, DeliveryState.CANCELED.value),
            else_=DeliveryState.FAILED.value,
        ),
        error_code=DISCARDED,
        ended_at=now_ms(),
        follow_at=None,
        slot_of=None,
    )
    .returning(_d.sid, _d.state, _d.queue)
)
_ONE = (
    select(_d.sid, _d.state, _d.queue, _d.doubts, _d.accepted_at, _v.account_sid)
    .join(verifications, _v.sid == _d.verification_sid)
    .order_by(_d.sid.desc())
    .limit(1)
)


class Discarding:
    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._settings = settings

    @acting("discard")
    def one(self, by: Operator, sid: str, reason: str, *, dry_run: bool = False) -> Outcome:
        """Drop a delivery that waits; it fails as `discarded`, and no step of a plan follows it.
        Nothing is done where it has ended or the provider has it.

        :param sid: `VL…`, or `VE…` for its newest delivery
        :raises NotFoundError: there is none
        :raises ActionRefusedError: `being_sent`, a worker holds it or the outcome of a call is
            not known
        """
        reason, target = clean_reason(reason), self._find(sid)
        before = {"state": target["state"], "queue": target["queue"]}
        if target["state"] == DeliveryState.SENDING or target["doubts"]:
            raise _being_sent()
        if target["state"] != DeliveryState.QUEUED or target["accepted_at"] is not None:
            return Outcome("discard", target["sid"], Result.UNCHANGED, before)
        after = {"error_code": DISCARDED}
        if not dry_run:
            with self._db.begin() as connection:
                dropped = _drop(connection, [target["sid"]])
                if not dropped:
                    raise _being_sent()
                after["state"] = dropped[0].state
                write_down(connection, by, "discard", target["sid"], reason, before, after)
            _count(dropped)
        return Outcome("discard", target["sid"], done_or_would(dry_run), before, after)

    @acting("discard.queue")
    def queue(
        self, by: Operator, name: str, which: str, reason: str, *, dry_run: bool = False
    ) -> Outcome:
        """Drop what waits in a queue, now or for its next try, up to `MOST` at once, those first
        whose code ends first; `more` says whether as much again is left.

        :param which: `expired` or `all`
        :raises InvalidParameterError: no such queue or choice, or no reason
        """
        reason = clean_reason(reason)
        if name not in DELIVERY_QUEUES:
            raise InvalidParameterError("Queue", f"must be one of {', '.join(DELIVERY_QUEUES)}")
        if which not in tuple(Which):
            raise InvalidParameterError("Which", f"must be one of {', '.join(Which)}")
        target, wanted = f"queue {name}", _waits(name, Which(which))
        with self._db.begin() as connection:
            if dry_run:
                counted = select(func.count()).select_from(wanted.subquery())
                found = int(connection.execute(counted).scalar_one())
                after: dict[str, Any] = {"which": which, "total": found, "more": found == MOST}
                return Outcome("discard.queue", target, Result.WOULD, after=after)
            sids = list(connection.execute(wanted.with_for_update(skip_locked=True)).scalars())
            dropped = [
                row
                for first in range(0, len(sids), SHARE)
                for row in _drop(connection, sids[first : first + SHARE])
            ]
            after = {"which": which, "total": len(dropped), "more": len(sids) == MOST}
            if not dropped:
                return Outcome("discard.queue", target, Result.UNCHANGED, after=after)
            write_down(connection, by, "discard.queue", target, reason, after=after)
        _count(dropped)
        return Outcome("discard.queue", target, Result.DONE, after=after)

    def _find(self, sid: str) -> Any:
        wanted = _d.sid if sid.startswith("VL") else _d.verification_sid
        with self._db.statement() as connection:
            row = connection.execute(_ONE.where(wanted == sid)).mappings().one_or_none()
        if row is None or row["account_sid"] != self._settings.account_sid:
            raise NotFoundError("delivery")
        return row


def _waits(queue: str, which: Which) -> Any:
    found = select(_d.sid).where(_QUEUED, _d.queue == queue, *_UNSENT)
    if which is Which.EXPIRED:
        found = found.where(_useless())
    return found.order_by(_d.expires_at).limit(MOST)


def _useless() -> ColumnElement[bool]:
    return or_(_OVER, _ENDED)


def _drop(connection: Connection, sids: list[str]) -> list[Any]:
    """Those that no worker has taken since, with the state they have now."""
    dropped = list(connection.execute(_DROP, {"b_sids": sids}).all())
    ends = (DeliveryState.FAILED, DeliveryState.EXPIRED)
    failed = [row.sid for row in dropped if row.state in ends]
    if failed:
        note(connection, Event.FAILED, failed)
    return dropped


def _count(dropped: list[Any]) -> None:
    for row in dropped:
        metrics.discarded(row.queue, DISCARDED)


def _being_sent() -> ActionRefusedError:
    return ActionRefusedError("being_sent", "a worker holds it: it is being sent")
