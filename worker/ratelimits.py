"""Rate limits that a backend counts starts by: a name, its buckets, and a value with each start."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, delete, select, update

from worker.db import Database, now_ms
from worker.door_tables import buckets, rate_limits
from worker.errors import ConflictError, InvalidParameterError, NotFoundError
from worker.labels import check_label
from worker.models import new_sid
from worker.paging import Slice, Window, look
from worker.statements import refuse_more, require_service

MAX_LIMITS = 50  # of a service
MAX_BUCKETS = 10  # of a limit
MOST = range(1, 10_001)
SECONDS = range(1, 2_592_001)
MAX_DESCRIPTION = 255
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_r, _b = rate_limits.c, buckets.c


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Times are ms since 1970 UTC."""

    sid: str
    account_sid: str
    service_sid: str
    unique_name: str
    description: str | None
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """At most `most` starts with the same value in any `seconds`."""

    sid: str
    account_sid: str
    service_sid: str
    rate_limit_sid: str
    most: int
    seconds: int
    created_at: int
    updated_at: int


class RateLimits:
    """Every method raises NotFoundError where the account has no such service, limit or bucket."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def create(self, account: str, service: str, name: str, description: str | None) -> RateLimit:
        """
        :raises InvalidParameterError: a value cannot be used
        :raises ConflictError: the service has one of this name
        :raises TooManyError: it has as many as it may
        """
        if not _NAME.fullmatch(name):
            raise InvalidParameterError("UniqueName", "must be 1 to 64 of A-Z a-z 0-9 - _ .")
        statement = self._db.insert(rate_limits).values(
            sid=new_sid("RK"),
            account_sid=account,
            service_sid=service,
            unique_name=name,
            description=_description(description),
            created_at=now_ms(),
            updated_at=now_ms(),
        )
        with self._db.begin() as connection:
            require_service(connection, account, service, lock=True)
            refuse_more(connection, _r.service_sid == service, MAX_LIMITS, "rate limit")
            made = statement.on_conflict_do_nothing().returning(rate_limits)
            row = connection.execute(made).mappings().one_or_none()
        if row is None:
            raise ConflictError("rate limit")
        return RateLimit(**row)

    def page(self, account: str, service: str, window: Window) -> Slice[RateLimit]:
        """Oldest first."""
        statement = select(rate_limits).where(_r.service_sid == service)
        with self._db.statement() as connection:
            require_service(connection, account, service)
            return look(connection, statement, _r.sid, window, lambda row: RateLimit(**row))

    def fetch(self, account: str, service: str, sid: str) -> RateLimit:
        with self._db.statement() as connection:
            return RateLimit(**_limit(connection, account, service, sid))

    def describe(self, account: str, service: str, sid: str, description: str | None) -> RateLimit:
        """
        :param description: None takes it away
        :raises InvalidParameterError: it cannot be used
        """
        statement = (
            update(rate_limits)
            .where(_r.sid == sid, _r.service_sid == service, _r.account_sid == account)
            .values(updated_at=now_ms(), description=_description(description))
            .returning(rate_limits)
        )
        with self._db.statement() as connection:
            return RateLimit(**_found(connection.execute(statement).mappings().one_or_none()))

    def delete(self, account: str, service: str, sid: str) -> None:
        """Remove a limit with its buckets."""
        statement = delete(rate_limits).where(
            _r.sid == sid, _r.service_sid == service, _r.account_sid == account
        )
        with self._db.statement() as connection:
            if not connection.execute(statement).rowcount:
                raise NotFoundError("rate limit")

    def add_bucket(
        self, account: str, service: str, limit: str, *, most: int, seconds: int
    ) -> Bucket:
        """
        :raises InvalidParameterError: a value is out of range
        :raises ConflictError: the limit has a bucket of as many seconds
        :raises TooManyError: it has as many as it may
        """
        values = _checked({"most": most, "seconds": seconds})
        statement = self._db.insert(buckets).values(
            sid=new_sid("BL"),
            account_sid=account,
            service_sid=service,
            rate_limit_sid=limit,
            created_at=now_ms(),
            updated_at=now_ms(),
            **values,
        )
        with self._db.begin() as connection:
            require_service(connection, account, service, lock=True)
            _limit(connection, account, service, limit, keep=True)
            made = statement.on_conflict_do_nothing().returning(buckets)
            refuse_more(connection, _b.rate_limit_sid == limit, MAX_BUCKETS, "bucket")
            row = connection.execute(made).mappings().one_or_none()
        if row is None:
            raise ConflictError("bucket")
        return Bucket(**row)

    def buckets(self, account: str, service: str, limit: str, window: Window) -> Slice[Bucket]:
        """Oldest first."""
        statement = select(buckets).where(_b.rate_limit_sid == limit)
        with self._db.statement() as connection:
            _limit(connection, account, service, limit)
            return look(connection, statement, _b.sid, window, lambda row: Bucket(**row))

    def bucket(self, account: str, service: str, limit: str, sid: str) -> Bucket:
        statement = select(buckets).where(*_is_bucket(account, service, limit, sid))
        with self._db.statement() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        return Bucket(**_found(row, "bucket"))

    def change_bucket(
        self, account: str, service: str, limit: str, sid: str, **values: int
    ) -> Bucket:
        """
        :raises InvalidParameterError: a value is out of range
        :raises ConflictError: the limit has another bucket of as many seconds
        """
        checked = _checked(values)
        same = select(_b.sid).where(
            _b.rate_limit_sid == limit, _b.seconds == checked.get("seconds"), _b.sid != sid
        )
        statement = (
            update(buckets)
            .where(*_is_bucket(account, service, limit, sid))
            .values(updated_at=now_ms(), **checked)
            .returning(buckets)
        )
        with self._db.begin() as connection:
            require_service(connection, account, service, lock=True)
            if connection.execute(same).first() is not None:
                raise ConflictError("bucket")
            row = connection.execute(statement).mappings().one_or_none()
        return Bucket(**_found(row, "bucket"))

    def delete_bucket(self, account: str, service: str, limit: str, sid: str) -> None:
        statement = delete(buckets).where(*_is_bucket(account, service, limit, sid))
        with self._db.statement() as connection:
            if not connection.execute(statement).rowcount:
                raise NotFoundError("bucket")


def _limit(
    connection: Connection, account: str, service: str, sid: str, *, keep: bool = False
) -> RowMapping:
    """
    :param keep: it is not deleted before the transaction ends
    """
    statement = select(rate_limits).where(
        _r.sid == sid, _r.service_sid == service, _r.account_sid == account
    )
    if keep:
        statement = statement.with_for_update(read=True, key_share=True)
    return _found(connection.execute(statement).mappings().one_or_none())


def _found(row: RowMapping | None, kind: str = "rate limit") -> RowMapping:
    if row is None:
        raise NotFoundError(kind)
    return row


def _is_bucket(account: str, service: str, limit: str, sid: str) -> tuple[ColumnElement[bool], ...]:
    return (
        *(_b.sid == sid, _b.rate_limit_sid == limit),
        *(_b.service_sid == service, _b.account_sid == account),
    )


def _description(given: str | None) -> str | None:
    return check_label("Description", given, MAX_DESCRIPTION) if given else None


def _checked(values: Mapping[str, Any]) -> dict[str, int]:
    for name, field, allowed in (("most", "Max", MOST), ("seconds", "Interval", SECONDS)):
        if name in values and values[name] not in allowed:
            raise InvalidParameterError(field, f"must be from {allowed[0]} to {allowed[-1]}")
    return dict(values)
