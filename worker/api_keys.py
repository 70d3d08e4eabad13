"""API keys: who may call beside the account itself, and for what."""

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import RowMapping, insert, or_, select, update

from worker.audit import Operator, configured
from worker.db import Database, now_ms
from worker.door_tables import api_keys
from worker.errors import InvalidParameterError, NotFoundError
from worker.labels import check_label
from worker.models import new_sid
from worker.paging import Slice, Window, look

CACHE_SECONDS = 5.0  # how long a revoked key may still pass in a process that knows it
MAX_CACHED = 1000
USE_STEP = 60_000  # ms: how exact `last_used_at` is
_SID = re.compile(r"SK[0-9a-f]{32}", re.ASCII)
_k = api_keys.c


class Scope(StrEnum):
    """What a key may do. `admin` includes the others."""

    START = "start"  # start verifications
    CHECK = "check"  # check codes and end verifications
    READ = "read"  # fetch and list
    ADMIN = "admin"  # create, change and delete what is configured; keys themselves


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Times are ms since 1970 UTC."""

    sid: str
    account_sid: str
    friendly_name: str
    scopes: frozenset[Scope]
    created_at: int
    last_used_at: int | None
    revoked_at: int | None

    def allows(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


class ApiKeys:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[str, tuple[float, RowMapping]] = {}
        self._lock = threading.Lock()

    def create(
        self,
        account_sid: str,
        friendly_name: str,
        scopes: Iterable[str],
        by: Operator | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key; it and its secret, of which only a digest is kept.

        :param by: who makes it, for the audit log
        :raises InvalidParameterError: an unusable name, no scope or an unknown one
        """
        secret = secrets.token_hex(32)
        statement = (
            insert(api_keys)
            .values(
                sid=new_sid("SK"),
                account_sid=account_sid,
                friendly_name=check_label("FriendlyName", friendly_name),
                secret_digest=_digest(secret.encode()),
                scopes=_scopes(scopes),
                created_at=now_ms(),
            )
            .returning(api_keys)
        )
        with self._db.begin() as connection:
            key = _key(connection.execute(statement).mappings().one())
            may = {"name": key.friendly_name, "scopes": sorted(key.scopes)}
            configured(connection, by, "api_key.create", key.sid, **may)
        return key, secret

    def page(self, account_sid: str, window: Window) -> Slice[ApiKey]:
        """Keys of the account, revoked ones too, oldest first."""
        statement = select(api_keys).where(_k.account_sid == account_sid)
        with self._db.statement() as connection:
            return look(connection, statement, _k.sid, window, _key)

    def fetch(self, account_sid: str, sid: str) -> ApiKey:
        """
        :raises NotFoundError: no such key in the account
        """
        statement = select(api_keys).where(_k.sid == sid, _k.account_sid == account_sid)
        with self._db.statement() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        if row is None:
            raise NotFoundError("API key")
        return _key(row)

    def revoke(self, account_sid: str, sid: str, by: Operator | None = None) -> None:
        """End a key for good. Other processes let it pass for up to `CACHE_SECONDS`.

        :param by: who ends it, for the audit log
        :raises NotFoundError: no such key in the account, or revoked before
        """
        with self._db.begin() as connection:
            gone = connection.execute(
                update(api_keys)
                .where(_k.sid == sid, _k.account_sid == account_sid, _k.revoked_at.is_(None))
                .values(revoked_at=now_ms())
            ).rowcount
            if gone:
                configured(connection, by, "api_key.revoke", sid)
        with self._lock:
            self._known.pop(sid, None)
        if not gone:
            raise NotFoundError("API key")

    def prove(self, sid: str, secret: bytes) -> ApiKey | None:
        """The key whose sid and secret these are; None for an unknown, revoked or wrong one."""
        row = self._cached(sid) or self._look_up(sid)
        expected = _NONE if row is None else row["secret_digest"]
        right = hmac.compare_digest(_digest(secret), expected)
        if row is None or not right:
            return None
        self._note_use(row)
        return _key(row)

    def _cached(self, sid: str) -> RowMapping | None:
        with self._lock:
            until, row = self._known.get(sid, (0.0, None))
        return row if time.monotonic() < until else None

    def _look_up(self, sid: str) -> RowMapping | None:
        if not _SID.fullmatch(sid):
            return None
        asked = time.monotonic()
        statement = select(api_keys, now_ms().label("now")).where(
            _k.sid == sid, _k.revoked_at.is_(None)
        )
        with self._db.statement() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        if row is not None:
            with self._lock:
                if len(self._known) >= MAX_CACHED:
                    self._known.clear()
                self._known[sid] = (asked + CACHE_SECONDS, row)
        return row

    def _note_use(self, row: RowMapping) -> None:
        """Write down the use, once a minute at most: the row that was looked up says when last."""
        if row["now"] - (row["last_used_at"] or 0) < USE_STEP:
            return
        with self._lock:
            until, cached = self._known.get(row["sid"], (0.0, None))
            if cached is not row:
                return  # another request of this process has just done it
            self._known[row["sid"]] = (until, _used(row))
        with self._db.statement() as connection:
            connection.execute(
                update(api_keys)
                .where(
                    _k.sid == row["sid"],
                    or_(_k.last_used_at.is_(None), _k.last_used_at < now_ms() - USE_STEP),
                )
                .values(last_used_at=now_ms())
            )


_NONE = bytes(32)  # what an unknown key's secret is compared with: the same work, never equal


def _used(row: RowMapping) -> RowMapping:
    return {**row, "last_used_at": row["now"]}  # type: ignore[return-value]


def _digest(secret: bytes) -> bytes:
    # Fast on purpose: 256 random bits cannot be guessed, so nothing has to be slowed down.
    return hashlib.sha256(secret).digest()


def _scopes(given: Iterable[str]) -> list[str]:
    asked = set(given)
    known: list[str] = [scope.value for scope in Scope if scope.value in asked]
    if not known or len(known) != len(asked):
        raise InvalidParameterError("Scopes", f"name some of {', '.join(Scope)}")
    return known


def _key(row: RowMapping) -> ApiKey:
    return ApiKey(
        sid=row["sid"],
        account_sid=row["account_sid"],
        friendly_name=row["friendly_name"],
        scopes=frozenset(Scope(one) for one in row["scopes"]),
        created_at=row["created_at"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
    )
