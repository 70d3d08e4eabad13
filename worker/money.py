"""Money: whole micros of a currency, and how a decimal text becomes them. Never a float."""

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

MICROS = 1_000_000  # of one unit, such as a dollar
MOST = 10**15  # micros: Redis counts in floats of 53 bits, which hold this exactly
MOST_OF_ONE = 1000 * MICROS  # what one message or call may cost; more is a mistake
_AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?", re.ASCII)
_TOLD = re.compile(r"-?([0-9]{1,4}(?:\.[0-9]{1,12})?)", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Money:
    """
    :param currency: its ISO 4217 code
    """

    micros: int
    currency: str


def read_micros(text: str) -> int:
    """`12.50` as 12,500,000.

    :raises ValueError: no such amount: it is negative, too great, or has more than six decimals
    """
    if not _AMOUNT.fullmatch(text):
        raise ValueError("write an amount such as 12.50, with up to six decimals")
    micros = int(Decimal(text) * MICROS)
    if micros > MOST:
        raise ValueError("the amount is too great")
    return micros


def read_currency(text: str) -> str:
    """
    :raises ValueError: no code of ISO 4217's shape
    """
    if not _CURRENCY.fullmatch(text):
        raise ValueError("write a currency such as USD")
    return text


def told(price: object, unit: object) -> Money | None:
    """A provider's price, which is a negative decimal text where it was charged; None where it
    tells none, or none that can be one.
    """
    found = _TOLD.fullmatch(price) if isinstance(price, str) else None
    currency = unit.upper() if isinstance(unit, str) else ""
    if found is None or not _CURRENCY.fullmatch(currency):
        return None
    micros = int((Decimal(found[1]) * MICROS).to_integral_value(ROUND_HALF_UP))
    return Money(micros, currency) if micros <= MOST_OF_ONE else None


def shown(micros: int) -> str:
    """12,500,000 as `12.50`: two decimals, or as many as it has."""
    whole, rest = divmod(micros, MICROS)
    decimals = f"{rest:06}".rstrip("0").ljust(2, "0")
    return f"{whole}.{decimals}"
