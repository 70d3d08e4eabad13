"""The safe list: numbers that an account vouches for."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, delete, select

from worker import phone
from worker.audit import Operator, configured
from worker.codes import Keyring
from worker.db import Database, now_ms
from worker.door_tables import safe_numbers
from worker.errors import ConflictError, InvalidParameterError, NotFoundError
from worker.models import new_sid
from worker.resealing import reseal
from worker.states import Channel

_n = safe_numbers.c


@dataclass(frozen=True, slots=True)
class SafeNumber:
    sid: str
    number: str = field(repr=False)


class SafeList:
    def __init__(self, db: Database, keyring: Keyring) -> None:
        self._db = db
        self._keyring = keyring

    def add(self, account_sid: str, number: str, by: Operator | None = None) -> SafeNumber:
        """
        :param by: who adds it, for the audit log
        :raises InvalidParameterError: not a number that can be reached
        :raises ConflictError: it is on the list
        """
        e164 = _parse(number)
        indexes, sid = self._keyring.number_indexes(e164), new_sid("GN")
        known = select(_n.sid).where(_n.account_sid == account_sid, _n.number_index.in_(indexes))
        statement = self._db.insert(safe_numbers).values(
            sid=sid,
            account_sid=account_sid,
            key_id=self._keyring.kid,
            number_index=indexes[0],
            number_sealed=self._keyring.seal_number(e164, sid),
            created_at=now_ms(),
        )
        with self._db.begin() as connection:
            if connection.execute(known).first() is not None:
                raise ConflictError("safe-listed number")
            made = connection.execute(statement.on_conflict_do_nothing().returning(_n.sid))
            if made.first() is None:
                raise ConflictError("safe-listed number")
            configured(connection, by, "safelist.add", phone.mask(e164), sid=sid)
        return SafeNumber(sid, e164)

    def fetch(self, account_sid: str, number: str) -> SafeNumber:
        """
        :raises NotFoundError: it is not on the list
        """
        e164 = _parse(number)
        statement = select(safe_numbers).where(*self._is(account_sid, e164))
        with self._db.statement() as connection:
            row: RowMapping | None = connection.execute(statement).mappings().first()
        if row is None:
            raise NotFoundError("safe-listed number")
        return SafeNumber(row["sid"], e164)

    def remove(self, account_sid: str, number: str, by: Operator | None = None) -> None:
        """
        :param by: who removes it, for the audit log
        :raises NotFoundError: it is not on the list
        """
        e164 = _parse(number)
        statement = delete(safe_numbers).where(*self._is(account_sid, e164))
        with self._db.begin() as connection:
            if not connection.execute(statement).rowcount:
                raise NotFoundError("safe-listed number")
            configured(connection, by, "safelist.remove", phone.mask(e164))

    def reseal(self) -> int:
        """Seal and index every number that an older key did with the present one; how many.

        :raises KeyMissingError: a key that a row needs is no longer configured
        """

        def remade(row: RowMapping) -> dict[str, Any]:
            sealed, sid = row["number_sealed"], row["sid"]
            e164 = self._keyring.open_number(row["key_id"], sealed, sid)
            return {
                "number_index": self._keyring.number_index(e164),
                "number_sealed": self._keyring.seal_number(e164, sid),
            }

        return reseal(self._db, safe_numbers, self._keyring.kid, remade)

    def _is(self, account_sid: str, e164: str) -> tuple[ColumnElement[bool], ...]:
        indexes = self._keyring.number_indexes(e164)
        return (_n.account_sid == account_sid, _n.number_index.in_(indexes))


def _parse(number: str) -> str:
    try:
        return phone.parse(number, Channel.CALL).e164
    except InvalidParameterError as error:
        raise InvalidParameterError("PhoneNumber", error.reason) from None
