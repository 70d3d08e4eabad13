"""Users of an application: a number and an e-mail address under an id that Authy's code keeps."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, RowMapping, exists, func, select, update

from worker import phone
from worker.authy.transfer import BadUser, UserRow, check_email
from worker.codes import Keyring
from worker.db import Database, now_ms
from worker.door_tables import authy_users
from worker.errors import NotFoundError, NumberBusyError
from worker.models import entities, new_sid, number_guards
from worker.statements import require_service
from worker.states import Channel

# Clients keep an id as a 32-bit number; drawn, so that one tells nothing of the next.
IDS = range(10_000_000, 2**31)
BATCH = 500
_u, _g, _e = authy_users.c, number_guards.c, entities.c
_DISABLED = (
    exists()
    .where(
        _g.service_sid == _u.service_sid,
        _g.number_index == _u.number_index,
        _g.disabled_at.is_not(None),
    )
    .label("disabled")
)
_FIND = select(authy_users, _DISABLED)


@dataclass(frozen=True, slots=True)
class AuthyUser:
    """
    :param number: E.164
    :param identity: of the entity that has the user's authenticator app
    :param confirmed: whether a token of this user was right once
    :param disabled: too many wrong codes in a row were sent for the number
    """

    service_sid: str
    authy_id: int
    number: str = field(repr=False)
    email: str = field(repr=False)
    confirmed: bool
    disabled: bool

    @property
    def identity(self) -> str:
        return identity_of(self.authy_id)


def identity_of(authy_id: int) -> str:
    return f"authy-user-{authy_id}"


class AuthyUsers:
    def __init__(self, db: Database, keyring: Keyring) -> None:
        self._db = db
        self._keyring = keyring

    def register(self, account_sid: str, service_sid: str, number: str, email: str) -> int:
        """The id of the application's user with this number, who is made where there is none.

        :param number: in any international spelling
        :raises InvalidParameterError: the number or the address cannot be used
        :raises NotFoundError: no such service
        :raises NumberBusyError: in every round another call was quicker
        """
        e164 = phone.parse(number, Channel.CALL).e164
        check_email(email)
        for _ in range(5):  # each round another call has made the user, or an id was taken
            with self._db.begin() as connection:
                found = self._id_of(connection, service_sid, e164)
                if found is not None:
                    return found
                require_service(connection, account_sid, service_sid, keep=True)
                wanted = IDS[secrets.randbelow(len(IDS))]
                if self._insert(connection, account_sid, service_sid, wanted, e164, email):
                    return wanted
                connection.rollback()
        raise NumberBusyError("the number is busy")

    def find(self, service_sid: str, authy_id: str) -> AuthyUser:
        """
        :raises NotFoundError: the application has no such user
        """
        if not (authy_id.isascii() and authy_id.isdigit() and len(authy_id) <= 16):
            raise NotFoundError("user")
        where = (_u.service_sid == service_sid, _u.authy_id == int(authy_id))
        with self._db.statement() as connection:
            row = connection.execute(_FIND.where(*where)).mappings().one_or_none()
        if row is None:
            raise NotFoundError("user")
        return self._view(row)

    def confirm(self, user: AuthyUser) -> None:
        """Note that a token of the user was right, the first time."""
        if user.confirmed:
            return
        with self._db.statement() as connection:
            connection.execute(
                update(authy_users)
                .where(_u.service_sid == user.service_sid, _u.authy_id == user.authy_id)
                .where(_u.confirmed_at.is_(None))
                .values(confirmed_at=now_ms())
            )

    def bring_in(
        self, account_sid: str, service_sid: str, rows: Iterable[UserRow]
    ) -> tuple[int, list[BadUser]]:
        """Write users under the ids they have elsewhere, all of them or, where one is bad, none;
        how many, and which are bad. A user who is there already, with this number, is left alone.

        :raises NotFoundError: no such service
        """
        written, bad = 0, list[BadUser]()
        with self._db.begin() as connection:
            require_service(connection, account_sid, service_sid, keep=True)
            for row in rows:
                there = self._id_of(connection, service_sid, row.number)
                if there is not None:
                    if there != row.authy_id:
                        bad.append(BadUser(row.line, "the number has another id already"))
                elif self._insert(
                    connection,
                    account_sid,
                    service_sid,
                    row.authy_id,
                    row.number,
                    row.email,
                    adopt=True,  # the factors of the same users may have come before
                ):
                    written += 1
                else:
                    bad.append(BadUser(row.line, "the id has another number already"))
            if bad:
                connection.rollback()
                return 0, bad
        return written, bad

    def reseal(self) -> int:
        """Seal and index what an older secret key did with the present one; how many users.

        :raises KeyMissingError: a key that a row needs is no longer configured
        """
        old = select(authy_users).where(_u.key_id != self._keyring.kid)
        done = 0
        while True:
            with self._db.begin() as connection:
                rows = connection.execute(old.limit(BATCH).with_for_update(skip_locked=True))
                found = rows.mappings().all()
                for row in found:
                    where = (row["service_sid"], row["authy_id"])
                    number, email = self._opened(row)
                    connection.execute(
                        update(authy_users)
                        .where(_u.service_sid == where[0], _u.authy_id == where[1])
                        .values(**self._sealed(*where, number, email))
                    )
            done += len(found)
            if len(found) < BATCH:
                return done

    def _id_of(self, connection: Connection, service_sid: str, e164: str) -> int | None:
        indexes = [self._index(e164, kid) for kid in self._keyring.kids]
        statement = select(func.min(_u.authy_id)).where(
            _u.service_sid == service_sid, _u.number_index.in_(indexes)
        )
        found: int | None = connection.execute(statement).scalar_one()
        return found

    def _insert(
        self,
        connection: Connection,
        account_sid: str,
        service_sid: str,
        authy_id: int,
        e164: str,
        email: str,
        adopt: bool = False,
    ) -> bool:
        """Whether the user was made, and not the id or number another's.

        :param adopt: take over an entity of the user's identity, with the factors it has
        """
        identity = identity_of(authy_id)
        made = connection.execute(
            self._db.insert(entities)
            .values(
                sid=new_sid("YE"),
                account_sid=account_sid,
                service_sid=service_sid,
                identity=identity,
                factors_made=0,
                factors_made_from=now_ms(),
                created_at=now_ms(),
                updated_at=now_ms(),
            )
            .on_conflict_do_nothing()
            .returning(_e.sid)
        )
        entity = made.scalar_one_or_none()
        if entity is None and adopt:
            there = select(_e.sid).where(_e.service_sid == service_sid, _e.identity == identity)
            entity = connection.execute(there).scalar_one_or_none()
        if entity is None:
            return False
        statement = self._db.insert(authy_users).values(
            service_sid=service_sid,
            authy_id=authy_id,
            entity_sid=entity,
            created_at=now_ms(),
            **self._sealed(service_sid, authy_id, e164, email),
        )
        inserted = statement.on_conflict_do_nothing().returning(_u.authy_id)
        return connection.execute(inserted).first() is not None

    def _index(self, e164: str, kid: str) -> bytes:
        return self._keyring.number_index(e164, kid)

    def _sealed(self, service_sid: str, authy_id: int, e164: str, email: str) -> dict[str, Any]:
        ring, kid = self._keyring, self._keyring.kid
        return {
            "key_id": kid,
            "number_index": self._index(e164, kid),
            "number_sealed": ring.seal(kid, e164, f"authy number {service_sid} {authy_id}"),
            "email_sealed": ring.seal(kid, email, f"authy email {service_sid} {authy_id}"),
        }

    def _opened(self, row: RowMapping) -> tuple[str, str]:
        kid, owner = row["key_id"], f"{row['service_sid']} {row['authy_id']}"
        number = self._keyring.open(kid, row["number_sealed"], f"authy number {owner}")
        return number, self._keyring.open(kid, row["email_sealed"], f"authy email {owner}")

    def _view(self, row: RowMapping) -> AuthyUser:
        number, email = self._opened(row)
        return AuthyUser(
            service_sid=row["service_sid"],
            authy_id=row["authy_id"],
            number=number,
            email=email,
            confirmed=row["confirmed_at"] is not None,
            disabled=row["disabled"],
        )
