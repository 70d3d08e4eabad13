"""The outbox of factors: an event is written in the transaction of the change that it tells of."""

from collections.abc import Iterable
from enum import StrEnum

from sqlalchemy import Connection, insert, select

from worker.db import now_ms
from worker.door_tables import factor_events, factor_webhooks

ENABLED, DISABLED = "enabled", "disabled"
EVERY = "*"
_w = factor_webhooks.c


class FactorEvent(StrEnum):
    """What Verify's webhooks may be told. Nobody can deny a challenge of an authenticator app."""

    CREATED = "factor.created"
    VERIFIED = "factor.verified"
    DELETED = "factor.deleted"
    APPROVED = "challenge.approved"
    DENIED = "challenge.denied"


def note(
    connection: Connection,
    event: FactorEvent,
    service_sid: str,
    identity: str,
    factor_sids: Iterable[str],
    challenge_sid: str | None = None,
) -> None:
    """Write down for every webhook of the service that wants to know what became of the entity's
    factors, or of one's challenge.
    """
    # Their rows stay until the events are written, which a deletion would else leave hanging.
    theirs = select(_w.sid, _w.event_types).where(
        _w.service_sid == service_sid, _w.status == ENABLED
    )
    wanting = connection.execute(theirs.with_for_update(read=True, key_share=True)).all()
    rows = [
        {
            "hook_sid": hook.sid,
            "kind": event.value,
            "subject_sid": challenge_sid or factor_sid,
            "factor_sid": factor_sid,
            "identity": identity,
            "tries": 0,
        }
        for hook in wanting
        for factor_sid in factor_sids
        if {EVERY, event.value} & set(hook.event_types)
    ]
    if rows:
        timed = insert(factor_events).values(next_try_at=now_ms(), created_at=now_ms())
        connection.execute(timed, rows)
