"""What the relay deletes of factors: unverified ones that lapsed, and old challenges."""

from sqlalchemy import Select, Table, delete, select, text

from worker.db import Database, then_ms
from worker.factors.words import UNVERIFIED_LIFE
from worker.models import challenges, factors

BATCH = 500
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
    return _in_batches(db, _LAPSED, factors) + _in_batches(db, old, challenges)


def _in_batches(db: Database, which: Select[str], table: Table) -> int:
    gone = 0
    while True:
        with db.begin() as connection:
            sids = list(connection.execute(which).scalars())
            if sids:
                connection.execute(delete(table).where(table.c.sid.in_(sids)))
        gone += len(sids)
        if len(sids) < BATCH:
            return gone
