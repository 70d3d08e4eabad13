"""What an application is told of itself: how many users, codes and right codes, by month."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, func, select

from worker.db import Database, now_ms
from worker.door_tables import authy_users
from worker.minute_tables import service_minutes
from worker.models import deliveries, verifications
from worker.states import Channel

MONTHS = 12
DAY = 86_400_000  # ms
_u, _v, _d, _m = authy_users.c, verifications.c, deliveries.c, service_minutes.c


@dataclass(frozen=True, slots=True)
class Month:
    """Counts of one calendar month, UTC. `month` is from 1. A code that came back right counts in
    the month that it was asked for.
    """

    year: int
    month: int
    sms: int
    calls: int
    auths: int
    users: int


class Figures:
    """
    :param retention_days: what is older is not counted, since it is deleted
    """

    def __init__(self, db: Database, retention_days: int) -> None:
        self._db = db
        self._days = retention_days

    def users(self, service_sid: str) -> int:
        statement = select(func.count()).where(_u.service_sid == service_sid)
        with self._db.statement() as connection:
            return int(connection.execute(statement).scalar_one())

    def months(self, service_sid: str) -> list[Month]:
        """Up to a year back, as far as rows are kept; the newest month first."""
        found = []
        with self._db.statement() as connection:
            now = int(connection.execute(select(now_ms())).scalar_one())
            for begin, end in spans(now, self._days):
                row = connection.execute(_counts(service_sid, begin, end)).one()
                at = datetime.fromtimestamp(begin / 1000, UTC)
                found.append(Month(at.year, at.month, *map(int, row)))
        return found

    def sent(self, account_sid: str, service_sid: str, delivery_sid: str) -> bool:
        """Whether a message of this sid is the service's."""
        statement = (
            select(_d.sid)
            .join(verifications, _v.sid == _d.verification_sid)
            .where(_d.sid == delivery_sid, _v.service_sid == service_sid)
            .where(_v.account_sid == account_sid, _d.channel == Channel.SMS.value)
        )
        with self._db.statement() as connection:
            return connection.execute(statement).first() is not None


def spans(now: int, days: int) -> list[tuple[int, int]]:
    """The calendar months that the last `days` touch, as [begin, end) in ms; newest first."""
    oldest = now - days * DAY
    found: list[tuple[int, int]] = []
    at = datetime.fromtimestamp(now / 1000, UTC)
    year, month = at.year, at.month
    while len(found) < MONTHS:
        begin = _ms(year, month)
        found.append((begin, _ms(year + month // 12, month % 12 + 1)))
        if begin <= oldest:
            break
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
    return found


def _ms(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1000


def _counts(service_sid: str, begin: int, end: int) -> Select[Any]:
    """What `worker.rollup` counted, which is bounded by the minutes of a month, and the users."""
    of_minutes = (_m.service_sid == service_sid, _m.minute >= begin, _m.minute < end)
    sums = [func.coalesce(func.sum(_m[name]), 0) for name in ("sms", "calls", "approved")]
    users = select(func.count()).where(
        _u.service_sid == service_sid, _u.created_at >= begin, _u.created_at < end
    )
    return select(*sums, users.scalar_subquery()).where(*of_minutes)
