"""What the relay deletes besides verifications: guards of numbers, answers to requests and events
that were given up, by index and in batches of a transaction each.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, delete, select, text, tuple_, update

from worker.db import Database, now_ms, then_ms
from worker.door_tables import events
from worker.models import number_guards, requests

BATCH = 500
REQUEST_HOLDS = 86_400_000  # ms in which the same request id gets the same answer
_g = number_guards.c
# Literal, so that PostgreSQL sees that the partial indexes apply.
_UNTIMED: Any = text("number_guards.updated_at IS NULL")
_IDLE: Any = text("number_guards.disabled_at IS NULL")
_GIVEN_UP: Any = text("events.next_try_at IS NULL")
_CLEARED: Any = text("number_guards.failures = 0 AND number_guards.disabled_at IS NULL")


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
    found, done = _next(table, *which), 0
    while True:
        with db.begin() as connection:
            keys = [tuple(row) for row in connection.execute(found)]
            if keys:
                connection.execute(change(table).where(tuple_(*table.primary_key).in_(keys)))
        done += len(keys)
        if len(keys) < BATCH:
            return done
