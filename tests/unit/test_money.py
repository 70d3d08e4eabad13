"""Amounts and prices: exact, never negative, of one currency."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import SettingsError
from worker.money import MOST, MOST_OF_ONE, Money, read_micros, shown, told
from worker.prices import read_prices
from worker.settings import SAMPLE_KEY, load

LIST = "sms:*=0.08, sms:US=0.0079\ncall:*=0.05"


@given(st.integers(0, MOST - 1))
def test_an_amount_reads_as_it_is_shown(micros: int) -> None:
    """No micro is lost or made between a text and what is counted."""
    assert read_micros(shown(micros)) == micros


@pytest.mark.parametrize(
    "text",
    ["-1", "+1", "1e3", "nan", "inf", "", " 1", "1.", ".5", "1,50", "0.0000001", "1" * 10, "١"],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    """Signs, powers, words, other digits and what is smaller than a micro are no amount."""
    with pytest.raises(ValueError):
        read_micros(text)


def test_the_greatest_amount() -> None:
    """What Redis could not count exactly is refused."""
    assert read_micros("999999999.999999") == MOST - 1
    assert MOST < 2**53


@pytest.mark.parametrize(
    ("price", "unit", "micros"),
    [
        ("-0.00750", "USD", 7500),
        ("0.0075", "usd", 7500),
        ("-0", "EUR", 0),
        ("-1.0000005", "EUR", 1000001),
    ],
)
def test_a_providers_price_is_read(price: str, unit: str, micros: int) -> None:
    """A charge is told as a negative decimal; it is kept in whole micros."""
    assert told(price, unit) == Money(micros, unit.upper())


@pytest.mark.parametrize(
    ("price", "unit"),
    [(None, "USD"), ("", "USD"), ("abc", "USD"), (-0.0075, "USD"), ("-0.0075", None),
     ("-0.0075", "dollars"), ("--1", "USD"), ("-1001", "USD"), ("NaN", "USD")],
)  # fmt: skip
def test_what_no_price_can_be_is_none(price: object, unit: object) -> None:
    """A price that is missing, unreadable or absurd takes no estimate's place."""
    assert told(price, unit) is None


def test_prices_by_place() -> None:
    """A country's own price comes first, then the channel's for all others."""
    prices = read_prices(LIST, "USD")
    assert prices.of("sms", "US") == Money(7_900, "USD")
    assert prices.of("sms", "GB") == Money(80_000, "USD")
    assert prices.of("call", "US") == Money(50_000, "USD")
    assert read_prices("", "USD").of("sms", "US") is None
    assert read_prices("sms:*=0,call:*=0", "USD").of("sms", "US") == Money(0, "USD")


@pytest.mark.parametrize(
    "text",
    [
        *("sms:*=0.08", "sms:*=-0.08,call:*=0.05", "sms:*=0.08,sms:*=0.09,call:*=0.05"),
        *("sms:*=0.08,call:*=0.05,fax:*=1", "sms:us=0.1,sms:*=0.08,call:*=0.05"),
        f"sms:*={shown(MOST_OF_ONE + 1)},call:*=0.05",
    ],
)
def test_a_list_that_cannot_be_is_loud(text: str) -> None:
    """A place that is left out, named twice or unknown, and an absurd price, end the start."""
    with pytest.raises(SettingsError, match="SENDCODE_PRICES"):
        load(prices=text, secret_keys=f"k1:{SAMPLE_KEY}")


def test_a_currency_that_is_none_is_loud() -> None:
    """The prices' currency is an ISO code."""
    with pytest.raises(SettingsError, match="SENDCODE_PRICE_CURRENCY"):
        load(price_currency="dollar", secret_keys=f"k1:{SAMPLE_KEY}")
