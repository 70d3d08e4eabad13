"""Whether receipts come by callback, by sender. Reads only, and a bounded part."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, bindparam, func, select

from worker.db import Database, now_ms
from worker.models import deliveries, receipts, sid_at

MOST = 2000  # deliveries that are looked at, the newest of those that are old enough
WITHIN, OLD_ENOUGH = 900_000, 60_000  # ms
ENOUGH = 30  # accepted deliveries, as in the alert SendcodeReceiptsMissing

_d, _r = deliveries.c, receipts.c


@dataclass(frozen=True, slots=True)
class Told:
    """Of one sender's deliveries of the last quarter of an hour that are a minute old.

    :param accepted: how many the provider took
    :param told: of how many of these a receipt came by callback
    :param last_at: when the last of them did, ms since 1970 UTC
    """

    sender: str
    accepted: int
    told: int
    last_at: int | None

    @property
    def missing(self) -> bool:
        """So many were accepted without any receipt that callbacks cannot arrive."""
        return self.accepted >= ENOUGH and not self.told


class ReceiptHealth:
    def __init__(self, db: Database) -> None:
        self._db = db

    def look(self) -> dict[str, Told]:
        """By the sender's name.

        :raises sqlalchemy.exc.SQLAlchemyError: the database does not answer
        """
        with self._db.statement() as connection:
            now = int(connection.execute(select(now_ms())).scalar_one())
            rows = connection.execute(_TOLD, window(now))
            return {row.sender: Told(*row) for row in rows}


def window(now: int) -> dict[str, Any]:
    """What `_TOLD` is run with."""
    old = now - OLD_ENOUGH
    return {"since": sid_at("VL", now - WITHIN), "before": sid_at("VL", old), "old": old}


def _told() -> Select[Any]:
    last = (  # for each row, so that no plan reads all receipts
        select(func.max(_r.received_at))
        .where(_r.delivery_sid == _d.sid, _r.asked.is_not(True))
        .scalar_subquery()
    )
    newest = (
        select(_d.sender, _d.accepted_at, last.label("last_at"))
        .where(_d.sid >= bindparam("since"), _d.sid < bindparam("before"))
        .order_by(_d.sid.desc())
        .limit(MOST)
        .subquery("newest")
    )
    of = newest.c
    return (
        select(of.sender, func.count(), func.count(of.last_at), func.max(of.last_at))
        .where(of.accepted_at <= bindparam("old"), of.sender.is_not(None))
        .group_by(of.sender)
    )


_TOLD = _told()
