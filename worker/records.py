"""Deliveries on record: a page of them by filters, and one with all that happened. Reads only.

A page is bounded however rare the matches: it looks at `SCAN` deliveries, and says where the next
page goes on.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from sqlalchemy import Connection, Select, Subquery, case, func, select

from worker import phone, sheets, timeline
from worker.codes import Keyring
from worker.db import Database, now_ms
from worker.errors import KeyMissingError, NotFoundError
from worker.filters import Filters, looked_at, matching
from worker.models import deliveries, receipts, sid_at, verifications
from worker.moments import stamp
from worker.statements import ALIVE
from worker.states import Channel

SCAN = 20_000
COUNTED = 200_000  # deliveries that a count looks at
EXPORTED = 1000  # deliveries that are read at once
COLUMNS = (
    *("created_at", "sid", "verification_sid", "service_sid", "number", "country", "channel"),
    *("sender", "provider_sid", "state", "error_code", "status"),
)
_d, _v = deliveries.c, verifications.c
_END = "VM"  # sorts behind every delivery
_OF_VERIFICATION = (
    *(_v.service_sid, _v.status, _v.country, _v.key_id, _v.number_sealed),
    _v.sid.label("owner"),
)


@dataclass(frozen=True, slots=True)
class Page:
    """
    :param next: where the next page begins, or None at the end
    """

    records: list[dict[str, Any]]
    next: str | None


@dataclass(frozen=True, slots=True)
class Count:
    """
    :param total: deliveries that match
    :param alive: those of them whose code can still be sent
    :param at_least: there may be more, older than the `COUNTED` that were looked at
    """

    total: int
    alive: int
    at_least: bool


class Records:
    def __init__(self, db: Database, keyring: Keyring) -> None:
        self._db = db
        self._keyring = keyring

    def page(
        self,
        filters: Filters,
        before: str | None = None,
        limit: int = 50,
        indexes: Sequence[bytes] = (),
    ) -> Page:
        """Deliveries, the newest first, with their number masked.

        :param before: the `next` of the page before
        :param indexes: what `indexes` gave for a number, in place of the filters' number
        :raises InvalidParameterError: the number cannot be read
        """
        with self._db.statement() as connection:
            now = int(connection.execute(select(now_ms())).scalar_one())
            since = sid_at("VL", now - filters.within * 1000)
            scan = self._scan(filters, since, before or _END, indexes)
            statement = (
                select(scan, *_OF_VERIFICATION)
                .join(verifications, _v.sid == scan.c.verification_sid)
                .where(*matching(filters, scan.c))
                .order_by(scan.c.sid.desc())
                .limit(limit + 1)
            )
            rows = connection.execute(statement).mappings().all()
            if len(rows) > limit:
                return Page([self._shown(row) for row in rows[:limit]], rows[limit - 1]["sid"])
            last = _end_of(connection, scan)
        return Page([self._shown(row) for row in rows], last)

    def export(
        self, filters: Filters, indexes: Sequence[bytes] = (), most: int = 0
    ) -> Iterator[list[str]]:
        """All that match as lines of CSV with a head, the newest first, numbers masked. They come
        as they are looked for, page by page; a page may have none.

        :param most: how many at most; 0 is all
        :raises InvalidParameterError: the number cannot be read
        """
        if filters.number:
            indexes = self.indexes(filters.number)
        return self._lines(filters, indexes, most or sys.maxsize)

    def _lines(self, filters: Filters, indexes: Sequence[bytes], left: int) -> Iterator[list[str]]:
        yield [sheets.line(COLUMNS)]
        cursor: str | None = None
        while left:
            page = self.page(filters, cursor, min(left, EXPORTED), indexes)
            yield [sheets.line(_cells(record)) for record in page.records]
            left -= len(page.records)
            cursor = page.next
            if cursor is None:
                return

    def window(self, filters: Filters) -> tuple[str, str]:
        """The sids that a delivery of now may have, from the first on and before the second."""
        with self._db.statement() as connection:
            now = int(connection.execute(select(now_ms())).scalar_one())
        since = 0 if filters.sids else now - filters.within * 1000
        return sid_at("VL", since), sid_at("VL", now + 1)

    def count(self, filters: Filters, since: str, before: str) -> Count:
        """How many match among the newest `COUNTED`, in bounded steps."""
        total = alive = looked_at = 0
        cursor: str | None = before
        while cursor is not None and looked_at < COUNTED:
            scan = self._scan(filters, since, cursor)
            matches = (
                select(func.count(), func.count(case((ALIVE, 1))))
                .select_from(scan)
                .join(verifications, _v.sid == scan.c.verification_sid)
                .where(*matching(filters, scan.c))
            )
            with self._db.statement() as connection:
                found, living = connection.execute(matches).one()
                cursor = _end_of(connection, scan)
            total, alive, looked_at = total + found, alive + living, looked_at + SCAN
        return Count(total, alive, cursor is not None)

    def sids(
        self, filters: Filters, since: str, before: str, limit: int, *, alive: bool = False
    ) -> tuple[list[str], str | None]:
        """Up to `limit` deliveries that match, the newest first, and where to go on; None behind
        the last.

        :param alive: those alone whose code can still be sent
        """
        scan = self._scan(filters, since, before)
        statement = (
            select(scan.c.sid)
            .join(verifications, _v.sid == scan.c.verification_sid)
            .where(*matching(filters, scan.c), *((ALIVE,) if alive else ()))
            .order_by(scan.c.sid.desc())
            .limit(limit)
        )
        with self._db.statement() as connection:
            found = list(connection.execute(statement).scalars())
            if len(found) == limit:
                return found, found[-1]
            return found, _end_of(connection, scan)

    def _scan(
        self, filters: Filters, since: str, before: str, indexes: Sequence[bytes] = ()
    ) -> Subquery:
        newest = looked_at(filters, before, since)
        if filters.number:
            indexes = self.indexes(filters.number)
        if indexes:
            newest = newest.where(_d.verification_sid.in_(_of_number(indexes)))
        return newest.order_by(_d.sid.desc()).limit(SCAN).subquery("scan")

    def find(self, sid: str) -> str:
        """The verification behind a sid of ours or of the provider (`VE…`, `VL…`, `SM…`, `CA…`).

        A provider's sid is known by its receipts, else looked for among the newest deliveries.

        :raises NotFoundError: there is none
        """
        if sid.startswith("VE"):
            return sid
        wanted = select(_d.verification_sid)
        told = select(receipts.c.delivery_sid).where(
            receipts.c.provider == "twilio", receipts.c.provider_sid == sid
        )
        columns = (_d.verification_sid, _d.provider_sid)
        newest = select(*columns).order_by(_d.sid.desc()).limit(SCAN).subquery("newest")
        ways = (
            [wanted.where(_d.sid == sid)]
            if sid.startswith("VL")
            else [
                wanted.where(_d.sid.in_(told)),
                select(newest.c.verification_sid).where(newest.c.provider_sid == sid),
            ]
        )
        with self._db.statement() as connection:
            for way in ways:
                found = connection.execute(way.limit(1)).scalar_one_or_none()
                if found is not None:
                    return str(found)
        raise NotFoundError("delivery")

    def timeline(self, verification_sid: str) -> dict[str, Any]:
        """A verification, its deliveries and their receipts in the order they came.

        :raises NotFoundError: there is none
        """
        with self._db.statement() as connection:
            found = timeline.read(connection, verification_sid)
        kid, sealed = found.pop("key_id"), found.pop("number_sealed")
        return found | {"number": self._masked(kid, sealed, verification_sid)}

    def indexes(self, number: str) -> tuple[bytes, ...]:
        """What stands for a number in a page's filters, and may be written down where it may not.

        :raises InvalidParameterError: the number cannot be read
        """
        return tuple(self._keyring.number_indexes(phone.parse(number, Channel.CALL).e164))

    def index_of(self, verification_sid: str) -> bytes:
        """What stands for a verification's number, see `indexes`.

        :raises NotFoundError: there is none
        """
        statement = select(_v.number_index).where(_v.sid == verification_sid)
        with self._db.statement() as connection:
            found = connection.execute(statement).scalar_one_or_none()
        if found is None:
            raise NotFoundError("verification")
        return bytes(found)

    def _shown(self, row: Mapping[Any, Any]) -> dict[str, Any]:
        hidden = ("key_id", "number_sealed", "owner")
        values = {str(name): value for name, value in row.items() if name not in hidden}
        values["number"] = self._masked(row["key_id"], row["number_sealed"], row["owner"])
        return values

    def _masked(self, kid: str, sealed: bytes, owner: str) -> str | None:
        """The number as it may be shown; None where its key is not configured any more."""
        try:
            return phone.mask(self._keyring.open_number(kid, sealed, owner))
        except (KeyMissingError, InvalidTag):
            return None


def _end_of(connection: Connection, scan: Subquery) -> str | None:
    """Where the next look begins, None where this one came to the end."""
    count, last = connection.execute(select(func.count(), func.min(scan.c.sid))).one()
    return last if count == SCAN else None


def _of_number(indexes: Sequence[bytes]) -> Select[Any]:
    return (
        select(_v.sid)
        .where(_v.number_index.in_(indexes))
        .order_by(_v.created_at.desc())
        .limit(1000)
    )


def _cells(record: Mapping[str, Any]) -> Iterator[str]:
    for name in COLUMNS:
        value = record[name]
        yield stamp(value) if name.endswith("_at") else str(value or "")
