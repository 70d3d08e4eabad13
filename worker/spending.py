"""What one send takes of the budgets that cover it."""

from collections.abc import Iterable, Sequence

from worker.holds import Budget
from worker.prices import Prices
from worker.spends import ALL, MESSAGES, Spend

UNCOUNTABLE = -1  # allows nothing


def spends_of(
    budgets: Iterable[Budget], prices: Prices, service_sid: str, channel: str, country: str
) -> Sequence[Spend]:
    """One segment or call for a budget in money, one message for one in messages.

    A budget in a currency that there are no prices in cannot be counted, so it allows nothing.
    """
    scopes = (ALL, country, service_sid)
    return [_spend(one, prices, channel, country) for one in budgets if one.scope in scopes]


def _spend(budget: Budget, prices: Prices, channel: str, country: str) -> Spend:
    if budget.unit == MESSAGES:
        return Spend(budget.scope, budget.unit, budget.most, 1)
    price = prices.of(channel, country)
    if price is None or price.currency != budget.unit:
        return Spend(budget.scope, budget.unit, UNCOUNTABLE, 0)
    return Spend(budget.scope, budget.unit, budget.most, price.micros)
