"""Operators themselves: who there is, with which role, password and second factor."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from worker.audit import Operator as By
from worker.audit import write_down
from worker.codes import Keyring
from worker.db import Database, now_ms
from worker.errors import ActionRefusedError, ConflictError, InvalidParameterError, NotFoundError
from worker.factors import totp
from worker.factors.words import Config
from worker.models import new_sid
from worker.operators.passwords import hashed, matches
from worker.operators.tries import Tries
from worker.operators.words import (
    Change,
    Operator,
    Role,
    check_name,
    check_password,
    check_role,
    one_spelling,
)
from worker.resealing import reseal
from worker.sign_in_tables import operator_links, operator_sessions, operators

MOST = 1000  # operators that are listed
TOTP = Config(algorithm="sha1", digits=6, period=30, skew=1)
UNASKED = "operators"  # the reason of what has none of its own
_o = operators.c
# Under lock and in one order: of two that would take the last two admins away at once, the second
# sees what the first has done.
_ADMINS = (
    select(_o.sid)
    .where(_o.role == Role.ADMIN.value, _o.disabled_at.is_(None))
    .order_by(_o.sid)
    .with_for_update()
)
_ROW = select(_o.sid, _o.role, _o.disabled_at).where(_o.name == bindparam("name"))


class Accounts:
    def __init__(self, db: Database, keyring: Keyring) -> None:
        self._db = db
        self._keyring = keyring

    def add(
        self,
        name: str,
        role: str,
        password: str | None = None,
        by: By | None = None,
        reason: str = UNASKED,
        dry_run: bool = False,
    ) -> Operator:
        """
        :param dry_run: the one that would be made
        :param password: None where the first sign-in is to be by a link
        :raises InvalidParameterError: an unusable name, role or password
        :raises ConflictError: there is an operator of this name
        """
        name = check_name(name)
        values = {
            "sid": new_sid("OP"),
            "name": name,
            "role": check_role(role).value,
            "password_hash": None if password is None else hashed(check_password(password, name)),
            "last_step": -1,
            "created_at": now_ms(),
        }
        try:
            with self._db.begin() as connection:
                made = connection.execute(insert(operators).values(values).returning(operators))
                row = made.mappings().one()
                note(connection, by, "add", name, {"role": row["role"]}, reason=reason)
                if dry_run:
                    connection.rollback()
                return read(row)
        except IntegrityError:
            raise ConflictError("operator") from None

    def all(self) -> list[Operator]:
        """Every operator by name, disabled ones too."""
        with self._db.statement() as connection:
            rows = connection.execute(select(operators).order_by(_o.name).limit(MOST)).mappings()
            return [read(row) for row in rows]

    def fetch(self, name: str) -> Operator:
        """
        :raises NotFoundError: there is none of this name
        """
        with self._db.statement() as connection:
            row = connection.execute(
                select(operators).where(_o.name == one_spelling(name))
            ).mappings()
            found = row.one_or_none()
        if found is None:
            raise NotFoundError("operator")
        return read(found)

    def anyone_has_password(self) -> bool:
        """Whether somebody can sign in without a link."""
        with self._db.statement() as connection:
            return bool(
                connection.execute(
                    select(func.count()).where(
                        _o.password_hash.is_not(None), _o.disabled_at.is_(None)
                    )
                ).scalar_one()
            )

    def disable(
        self, name: str, by: By | None = None, reason: str = UNASKED, dry_run: bool = False
    ) -> Change:
        """End an operator's sessions and links, and let no new one begin.

        :raises NotFoundError: there is none of this name
        :raises ActionRefusedError: `last_admin`, no enabled admin would be left
        """
        return self._change(name, by, "disable", reason, dry_run, disabled=True)

    def enable(
        self, name: str, by: By | None = None, reason: str = UNASKED, dry_run: bool = False
    ) -> Change:
        """
        :raises NotFoundError: there is none of this name
        """
        return self._change(name, by, "enable", reason, dry_run, disabled=False)

    def set_role(
        self,
        name: str,
        role: str,
        by: By | None = None,
        reason: str = UNASKED,
        dry_run: bool = False,
    ) -> Change:
        """
        :raises InvalidParameterError: no such role
        :raises NotFoundError: there is none of this name
        :raises ActionRefusedError: `last_admin`, no enabled admin would be left
        """
        return self._change(name, by, "role", reason, dry_run, role=check_role(role).value)

    def reset(
        self, name: str, by: By | None = None, reason: str = UNASKED, dry_run: bool = False
    ) -> Change:
        """Forget password, second factor and sessions, as after a lost phone.

        :raises NotFoundError: there is none of this name
        """
        return self._change(name, by, "reset", reason, dry_run, reset=True)

    def _change(
        self,
        name: str,
        by: By | None,
        action: str,
        reason: str,
        dry_run: bool,
        *,
        disabled: bool | None = None,
        role: str | None = None,
        reset: bool = False,
    ) -> Change:
        with self._db.begin() as connection:
            admins = set(connection.execute(_ADMINS).scalars())
            row = connection.execute(_ROW, {"name": one_spelling(name)}).one_or_none()
            if row is None:
                raise NotFoundError("operator")
            before = {"role": row.role, "disabled": row.disabled_at is not None}
            after = {
                "role": role or row.role,
                "disabled": before["disabled"] if disabled is None else disabled,
            }
            stays = after == {"role": Role.ADMIN.value, "disabled": False}
            if admins == {row.sid} and not stays:
                text = "no enabled admin would be left: make another one first"
                raise ActionRefusedError("last_admin", text)
            change = Change(before, after | {"reset": True} if reset else after, True)
            if before == after and not reset:
                return Change(before, after, False)
            values: dict[str, Any] = {"role": after["role"]}
            if disabled is not None:
                values["disabled_at"] = now_ms() if disabled else None
            if reset:
                values |= dict.fromkeys(("password_hash", "key_id", "totp_sealed"))
                values["last_step"] = -1
            connection.execute(update(operators).where(_o.sid == row.sid).values(values))
            if role is None:  # a role holds from the next request on, so sessions may last
                for table in (operator_sessions, operator_links):
                    connection.execute(delete(table).where(table.c.operator_sid == row.sid))
            note(connection, by, action, name, change.after, change.before, reason)
            if dry_run:
                connection.rollback()
        return change

    def set_password(
        self, operator: Operator, password: str, current: str, keep: str, by: By | None = None
    ) -> None:
        """A new password; every other session of the operator ends.

        :param current: the password so far; of no matter where there was none
        :param keep: sid of the session that goes on
        :raises InvalidParameterError: the new one is unusable, or `current` is not the present one
        :raises SignInRefusedError: passwords were tried too often, here or at the sign-in
        """
        stored = self._row(operator.sid)["password_hash"]
        if stored is not None:
            self._require_current(operator, stored, current, by)
        new = hashed(check_password(password, operator.name))
        with self._db.begin() as connection:
            connection.execute(
                update(operators).where(_o.sid == operator.sid).values(password_hash=new)
            )
            _end_others(connection, operator, keep)
            note(connection, by, "password", operator.name)

    def offer_totp(self, operator: Operator) -> tuple[str, str]:
        """A new secret for an authenticator app, not yet in force: its `otpauth://` URI, and the
        sealed secret that comes back with the first code.
        """
        secret = totp.new_secret()
        sealed = self._keyring.seal_secret(secret, f"{operator.sid}:offer")
        uri = totp.uri(secret, TOTP, issuer="sendcode", account=operator.name)
        return uri, f"{self._keyring.kid}:{sealed.hex()}"

    def offered_uri(self, operator: Operator, offer: str) -> str:
        """The URI of an offer again.

        :raises InvalidParameterError: it is none of this operator
        """
        secret = self._offered(operator, offer)
        return totp.uri(secret, TOTP, issuer="sendcode", account=operator.name)

    def accept_totp(
        self,
        operator: Operator,
        offer: str,
        code: str,
        keep: str,
        by: By | None = None,
        current: str = "",
    ) -> None:
        """Put an offered secret in force by its first code, which is used up. Every other session
        of the operator ends: whoever only knew the password has shown no code.

        :param keep: sid of the session that goes on
        :param current: the password, which the change of a factor in force asks for: a session
            that was stolen must not move it
        :raises InvalidParameterError: the code or the password is wrong, or the offer none of
            this operator
        :raises SignInRefusedError: passwords were tried too often, here or at the sign-in
        """
        row = self._row(operator.sid)
        guarded = row["totp_sealed"] is not None and row["password_hash"] is not None
        if guarded:
            self._require_current(operator, row["password_hash"], current, by)
        secret = self._offered(operator, offer)
        step = self.step_of(secret, code)
        if step is None:
            raise InvalidParameterError("code", "is not the one the app shows now")
        sealed = self._keyring.seal_secret(secret, operator.sid)
        with self._db.begin() as connection:
            connection.execute(
                update(operators)
                .where(_o.sid == operator.sid)
                .values(key_id=self._keyring.kid, totp_sealed=sealed, last_step=step)
            )
            _end_others(connection, operator, keep)
            note(connection, by, "factor", operator.name)

    def _require_current(self, operator: Operator, stored: str, given: str, by: By | None) -> None:
        """Whoever has the session knows the password too. Each try counts as one of a sign-in does:
        a session that was stolen must not find it out.
        """
        tries, address = Tries(self._db), by.address if by else ""
        tries.take(operator.name, address)
        if not matches(stored, given):
            raise InvalidParameterError("current", "is not the present password")
        tries.forget(operator.name, address)

    def reseal(self) -> int:
        """Seal every second factor's secret that an older key sealed with the present one; how
        many.

        :raises KeyMissingError: a key that a row needs is no longer configured
        """

        def remade(row: RowMapping) -> dict[str, Any]:
            secret = self._keyring.open_secret(row["key_id"], row["totp_sealed"], row["sid"])
            return {"totp_sealed": self._keyring.seal_secret(secret, row["sid"])}

        return reseal(self._db, operators, self._keyring.kid, remade)

    def step_of(self, secret: bytes, code: str) -> int | None:
        """The step whose code this is, by the database's clock; None for a wrong one."""
        with self._db.statement() as connection:
            now = int(connection.execute(select(now_ms())).scalar_one())
        digits = code.strip().replace(" ", "")
        if not (digits.isascii() and digits.isdigit()):
            return None
        return totp.matching_step(secret, TOTP, digits, now)

    def _offered(self, operator: Operator, offer: str) -> bytes:
        kid, _, sealed = offer.partition(":")
        try:
            return self._keyring.open_secret(kid, bytes.fromhex(sealed), f"{operator.sid}:offer")
        except Exception:
            raise InvalidParameterError("offer", "begin anew") from None

    def _row(self, sid: str) -> Mapping[str, Any]:
        with self._db.statement() as connection:
            found = connection.execute(select(operators).where(_o.sid == sid)).mappings()
            return dict(found.one())


def _end_others(connection: Connection, operator: Operator, keep: str) -> None:
    s = operator_sessions.c
    connection.execute(
        delete(operator_sessions).where(s.operator_sid == operator.sid, s.sid != keep)
    )


def note(
    connection: Connection,
    by: By | None,
    action: str,
    name: str,
    after: dict[str, Any] | None = None,
    before: dict[str, Any] | None = None,
    reason: str = UNASKED,
) -> None:
    """Write down who changed an operator."""
    if by is not None:
        target = f"operator {one_spelling(name)}"
        write_down(connection, by, f"operator.{action}", target, reason, before, after)


def read(row: Mapping[Any, Any]) -> Operator:
    return Operator(
        sid=row["sid"],
        name=row["name"],
        role=Role(row["role"]),
        has_password=row["password_hash"] is not None,
        has_totp=row["totp_sealed"] is not None,
        created_at=row["created_at"],
        signed_in_at=row["signed_in_at"],
        disabled_at=row["disabled_at"],
    )
