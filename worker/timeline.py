"""All that happened to one verification. Reads only."""

from typing import Any

from sqlalchemy import Connection, RowMapping, select

from worker.errors import NotFoundError
from worker.models import deliveries, receipts, verifications

_d, _r = deliveries.c, receipts.c
_FACTS = (
    *("sid", "service_sid", "status", "channel", "country", "locale", "checks", "max_checks"),
    *("created_at", "updated_at", "expires_at", "approved_at", "key_id", "number_sealed"),
)
_OF_DELIVERY = (
    *("sid", "channel", "queue", "state", "step", "tries", "doubts", "sender"),
    *("provider_sid", "error_code", "created_at", "published_at", "taken_at"),
    *("accepted_at", "delivered_at", "ended_at", "next_try_at", "expires_at"),
    *("segments", "encoding", "price_micros", "price_currency", "price_told"),
)
_OF_RECEIPT = ("status", "error_code", "received_at")


def read(connection: Connection, verification_sid: str) -> dict[str, Any]:
    """A verification with its number sealed, its deliveries and their receipts in the order they
    came.

    :raises NotFoundError: there is none
    """
    found = connection.execute(
        select(*(verifications.c[name] for name in _FACTS)).where(
            verifications.c.sid == verification_sid
        )
    )
    row = found.mappings().one_or_none()
    if row is None:
        raise NotFoundError("verification")
    sent = (
        connection.execute(
            select(*(_d[name] for name in _OF_DELIVERY))
            .where(_d.verification_sid == verification_sid)
            .order_by(_d.created_at, _d.sid)
        )
        .mappings()
        .all()
    )
    words = _words(connection, [one["sid"] for one in sent])
    told = [{**one, "receipts": words.get(one["sid"], [])} for one in sent]
    return {**row, "deliveries": told}


def _words(connection: Connection, sids: list[str]) -> dict[str, list[dict[str, Any]]]:
    """The receipts of each delivery."""
    told: dict[str, list[dict[str, Any]]] = {}
    statement = select(receipts).where(_r.delivery_sid.in_(sids)).order_by(_r.received_at)
    for word in connection.execute(statement).mappings():
        told.setdefault(word["delivery_sid"], []).append(_shown(word))
    return told


def _shown(word: RowMapping) -> dict[str, Any]:
    return {name: word[name] for name in _OF_RECEIPT}
