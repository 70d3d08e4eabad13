"""Which messaging service sends the SMS of a service to a country."""

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, delete, select, update

from worker import phone
from worker.db import Database, now_ms
from worker.door_tables import messaging_configurations
from worker.errors import ConflictError, InvalidParameterError, NotFoundError
from worker.paging import Slice, Window, look
from worker.statements import require_service

EVERYWHERE = "all"
_SID = re.compile(r"MG[0-9a-fA-F]{32}", re.ASCII)
_m = messaging_configurations.c


@dataclass(frozen=True, slots=True)
class Configuration:
    """Times are ms since 1970 UTC.

    :param country: ISO 3166 alpha-2, or `all` for those that have none of their own
    """

    account_sid: str
    service_sid: str
    country: str
    messaging_service_sid: str
    created_at: int
    updated_at: int


class Messaging:
    def __init__(self, db: Database) -> None:
        self._db = db

    def create(
        self, account_sid: str, service_sid: str, country: str, sender: str
    ) -> Configuration:
        """
        :raises NotFoundError: no such service in the account
        :raises ConflictError: the country has one
        :raises InvalidParameterError: no such country, or no sid of a messaging service
        """
        values = {"country": check_country(country), "messaging_service_sid": _check_sid(sender)}
        statement = self._db.insert(messaging_configurations).values(
            account_sid=account_sid,
            service_sid=service_sid,
            created_at=now_ms(),
            updated_at=now_ms(),
            **values,
        )
        with self._db.begin() as connection:
            require_service(connection, account_sid, service_sid, lock=True)
            made = statement.on_conflict_do_nothing().returning(messaging_configurations)
            row = connection.execute(made).mappings().one_or_none()
        if row is None:
            raise ConflictError("messaging configuration")
        return _configuration(row)

    def page(self, account_sid: str, service_sid: str, window: Window) -> Slice[Configuration]:
        """By country."""
        statement = select(messaging_configurations).where(_m.service_sid == service_sid)
        with self._db.statement() as connection:
            require_service(connection, account_sid, service_sid)
            return look(connection, statement, _m.country, window, _configuration)

    def fetch(self, account_sid: str, service_sid: str, country: str) -> Configuration:
        """
        :raises NotFoundError: there is none
        """
        with self._db.statement() as connection:
            statement = _one(account_sid, service_sid, country)
            return _found(connection.execute(statement).mappings().one_or_none())

    def update(
        self, account_sid: str, service_sid: str, country: str, sender: str
    ) -> Configuration:
        """
        :raises NotFoundError: there is none
        :raises InvalidParameterError: no sid of a messaging service
        """
        statement = (
            update(messaging_configurations)
            .where(*_is(account_sid, service_sid, country))
            .values(messaging_service_sid=_check_sid(sender), updated_at=now_ms())
            .returning(messaging_configurations)
        )
        with self._db.statement() as connection:
            return _found(connection.execute(statement).mappings().one_or_none())

    def delete(self, account_sid: str, service_sid: str, country: str) -> None:
        """
        :raises NotFoundError: there is none
        """
        statement = delete(messaging_configurations).where(*_is(account_sid, service_sid, country))
        with self._db.statement() as connection:
            if not connection.execute(statement).rowcount:
                raise NotFoundError("messaging configuration")


def check_country(given: str) -> str:
    """
    :raises InvalidParameterError: neither `all` nor the code of a country
    """
    if given.lower() == EVERYWHERE:
        return EVERYWHERE
    country = phone.region(given)
    if country is None:
        raise InvalidParameterError("Country", "must be an ISO 3166 code of two letters, or all")
    return country


def _check_sid(given: str) -> str:
    if not _SID.fullmatch(given):
        raise InvalidParameterError("MessagingServiceSid", "must be MG and 32 hex digits")
    return given


def _is(account_sid: str, service_sid: str, country: str) -> tuple[ColumnElement[bool], ...]:
    """
    :raises NotFoundError: none can be for it; it may be a text that no statement takes
    """
    try:
        name = check_country(country)
    except InvalidParameterError:
        raise NotFoundError("messaging configuration") from None
    return (_m.account_sid == account_sid, _m.service_sid == service_sid, _m.country == name)


def _one(account_sid: str, service_sid: str, country: str) -> Select[Any]:
    return select(messaging_configurations).where(*_is(account_sid, service_sid, country))


def _found(row: RowMapping | None) -> Configuration:
    if row is None:
        raise NotFoundError("messaging configuration")
    return _configuration(row)


def _configuration(row: RowMapping) -> Configuration:
    return Configuration(**row)
