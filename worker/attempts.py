"""Attempts, as Verify calls them: our deliveries, listed and counted with what became of them."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import RowMapping, Select, select

from worker import attempt_looks, phone
from worker.attempt_looks import (
    OF_DELIVERY,
    OF_VERIFICATION,
    Looks,
    counted,
    looked,
    page_of,
    scan_of,
    sids_of,
    span_of,
    too_many,
)
from worker.attempt_looks import Which as Which
from worker.codes import Keyring
from worker.db import Database, now_ms
from worker.errors import InvalidParameterError, KeyMissingError, NotFoundError
from worker.models import deliveries, verifications
from worker.money import Money
from worker.paging import Slice, Window, cut
from worker.states import Channel, DeliveryState, VerificationStatus

_d, _v = deliveries.c, verifications.c


@dataclass(frozen=True, slots=True)
class Attempt:
    """Times are ms since 1970 UTC.

    :param to: E.164, or None where the key of its row is not configured any more
    :param price: the provider's, or the estimate of `SENDCODE_PRICES` until it tells one
    """

    sid: str
    account_sid: str
    service_sid: str
    verification_sid: str
    to: str | None = field(repr=False)
    channel: Channel
    state: DeliveryState
    status: VerificationStatus
    error_code: str | None
    country: str
    locale: str
    code_length: int
    created_at: int
    updated_at: int
    price: Money | None


@dataclass(frozen=True, slots=True)
class Summary:
    total: int
    converted: int


class Attempts:
    def __init__(self, db: Database, keyring: Keyring) -> None:
        self._db = db
        self._keyring = keyring
        self._looks = Looks()

    def page(self, account_sid: str, which: Which, window: Window) -> Slice[Attempt]:
        """Newest first, of the last 30 days unless `which` says from when. A page that ends where
        a look ended is not full, and others come after it.

        :raises InvalidParameterError: a condition cannot be used, or none matches among as many
            deliveries as one request looks at
        :raises BusyError: it would look on, and too many others do
        """
        which, numbers = self._meant(account_sid, which)
        backwards = window.before is not None
        low, high = sids_of(which, window)
        with self._looks.of_one() as numbered:
            for _ in numbered:
                scan = scan_of(account_sid, which, numbers, low, high, backwards=backwards)
                statement = page_of(scan, window.size + 1, backwards=backwards)
                with self._db.statement() as connection:
                    rows = connection.execute(statement).mappings().all()
                    if len(rows) > window.size:
                        return cut(rows, window, self._view, more=True)
                    seen = connection.execute(looked(scan)).one()
                ended = seen.size < attempt_looks.SCAN
                if rows or ended:
                    return cut(rows, window, self._view, more=not ended)
                low, high = (seen.newest, high) if backwards else (low, seen.oldest)
        raise too_many("none matches among the newest", seen.began)

    def fetch(self, account_sid: str, sid: str) -> Attempt:
        """
        :raises NotFoundError: no such delivery in the account
        """
        statement = (
            select(*OF_DELIVERY, *OF_VERIFICATION)
            .join_from(deliveries, verifications, _v.sid == _d.verification_sid)
            .where(_d.sid == sid, _v.account_sid == account_sid)
        )
        with self._db.statement() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        if row is None:
            raise NotFoundError("attempt")
        return self._view(row)

    def summary(self, account_sid: str, which: Which) -> Summary:
        """Over the same span as `page`.

        :raises InvalidParameterError: a condition cannot be used, or the span has more deliveries
            than one request looks at
        :raises BusyError: it would look on, and too many others do
        """
        which, numbers = self._meant(account_sid, which)
        low, high = sids_of(which)
        total = converted = 0
        with self._looks.of_one() as numbered:
            for _ in numbered:
                scan = scan_of(account_sid, which, numbers, low, high)
                with self._db.statement() as connection:
                    seen = connection.execute(counted(scan)).one()
                total, converted = total + int(seen.total), converted + int(seen.converted)
                if seen.size < attempt_looks.SCAN:
                    return Summary(total, converted)
                high = seen.oldest
        raise too_many("the span has more than", seen.began)

    def _meant(self, account_sid: str, which: Which) -> tuple[Which, Select[Any] | None]:
        """With its span, and the verifications of its number.

        :raises InvalidParameterError: its prefix or its number is none
        """
        numbers = None if which.to is None else self._of_number(account_sid, which.to)
        with self._db.statement() as connection:
            now = int(connection.execute(select(now_ms())).scalar_one())
        return span_of(which, now), numbers

    def _of_number(self, account_sid: str, to: str) -> Select[Any]:
        """A number's verifications, by its index: few, so they are found before anything else."""
        try:
            indexes = self._keyring.number_indexes(phone.parse(to, Channel.CALL).e164)
        except InvalidParameterError as error:
            raise InvalidParameterError("ChannelData.To", error.reason) from None
        found = (
            select(_v.sid)
            .where(_v.number_index.in_(indexes), _v.account_sid == account_sid)
            .cte("of_number")
            .prefix_with("MATERIALIZED", dialect="postgresql")
        )
        return select(found.c.sid)

    def _view(self, row: RowMapping) -> Attempt:
        try:
            to = self._keyring.open_number(
                row["key_id"], row["number_sealed"], row["verification_sid"]
            )
        except KeyMissingError:
            to = None
        micros = row["price_micros"]
        steps = ("created_at", "taken_at", "accepted_at", "delivered_at", "ended_at")
        return Attempt(
            sid=row["sid"],
            account_sid=row["account_sid"],
            service_sid=row["service_sid"],
            verification_sid=row["verification_sid"],
            to=to,
            channel=Channel(row["channel"]),
            state=DeliveryState(row["state"]),
            status=VerificationStatus(row["status"]),
            error_code=row["error_code"],
            country=row["country"],
            locale=row["locale"],
            code_length=row["code_length"],
            created_at=row["created_at"],
            updated_at=max(row[step] or 0 for step in steps),
            price=None if micros is None else Money(micros, row["price_currency"]),
        )
