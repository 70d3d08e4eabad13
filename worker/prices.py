"""What a message or a call costs where the provider has not told yet: the operators' own list."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from worker.money import MOST_OF_ONE, Money, read_currency, read_micros
from worker.states import Channel

ELSEWHERE = "*"
_ENTRY = re.compile(r"(sms|call):([A-Z]{2}|\*)=(\S+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Prices:
    """Of one segment of a text and of one call, in one currency.

    :param micros: by channel and country, `*` for every other one; empty: nothing is estimated
    """

    currency: str
    micros: Mapping[tuple[str, str], int]

    def of(self, channel: str, country: str) -> Money | None:
        """What one segment, or one call, costs; None where there is no list."""
        if not self.micros:
            return None
        found = self.micros.get((channel, country))
        return Money(
            self.micros[channel, ELSEWHERE] if found is None else found,
            self.currency,
        )


@lru_cache
def read_prices(text: str, currency: str) -> Prices:
    """
    :param text: such as `sms:*=0.08,sms:US=0.0079,call:*=0.05`
    :raises ValueError: it cannot be read, names a place twice, or leaves one out
    """
    read_currency(currency)
    entries = [entry for entry in re.split(r"[\s,]+", text) if entry]
    found: dict[tuple[str, str], int] = {}
    for entry in entries:
        parts = _ENTRY.fullmatch(entry)
        if parts is None or (parts[1], parts[2]) in found:
            raise ValueError("an entry is `sms:US=0.0079`, `call:*=0.05`, each place once")
        found[parts[1], parts[2]] = read_micros(parts[3])
        if found[parts[1], parts[2]] > MOST_OF_ONE:
            raise ValueError(f"{parts[1]}:{parts[2]} costs more than 1000, which is a mistake")
    if found and any((channel.value, ELSEWHERE) not in found for channel in Channel):
        raise ValueError("there must be `sms:*` and `call:*`, for every country not named")
    return Prices(currency, found)
