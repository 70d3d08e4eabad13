"""Counts what became of the codes of each minute, so that no page has to count deliveries.

A minute is counted from its rows, whole, and again as they change: a count that was lost, made
twice or made by two relays is the same count.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy import Connection, bindparam, case, delete, func, select

from worker import metrics
from worker.db import Database, now_ms
from worker.minute_tables import (
    WAIT_BOUNDS,
    WAITS,
    minute_costs,
    minute_looks,
    minutes,
    service_costs,
    service_minutes,
)
from worker.models import deliveries, sid_at, verifications
from worker.states import NOT_ARRIVED, Channel

log = structlog.get_logger()

MINUTE = 60_000  # ms
EVERY = 10.0  # seconds between two looks
BACK = 1440  # minutes that are made up for after a pause
AT_ONCE = 60  # minutes counted between two looks at which are due
# Seconds after its end at which a minute is counted again: receipts and checks come later.
AGES = (0, 20, 60, 120, 300, 600, 1200, 3600)

_d, _v, _m, _l = deliveries.c, verifications.c, minutes.c, minute_looks.c
_WAITED = _d.accepted_at - _d.created_at
_SENT = {Channel.SMS.value: "sms", Channel.CALL.value: "calls"}
_BUCKET = case(
    (_d.accepted_at.is_(None), -1),
    *((bound >= _WAITED, i) for i, bound in enumerate(WAIT_BOUNDS)),
    else_=len(WAIT_BOUNDS),
)
_COUNTED = (minutes, service_minutes, minute_costs, service_costs)


def _of(*states: str) -> Any:
    return func.sum(case((_d.state.in_(states), 1), else_=0))


_DELIVERIES = (
    select(
        *(_d.channel, _v.country, _v.service_sid, _BUCKET.label("bucket")),
        _d.price_currency.label("currency"),
        func.sum(_d.price_micros).label("micros"),
        func.count().label("deliveries"),
        _of("delivered").label("delivered"),
        _of(*NOT_ARRIVED).label("failed"),
    )
    .join(verifications, _v.sid == _d.verification_sid)
    .where(_d.sid >= bindparam("first"), _d.sid < bindparam("behind"))
    .group_by(_d.channel, _v.country, _v.service_sid, _BUCKET, _d.price_currency)
)
_CODES = (
    select(
        *(_v.channel, _v.country, _v.service_sid, func.count().label("codes")),
        func.sum(case((_v.status == "approved", 1), else_=0)).label("approved"),
    )
    .where(_v.sid >= bindparam("first"), _v.sid < bindparam("behind"))
    .group_by(_v.channel, _v.country, _v.service_sid)
)


class Rollup:
    """
    :param counted: called after a look, such as by what compares with the counts
    """

    def __init__(
        self, db: Database, retention_days: int, counted: Callable[[], object] = lambda: None
    ) -> None:
        self._db = db
        self._counted = counted
        self._keep = retention_days * 86_400_000

    def run(self, stop: threading.Event) -> None:
        """Look every `EVERY` seconds until `stop` is set, also after a database that was away."""
        purged = 0.0
        while not stop.is_set():
            try:
                while self.look() == AT_ONCE and not stop.is_set():
                    pass
                self._counted()
                if time.monotonic() - purged > 3600:
                    self.purge()
                    purged = time.monotonic()
            except Exception as error:
                log.warning("rollup.failed", error_class=type(error).__name__)
                metrics.chore_failed("rollup")
            stop.wait(EVERY)

    def look(self) -> int:
        """Count the minutes that are due, the newest first; how many."""
        with self._db.statement() as connection:
            now = int(connection.execute(select(now_ms())).scalar_one())
            since = now - BACK * MINUTE
            rows = connection.execute(select(minute_looks).where(_l.minute > since))
            looks = {row.minute: row.looked_at for row in rows}
        newest = now // MINUTE * MINUTE
        every = range(newest, newest - BACK * MINUTE, -MINUTE)
        due = [one for one in every if is_due(one, looks.get(one), now)][:AT_ONCE]
        for minute in due:
            self._count(minute, looks.get(minute))
        return len(due)

    def purge(self) -> None:
        """Forget minutes that are older than the retention."""
        with self._db.begin() as connection:
            for table in (*_COUNTED, minute_looks):
                connection.execute(delete(table).where(table.c.minute < now_ms() - self._keep))

    def _count(self, minute: int, seen: int | None) -> None:
        with self._db.statement() as connection:
            now = int(connection.execute(select(now_ms())).scalar_one())
            counted = _counted(connection, minute)
        with self._db.begin() as connection:
            if not self._claims(connection, minute, seen, now):
                return  # another relay has just counted it
            for table, rows in zip(_COUNTED, counted, strict=True):
                connection.execute(delete(table).where(table.c.minute == minute))
                if rows:
                    connection.execute(table.insert(), rows)

    def _claims(self, connection: Connection, minute: int, seen: int | None, now: int) -> bool:
        insert = self._db.insert(minute_looks).values(minute=minute, looked_at=now)
        statement = insert.on_conflict_do_update(
            index_elements=[_l.minute], set_={"looked_at": now}, where=_l.looked_at == seen
        ).returning(_l.minute)
        return connection.execute(statement).first() is not None


def is_due(minute: int, looked_at: int | None, now: int) -> bool:
    """Whether a minute is to be counted: never was, goes on, or has reached an age at which it is
    counted again. All in ms.
    """
    if looked_at is None or now < minute + MINUTE:
        return True
    ages = (minute + MINUTE + age * 1000 for age in AGES)
    return any(looked_at < at <= now for at in ages)


def _counted(connection: Connection, minute: int) -> tuple[list[dict[str, Any]], ...]:
    """The rows of a minute for each of `_COUNTED`."""
    places: dict[tuple[str, str], dict[str, Any]] = defaultdict(lambda: _empty(minute))
    services: dict[str, dict[str, int]] = defaultdict(lambda: {"sms": 0, "calls": 0, "approved": 0})
    costs: dict[tuple[str, str, str], int] = defaultdict(int)
    of_services: dict[tuple[str, str], int] = defaultdict(int)
    for row in connection.execute(_CODES, _between("VE", minute)).mappings():
        for name in ("codes", "approved"):
            places[row["channel"], row["country"]][name] += row[name]
        services[row["service_sid"]]["approved"] += row["approved"]
    for row in connection.execute(_DELIVERIES, _between("VL", minute)).mappings():
        place = places[row["channel"], row["country"]]
        for name in ("deliveries", "delivered", "failed"):
            place[name] += row[name]
        if row["bucket"] >= 0:
            place["accepted"] += row["deliveries"]
            place[WAITS[row["bucket"]]] += row["deliveries"]
        services[row["service_sid"]][_SENT[row["channel"]]] += row["deliveries"]
        if row["currency"] is not None:
            costs[row["channel"], row["country"], row["currency"]] += int(row["micros"])
            of_services[row["service_sid"], row["currency"]] += int(row["micros"])
    return (
        [{"channel": one[0], "country": one[1], **place} for one, place in places.items()],
        [{"service_sid": sid, "minute": minute, **counts} for sid, counts in services.items()],
        [
            dict(zip(("channel", "country", "currency"), one, strict=True))
            | {"minute": minute, "micros": micros}
            for one, micros in costs.items()
        ],
        [
            {"service_sid": sid, "currency": currency, "minute": minute, "micros": micros}
            for (sid, currency), micros in of_services.items()
        ],
    )


def _empty(minute: int) -> dict[str, Any]:
    counts = ("codes", "approved", "deliveries", "accepted", "delivered", "failed", *WAITS)
    return {"minute": minute, **dict.fromkeys(counts, 0)}


def _between(prefix: str, minute: int) -> dict[str, str]:
    """The sids that were made in a minute."""
    return {"first": sid_at(prefix, minute), "behind": sid_at(prefix, minute + MINUTE)}
