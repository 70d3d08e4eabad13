"""What the relay deletes of factors: unverified ones that lapsed, and old challenges."""

from sqlalchemy import Connection, Select, Table, delete, select, text

from worker.batches import BATCH, in_batches
from worker.db import Database, then_ms
from worker.factors.words import UNVERIFIED_LIFE
from worker.models import challenges, factors

_f, _c = factors.c, challenges.c
_LAPSED = (
    select(_f.sid)
    .where(
        # Literal, so that PostgreSQL sees that the partial index applies.
        text("factors.status = 'unverified'"),
        _f.created_at < then_ms() - UNVERIFIED_LIFE * 1000,
    )
    .limit(BATCH)
    .with_for_update(skip_locked=True)
)


def purge(db: Database, age: int) -> int:
    """Delete what no caller can see any more; how many rows.

    :param age: ms a challenge is kept, at least the day over which challenges are counted
    """
    old = (
        select(_c.sid)
        .where(_c.created_at < then_ms() - max(age, 86_400_000))
        .order_by(_c.created_at)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    return _deleted(db, _LAPSED, factors) + _deleted(db, old, challenges)


def _deleted(db: Database, which: Select[str], table: Table) -> int:
    def batch(connection: Connection) -> int:
        sids = list(connection.execute(which).scalars())
        if sids:
            connection.execute(delete(table).where(table.c.sid.in_(sids)))
        return len(sids)

    return in_batches(db, batch)
