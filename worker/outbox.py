"""The outbox: an event is written in the transaction of the change that it tells of."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    bindparam,
    exists,
    func,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from worker.db import now_ms
from worker.door_tables import event_hooks, events
from worker.models import deliveries, verifications
from worker.states import DeliveryState, VerificationStatus

_h, _v, _d = event_hooks.c, verifications.c, deliveries.c


class Event(StrEnum):
    """What a hook may be told. The order is that of the bits in `event_hooks.wants`: add at the
    end.
    """

    APPROVED = "verification.approved"
    CANCELED = "verification.canceled"
    EXPIRED = "verification.expired"
    MAX_ATTEMPTS = "verification.max_attempts_reached"
    DELIVERED = "delivery.delivered"
    UNDELIVERED = "delivery.undelivered"
    FAILED = "delivery.failed"

    @property
    def bit(self) -> int:
        return 1 << list(Event).index(self)


OF_STATUS = {
    VerificationStatus.APPROVED.value: Event.APPROVED,
    VerificationStatus.CANCELED.value: Event.CANCELED,
    VerificationStatus.EXPIRED.value: Event.EXPIRED,
    VerificationStatus.MAX_ATTEMPTS.value: Event.MAX_ATTEMPTS,
}
OF_STATE = {
    DeliveryState.DELIVERED.value: Event.DELIVERED,
    DeliveryState.UNDELIVERED.value: Event.UNDELIVERED,
    DeliveryState.FAILED.value: Event.FAILED,
    DeliveryState.EXPIRED.value: Event.FAILED,
}


def hooked(service_sid: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether anybody may want to know: saves the writing where nobody does."""
    return exists().where(_h.service_sid == service_sid)


def delivery_hooked() -> ColumnElement[bool]:
    """Likewise, within a statement about deliveries."""
    service = select(_v.service_sid).where(_v.sid == _d.verification_sid).correlate(deliveries)
    return hooked(service.scalar_subquery())


def note(connection: Connection, event: Event, sids: Sequence[str]) -> None:
    """Write down for every hook that wants to know what has become of `sids`, which are of
    verifications or deliveries as the event is. The same event of the same one is told once.
    """
    of_delivery = event.value.startswith("delivery.")
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(events).from_select(_COLUMNS, _SELECT[of_delivery])
    values = {"kind": event.value, "bit": event.bit, "sids": list(sids)}
    connection.execute(statement.on_conflict_do_nothing(), values)


_COLUMNS = (
    *("hook_sid", "kind", "subject_sid", "verification_sid"),
    *("tries", "next_try_at", "created_at"),
)


def _select(subject: ColumnElement[str], joined: FromClause) -> Any:
    return (
        select(
            _h.sid,
            bindparam("kind", type_=events.c.kind.type),
            subject,
            _v.sid,
            literal(0),
            now_ms(),
            now_ms(),
        )
        .select_from(joined)
        .join(event_hooks, _h.service_sid == _v.service_sid)
        .where(
            subject.in_(bindparam("sids", expanding=True)),
            _h.enabled,
            func.coalesce(_h.wants.bitwise_and(bindparam("bit")), 0) != 0,
        )
        # One that is being deleted is waited for and left out: no event may hang on it.
        .with_for_update(read=True, key_share=True, of=event_hooks)
    )


_SELECT = {
    False: _select(_v.sid, verifications),
    True: _select(_d.sid, deliveries.join(verifications, _v.sid == _d.verification_sid)),
}
