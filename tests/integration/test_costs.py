"""Segments and prices of what was handed over, on both databases."""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from tests.helpers import at_once, delivery, let_time_pass
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.integration.doors import door
from tests.integration.hearing import listen
from tests.integration.test_metrics import Counted
from tests.standin import Standin
from worker.money import Money
from worker.rollup import Rollup
from worker.services import Service
from worker.states import Channel
from worker.verifications import Start
from worker.wiring import Sendcode

PRICES = "sms:*=0.08,sms:GB=0.04,call:*=0.05"
AMERICAN = "+13035550100"


@pytest.fixture
def priced(make_parts: Callable[..., Sendcode]) -> Sendcode:
    return make_parts(prices=PRICES)


@pytest.fixture
def service(priced: Sendcode) -> Service:
    return priced.services.create(ACCOUNT, "Example")


@pytest.fixture
def counted() -> Counted:
    return Counted()


def deliver(parts: Sendcode, service: Service, to: str = NUMBER, **values: object) -> str:
    wanted = Start(service.sid, to, **values)  # type: ignore[arg-type]
    sid = parts.verifications.start(ACCOUNT, wanted).deliveries[-1].sid
    parts.dispatch.deliver([sid])
    return sid


def price_of(parts: Sendcode, sid: str) -> tuple[int | None, str | None, bool | None]:
    row = delivery(parts, sid)
    told = None if row.price_told is None else bool(row.price_told)
    return row.price_micros, row.price_currency, told


@pytest.mark.parametrize(("locale", "encoding"), [("en", "GSM-7"), ("ru", "UCS-2")])
def test_a_text_is_kept_with_its_segments_and_estimate(
    priced: Sendcode, service: Service, counted: Counted, locale: str, encoding: str
) -> None:
    """What was handed over is written with its segments, encoding and estimate, and counted."""
    sid = deliver(priced, service, locale=locale)
    row = delivery(priced, sid)
    assert (row.encoding, row.segments) == (encoding, 1)
    assert price_of(priced, sid) == (40_000, "USD", False)
    labels = {"provider": "twilio", "channel": "sms", "country": "GB", "currency": "USD"}
    assert counted("cost_micros_total", **labels) == 40_000
    assert counted("segments_total", provider="twilio", encoding=encoding) == 1


def test_a_long_text_costs_each_of_its_segments(priced: Sendcode) -> None:
    """The estimate is the price of a segment times the segments."""
    service = priced.services.create(ACCOUNT, "Пример" * 5)
    sid = deliver(priced, service, locale="ru", app_hash="abcdefghijk")
    row = delivery(priced, sid)
    assert row.segments > 1
    assert price_of(priced, sid) == (40_000 * row.segments, "USD", False)


def test_a_call_has_a_price_and_no_segments(priced: Sendcode, service: Service) -> None:
    """A call is estimated as one, and no text's encoding is told of it."""
    sid = deliver(priced, service, channel=Channel.CALL)
    assert (delivery(priced, sid).segments, delivery(priced, sid).encoding) == (None, None)
    assert price_of(priced, sid) == (50_000, "USD", False)


def test_without_prices_nothing_is_estimated(parts: Sendcode, counted: Counted) -> None:
    """No price is made up where operators have set none; segments are counted all the same."""
    sid = deliver(parts, parts.services.create(ACCOUNT, "Example"))
    assert price_of(parts, sid) == (None, None, None)
    assert delivery(parts, sid).segments == 1
    assert counted("cost_micros_total", provider="twilio", channel="sms", country="GB",
                   currency="USD") == 0  # fmt: skip


def test_what_was_refused_costs_nothing(
    priced: Sendcode, service: Service, provider: Standin
) -> None:
    """A delivery that no provider took has no price."""
    provider.script.append((400, 21211, {}))
    assert price_of(priced, deliver(priced, service)) == (None, None, None)


def test_what_was_found_again_is_written_once(
    priced: Sendcode, service: Service, provider: Standin, counted: Counted
) -> None:
    """A delivery whose answer was lost is found, and counted once."""
    provider.script.append("drop")
    sid = deliver(priced, service)
    assert price_of(priced, sid) == (None, None, None)
    let_time_pass(priced, 9)
    for _ in range(2):
        priced.dispatch.deliver([sid])
    assert price_of(priced, sid) == (40_000, "USD", False)
    assert counted("segments_total", provider="twilio", encoding="GSM-7") == 1


def test_the_outcome_is_one_statement(priced: Sendcode, service: Service) -> None:
    """Segments and price are in the UPDATE that tells of acceptance, not beside it."""
    sid = priced.verifications.start(ACCOUNT, Start(service.sid, NUMBER)).deliveries[-1].sid
    seen = listen(priced)
    priced.dispatch.deliver([sid])
    written = [one for one in seen if one.startswith("UPDATE deliveries")]
    assert [("segments" in one, "price_micros" in one) for one in written] == [
        (False, False),
        (True, True),
    ]


def test_the_providers_word_takes_the_estimates_place(
    priced: Sendcode, service: Service, provider: Standin, counted: Counted
) -> None:
    """A price that the provider tells when it is asked is kept, and counted no second time."""
    sid = deliver(priced, service)
    provider.kept[0] |= {"price": None, "price_unit": "USD"}
    priced.enquiry.ask([sid])
    assert price_of(priced, sid) == (40_000, "USD", False)
    provider.kept[0] |= {"price": "-0.03900", "price_unit": "USD"}
    results = at_once(4, lambda _: priced.enquiry.ask([sid]))
    assert results == [None] * 4
    assert price_of(priced, sid) == (39_000, "USD", True)
    labels = {"provider": "twilio", "channel": "sms", "country": "GB", "currency": "USD"}
    assert counted("cost_micros_total", **labels) == 40_000


def test_an_attempt_tells_its_price(priced: Sendcode, service: Service, provider: Standin) -> None:
    """Verify's attempts tell the estimate, then what the provider charged, and null before both."""
    client = door(priced)
    sid = priced.verifications.start(ACCOUNT, Start(service.sid, NUMBER)).deliveries[-1].sid

    def told() -> tuple[str | None, str | None]:
        price = client.get(f"/v2/Attempts/{sid}").json()["price"]
        return price["value"], price["currency"]

    assert told() == (None, None)
    priced.dispatch.deliver([sid])
    assert told() == ("0.04", "usd")
    provider.kept[0] |= {"price": "-0.0395", "price_unit": "USD"}
    priced.enquiry.ask([sid])
    assert told() == ("0.0395", "usd")


def test_a_price_without_estimate_is_counted_when_it_is_told(
    parts: Sendcode, provider: Standin, counted: Counted
) -> None:
    """Where there was no estimate the provider's word is counted, once."""
    sid = deliver(parts, parts.services.create(ACCOUNT, "Example"))
    provider.kept[0] |= {"price": "-0.03900", "price_unit": "EUR"}
    for _ in range(2):
        parts.enquiry.ask([sid])
    assert price_of(parts, sid) == (39_000, "EUR", True)
    labels = {"provider": "twilio", "channel": "sms", "country": "GB", "currency": "EUR"}
    assert counted("cost_micros_total", **labels) == 39_000


def test_minutes_cost_what_their_deliveries_cost(priced: Sendcode, service: Service) -> None:
    """Costs are counted by place, two currencies of one place apart, and again as they change."""
    first = deliver(priced, service)
    deliver(priced, service, "+447400123457")
    deliver(priced, service, AMERICAN, channel=Channel.CALL)
    room = Rollup(priced.db, 30)
    room.look()
    assert priced.minutes.costs(5) == {
        ("sms", "GB"): [Money(80_000, "USD")],
        ("call", "US"): [Money(50_000, "USD")],
    }
    with priced.db.begin() as connection:
        connection.execute(
            text(
                "UPDATE deliveries SET price_micros = 35000, price_currency = 'EUR' WHERE sid = :s"
            ),
            {"s": first},
        )
    room.look()
    assert priced.minutes.costs(5)["sms", "GB"] == [Money(35_000, "EUR"), Money(40_000, "USD")]


def test_the_timeline_tells_segments_and_price(priced: Sendcode, service: Service) -> None:
    """A request's record has segments, encoding, price, and whose word that is."""
    sid = deliver(priced, service)
    (shown,) = priced.records.timeline(delivery(priced, sid).verification_sid)["deliveries"]
    assert (shown["segments"], shown["encoding"]) == (1, "GSM-7")
    assert (shown["price_micros"], shown["price_currency"]) == (40_000, "USD")
    assert not shown["price_told"]
