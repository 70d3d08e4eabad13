"""A new verification and its delivery in one statement, which PostgreSQL takes and SQLite not.

Four round trips less than a transaction around two statements. It is as whole: both are written
or none.
"""

from typing import Any

from sqlalchemy import BigInteger, bindparam, insert, select
from sqlalchemy.dialects.postgresql import insert as insert_or_not

from worker.db import Database, now_ms
from worker.models import deliveries, verifications
from worker.prepared import Prepared, Row

_v, _d = verifications.c, deliveries.c
_TIMES = ("created_at", "updated_at", "expires_at")
_OF_DELIVERY = tuple(
    _d[name] for name in ("sid", "channel", "queue", "state", "step", "tries", "doubts", "only_by")
)
_ABSENT = dict.fromkeys(
    ("error_code", "provider_sid", "published_at", "taken_at", "accepted_at", "delivered_at")
)


class Together:
    """Runs that statement."""

    def __init__(self, db: Database) -> None:
        self._statement = Prepared(db, _statement())

    def write(
        self, verification: dict[str, Any], delivery: dict[str, Any]
    ) -> tuple[Row, Row] | None:
        """Both rows as they are now, or None where the number has a live verification.

        :param verification: its columns, and `b_life` in ms
        :param delivery: see `worker.statements.new_delivery`, which this one's life is not read of
        """
        values = verification | {f"d_{name}": value for name, value in delivery.items()}
        written = self._statement.first(values)
        if written is None:
            return None
        times = {name: written[name] for name in _TIMES}
        return (
            {**verification, **times, "approved_at": None},
            {**_ABSENT, **delivery, "created_at": written["queued_at"]},
        )


def _statement() -> Any:
    given = [c for c in _v if c.name not in (*_TIMES, "approved_at")]
    made = (
        insert_or_not(verifications)
        .values(
            {c: bindparam(c.name, type_=c.type) for c in given}
            | {
                _v.created_at: now_ms(),
                _v.updated_at: now_ms(),
                _v.expires_at: now_ms() + bindparam("b_life", type_=BigInteger),
            }
        )
        .on_conflict_do_nothing()
        .returning(_v.sid, *(_v[name] for name in _TIMES))
        .cte("made")
    )
    now_and = {
        _d.verification_sid: made.c.sid,
        _d.expires_at: made.c.expires_at,
        _d.next_try_at: now_ms(),
        _d.hinted_at: now_ms(),
        _d.created_at: now_ms(),
        _d.follow_at: now_ms() + bindparam("d_b_wait", type_=BigInteger),
    }
    columns = {c: bindparam(f"d_{c.name}", type_=c.type) for c in _OF_DELIVERY} | now_and
    queued = (
        insert(deliveries)
        .from_select(list(columns), select(*columns.values()).select_from(made))
        .returning(_d.created_at)
        .cte("queued")
    )
    return select(*(made.c[name] for name in _TIMES), queued.c.created_at.label("queued_at"))
