"""What a delivery that a provider took comes to: segments, and its price until it is told."""

from dataclasses import dataclass
from typing import Any

from worker import metrics
from worker.messages.segments import segments
from worker.money import Money
from worker.prices import Prices
from worker.providers import Accepted, Outgoing
from worker.states import Channel


@dataclass(frozen=True, slots=True)
class Cost:
    """
    :param segments: of a text; None of a call
    :param told: the price is the provider's word, and no estimate
    """

    segments: int | None
    encoding: str | None
    price: Money | None
    told: bool

    def values(self) -> dict[str, Any]:
        """What the outcome is written with, see `worker.dispatch.rows.ACCEPTED`."""
        return {
            "b_segments": self.segments,
            "b_encoding": self.encoding,
            "b_micros": self.price.micros if self.price else None,
            "b_currency": self.price.currency if self.price else None,
            "b_told": self.told if self.price else None,
        }

    def count(self, provider: str, channel: str, country: str) -> None:
        if self.segments and self.encoding:
            metrics.segments(provider, self.encoding, self.segments)
        if self.price:
            metrics.cost(provider, channel, country, self.price.currency, self.price.micros)


def cost_of(prices: Prices, outgoing: Outgoing, country: str, accepted: Accepted) -> Cost:
    """The text as it was handed over decides: a trial account's own words are not counted."""
    text = segments(outgoing.content) if outgoing.channel is Channel.SMS else None
    price, each = accepted.price, prices.of(outgoing.channel, country)
    if price is None and each is not None:
        price = Money(each.micros * (text.parts if text else 1), each.currency)
    return Cost(
        text.parts if text else None,
        text.encoding if text else None,
        price,
        accepted.price is not None,
    )
