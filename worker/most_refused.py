"""Whom the limits refuse most, as operators may see it. Reads only.

A number's mask is in its requests: one that has none on record, or none that can be opened, shows
as the start of its hash, by which the log names it too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker import logs
from worker.filters import Filters
from worker.records import Records
from worker.refusals import Kind, Refusals, Refused

ON_RECORD = 2_592_000  # seconds of requests in which a number is looked for


@dataclass(frozen=True, slots=True)
class Shown:
    """
    :param what: a number masked, or the start of its hash; a country and the start of a range's
        hash; a country; or a service's sid
    :param limits: how many by the limit's name
    :param index: of a number on record what its requests are found by, as hex
    :param sid: of such a number's newest delivery
    """

    what: str
    count: int
    limits: Mapping[str, int]
    index: str | None = field(default=None, repr=False)
    sid: str | None = None


class MostRefused:
    def __init__(self, refusals: Refusals, records: Records) -> None:
        self._refusals = refusals
        self._records = records

    def look(self) -> dict[Kind, list[Shown]]:
        """Of the last hour, the most refused first, `worker.refusals.TOP` of each kind.

        :raises redis.RedisError: the broker does not answer
        :raises sqlalchemy.exc.SQLAlchemyError: the database does not answer
        """
        found = {kind: self._refusals.most(kind) for kind in Kind}
        shown = {
            kind: [Shown(one.what, one.count, one.limits) for one in found[kind]]
            for kind in (Kind.COUNTRY, Kind.SERVICE)
        }
        numbers = [self._number(one) for one in found[Kind.NUMBER]]
        return {Kind.NUMBER: numbers, Kind.RANGE: [*map(_range, found[Kind.RANGE])], **shown}

    def _number(self, one: Refused) -> Shown:
        index = bytes.fromhex(one.what)
        page = self._records.page(Filters(within=ON_RECORD), limit=1, indexes=(index,))
        if not page.records:
            return Shown(logs.number_hash(index), one.count, one.limits)
        newest = page.records[0]
        what = newest["number"] or logs.number_hash(index)
        return Shown(what, one.count, one.limits, one.what, newest["sid"])


def _range(one: Refused) -> Shown:
    country, _, key = one.what.partition(" ")
    return Shown(f"{country} {logs.number_hash(bytes.fromhex(key))}", one.count, one.limits)
