"""What was sent to a number lately, from its deliveries: what its limits count."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from cryptography.exceptions import InvalidTag
from sqlalchemy import BigInteger, Connection, bindparam, func, select

from worker.codes import Keyring
from worker.db import Database, now_ms, then_ms
from worker.errors import KeyMissingError
from worker.models import deliveries, verifications
from worker.recall import Sends
from worker.states import VerificationStatus

_d, _v = deliveries.c, verifications.c
_ended = verifications.alias()
_e = _ended.c
LONGEST_LIFE = 86_400_000  # ms, of a verification; what was sent came within it
_FROM = then_ms() - bindparam("window", type_=BigInteger)
_GIVEN_BACK = (VerificationStatus.APPROVED.value, VerificationStatus.CANCELED.value)


def _of(columns: Any) -> Any:
    """The number's verifications of which a send can be in the window."""
    return (
        columns.number_index.in_(bindparam("indexes", expanding=True)),
        columns.created_at > _FROM - LONGEST_LIFE,
    )


_ALL = (
    select(_d.created_at, now_ms().label("now"))
    .join(verifications, _v.sid == _d.verification_sid)
    .where(*_of(_v), _d.created_at > _FROM)
    .order_by(_d.created_at.desc())
    .limit(bindparam("most"))
)
# An approval or a cancel gives all back that the service had sent before, see `Limits.forget`.
_LAST_GIVEN_BACK = (
    select(func.coalesce(func.max(func.coalesce(_e.approved_at, _e.updated_at)), 0))
    .where(*_of(_e), _e.service_sid == bindparam("service"), _e.status.in_(_GIVEN_BACK))
    .scalar_subquery()
)
_IN_SERVICE = _v.service_sid == bindparam("service")
_ANY = select(_v.sid).where(_v.created_at > _FROM - LONGEST_LIFE).limit(1)
_SEALED = (
    select(_v.key_id, _v.number_sealed, _v.sid)
    .where(_v.number_index == bindparam("index"))
    .order_by(_v.created_at.desc())
    .limit(1)
)


class Sent:
    def __init__(self, db: Database, keyring: Keyring) -> None:
        self._db = db
        self._keyring = keyring

    def has_any(self, window: int) -> bool:
        """See `worker.recall.History`."""
        with self._db.statement() as connection:
            return connection.execute(_ANY, {"window": window * 1000}).first() is not None

    def ages(self, sends: Sends, most: int, window: int) -> list[int]:
        """See `worker.recall.History`."""
        statement = _ALL
        values: dict[str, Any] = {"window": window * 1000, "most": most}
        if sends.service:
            statement = statement.where(_IN_SERVICE, _d.created_at > _LAST_GIVEN_BACK)
            values["service"] = sends.service
        if sends.channel:
            statement = statement.where(_d.channel == bindparam("channel"))
            values["channel"] = sends.channel.value
        with self._db.statement() as connection:
            values["indexes"] = self._indexes(connection, sends.indexes)
            found = connection.execute(statement, values).all()
        return [max(0, row.now - row.created_at) for row in reversed(found)]

    def _indexes(self, connection: Connection, known: Sequence[bytes]) -> list[bytes]:
        """The number's index under every key, where a row that has one of them can be read."""
        if len(known) == 1 < len(self._keyring.kids):
            row = connection.execute(_SEALED, {"index": known[0]}).one_or_none()
            with suppress(KeyMissingError, InvalidTag):
                if row:
                    number = self._keyring.open_number(row.key_id, row.number_sealed, row.sid)
                    return self._keyring.number_indexes(number)
        return list(known)
