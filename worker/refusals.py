"""Whom the limits refused in the last hour: numbers, ranges, countries and services.

What stands in Redis tells no number: a keyed hash, a sid, a country, and our word for the limit.
"""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

import redis

from worker.errors import BudgetExceededError, LimitReachedError, RateLimitedError
from worker.tallies import Tally

TOP = 20
PART, PARTS = 300, 12  # seconds, and how many of them: an hour, up to five minutes less
OF_SERVICE = "of_service"  # any limit of a service's own: their names are callers'


class Kind(StrEnum):
    NUMBER = "number"
    RANGE = "range"
    COUNTRY = "country"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Refused:
    """
    :param what: the keyed hash of a number, as hex; `GB` and that of a range in it; a country; or a
        service's sid
    :param limits: how many by the limit's name
    """

    what: str
    count: int
    limits: Mapping[str, int]


class Refusals:
    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        self._tallies = {kind: Tally(client, f"refused:{kind}", PART, PARTS) for kind in Kind}

    def note(
        self, error: LimitReachedError, number: bytes, service: str, country: str, around: str = ""
    ) -> None:
        """Count one, in one round trip. Budgets are nobody's fault and do not count; without Redis
        it is lost. The refusal stands.

        :param number: see `worker.codes.Keyring.number_index`
        :param around: the key of its range's limit, where it has one
        """
        if isinstance(error, BudgetExceededError):
            return
        limit = OF_SERVICE if isinstance(error, RateLimitedError) else error.limit
        found = {Kind.NUMBER: number.hex(), Kind.COUNTRY: country, Kind.SERVICE: service}
        if around:
            found[Kind.RANGE] = f"{country} {around}"
        with suppress(redis.RedisError), self._client.pipeline(transaction=False) as pipe:
            for kind, what in found.items():
                self._tallies[kind].put(pipe, f"{what} {limit}")
            pipe.execute()

    def most(self, kind: Kind) -> list[Refused]:
        """The `TOP` that were refused most. Where many thousands were refused, those that were only
        once in a while may be counted low.

        :raises redis.RedisError: Redis does not answer
        """
        found: dict[str, Counter[str]] = {}
        for member, count in self._tallies[kind].read().items():
            what, _, limit = member.rpartition(" ")
            found.setdefault(what, Counter())[limit] += count
        every = [Refused(what, limits.total(), dict(limits)) for what, limits in found.items()]
        return sorted(every, key=lambda one: (-one.count, one.what))[:TOP]
