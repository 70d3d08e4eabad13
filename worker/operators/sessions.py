"""Signing in: by password and second factor, or by a link that is good once. Sessions that end."""

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

import structlog
from cryptography.exceptions import InvalidTag
from sqlalchemy import Connection, delete, or_, select, update

from worker.audit import Operator as By
from worker.db import now_ms
from worker.errors import KeyMissingError, NotFoundError, SignInRefusedError
from worker.models import new_sid
from worker.operators.accounts import UNASKED, Accounts, note, read
from worker.operators.passwords import matches
from worker.operators.tries import Tries
from worker.operators.words import (
    IDLE_LIFE,
    LINK_LIFE,
    SEEN_STEP,
    SESSION_LIFE,
    Session,
    one_spelling,
)
from worker.sign_in_tables import operator_links, operator_sessions, operators

log = structlog.get_logger()
MOST_SHOWN = 200
MOST_BROWSER, MOST_ADDRESS = 120, 45
_o, _s, _k = operators.c, operator_sessions.c, operator_links.c
_ALIVE = (
    _s.expires_at > now_ms(),
    _s.seen_at > now_ms() - IDLE_LIFE - SEEN_STEP,  # seen_at may lag by a step
    _o.disabled_at.is_(None),
)
_SESSIONS = (
    select(
        operators,
        _s.sid.label("session_sid"),
        _s.created_at.label("begun_at"),
        *(_s.address, _s.browser, _s.seen_at, _s.expires_at),
        (_s.seen_at < now_ms() - SEEN_STEP).label("stale"),
    )
    .join(operators, _o.sid == _s.operator_sid)
    .where(*_ALIVE)
)


class Operators(Accounts):
    """Who operates sendcode, and who of them is signed in."""

    def make_link(
        self,
        name: str,
        by: By | None = None,
        reason: str = UNASKED,
        dry_run: bool = False,
    ) -> str:
        """The key of a link that signs `name` in once within `LINK_LIFE`; older ones end.

        :raises NotFoundError: there is none of this name, or it is disabled
        """
        operator = self.fetch(name)
        if operator.disabled_at is not None:
            raise NotFoundError("enabled operator of this name")
        key = secrets.token_urlsafe(32)
        with self._db.begin() as connection:
            connection.execute(delete(operator_links).where(_k.operator_sid == operator.sid))
            connection.execute(
                self._db.insert(operator_links).values(
                    key_digest=digest(key),
                    operator_sid=operator.sid,
                    expires_at=now_ms() + LINK_LIFE,
                )
            )
            note(connection, by, "link", name, reason=reason)
            if dry_run:
                connection.rollback()
        return key

    def use_link(self, key: str, address: str, browser: str) -> str:
        """Sign in by a link; the token of the session.

        :raises SignInRefusedError: no such link, used before, or too old
        """
        with self._db.begin() as connection:
            used = connection.execute(
                delete(operator_links)
                .where(_k.key_digest == digest(key), _k.expires_at > now_ms())
                .returning(_k.operator_sid)
            ).scalar_one_or_none()
            if used is None:
                raise SignInRefusedError
            return self._begin(connection, used, address, browser)

    def sign_in(self, name: str, password: str, code: str, address: str, browser: str) -> str:
        """Sign in by password and second factor; the token of the session. An operator without a
        second factor gets a session that can set one up and nothing else.

        An unknown name costs the same time and has the same answer as a wrong password.

        :raises SignInRefusedError: wrong, or tried too often (then with `retry_after`)
        """
        name = one_spelling(name)[:64]
        tries = Tries(self._db)
        tries.take(name, address)
        with self._db.statement() as connection:
            row = connection.execute(
                select(operators).where(_o.name == name, _o.disabled_at.is_(None))
            ).mappings()
            found = row.one_or_none()
        known = matches(found["password_hash"] if found else None, password)
        if found is None or not known or not self._second_factor(found, code):
            log.warning("operator.refused", address=address)
            raise SignInRefusedError
        tries.forget(name, address)
        with self._db.begin() as connection:
            return self._begin(connection, found["sid"], address, browser)

    def _second_factor(self, row: Mapping[Any, Any], code: str) -> bool:
        """Whether the code is right and its step was not used before: each is good once."""
        if row["totp_sealed"] is None:
            return True
        try:
            secret = self._keyring.open_secret(row["key_id"], row["totp_sealed"], row["sid"])
        except (KeyMissingError, InvalidTag):
            log.error("operator.key_missing", operator=row["sid"], key=row["key_id"])
            return False
        step = self.step_of(secret, code)
        if step is None:
            return False
        with self._db.statement() as connection:
            taken = connection.execute(
                update(operators)
                .where(_o.sid == row["sid"], _o.last_step < step)
                .values(last_step=step)
            )
            return bool(taken.rowcount)

    def _begin(self, connection: Connection, operator_sid: str, address: str, browser: str) -> str:
        token = secrets.token_urlsafe(32)
        connection.execute(delete(operator_sessions).where(_s.expires_at <= now_ms()))
        connection.execute(
            self._db.insert(operator_sessions).values(
                sid=new_sid("OS"),
                token_digest=digest(token),
                operator_sid=operator_sid,
                address=address[:MOST_ADDRESS],
                browser="".join(c for c in browser if c.isprintable())[:MOST_BROWSER],
                created_at=now_ms(),
                seen_at=now_ms(),
                expires_at=now_ms() + SESSION_LIFE,
            )
        )
        connection.execute(
            update(operators).where(_o.sid == operator_sid).values(signed_in_at=now_ms())
        )
        log.info("operator.signed_in", operator=operator_sid, address=address)
        return token

    def session(self, token: str, used: bool = True) -> Session | None:
        """The session behind a token; None when it has ended.

        :param used: by a person, which keeps it from ending; a page that looks by itself is none
        """
        with self._db.statement() as connection:
            row = (
                connection.execute(_SESSIONS.where(_s.token_digest == digest(token)))
                .mappings()
                .one_or_none()
            )
            if row is None:
                return None
            if used and row["stale"]:
                connection.execute(
                    update(operator_sessions)
                    .where(_s.sid == row["session_sid"])
                    .values(seen_at=now_ms())
                )
        return _session(row)

    def sessions(self) -> list[Session]:
        """Those that are signed in, the newest first."""
        with self._db.statement() as connection:
            rows = connection.execute(_SESSIONS.order_by(_s.sid.desc()).limit(MOST_SHOWN))
            return [_session(row) for row in rows.mappings()]

    def purge(self) -> None:
        """Delete sessions and links that have ended, and counts of sign-ins that count no more."""
        idle = _s.seen_at <= now_ms() - IDLE_LIFE - SEEN_STEP
        over = or_(_s.expires_at <= now_ms(), idle)
        with self._db.begin() as connection:
            connection.execute(delete(operator_sessions).where(over))
            connection.execute(delete(operator_links).where(_k.expires_at <= now_ms()))
        Tries(self._db).purge()

    def find_session(self, sid: str) -> Session:
        """
        :raises NotFoundError: no such session, or it has ended
        """
        with self._db.statement() as connection:
            row = connection.execute(_SESSIONS.where(_s.sid == sid)).mappings().one_or_none()
        if row is None:
            raise NotFoundError("session")
        return _session(row)

    def end_session(
        self, sid: str, by: By | None = None, reason: str = UNASKED, dry_run: bool = False
    ) -> Session:
        """End a session; what it was.

        :param by: who ends it; None for a sign-out, which is in no audit log
        :raises NotFoundError: no such session, or it has ended
        """
        session = self.find_session(sid)
        with self._db.begin() as connection:
            gone = connection.execute(delete(operator_sessions).where(_s.sid == sid)).rowcount
            if not gone:
                raise NotFoundError("session")
            name, before = session.operator.name, {"session": sid, "address": session.address}
            note(connection, by, "end-session", name, before=before, reason=reason)
            if dry_run:
                connection.rollback()
        return session


def digest(secret: str) -> bytes:
    # Fast on purpose: 256 random bits cannot be guessed.
    return hashlib.sha256(secret.encode()).digest()


def _session(row: Mapping[Any, Any]) -> Session:
    return Session(
        sid=row["session_sid"],
        operator=read(row),
        address=row["address"],
        browser=row["browser"],
        created_at=row["begun_at"],
        seen_at=row["seen_at"],
        expires_at=row["expires_at"],
    )
