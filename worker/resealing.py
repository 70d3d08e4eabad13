"""Rows that an older secret key sealed, sealed anew with the present one."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import RowMapping, Table, select, update

from worker.db import Database

BATCH = 500


def reseal(
    db: Database, table: Table, kid: str, remade: Callable[[RowMapping], dict[str, Any]]
) -> int:
    """Write `remade` into every row whose `key_id` is not `kid`; how many. A row with none has
    nothing sealed. Several may run at once.

    :raises KeyMissingError: a key that a row needs is no longer configured
    """
    old = select(table).where(table.c.key_id != kid).limit(BATCH)
    done = 0
    while True:
        with db.begin() as connection:
            found = connection.execute(old.with_for_update(skip_locked=True)).mappings().all()
            for row in found:
                same = table.c.sid == row["sid"]
                connection.execute(update(table).where(same).values(key_id=kid, **remade(row)))
        done += len(found)
        if len(found) < BATCH:
            return done
