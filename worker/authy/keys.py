"""Keys of the Authy door: each belongs to one service, which is the key's application."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from sqlalchemy import RowMapping, insert, or_, select, update

from worker.audit import Operator, configured
from worker.db import Database, now_ms
from worker.door_tables import authy_keys
from worker.errors import NotFoundError
from worker.labels import check_label
from worker.models import new_sid, services
from worker.paging import Slice, Window, look
from worker.statements import require_service

KEY_BYTES = 32
MAX_KEY = 128  # characters of what is looked at as a key at all
USE_STEP = 60_000  # ms: how exact `last_used_at` is
_k = authy_keys.c
_PROVE = select(authy_keys, services.c.friendly_name.label("app_name"), now_ms().label("now")).join(
    services, services.c.sid == _k.service_sid
)


@dataclass(frozen=True, slots=True)
class AuthyApp:
    """The application that a key opens.

    :param name: the service's
    """

    account_sid: str
    service_sid: str
    name: str

    @property
    def number(self) -> int:
        """Authy's `app_id`: 28 bits of the service's sid."""
        return int(self.service_sid[-7:], 16)


@dataclass(frozen=True, slots=True)
class AuthyKey:
    """Times are ms since 1970 UTC."""

    sid: str
    service_sid: str
    friendly_name: str
    created_at: int
    last_used_at: int | None
    revoked_at: int | None


class AuthyKeys:
    def __init__(self, db: Database) -> None:
        self._db = db

    def create(
        self, account_sid: str, service_sid: str, friendly_name: str, by: Operator | None = None
    ) -> tuple[AuthyKey, str]:
        """Make a key of a service; it and its text, of which only a digest is kept.

        :param by: who makes it, for the audit log
        :raises NotFoundError: no such service in the account
        :raises InvalidParameterError: an unusable name
        """
        key = secrets.token_hex(KEY_BYTES)
        statement = (
            insert(authy_keys)
            .values(
                sid=new_sid("AK"),
                account_sid=account_sid,
                service_sid=service_sid,
                friendly_name=check_label("NAME", friendly_name),
                key_digest=_digest(key),
                created_at=now_ms(),
            )
            .returning(authy_keys)
        )
        with self._db.begin() as connection:
            require_service(connection, account_sid, service_sid, keep=True)
            made = _key(connection.execute(statement).mappings().one())
            of = {"name": made.friendly_name, "service": service_sid}
            configured(connection, by, "authy_key.create", made.sid, **of)
        return made, key

    def page(self, account_sid: str, window: Window) -> Slice[AuthyKey]:
        """Keys of the account, revoked ones too, oldest first."""
        statement = select(authy_keys).where(_k.account_sid == account_sid)
        with self._db.statement() as connection:
            return look(connection, statement, _k.sid, window, _key)

    def revoke(self, account_sid: str, sid: str, by: Operator | None = None) -> None:
        """End a key for good, at once.

        :param by: who ends it, for the audit log
        :raises NotFoundError: no such key in the account, or revoked before
        """
        statement = (
            update(authy_keys)
            .where(_k.sid == sid, _k.account_sid == account_sid, _k.revoked_at.is_(None))
            .values(revoked_at=now_ms())
        )
        with self._db.begin() as connection:
            if not connection.execute(statement).rowcount:
                raise NotFoundError("Authy key")
            configured(connection, by, "authy_key.revoke", sid)

    def prove(self, key: str) -> AuthyApp | None:
        """The application whose key this is; None for an unknown or revoked one."""
        if not 0 < len(key) <= MAX_KEY:
            return None
        # Found by its digest, whose bytes tell nothing of a key that is nearly right.
        digest = _digest(key)
        with self._db.statement() as connection:
            row = (
                connection.execute(_PROVE.where(_k.key_digest == digest, _k.revoked_at.is_(None)))
                .mappings()
                .one_or_none()
            )
            if row is None or not hmac.compare_digest(row["key_digest"], digest):
                return None
            if row["now"] - (row["last_used_at"] or 0) >= USE_STEP:
                connection.execute(
                    update(authy_keys)
                    .where(
                        _k.sid == row["sid"],
                        or_(_k.last_used_at.is_(None), _k.last_used_at <= row["now"] - USE_STEP),
                    )
                    .values(last_used_at=now_ms())
                )
        return AuthyApp(row["account_sid"], row["service_sid"], row["app_name"])


def _digest(key: str) -> bytes:
    # Fast on purpose: 256 random bits cannot be guessed, so nothing has to be slowed down.
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def _key(row: RowMapping) -> AuthyKey:
    return AuthyKey(
        sid=row["sid"],
        service_sid=row["service_sid"],
        friendly_name=row["friendly_name"],
        created_at=row["created_at"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
    )
