"""What several test modules do with a database: move time, read rows, run at once."""

import base64
import json
import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import select, text

from tests import leaks
from worker.models import deliveries, verifications
from worker.wiring import Sendcode

_TIMES = {
    "verifications": ("created_at", "updated_at", "expires_at"),
    "deliveries": (
        *("created_at", "next_try_at", "hinted_at", "lease_until", "expires_at"),
        *("accepted_at", "follow_at"),
    ),
    "entities": ("factors_made_from",),
    "factors": ("created_at",),
    "challenges": ("created_at", "expires_at"),
    "backup_sets": ("tries_from",),
    "number_guards": ("updated_at",),
}


def let_time_pass(parts: Sendcode, seconds: float) -> None:
    """Age every row: the clock is the database's, so the rows move instead."""
    with parts.db.begin() as connection:
        for table, columns in _TIMES.items():
            changes = ", ".join(f"{c} = {c} - :ms" for c in columns)
            connection.execute(text(f"UPDATE {table} SET {changes}"), {"ms": int(seconds * 1000)})


def delivery(parts: Sendcode, sid: str) -> Any:
    with parts.db.statement() as connection:
        return connection.execute(select(deliveries).where(deliveries.c.sid == sid)).one()


def count(parts: Sendcode, table: str) -> int:
    with parts.db.statement() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def code_of(parts: Sendcode, sid: str) -> str:
    """The right code of a verification, as a worker derives it."""
    with parts.db.statement() as connection:
        row = connection.execute(select(verifications).where(verifications.c.sid == sid)).one()
    return leaks.used.code(parts.keyring.derive_code(row.key_id, row.salt, row.code_length))


def wrong_code(right: str) -> str:
    return f"{(int(right) + 1) % 10 ** len(right):0{len(right)}d}"


def waiting(parts: Sendcode, queue: str) -> list[list[str]]:
    """The deliveries that each message in a queue names, the next to be served first."""
    raw: Any = parts.redis.lrange(queue, 0, -1)
    bodies = [json.loads(base64.b64decode(json.loads(message)["body"])) for message in raw]
    return [body[0][0] for body in reversed(bodies)]


def at_once(times: int, act: Callable[[int], Any]) -> list[Any]:
    """Run `act(0..times-1)` in as many threads, released together; results or exceptions."""
    results: list[Any] = [None] * times
    gate = threading.Barrier(times)

    def run(index: int) -> None:
        gate.wait()
        try:
            results[index] = act(index)
        except Exception as error:  # the test looks at what came back
            results[index] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
