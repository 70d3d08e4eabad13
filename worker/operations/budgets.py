"""Budgets: what may be spent in a day of UTC, by all, by a service or in a country."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, null, select, update

from worker.audit import Operator, clean_reason, write_down
from worker.db import Database, now_ms, then_ms
from worker.errors import ActionRefusedError, InvalidParameterError, LimitsUnavailableError
from worker.holds import IN_FORCE, Holds
from worker.limits import Limits
from worker.models import services
from worker.money import read_micros, shown
from worker.operations.pauses import ENDED
from worker.operations.scopes import SERVICE, shaped, target_of
from worker.operations.words import (
    Outcome,
    Result,
    acting,
    check_span,
    done_or_would,
    require_admin,
)
from worker.operator_tables import budgets
from worker.settings import Settings
from worker.spends import MESSAGES, Recall, Spend

MOST = 100  # budgets; each is counted with every start that it covers
NEARLY = 0.8  # of a budget, from which it needs attention
_COUNT = re.compile(r"[0-9]{1,9}", re.ASCII)
_b = budgets.c
_OVER = _b.until <= then_ms()
_ALIVE = select(budgets, IN_FORCE.label("in_force")).where(IN_FORCE.is_not(None))


@dataclass(frozen=True, slots=True)
class BudgetStanding:
    """Times are ms since 1970 UTC.

    :param scope: `all`, a country, or a service's sid
    :param unit: `messages`, or the currency of which amounts are micros
    :param most: what it allows now
    :param used: of today
    :param until: when `then` takes the place of `most`; None: never
    :param then: None: nothing is limited then
    :param countable: whether there are prices in its currency; else it allows nothing
    """

    scope: str
    unit: str
    most: int
    used: int
    until: int | None
    then: int | None
    reason: str
    set_by: str
    since: int
    countable: bool

    @property
    def ratio(self) -> float:
        """Of the day's budget, how much is used; 1 where it allows nothing."""
        return self.used / self.most if self.most and self.countable else 1.0


class Budgets:
    """
    :param recall: what the database knows was spent today, see `worker.spent.Spent.today`
    """

    def __init__(
        self, db: Database, holds: Holds, limits: Limits, settings: Settings, recall: Recall
    ) -> None:
        self._db = db
        self._holds = holds
        self._limits = limits
        self._settings = settings
        self._recall = recall

    def all(self) -> list[BudgetStanding]:
        """Every budget that is in force, the one used most first.

        :raises sqlalchemy.exc.SQLAlchemyError: the database does not answer
        :raises LimitsUnavailableError: Redis does not answer
        """
        with self._db.statement() as connection:
            rows = connection.execute(_ALIVE.add_columns(then_ms().label("now"))).mappings().all()
        if not rows:
            return []
        spends = [_spend(row) for row in rows]
        used = self._limits.budgets.spent(spends)
        _, known = self._recall([(spend.scope, spend.unit) for spend in spends])
        found = [
            self._standing(row, max(counted or 0, least))
            for row, counted, least in zip(rows, used, known, strict=True)
        ]
        return sorted(found, key=lambda one: (-one.ratio, one.scope))

    def catch_up(self) -> None:
        """Count at least what the database knows was spent: longer texts than one segment, prices
        that were told, messages past the limits.
        """
        held = self._holds.now().budgets
        if held:
            self._limits.budgets.learn([Spend(one.scope, one.unit, one.most, 0) for one in held])

    @acting("budget.set")
    def set(
        self,
        by: Operator,
        scope: str,
        amount: str,
        unit: str,
        reason: str,
        until: int | None = None,
        *,
        dry_run: bool = False,
    ) -> Outcome:
        """Let no more than an amount be spent in a day of UTC, from within two seconds on. What
        was spent today counts.

        :param scope: `all`, a country such as `GB`, or a service's sid
        :param unit: `messages`, or the currency of the prices
        :param until: seconds from now in which the amount takes the place of the budget that is
            there, or in which there is one; None: for good
        :raises InvalidParameterError: no such scope, amount, unit or span, or no reason
        :raises ActionRefusedError: `not_allowed`; `too_many` budgets
        """
        require_admin(by, "change budgets")
        scope, reason = self._known(scope), clean_reason(reason)
        most, unit = self._amount(amount, unit)
        check_span(until)
        _, (used,) = self._recall([(scope, unit)])
        after = {"amount": _text(most, unit), "seconds": until, "used_today": _text(used, unit)}
        if used >= most:
            after["stops"] = "at once, until the day ends"
        with self._db.begin() as connection:
            row = _find(connection, scope)
            self._check(connection, row, unit, until)
            if not dry_run:
                self._set(connection, by, scope, unit, most, reason, until)
                write_down(
                    connection, by, "budget.set", target_of(scope), reason, _before(row), after
                )
        if not dry_run:
            self._holds.refresh()
            self._count_what_is_known(Spend(scope, unit, most, 0))
        result = done_or_would(dry_run)
        return Outcome("budget.set", target_of(scope), result, _before(row), after)

    @acting("budget.clear")
    def clear(self, by: Operator, scope: str, reason: str, *, dry_run: bool = False) -> Outcome:
        """Limit nothing there any more.

        :raises InvalidParameterError: no such scope, or no reason
        :raises ActionRefusedError: `not_allowed`
        """
        require_admin(by, "change budgets")
        scope, reason = shaped(scope), clean_reason(reason)
        target = target_of(scope)
        with self._db.begin() as connection:
            row = _find(connection, scope)
            if row is None:
                return Outcome("budget.clear", target, Result.UNCHANGED)
            if not dry_run:
                connection.execute(delete(budgets).where(_b.scope == scope))
                write_down(connection, by, "budget.clear", target, reason, _before(row))
        if not dry_run:
            self._holds.refresh()
        return Outcome("budget.clear", target, done_or_would(dry_run), _before(row))

    def end_overdue(self) -> None:
        """Write down that amounts with an end are over; they count no more even before this."""
        with self._db.statement() as connection:
            if connection.execute(select(_b.scope).where(_OVER).limit(1)).first() is None:
                return
        with self._db.begin() as connection:
            rows = connection.execute(select(budgets).where(_OVER).with_for_update()).mappings()
            for row in rows.all():
                self._end(connection, row)

    def _end(self, connection: Connection, row: Mapping[Any, Any]) -> None:
        this = (_b.scope == row["scope"], _OVER)
        target, before = target_of(row["scope"]), {"amount": _text(row["for_now"], row["unit"])}
        if row["most"] is None:
            connection.execute(delete(budgets).where(*this))
            action, after = "budget.clear", None
        else:
            connection.execute(update(budgets).where(*this).values(for_now=None, until=None))
            action, after = "budget.set", {"amount": _text(row["most"], row["unit"])}
        write_down(connection, ENDED, action, target, "its time is over", before, after)

    def _count_what_is_known(self, spend: Spend) -> None:
        """Nothing was counted of it while there was no such budget, or one in another unit. Where
        the broker is away the relay makes up for it.
        """
        with suppress(LimitsUnavailableError):
            self._limits.budgets.learn([spend])

    def _known(self, scope: str) -> str:
        scope = shaped(scope)
        if SERVICE.fullmatch(scope):
            s = services.c
            owned = select(s.sid).where(s.sid == scope, s.account_sid == self._settings.account_sid)
            with self._db.statement() as connection:
                if connection.execute(owned).first() is None:
                    raise InvalidParameterError("Scope", "there is no such service")
        return scope

    def _amount(self, amount: str, unit: str) -> tuple[int, str]:
        if unit == MESSAGES:
            if not _COUNT.fullmatch(amount):
                raise InvalidParameterError("Amount", "of messages is a whole number, such as 5000")
            return int(amount), unit
        prices = self._settings.price_list()
        if not prices.micros or unit.upper() != prices.currency:
            money = (
                f"or {prices.currency}, the currency of SENDCODE_PRICES"
                if prices.micros
                else "while SENDCODE_PRICES says no prices to count money by"
            )
            raise InvalidParameterError("Unit", f"must be messages, {money}")
        try:
            return read_micros(amount), prices.currency
        except ValueError as error:
            raise InvalidParameterError("Amount", str(error)) from None

    def _check(
        self, connection: Connection, row: Mapping[Any, Any] | None, unit: str, until: int | None
    ) -> None:
        if row is None:
            count = connection.execute(select(func.count()).select_from(budgets)).scalar_one()
            if count >= MOST:
                raise ActionRefusedError("too_many", f"there are {MOST} budgets: remove one first")
        elif until is not None and row["most"] is not None and row["unit"] != unit:
            text = f"must be {row['unit']}, as of the budget that it stands in for"
            raise InvalidParameterError("Unit", text)

    def _set(
        self,
        connection: Connection,
        by: Operator,
        scope: str,
        unit: str,
        most: int,
        reason: str,
        until: int | None,
    ) -> None:
        values: dict[str, Any] = {"unit": unit, "reason": reason, "set_by": by.name[:64]}
        if until is None:
            values |= {"most": most, "for_now": null(), "until": null(), "since": now_ms()}
        else:
            values |= {"for_now": most, "until": now_ms() + until * 1000, "since": now_ms()}
        statement = self._db.insert(budgets).values(scope=scope, **values)
        connection.execute(statement.on_conflict_do_update(index_elements=["scope"], set_=values))

    def _standing(self, row: Mapping[Any, Any], used: int) -> BudgetStanding:
        for_now = row["until"] is not None and row["until"] > row["now"]
        prices = self._settings.price_list()
        in_prices = bool(prices.micros) and row["unit"] == prices.currency
        return BudgetStanding(
            *(row["scope"], row["unit"], row["in_force"], used),
            until=row["until"] if for_now else None,
            then=row["most"] if for_now else None,
            reason=row["reason"],
            set_by=row["set_by"],
            since=row["since"],
            countable=row["unit"] == MESSAGES or in_prices,
        )


def _spend(row: Mapping[Any, Any]) -> Spend:
    return Spend(row["scope"], row["unit"], row["in_force"], 0)


def _find(connection: Connection, scope: str) -> Mapping[Any, Any] | None:
    """The budget, locked, unless its time is over."""
    wanted = _ALIVE.where(_b.scope == scope).with_for_update()
    return connection.execute(wanted).mappings().one_or_none()


def _before(row: Mapping[Any, Any] | None) -> dict[str, Any] | None:
    if row is None:
        return None
    kept = {"amount": _text(row["in_force"], row["unit"]), "reason": row["reason"]}
    return kept | {"set_by": row["set_by"], "until": row["until"]}


def _text(amount: int, unit: str) -> str:
    return f"{amount_of(amount, unit)} {unit}"


def amount_of(value: int, unit: str) -> str:
    """A budget's amount as it is written: messages whole, money from its micros."""
    return str(value) if unit == MESSAGES else shown(value)
