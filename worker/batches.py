"""Changes to many rows, in batches of a transaction each."""

import time
from collections.abc import Callable

from sqlalchemy import Connection

from worker.db import Database

BATCH = 500
BREATH = 0.05  # seconds after a batch, in which others write: SQLite has one writer


def in_batches(db: Database, change: Callable[[Connection], int]) -> int:
    """Change all there are; how many.

    :param change: changes one batch, and says how many; 0 where there are no more
    """
    done = 0
    while True:
        with db.begin() as connection:
            changed = change(connection)
        if not changed:
            return done
        done += changed
        time.sleep(BREATH)
