"""Event hooks: where a service's backend wants to be told, and the secret that signs it."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, RowMapping, delete, insert, select, update

from worker.audit import Operator, configured
from worker.codes import Keyring
from worker.db import Database, now_ms
from worker.door_tables import event_hooks
from worker.errors import InvalidParameterError, NotFoundError
from worker.labels import check_url
from worker.models import new_sid
from worker.outbox import Event
from worker.paging import Slice, Window, look
from worker.resealing import reseal
from worker.statements import refuse_more, require_service

MAX_HOOKS = 10  # of a service
_h = event_hooks.c


@dataclass(frozen=True, slots=True)
class Hook:
    """Times are ms since 1970 UTC."""

    sid: str
    account_sid: str
    service_sid: str
    url: str
    events: Sequence[Event]
    enabled: bool
    failures: int
    created_at: int
    updated_at: int


class Hooks:
    """Every method raises NotFoundError where the account has no such service or hook.

    :param schemes: of the addresses that may be told
    """

    def __init__(self, db: Database, keyring: Keyring, schemes: tuple[str, ...]) -> None:
        self._db = db
        self._keyring = keyring
        self._schemes = schemes

    def create(
        self,
        account_sid: str,
        service_sid: str,
        url: str,
        wanted: Iterable[str],
        by: Operator | None = None,
    ) -> tuple[Hook, str]:
        """Make a hook; it and its secret, which is kept sealed and shown this once.

        :param by: who makes it, for the audit log
        :raises InvalidParameterError: a value cannot be used
        :raises TooManyError: the service has as many as it may
        """
        sid, kid, secret = new_sid("EH"), self._keyring.kid, secrets.token_hex(32)
        statement = insert(event_hooks).values(
            sid=sid,
            account_sid=account_sid,
            service_sid=service_sid,
            url=check_url("Url", url, self._schemes),
            wants=_bits(wanted),
            enabled=True,
            key_id=kid,
            secret_sealed=self._keyring.seal(kid, secret, f"hook {sid}"),
            failures=0,
            paused_until=0,
            created_at=now_ms(),
            updated_at=now_ms(),
        )
        with self._db.begin() as connection:
            require_service(connection, account_sid, service_sid, lock=True)
            refuse_more(connection, _h.service_sid == service_sid, MAX_HOOKS, "event hook")
            made = _hook(connection.execute(statement.returning(event_hooks)).mappings().one())
            configured(connection, by, "webhook.create", sid, **_of(made))
        return made, secret

    def page(self, account_sid: str, service_sid: str, window: Window) -> Slice[Hook]:
        """Oldest first."""
        statement = select(event_hooks).where(_h.service_sid == service_sid)
        with self._db.statement() as connection:
            require_service(connection, account_sid, service_sid)
            return look(connection, statement, _h.sid, window, _hook)

    def fetch(self, account_sid: str, service_sid: str, sid: str) -> Hook:
        statement = select(event_hooks).where(*_is(account_sid, service_sid, sid))
        with self._db.statement() as connection:
            return _found(connection.execute(statement).mappings().one_or_none())

    def update(
        self,
        account_sid: str,
        service_sid: str,
        sid: str,
        *,
        by: Operator | None = None,
        **values: Any,
    ) -> Hook:
        """Change `url`, `events` or `enabled`. A hook that is enabled again is tried at once.

        :param by: who changes it, for the audit log
        :raises InvalidParameterError: a value cannot be used
        """
        statement = (
            update(event_hooks)
            .where(*_is(account_sid, service_sid, sid))
            .values(updated_at=now_ms(), failures=0, paused_until=0, **self._checked(values))
            .returning(event_hooks)
        )
        with self._db.begin() as connection:
            made = _found(connection.execute(statement).mappings().one_or_none())
            configured(connection, by, "webhook.update", sid, **_of(made))
        return made

    def delete(
        self, account_sid: str, service_sid: str, sid: str, by: Operator | None = None
    ) -> None:
        """Remove a hook, and what it was still to be told.

        :param by: who removes it, for the audit log
        """
        statement = delete(event_hooks).where(*_is(account_sid, service_sid, sid))
        with self._db.begin() as connection:
            if not connection.execute(statement).rowcount:
                raise NotFoundError("event hook")
            configured(connection, by, "webhook.delete", sid, service=service_sid)

    def reseal(self) -> int:
        """Seal every secret that an older key sealed with the present one; how many.

        :raises KeyMissingError: a key that a row needs is no longer configured
        """
        kid = self._keyring.kid

        def remade(row: RowMapping) -> dict[str, Any]:
            owner = f"hook {row['sid']}"
            secret = self._keyring.open(row["key_id"], row["secret_sealed"], owner)
            return {"secret_sealed": self._keyring.seal(kid, secret, owner)}

        return reseal(self._db, event_hooks, kid, remade)

    def _checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        checked = dict(values)
        if "url" in checked:
            checked["url"] = check_url("Url", checked["url"], self._schemes)
        if "events" in checked:
            checked["wants"] = _bits(checked.pop("events"))
        return checked


def _bits(wanted: Iterable[str]) -> int:
    asked = set(wanted)
    known = set(Event) if "*" in asked else {event for event in Event if event.value in asked}
    if not known or not asked <= {"*", *Event}:
        raise InvalidParameterError("EventTypes", f"must be * or some of {', '.join(Event)}")
    return sum(event.bit for event in known)


def _is(account_sid: str, service_sid: str, sid: str) -> tuple[ColumnElement[bool], ...]:
    return (_h.sid == sid, _h.service_sid == service_sid, _h.account_sid == account_sid)


def _found(row: RowMapping | None) -> Hook:
    if row is None:
        raise NotFoundError("event hook")
    return _hook(row)


def _of(hook: Hook) -> dict[str, Any]:
    """What the audit log says of it; the rest of an address may be a secret."""
    host = urlsplit(hook.url).hostname
    return {"service": hook.service_sid, "host": host, "enabled": hook.enabled}


def _hook(row: RowMapping) -> Hook:
    return Hook(
        sid=row["sid"],
        account_sid=row["account_sid"],
        service_sid=row["service_sid"],
        url=row["url"],
        events=[event for event in Event if row["wants"] & event.bit],
        enabled=row["enabled"],
        failures=row["failures"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
