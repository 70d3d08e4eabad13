"""Services: a tenant's configuration, as create, fetch, list, update and delete."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from worker.audit import Operator, configured
from worker.db import Database, now_ms
from worker.door_tables import templates
from worker.errors import InvalidParameterError, NotFoundError
from worker.messages import check_brand, check_origin
from worker.models import new_sid, services, verifications
from worker.paging import Slice, Window, look

CODE_LENGTHS = range(4, 11)
CODE_LIVES = range(60, 86_401)  # seconds
SEND_LIMITS = range(1, 10_001)
CHECK_LIMITS = range(1, 11)


@dataclass(frozen=True, slots=True)
class Service:
    """Times are ms since 1970 UTC, `code_life` is in seconds, `plan` as `worker.plan` keeps it.

    :param send_limit: sends to a number; None: `SENDCODE_LIMIT_SENDS`
    :param check_limit: guesses per verification; None: `SENDCODE_MAX_CHECKS`
    """

    sid: str
    account_sid: str
    friendly_name: str
    code_length: int
    code_life: int
    send_limit: int | None
    check_limit: int | None
    press_key: bool
    spoken_name: str | None
    do_not_share: bool
    plan: Sequence[Mapping[str, Any]]
    web_origin: str | None
    default_template_sid: str | None
    twilio_only: Mapping[str, Any]
    created_at: int
    updated_at: int


_DEFAULTS: dict[str, Any] = {
    "code_length": 6,
    "code_life": 600,
    "send_limit": None,
    "check_limit": None,
    "press_key": False,
    "spoken_name": None,
    "do_not_share": False,
    "plan": [],
    "web_origin": None,
    "default_template_sid": None,
    "twilio_only": {},
}


class Services:
    def __init__(self, db: Database) -> None:
        self._db = db

    def create(
        self, account_sid: str, friendly_name: str, *, by: Operator | None = None, **settings: Any
    ) -> Service:
        """
        :param by: who makes it, for the audit log
        :raises InvalidParameterError: a value is out of range
        """
        values = _DEFAULTS | settings | {"friendly_name": friendly_name}
        statement = (
            insert(services)
            .values(
                sid=new_sid("VA"),
                account_sid=account_sid,
                created_at=now_ms(),
                updated_at=now_ms(),
                **_checked(values),
            )
            .returning(services)
        )
        with self._db.begin() as connection:
            _require_template(connection, account_sid, values["default_template_sid"])
            made = _service(connection.execute(statement).mappings().one())
            configured(connection, by, "service.create", made.sid, name=friendly_name)
        return made

    def update(
        self, account_sid: str, sid: str, *, by: Operator | None = None, **settings: Any
    ) -> Service:
        """Change what is given; of `twilio_only` each name by itself.

        :param by: who changes it, for the audit log
        :raises NotFoundError: no such service in the account
        :raises InvalidParameterError: a value is out of range
        """
        this = (services.c.sid == sid, services.c.account_sid == account_sid)
        values, kept = _checked(settings), settings.get("twilio_only")
        with self._db.begin() as connection:
            _require_template(connection, account_sid, settings.get("default_template_sid"))
            if kept:
                locked = select(services.c.twilio_only).where(*this).with_for_update()
                before = connection.execute(locked).scalar_one_or_none()
                values["twilio_only"] = {**(before or {}), **kept}
            statement = update(services).where(*this).values(updated_at=now_ms(), **values)
            row = connection.execute(statement.returning(services)).mappings().one_or_none()
            if row is not None:
                configured(connection, by, "service.update", sid, **_plain(settings))
        return _found(row)

    def fetch(self, account_sid: str, sid: str) -> Service:
        """
        :raises NotFoundError: no such service in the account
        """
        statement = select(services).where(
            services.c.sid == sid, services.c.account_sid == account_sid
        )
        with self._db.statement() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        return _found(row)

    def page(self, account_sid: str, limit: int) -> list[Service]:
        """The first services of the account, oldest first."""
        return self.slice(account_sid, Window(limit)).items

    def slice(self, account_sid: str, window: Window) -> Slice[Service]:
        """Oldest first."""
        statement = select(services).where(services.c.account_sid == account_sid)
        with self._db.statement() as connection:
            return look(connection, statement, services.c.sid, window, _service)

    def delete(self, account_sid: str, sid: str, by: Operator | None = None) -> None:
        """Remove a service that has no verification and no entity left.

        :param by: who removes it, for the audit log
        :raises NotFoundError: no such service in the account
        :raises InvalidParameterError: it still has some
        """
        unused = ~select(verifications.c.sid).where(verifications.c.service_sid == sid).exists()
        statement = delete(services).where(
            services.c.sid == sid, services.c.account_sid == account_sid, unused
        )
        try:
            with self._db.begin() as connection:
                gone = connection.execute(statement).rowcount
                if gone:
                    configured(connection, by, "service.delete", sid)
        except IntegrityError:  # entities, or a verification that was started at this moment
            gone = 0
        if not gone:
            self.fetch(account_sid, sid)
            raise InvalidParameterError(
                "Sid", "the service still has verifications or entities on record"
            )


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What was set, as the audit log can hold it: of what has parts, that it was set."""
    plain = (str, int, bool, type(None))
    return {k: v if isinstance(v, plain) else "set" for k, v in settings.items()}


def _require_template(connection: Connection, account_sid: str, sid: str | None) -> None:
    owned = (
        select(templates.c.sid)
        .where(templates.c.sid == sid, templates.c.account_sid == account_sid)
        .with_for_update(read=True, key_share=True)  # so that it is not deleted meanwhile
    )
    if sid is not None and connection.execute(owned).first() is None:
        raise InvalidParameterError("DefaultTemplateSid", "no such template in the account")


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    checked = dict(values)
    if "friendly_name" in checked:
        checked["friendly_name"] = check_brand(checked["friendly_name"])
    _within(checked, "code_length", "CodeLength", CODE_LENGTHS)
    _within(checked, "code_life", "CodeLife", CODE_LIVES)
    for key, field, allowed in (
        ("send_limit", "SendLimit", SEND_LIMITS),
        ("check_limit", "CheckLimit", CHECK_LIMITS),
    ):
        if checked.get(key) is not None:
            _within(checked, key, field, allowed)
    if checked.get("spoken_name"):
        checked["spoken_name"] = check_brand(checked["spoken_name"], "TtsName")
    if checked.get("web_origin"):
        checked["web_origin"] = check_origin(checked["web_origin"])
    return checked


def _within(values: Mapping[str, Any], key: str, field: str, allowed: range) -> None:
    if key in values and values[key] not in allowed:
        raise InvalidParameterError(field, f"must be from {allowed[0]} to {allowed[-1]}")


def _found(row: RowMapping | None) -> Service:
    if row is None:
        raise NotFoundError("service")
    return _service(row)


def _service(row: RowMapping) -> Service:
    return Service(**row)
