"""What the database of one row holds, also while it comes and goes."""

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import text

from worker.db import UNAVAILABLE, Database

SETTLED = ("delivered", "undelivered", "failed", "expired", "canceled")
PATIENCE = 40.0  # seconds in which a database comes back
ASKS_AGAIN = 4.0  # seconds

_OPEN = f"SELECT count(*) AS n FROM deliveries WHERE state NOT IN {SETTLED}"
_ASK_NOW = """
UPDATE deliveries SET next_try_at = :now
WHERE state IN ('accepted', 'sent') AND accepted_at < :now - 3000 AND expires_at > :now
"""


class Records:
    """
    :param look: called while the database is away; starts again what died
    """

    def __init__(self, url: str, look: Callable[[], None]) -> None:
        self._db, self._look = Database(url), look
        self._asked = 0.0

    def close(self) -> None:
        self._db.close()

    def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        """What a query finds; tried again while the database comes back."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                with self._db.statement() as connection:
                    found = connection.execute(text(query), values)
                    return [dict(row) for row in found.mappings()] if found.returns_rows else []
            except UNAVAILABLE:
                if time.monotonic() > end:
                    raise
                self._look()
                time.sleep(0.2)

    def have_ended(self) -> bool:
        """Whether every delivery has an end state.

        What would only wait for the provider's word is asked about now, instead of in 30 s.
        """
        left = self.rows(_OPEN)[0]["n"]
        if left and time.monotonic() - self._asked > ASKS_AGAIN:
            self._asked = time.monotonic()
            self.rows(_ASK_NOW, now=int(time.time() * 1000))
        return not left

    def set_life(self, seconds: int, kind: str) -> None:
        """How long the service's codes live; below 60 s PostgreSQL's own bound is lifted."""
        if kind == "postgresql":
            self.rows("ALTER TABLE services DROP CONSTRAINT ck_services_code_life")
        self.rows("UPDATE services SET code_life = :life", life=seconds)
