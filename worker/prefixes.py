"""Which prefixes have many codes of which few come back: somebody has them sent for nothing.
Reads only.

Bounded however large the table is: it looks at the newest `MOST` codes that are decided and the
newest `MOST` that are not. No number leaves this room. Times are whole minutes, since to the ms
they would lead to a line of the requests.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from cryptography.exceptions import InvalidTag
from sqlalchemy import Connection, func, select

from worker import phone
from worker.codes import Keyring
from worker.db import Database, now_ms
from worker.errors import BusyError, InvalidParameterError, KeyMissingError
from worker.holds import Holds
from worker.models import deliveries, sid_at, verifications
from worker.prefix_groups import Code, Tally, grouped
from worker.states import VerificationStatus

MOST = 5000  # codes of either kind …
MOST_OF_SOME = 50_000  # … and among how many of all those of one country are looked for
DECIDED = 300  # seconds: a younger code may still come back
ROWS = 50
LOW = 0.3  # of the codes: a prefix of which fewer come back is suspicious
MINUTE = 60_000  # ms
FRESH = 5.0  # seconds that a look holds, and …
PATIENCE = 5.0  # … that one waits for another
COME_BACK = 5  # seconds, to whom it took too long
_v, _d = verifications.c, deliveries.c
_COLUMNS = (_v.sid, _v.key_id, _v.number_sealed, _v.country, _v.status, _v.created_at)
_END = "VF"  # sorts behind every verification


@dataclass(frozen=True, slots=True)
class Prefix:
    """The codes to numbers that begin alike. Times are ms since 1970 UTC.

    :param prefix: as `+447400`, what a block takes
    :param country: where most of its codes go
    :param numbers: how many different ones
    :param decided: of the codes, those older than `DECIDED` …
    :param approved: … and of these, those that came back right
    :param failed: deliveries that did not arrive
    :param blocked: all of it, now
    """

    prefix: str
    country: str
    codes: int
    numbers: int
    decided: int
    approved: int
    delivered: int
    failed: int
    first_at: int
    last_at: int
    blocked: bool

    @property
    def conversion(self) -> float | None:
        """Of the decided codes, how many came back right: 0 to 1; None where none is decided."""
        return self.approved / self.decided if self.decided else None

    @property
    def arrival(self) -> float | None:
        """Of the deliveries that ended, how many arrived: 0 to 1; None where none ended."""
        ended = self.delivered + self.failed
        return self.delivered / ended if ended else None


@dataclass(frozen=True, slots=True)
class Found:
    """What was found among the newest codes of a window.

    :param prefixes: up to `ROWS`, the most suspicious first
    :param codes: those that were looked at, of the country that was asked for
    :param few: of them, those to too few numbers to be shown
    :param sealed: of them, those whose number cannot be opened, as its key is gone
    :param at_least: there may be more, older than those that were looked at
    """

    prefixes: list[Prefix]
    codes: int
    few: int
    sealed: int
    at_least: bool


class Prefixes:
    def __init__(self, db: Database, keyring: Keyring, holds: Holds) -> None:
        self._db = db
        self._keyring = keyring
        self._holds = holds
        self._looking = threading.Lock()
        self._known: dict[tuple[int, str], tuple[float, Found]] = {}

    def look(self, within: int, country: str = "") -> Found:
        """The prefixes of the last `within` seconds: first those of which fewer than `LOW` came
        back, then those of which no code is decided, then the others; each by how many codes did
        not come back. One look of a process at a time, as it takes a processor; it holds for
        `FRESH` seconds.

        :param country: ISO 3166 code: that one's alone
        :raises InvalidParameterError: there is no such country
        :raises BusyError: others have looked for `PATIENCE` seconds
        :raises sqlalchemy.exc.SQLAlchemyError: the database does not answer
        """
        there = phone.region(country) if country else ""
        if there is None:
            raise InvalidParameterError("country", "must be a country such as GB")
        if not self._looking.acquire(timeout=PATIENCE):
            raise BusyError(COME_BACK)
        try:
            now = time.monotonic()
            self._known = {k: v for k, v in self._known.items() if now - v[0] < FRESH}
            if (within, there) not in self._known:
                found = self._look(within, there)
                self._known[within, there] = time.monotonic(), found
            found = self._known[within, there][1]
        finally:
            self._looking.release()
        blocked = self._holds.now().prefixes
        shown = [replace(one, blocked=one.prefix.startswith(blocked)) for one in found.prefixes]
        return replace(found, prefixes=shown)

    def _look(self, within: int, country: str) -> Found:
        rows, at_least = self._rows(within, country)
        codes = [code for decided, found in rows for code in self._codes(found, decided)]
        opened = [code for code in codes if code is not None]
        tallies, few = grouped(opened)
        found = sorted((_shown(*one) for one in tallies.items()), key=_order)
        return Found(found[:ROWS], len(codes), few, len(codes) - len(opened), at_least)

    def _rows(self, within: int, country: str) -> tuple[list[tuple[bool, Sequence[Any]]], bool]:
        """Rows of decided codes and of the others, and whether there may be more of either."""
        with self._db.statement() as connection:
            now = int(connection.execute(select(now_ms())).scalar_one())
            since = sid_at("VE", (now - within * 1000) // MINUTE * MINUTE)
            cut = max(since, sid_at("VE", now - DECIDED * 1000))
            old, more = _looked_at(connection, since, cut, country)
            young, yet_more = _looked_at(connection, cut, _END, country)
        return [(True, old), (False, young)], more or yet_more

    def _codes(self, rows: Iterable[Any], decided: bool) -> Iterator[Code | None]:
        """A code of each run of rows, which are one for each delivery; None of a sealed one."""
        for _, same in groupby(rows, key=lambda row: row.sid):
            first, *more = same
            number = self._open(first)
            if number is None:
                yield None
                continue
            approved = first.status == VerificationStatus.APPROVED
            states = tuple(row.state for row in (first, *more) if row.state)
            yield Code(number, first.country, first.created_at, decided, approved, states)

    def _open(self, row: Any) -> str | None:
        try:
            return self._keyring.open_number(row.key_id, row.number_sealed, row.sid)
        except (KeyMissingError, InvalidTag):
            return None


def _looked_at(
    connection: Connection, since: str, before: str, country: str
) -> tuple[Sequence[Any], bool]:
    """Rows of the newest codes, and whether there may be older ones. A sid begins with the time,
    so that the primary key has them in order.
    """
    newest = select(*_COLUMNS).where(_v.sid >= since, _v.sid < before).order_by(_v.sid.desc())
    scan = newest.limit(MOST_OF_SOME if country else MOST).subquery("scan")
    chosen = scan
    if country:
        there = select(scan).where(scan.c.country == country).order_by(scan.c.sid.desc())
        chosen = there.limit(MOST).subquery("chosen")
    joined = chosen.outerjoin(deliveries, _d.verification_sid == chosen.c.sid)
    statement = select(chosen, _d.state).select_from(joined).order_by(chosen.c.sid.desc())
    rows = connection.execute(statement).all()
    full = len({row.sid for row in rows}) == MOST
    if country and not full:
        count = connection.execute(select(func.count()).select_from(scan)).scalar_one()
        full = count == MOST_OF_SOME
    return rows, full


def _shown(name: str, tally: Tally) -> Prefix:
    ((country, _),) = tally.countries.most_common(1)
    words = ("codes", "decided", "approved", "delivered", "failed")
    return Prefix(
        prefix=name,
        country=country,
        numbers=len(tally.numbers),
        first_at=min(tally.moments) // MINUTE * MINUTE,
        last_at=max(tally.moments) // MINUTE * MINUTE,
        blocked=False,
        **{word: tally.counts[word] for word in words},
    )


def _order(one: Prefix) -> tuple[int, int, str]:
    if one.conversion is None:
        return 1, -one.codes, one.prefix
    return 0 if one.conversion < LOW else 2, one.approved - one.decided, one.prefix
