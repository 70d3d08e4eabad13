"""Attempts, as Verify calls them: our deliveries, listed and counted with what became of them."""

from dataclasses import dataclass, field
from typing import Any

import phonenumbers
from sqlalchemy import RowMapping, Select, case, false, func, select

from worker import phone
from worker.codes import Keyring
from worker.db import Database
from worker.errors import InvalidParameterError, KeyMissingError, NotFoundError
from worker.models import deliveries, verifications
from worker.money import Money
from worker.paging import Slice, Window, look
from worker.states import Channel, DeliveryState, VerificationStatus

CLOCK_SLACK = 3_600_000  # ms a host's clock, which sids begin with, may be off the database's
_d, _v = deliveries.c, verifications.c
_APPROVED = VerificationStatus.APPROVED.value
_COLUMNS = (
    *(_d.sid, _d.verification_sid, _d.channel, _d.state, _d.error_code, _d.created_at),
    *(_d.taken_at, _d.accepted_at, _d.delivered_at, _d.ended_at),
    *(_d.price_micros, _d.price_currency),
    *(_v.account_sid, _v.service_sid, _v.status, _v.country, _v.locale, _v.code_length),
    *(_v.key_id, _v.number_sealed),
)


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


@dataclass(frozen=True, slots=True)
class Summary:
    total: int
    converted: int


class Attempts:
    def __init__(self, db: Database, keyring: Keyring) -> None:
        self._db = db
        self._keyring = keyring

    def page(self, account_sid: str, which: Which, window: Window) -> Slice[Attempt]:
        """Newest first.

        :raises InvalidParameterError: a condition cannot be used
        """
        statement = self._chosen(select(*_COLUMNS), account_sid, which)
        with self._db.statement() as connection:
            return look(connection, statement, _d.sid, window, self._view, newest_first=True)

    def fetch(self, account_sid: str, sid: str) -> Attempt:
        """
        :raises NotFoundError: no such delivery in the account
        """
        statement = self._chosen(select(*_COLUMNS), account_sid, Which()).where(_d.sid == sid)
        with self._db.statement() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        if row is None:
            raise NotFoundError("attempt")
        return self._view(row)

    def summary(self, account_sid: str, which: Which) -> Summary:
        """
        :raises InvalidParameterError: a condition cannot be used
        """
        converted = func.coalesce(func.sum(case((_v.status == _APPROVED, 1), else_=0)), 0)
        statement = self._chosen(select(func.count(), converted), account_sid, which)
        with self._db.statement() as connection:
            total, approved = connection.execute(statement).one()
        return Summary(int(total), int(approved))

    def _chosen(self, statement: Select[Any], account_sid: str, which: Which) -> Select[Any]:
        joined = statement.select_from(deliveries).join(
            verifications, _v.sid == _d.verification_sid
        )
        joined = joined.where(_v.account_sid == account_sid)
        if which.nothing:
            joined = joined.where(false())
        if which.to is not None:
            joined = joined.where(_d.verification_sid.in_(self._of_number(account_sid, which.to)))
        for column, value in (
            (_v.service_sid, which.service_sid),
            (_d.verification_sid, which.verification_sid),
            (_v.country, which.country),
            (_d.channel, which.channel),
        ):
            if value is not None:
                joined = joined.where(column == value)
        if which.prefix is not None:
            joined = joined.where(_v.country.in_(_countries(which.prefix)))
        if which.converted is not None:
            approved = _v.status == _APPROVED
            joined = joined.where(approved if which.converted else ~approved)
        return _between(joined, which.after, which.before)

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


def _between(statement: Select[Any], after: int | None, before: int | None) -> Select[Any]:
    """A span of time, also as a span of sids: they begin with the time and are indexed."""
    if after is not None:
        statement = statement.where(_d.created_at >= after, _d.sid > _sid_at(after - CLOCK_SLACK))
    if before is not None:
        statement = statement.where(_d.created_at <= before, _d.sid < _sid_at(before + CLOCK_SLACK))
    return statement


def _sid_at(ms: int) -> str:
    return f"VL{max(0, ms):012x}"


def _countries(prefix: str) -> list[str]:
    digits = prefix.removeprefix("+")
    known = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    if not digits.isascii() or not digits.isdigit() or len(digits) > 4 or int(digits) not in known:
        raise InvalidParameterError(
            "DestinationPrefix", "must be a country's calling code: numbers are stored encrypted"
        )
    return list(known[int(digits)])
