"""Verify's own webhooks: where a service's backend wants to be told of factors and challenges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, delete, insert, select, update

from worker.db import Database, now_ms
from worker.door_tables import factor_webhooks
from worker.errors import InvalidParameterError, NotFoundError
from worker.factor_outbox import DISABLED, ENABLED, EVERY, FactorEvent
from worker.labels import check_label, check_url
from worker.models import new_sid
from worker.paging import Slice, Window, look
from worker.statements import refuse_more, require_service

MAX_WEBHOOKS = 10  # of a service
EVENTS = (EVERY, *FactorEvent)
STATUSES = (ENABLED, DISABLED)
VERSIONS = ("v1", "v2")
_w = factor_webhooks.c


@dataclass(frozen=True, slots=True)
class FactorWebhook:
    """Times are ms since 1970 UTC."""

    sid: str
    account_sid: str
    service_sid: str
    friendly_name: str
    event_types: Sequence[str]
    webhook_url: str
    status: str
    version: str
    created_at: int
    updated_at: int


class FactorWebhooks:
    """`values` are FactorWebhook's, by its names.

    Every method raises NotFoundError where the account has no such service or webhook.

    :param schemes: of the addresses that may be told
    """

    def __init__(self, db: Database, schemes: tuple[str, ...]) -> None:
        self._db = db
        self._schemes = schemes

    def create(self, account_sid: str, service_sid: str, **values: Any) -> FactorWebhook:
        """
        :raises InvalidParameterError: a value cannot be used
        :raises TooManyError: the service has as many as it may
        """
        statement = insert(factor_webhooks).values(
            sid=new_sid("YW"),
            account_sid=account_sid,
            service_sid=service_sid,
            created_at=now_ms(),
            updated_at=now_ms(),
            failures=0,
            paused_until=0,
            **self._checked({"status": ENABLED, "version": "v2"} | values),
        )
        with self._db.begin() as connection:
            require_service(connection, account_sid, service_sid, lock=True)
            refuse_more(connection, _w.service_sid == service_sid, MAX_WEBHOOKS, "webhook")
            row = connection.execute(statement.returning(factor_webhooks)).mappings().one()
        return _webhook(row)

    def page(self, account_sid: str, service_sid: str, window: Window) -> Slice[FactorWebhook]:
        """Oldest first."""
        statement = select(factor_webhooks).where(_w.service_sid == service_sid)
        with self._db.statement() as connection:
            require_service(connection, account_sid, service_sid)
            return look(connection, statement, _w.sid, window, _webhook)

    def fetch(self, account_sid: str, service_sid: str, sid: str) -> FactorWebhook:
        statement = select(factor_webhooks).where(*_is(account_sid, service_sid, sid))
        with self._db.statement() as connection:
            return _found(connection.execute(statement).mappings().one_or_none())

    def update(self, account_sid: str, service_sid: str, sid: str, **values: Any) -> FactorWebhook:
        """Change `values`. A webhook that is changed is tried at once.

        :raises InvalidParameterError: a value cannot be used
        """
        statement = (
            update(factor_webhooks)
            .where(*_is(account_sid, service_sid, sid))
            .values(updated_at=now_ms(), failures=0, paused_until=0, **self._checked(values))
            .returning(factor_webhooks)
        )
        with self._db.statement() as connection:
            return _found(connection.execute(statement).mappings().one_or_none())

    def delete(self, account_sid: str, service_sid: str, sid: str) -> None:
        statement = delete(factor_webhooks).where(*_is(account_sid, service_sid, sid))
        with self._db.statement() as connection:
            if not connection.execute(statement).rowcount:
                raise NotFoundError("webhook")

    def _checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        checked = dict(values)
        if "friendly_name" in checked:
            checked["friendly_name"] = check_label("FriendlyName", checked["friendly_name"])
        if "webhook_url" in checked:
            url = check_url("WebhookUrl", checked["webhook_url"], self._schemes)
            checked["webhook_url"] = url
        if "event_types" in checked:
            checked["event_types"] = _events(checked["event_types"])
        words = (("status", "Status", STATUSES), ("version", "Version", VERSIONS))
        for name, field, allowed in words:
            if name in checked and checked[name] not in allowed:
                raise InvalidParameterError(field, f"must be {' or '.join(allowed)}")
        return checked


def _events(given: Sequence[str]) -> list[str]:
    if not given or not set(given) <= set(EVENTS):
        raise InvalidParameterError("EventTypes", f"must be some of {', '.join(EVENTS)}")
    return [event for event in EVENTS if event in given]


def _is(account_sid: str, service_sid: str, sid: str) -> tuple[ColumnElement[bool], ...]:
    return (_w.sid == sid, _w.service_sid == service_sid, _w.account_sid == account_sid)


def _found(row: RowMapping | None) -> FactorWebhook:
    if row is None:
        raise NotFoundError("webhook")
    return _webhook(row)


def _webhook(row: RowMapping) -> FactorWebhook:
    return FactorWebhook(**{field.name: row[field.name] for field in fields(FactorWebhook)})
