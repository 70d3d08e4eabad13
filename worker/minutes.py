"""What became of the codes, by minute and by place. Reads what `worker.rollup` counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from worker.db import Database, now_ms
from worker.minute_tables import WAIT_BOUNDS, WAITS, minute_costs, minute_looks, minutes
from worker.money import Money

MINUTE = 60_000  # ms
PLACES = 500
_m, _c = minutes.c, minute_costs.c
_COUNTS = ("codes", "approved", "deliveries", "accepted", "delivered", "failed")
_SUMS = [func.coalesce(func.sum(_m[name]), 0).label(name) for name in (*_COUNTS, *WAITS)]


@dataclass(frozen=True, slots=True)
class Counts:
    """Of the codes that were promised in a span of time.

    :param waits: accepted deliveries by how long that took, see `WAIT_BOUNDS`
    """

    codes: int
    approved: int
    deliveries: int
    accepted: int
    delivered: int
    failed: int
    waits: tuple[int, ...]

    @property
    def conversion(self) -> float | None:
        """Of the codes, how many came back right: 0 to 1; None where there were none."""
        return self.approved / self.codes if self.codes else None

    @property
    def arrival(self) -> float | None:
        """Of the deliveries that ended, how many arrived: 0 to 1; None where none ended."""
        ended = self.delivered + self.failed
        return self.delivered / ended if ended else None

    def wait(self, share: float) -> int | None:
        """ms within which `share` of the deliveries were accepted by a provider; None of none.

        Exact to the bounds; between two of them a straight line.
        """
        return percentile(self.waits, share)


@dataclass(frozen=True, slots=True)
class Minute:
    """
    :param at: its first ms since 1970 UTC
    """

    at: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class Place:
    channel: str
    country: str
    counts: Counts


class Minutes:
    def __init__(self, db: Database) -> None:
        self._db = db

    def series(
        self,
        within: int,
        channel: str | None = None,
        country: str | None = None,
        last: int | None = None,
    ) -> list[Minute]:
        """Each of the last `within` minutes that was counted, oldest first.

        :param last: a moment (ms since 1970 UTC) in the last of these minutes; now otherwise
        :raises sqlalchemy.exc.SQLAlchemyError: the database does not answer
        """
        statement = select(_m.minute, *_SUMS).where(*_where(channel, country))
        with self._db.statement() as connection:
            now = int(connection.execute(select(now_ms())).scalar_one()) if last is None else last
            since = (now // MINUTE - within) * MINUTE
            rows = connection.execute(
                statement.where(_m.minute > since).group_by(_m.minute).order_by(_m.minute)
            ).mappings()
            return [Minute(row["minute"], _counts(row)) for row in rows]

    def total(self, oldest: int, newest: int = 0) -> Counts:
        """All codes that were promised between `oldest` and `newest` minutes ago.

        :raises sqlalchemy.exc.SQLAlchemyError: the database does not answer
        """
        with self._db.statement() as connection:
            now = int(connection.execute(select(now_ms())).scalar_one()) // MINUTE
            between = (_m.minute > (now - oldest) * MINUTE, _m.minute <= (now - newest) * MINUTE)
            return _counts(connection.execute(select(*_SUMS).where(*between)).mappings().one())

    def channels(self, within: int) -> dict[str, Counts]:
        """The last `within` minutes by channel.

        :raises sqlalchemy.exc.SQLAlchemyError: the database does not answer
        """
        statement = select(_m.channel, *_SUMS).group_by(_m.channel).order_by(_m.channel.desc())
        with self._db.statement() as connection:
            now = int(connection.execute(select(now_ms())).scalar_one())
            since = (now // MINUTE - within) * MINUTE
            rows = connection.execute(statement.where(_m.minute > since)).mappings()
            return {row["channel"]: _counts(row) for row in rows}

    def places(self, within: int) -> list[Place]:
        """The last `within` minutes by channel and country, the most codes first.

        :raises sqlalchemy.exc.SQLAlchemyError: the database does not answer
        """
        statement = (
            select(_m.channel, _m.country, *_SUMS)
            .group_by(_m.channel, _m.country)
            .order_by(func.sum(_m.deliveries).desc(), _m.country, _m.channel)
            .limit(PLACES)
        )
        with self._db.statement() as connection:
            now = int(connection.execute(select(now_ms())).scalar_one())
            since = (now // MINUTE - within) * MINUTE
            rows = connection.execute(statement.where(_m.minute > since)).mappings()
            return [Place(row["channel"], row["country"], _counts(row)) for row in rows]

    def costs(self, within: int) -> dict[tuple[str, str], list[Money]]:
        """What the last `within` minutes cost, by channel and country: of each currency its sum.

        :raises sqlalchemy.exc.SQLAlchemyError: the database does not answer
        """
        statement = (
            select(_c.channel, _c.country, _c.currency, func.sum(_c.micros).label("micros"))
            .group_by(_c.channel, _c.country, _c.currency)
            .order_by(_c.currency)
        )
        found: dict[tuple[str, str], list[Money]] = {}
        with self._db.statement() as connection:
            now = int(connection.execute(select(now_ms())).scalar_one())
            since = (now // MINUTE - within) * MINUTE
            for row in connection.execute(statement.where(_c.minute > since)):
                cost = Money(int(row.micros), row.currency)
                found.setdefault((row.channel, row.country), []).append(cost)
        return found

    def counted_at(self) -> int | None:
        """When the newest minute was counted, ms since 1970 UTC; None where nothing was.

        :raises sqlalchemy.exc.SQLAlchemyError: the database does not answer
        """
        newest = select(minute_looks.c.looked_at).order_by(minute_looks.c.minute.desc()).limit(1)
        with self._db.statement() as connection:
            found: int | None = connection.execute(newest).scalar_one_or_none()
        return found


def percentile(waits: Sequence[int], share: float) -> int | None:
    """ms that `share` of the waits, counted by `WAIT_BOUNDS`, lie within; None of none."""
    wanted, passed = sum(waits) * share, 0
    if not wanted:
        return None
    for i, count in enumerate(waits):
        if count and passed + count >= wanted:
            low = WAIT_BOUNDS[i - 1] if i else 0
            high = WAIT_BOUNDS[min(i, len(WAIT_BOUNDS) - 1)]
            return round(low + (max(high, low) - low) * (wanted - passed) / count)
        passed += count
    return WAIT_BOUNDS[-1]


def _where(channel: str | None, country: str | None) -> list[Any]:
    wanted = ((_m.channel, channel), (_m.country, country))
    return [column == value for column, value in wanted if value is not None]


def _counts(row: Mapping[Any, Any]) -> Counts:
    counts = {name: int(row[name]) for name in _COUNTS}
    return Counts(**counts, waits=tuple(int(row[name]) for name in WAITS))
