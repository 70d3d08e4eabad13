"""What is deleted once it is old, by index and in batches of a transaction each."""

import threading
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    delete,
    select,
    text,
    tuple_,
    update,
)

from worker import factors
from worker.batches import BATCH, in_batches
from worker.chores import Chore, run_chores
from worker.db import Database, now_ms, then_ms
from worker.door_tables import events
from worker.models import deliveries, number_guards, receipts, requests, verifications
from worker.operations import Operations
from worker.operators import Operators
from worker.statements import PENDING, SPENT

log = structlog.get_logger()

EVERY = 60.0  # seconds between two looks
DAY = 86_400_000  # ms
REQUEST_HOLDS = DAY  # ms in which the same request id gets the same answer
_d, _g, _v = deliveries.c, number_guards.c, verifications.c
# Literal, so that PostgreSQL sees that the partial indexes apply.
_UNTIMED: Any = text("number_guards.updated_at IS NULL")
_IDLE: Any = text("number_guards.disabled_at IS NULL")
_GIVEN_UP: Any = text("events.next_try_at IS NULL")
_CLEARED: Any = text("number_guards.failures = 0 AND number_guards.disabled_at IS NULL")


class Purging:
    """Deletes beside the relay's loop: after a long pause, or a shorter retention, it takes hours,
    and no code waits for it.

    :param retention_days: how long what has ended is kept
    """

    def __init__(
        self, db: Database, retention_days: int, operations: Operations, operators: Operators
    ) -> None:
        self._db = db
        self._age = retention_days * DAY
        self._operations = operations
        self._operators = operators

    def run(self, stop: threading.Event) -> None:
        """Look every `EVERY` seconds until `stop` is set, also after a database that was away."""
        run_chores([Chore(self.purge, EVERY)], stop)

    def purge(self) -> None:
        """Delete what ended longer ago than the retention setting, oldest first."""
        if gone := purge_verifications(self._db, self._age):
            log.info("purge.done", count=gone)
        factors.purge(self._db, self._age)
        self._operations.purge(self._age)
        self._operators.purge()
        purge_requests(self._db)
        purge_guards(self._db, self._age)
        purge_events(self._db, self._age)


def purge_verifications(db: Database, age: int) -> int:
    """Delete the verifications that ended and began more than `age` ms ago, with their deliveries
    and receipts; how many.
    """
    which = (
        select(_v.sid)
        .where(_v.created_at < then_ms() - age, _v.status.not_in((PENDING, SPENT)))
        .order_by(_v.created_at)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )

    def batch(connection: Connection) -> int:
        old = list(connection.execute(which).scalars())
        if old:
            ours = select(_d.sid).where(_d.verification_sid.in_(old))
            connection.execute(delete(receipts).where(receipts.c.delivery_sid.in_(ours)))
            connection.execute(delete(deliveries).where(_d.verification_sid.in_(old)))
            connection.execute(delete(verifications).where(_v.sid.in_(old)))
        return len(old)

    return in_batches(db, batch)


def purge_guards(db: Database, age: int) -> int:
    """Delete the guards that hold nothing, and those that nothing was added to for `age` ms; how
    many. What disables a number stays, since only an operator enables it again.
    """
    _in_batches(db, number_guards, _stamp, _UNTIMED)
    cleared = _in_batches(db, number_guards, delete, _CLEARED, _g.updated_at <= then_ms())
    return cleared + _in_batches(db, number_guards, delete, _IDLE, _g.updated_at < then_ms() - age)


def purge_requests(db: Database) -> int:
    """Delete the answers whose request would be a new one now; how many."""
    old = requests.c.created_at < then_ms() - REQUEST_HOLDS
    return _in_batches(db, requests, delete, old)


def purge_events(db: Database, age: int) -> int:
    """Delete the events that were given up, of those older than `age` ms; how many."""
    old = events.c.created_at < then_ms() - age
    return _in_batches(db, events, delete, _GIVEN_UP, old)


def _stamp(table: Table) -> Any:
    return update(table).values(updated_at=now_ms())


def _next(table: Table, *which: ColumnElement[bool]) -> Select[Any]:
    """Keys of the rows that nobody else holds."""
    found = select(*table.primary_key).where(*which)
    return found.limit(BATCH).with_for_update(skip_locked=True)


def _in_batches(
    db: Database, table: Table, change: Callable[[Table], Any], *which: ColumnElement[bool]
) -> int:
    """Change the rows; how many."""
    found = _next(table, *which)

    def batch(connection: Connection) -> int:
        keys = [tuple(row) for row in connection.execute(found)]
        if keys:
            connection.execute(change(table).where(tuple_(*table.primary_key).in_(keys)))
        return len(keys)

    return in_batches(db, batch)
