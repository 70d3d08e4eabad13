"""What was spent since the day began (UTC), from the counts per minute: messages, or micros."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import func, literal, select

from worker.db import Database, now_ms
from worker.minute_tables import minute_costs, minutes, service_costs, service_minutes
from worker.money import Money
from worker.spends import ALL, DAY_MS, MESSAGES

_m, _s, _c, _sc = minutes.c, service_minutes.c, minute_costs.c, service_costs.c
_MESSAGES = literal(MESSAGES).label("unit")


class Spent:
    def __init__(self, db: Database) -> None:
        self._db = db

    def today(self, wanted: Sequence[tuple[str, str]]) -> tuple[int, list[int]]:
        """Of each scope and unit what was spent, and the day: whole days since 1970 UTC.

        Deliveries count in the day they were asked for, as of the relay's last count.

        :raises sqlalchemy.exc.SQLAlchemyError: the database does not answer
        """
        services = sorted({scope for scope, _ in wanted if len(scope) > 3})
        places = len(services) < len({scope for scope, _ in wanted})
        found: defaultdict[tuple[str, str], int] = defaultdict(int)
        with self._db.statement() as connection:
            day = int(connection.execute(select(now_ms())).scalar_one()) // DAY_MS
            statements = (_places(day) if places else []) + (
                _services(day, services) if services else []
            )
            for statement in statements:
                for scope, unit, amount in connection.execute(statement):
                    found[scope, unit] += int(amount)
                    if scope not in services:
                        found[ALL, unit] += int(amount)
        return day, [found[one] for one in wanted]

    def by_country(self) -> dict[str, list[Money]]:
        """What today cost, by country: of each currency its sum.

        :raises sqlalchemy.exc.SQLAlchemyError: the database does not answer
        """
        found: dict[str, list[Money]] = {}
        with self._db.statement() as connection:
            day = int(connection.execute(select(now_ms())).scalar_one()) // DAY_MS
            for country, currency, micros in connection.execute(_places(day)[1]):
                found.setdefault(country, []).append(Money(int(micros), currency))
        return dict(sorted(found.items(), key=lambda one: -_most(one[1])))


def _most(costs: Iterable[Money]) -> int:
    return max(cost.micros for cost in costs)


def _places(day: int) -> list[Any]:
    since = day * DAY_MS
    return [
        select(_m.country, _MESSAGES, func.sum(_m.deliveries))
        .where(_m.minute >= since)
        .group_by(_m.country),
        select(_c.country, _c.currency, func.sum(_c.micros))
        .where(_c.minute >= since)
        .group_by(_c.country, _c.currency)
        .order_by(_c.currency),
    ]


def _services(day: int, sids: Sequence[str]) -> list[Any]:
    since = day * DAY_MS
    return [
        select(_s.service_sid, _MESSAGES, func.sum(_s.sms + _s.calls))
        .where(_s.minute >= since, _s.service_sid.in_(sids))
        .group_by(_s.service_sid),
        select(_sc.service_sid, _sc.currency, func.sum(_sc.micros))
        .where(_sc.minute >= since, _sc.service_sid.in_(sids))
        .group_by(_sc.service_sid, _sc.currency),
    ]
