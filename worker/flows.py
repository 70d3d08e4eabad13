"""What went through each queue in the last minute. Reads only, and a bounded part."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, func, select

from worker.db import now_ms
from worker.models import deliveries, sid_at

MOST = 10_000  # deliveries that are looked at, the newest
WITHIN, MINUTE = 900_000, 60_000  # ms

_d = deliveries.c
_lately = (
    select(_d.queue, _d.created_at, _d.taken_at)
    .where(_d.sid >= bindparam("since"))
    .order_by(_d.sid.desc())
    .limit(MOST)
    .subquery("lately")
)
_CAME = case((_lately.c.created_at >= bindparam("from"), 1), else_=0)
_TAKEN = case((_lately.c.taken_at >= bindparam("from"), 1), else_=0)
_TAKEN_BEFORE = case((_lately.c.taken_at < bindparam("from"), 1), else_=0)
_FLOWS = select(
    _lately.c.queue,
    func.sum(_CAME).label("came"),
    func.sum(_TAKEN).label("taken"),
    func.sum(_TAKEN_BEFORE).label("before"),
    func.min(_lately.c.created_at).label("oldest"),
    func.count().label("seen"),
).group_by(_lately.c.queue)


@dataclass(frozen=True, slots=True)
class Flow:
    """What went through one queue in the last minute.

    :param at_least: so many came in that minute that not all were looked at
    :param taken_at_least: what was taken may be more: of the codes that were looked at none was
        taken before that minute, so older ones may have been taken in it
    """

    name: str
    came: int
    taken: int
    at_least: bool
    taken_at_least: bool = False


def read(connection: Connection) -> dict[str, Flow]:
    """By queue, of the newest `MOST` deliveries of the last quarter of an hour."""
    now = int(connection.execute(select(now_ms())).scalar_one())
    since = now - MINUTE
    rows = connection.execute(_FLOWS, {"since": sid_at("VL", now - WITHIN), "from": since}).all()
    full = sum(row.seen for row in rows) >= MOST
    cut = full and min(row.oldest for row in rows) > since
    return {row.queue: _flow(row, full, cut) for row in rows}


def _flow(row: Row[Any], full: bool, cut: bool) -> Flow:
    """
    :param full: older deliveries of the last quarter of an hour were not looked at
    :param cut: nor were some of the last minute
    """
    came, taken = int(row.came), int(row.taken)
    waited = row.seen > came and not row.before
    return Flow(row.queue, came, taken, at_least=cut, taken_at_least=cut or (full and waited))
