"""How attempts are looked at: `SCAN` deliveries by one statement, and `LOOKS` statements for one
request, however rare the matches and however long the span.
"""

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import phonenumbers
from sqlalchemy import ColumnElement, Select, Subquery, and_, case, func, select

from worker.errors import BusyError, InvalidParameterError
from worker.models import deliveries, sid_at, verifications
from worker.moments import stamp
from worker.paging import Window
from worker.states import Channel, VerificationStatus

SCAN = 10_000  # deliveries that one statement looks at
LOOKS = 50  # statements of one request
LONG = 4  # requests of a process that go on after their first look, at once
SPAN = 30 * 86_400_000  # ms before the end of what is asked for, unless its beginning is given
CLOCK_SLACK = 3_600_000  # ms a host's clock, which sids begin with, may be off the database's
COME_BACK = 1  # seconds
END = "VM"  # sorts behind every delivery
_d, _v = deliveries.c, verifications.c
_APPROVED = VerificationStatus.APPROVED.value
OF_DELIVERY = (
    *(_d.sid, _d.verification_sid, _d.channel, _d.state, _d.error_code, _d.created_at),
    *(_d.taken_at, _d.accepted_at, _d.delivered_at, _d.ended_at),
    *(_d.price_micros, _d.price_currency),
)
_ALL = Window(0)
OF_VERIFICATION = (
    *(_v.account_sid, _v.service_sid, _v.status, _v.country, _v.locale, _v.code_length),
    *(_v.key_id, _v.number_sealed),
)


@dataclass(frozen=True, slots=True)
class Which:
    """Which attempts are meant: every condition that is not None. Times are ms since 1970 UTC.

    :param prefix: a country's calling code, `+44`; numbers themselves are not readable by prefix
    """

    service_sid: str | None = None
    verification_sid: str | None = None
    to: str | None = field(default=None, repr=False)
    prefix: str | None = None
    country: str | None = None
    channel: Channel | None = None
    converted: bool | None = None
    after: int | None = None
    before: int | None = None
    nothing: bool = False  # a channel that none of ours is


class Looks:
    """Says how often a request may look. Who goes on after the first look has a place until the
    end, and there are few: they take neither all connections nor all threads from the checks.
    """

    def __init__(self) -> None:
        self._places = threading.BoundedSemaphore(LONG)

    @contextmanager
    def of_one(self) -> Iterator[Iterator[int]]:
        """As many numbers as it may look, to be taken one before each look.

        :raises BusyError: it would go on, and every place is taken
        """
        numbers = self._numbers()
        try:
            yield numbers
        finally:
            numbers.close()

    def _numbers(self) -> Generator[int]:
        yield 0
        if not self._places.acquire(blocking=False):
            raise BusyError(COME_BACK)
        try:
            yield from range(1, LOOKS)
        finally:
            self._places.release()


def span_of(which: Which, now: int) -> Which:
    """With the beginning that goes without saying.

    :raises InvalidParameterError: its prefix is none
    """
    if which.prefix is not None:
        _countries(which.prefix)
    if which.after is not None:
        return which
    end = now if which.before is None else min(now, which.before)
    return replace(which, after=max(0, end - SPAN))


def scan_of(
    account_sid: str,
    which: Which,
    numbers: Select[Any] | None,
    low: str,
    high: str,
    *,
    backwards: bool = False,
) -> Subquery:
    """The next deliveries to look at, the newest first: those that are found by index, or whatever
    there are. `worth` is 0 where one does not match, else 1, or 2 where it is converted.

    :param numbers: the verifications of the number that is asked for
    :param low: a sid before them, as `high` is one behind them
    """
    found = select(*OF_DELIVERY, _worth(account_sid, which)).where(_d.sid > low, _d.sid < high)
    if numbers is not None:
        found = found.where(_d.verification_sid.in_(numbers))
    if which.verification_sid is not None:
        found = found.where(_d.verification_sid == which.verification_sid)
    return found.order_by(_ordered(_d.sid, backwards)).limit(SCAN).subquery("scan")


def _worth(account_sid: str, which: Which) -> ColumnElement[int]:
    """A subquery for each row, and no join, which would read the whole table of verifications
    wherever the planner thinks that cheaper than a scan's worth of look-ups.
    """
    matches = and_(*_matching(account_sid, which))
    worth = case((and_(matches, _v.status == _APPROVED), 2), (matches, 1), else_=0)
    of_row = select(worth).where(_v.sid == _d.verification_sid).correlate(deliveries)
    return of_row.scalar_subquery().label("worth")


def page_of(scan: Subquery, size: int, *, backwards: bool) -> Select[Any]:
    """The first of a scan's deliveries that match, with their verifications."""
    found = select(scan).where(scan.c.worth > 0).order_by(_ordered(scan.c.sid, backwards))
    page = found.limit(size).subquery("page")
    statement: Select[Any] = select(page, *OF_VERIFICATION)
    return statement.join(verifications, _v.sid == page.c.verification_sid).order_by(
        _ordered(page.c.sid, backwards)
    )


def looked(scan: Subquery) -> Select[Any]:
    """How many there were to look at, and where and when they begin and end."""
    found: tuple[ColumnElement[Any], ...] = (
        func.count().label("size"),
        func.min(scan.c.sid).label("oldest"),
        func.max(scan.c.sid).label("newest"),
        func.min(scan.c.created_at).label("began"),
    )
    return select(*found).select_from(scan)


def counted(scan: Subquery) -> Select[Any]:
    """A scan as `looked`, and how many of it match, and how many of those are converted."""
    total, converted = (
        func.coalesce(func.sum(case((scan.c.worth >= worth, 1), else_=0)), 0) for worth in (1, 2)
    )
    found: Select[Any] = looked(scan).add_columns(
        total.label("total"), converted.label("converted")
    )
    return found


def _ordered(sid: ColumnElement[str], backwards: bool) -> ColumnElement[str]:
    return sid.asc() if backwards else sid.desc()


def _matching(account_sid: str, which: Which) -> list[ColumnElement[bool]]:
    wanted = [_v.account_sid == account_sid]
    for column, value in (
        (_v.service_sid, which.service_sid),
        (_v.country, which.country),
        (_d.channel, which.channel),
    ):
        if value is not None:
            wanted.append(column == value)
    if which.prefix is not None:
        wanted.append(_v.country.in_(_countries(which.prefix)))
    if which.converted is not None:
        approved = _v.status == _APPROVED
        wanted.append(approved if which.converted else ~approved)
    if which.after is not None:
        wanted.append(_d.created_at >= which.after)
    if which.before is not None:
        wanted.append(_d.created_at <= which.before)
    return wanted


def too_many(what: str, began: int) -> InvalidParameterError:
    """
    :param began: when the oldest that was looked at was made
    """
    since = began + CLOCK_SLACK + 1
    return InvalidParameterError(
        "DateCreatedAfter",
        f"{what} {SCAN * LOOKS:,} attempts, and one request looks at no more: ask in parts, with"
        f" DateCreatedAfter={stamp(since)} and then with DateCreatedBefore={stamp(since - 1)}",
    )


def sids_of(which: Which, window: Window = _ALL) -> tuple[str, str]:
    """The sids before and behind what is meant: they begin with the time and are indexed."""
    if which.nothing:
        return END, END
    low = "" if which.after is None else sid_at("VL", which.after - CLOCK_SLACK)
    high = END if which.before is None else sid_at("VL", which.before + CLOCK_SLACK)
    return max(low, window.before or ""), min(high, window.after or END)


def _countries(prefix: str) -> list[str]:
    digits = prefix.removeprefix("+")
    known = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    if not digits.isascii() or not digits.isdigit() or len(digits) > 4 or int(digits) not in known:
        raise InvalidParameterError(
            "DestinationPrefix", "must be a country's calling code: numbers are stored encrypted"
        )
    return list(known[int(digits)])
