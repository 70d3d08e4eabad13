"""What start, check and the rest of the module share: the row, its number, its view."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, and_, bindparam, select

from worker import phone
from worker.codes import Keyring
from worker.db import Database, now_ms
from worker.errors import InvalidParameterError, LimitsUnavailableError, NotFoundError
from worker.holds import Holds
from worker.limits import Limits
from worker.models import deliveries, number_guards, verifications
from worker.outbox import hooked
from worker.prepared import Prepared, Row
from worker.settings import Settings
from worker.statements import PENDING, SPENT, Publish, service_limit
from worker.states import Channel, DeliveryState, VerificationStatus
from worker.verifications.words import Delivery, Payment, Verification

_v, _g = verifications.c, number_guards.c
_FAILURES = (  # wrong codes in a row, before the check that asks
    select(_g.failures)
    .where(_g.service_sid == _v.service_sid, _g.number_index == _v.number_index)
    .scalar_subquery()
)
_OVER = and_(_v.status.in_((PENDING, SPENT)), _v.expires_at <= now_ms())
_FIND = select(
    verifications,
    _FAILURES.label("failures"),
    _OVER.label("over"),
    hooked(_v.service_sid).label("hooked"),
).where(_v.account_sid == bindparam("account"))
_IN_SERVICE = _v.service_sid == bindparam("service")
_BY_SID_ALONE = _FIND.where(_v.sid == bindparam("sid"))
_BY_NUMBER = _FIND.order_by(_v.created_at.desc(), _v.sid.desc()).limit(1)
_AS_OURS = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_SENT = (
    select(deliveries)
    .where(deliveries.c.verification_sid == bindparam("sid"))
    .order_by(deliveries.c.created_at, deliveries.c.sid)
)


class Base:
    def __init__(
        self,
        db: Database,
        keyring: Keyring,
        limits: Limits,
        settings: Settings,
        publish: Publish,
        holds: Holds,
    ) -> None:
        self._db = db
        self._keyring = keyring
        self._limits = limits
        self._settings = settings
        self._publish = publish
        self._holds = holds
        self._paces = {channel: _paces(settings, channel) for channel in Channel}
        of_number = _v.number_index.in_(indexes_of_number(keyring))
        self._by_number = Prepared(db, _BY_NUMBER.where(_IN_SERVICE, of_number))
        self._by_sid = Prepared(db, _BY_SID_ALONE.where(_IN_SERVICE))
        self._by_sid_alone = Prepared(db, _BY_SID_ALONE)

    def _find(
        self,
        account_sid: str,
        service_sid: str | None,
        sid: str | None,
        to: str | None,
        connection: Connection | None = None,
    ) -> Row:
        """
        :param connection: whose transaction it is to be seen in
        """
        where: dict[str, Any] = {"account": account_sid, "service": service_sid}
        if sid is not None:
            statement, where["sid"] = (self._by_sid if service_sid else self._by_sid_alone), sid
            indexes = None if to is None else self._indexes(to)
            row = statement.first(where, connection)
            if row and indexes is not None and row["number_index"] not in indexes:
                row = None
        elif to is not None:
            row = self._of_number(where, to, connection)
        else:
            raise InvalidParameterError("To", "name the number or the verification's sid")
        if row is None:
            raise NotFoundError("verification")
        return row

    def _of_number(
        self, where: dict[str, Any], to: str, connection: Connection | None
    ) -> Row | None:
        """The newest of a number. One that is written as ours are is looked up as it is: to parse
        it takes as long as the look-up.
        """
        if _AS_OURS.fullmatch(to):
            indexes = self._keyring.number_indexes(to)
            if row := self._by_number.first(where | named(indexes), connection):
                return row
        return self._by_number.first(where | named(self._indexes(to)), connection)

    def _indexes(self, to: str) -> list[bytes]:
        return self._keyring.number_indexes(phone.parse(to, Channel.CALL).e164)

    def _forget_sends(self, row: Row) -> None:
        try:
            self._limits.forget(
                [service_limit(self._settings, row["service_sid"], row["number_index"])]
            )
        except LimitsUnavailableError:
            return  # the window ends by itself; what was just decided stands

    def _sent(self, connection: Connection, sid: str) -> tuple[Delivery, ...]:
        return tuple(
            delivery_view(row) for row in connection.execute(_SENT, {"sid": sid}).mappings()
        )

    def _payment(self, row: Row) -> Payment | None:
        if row["payment_sealed"] is None:
            return None
        text = self._keyring.open(row["key_id"], row["payment_sealed"], f"payment {row['sid']}")
        return Payment(*json.loads(text))

    def _digest(self, row: Row, number: str, code: str, payment: Payment | None) -> bytes:
        return self._keyring.digest(
            row["key_id"],
            salt=row["salt"],
            verification=row["sid"],
            service=row["service_sid"],
            number=number,
            code=code,
            bound=payment or (),
        )

    def _to(self, row: Row) -> str:
        return self._keyring.open_number(row["key_id"], row["number_sealed"], row["sid"])

    def _view(
        self, row: Row, number: str | None = None, sent: tuple[Delivery, ...] = ()
    ) -> Verification:
        return Verification(
            sid=row["sid"],
            account_sid=row["account_sid"],
            service_sid=row["service_sid"],
            to=number or self._to(row),
            channel=Channel(row["channel"]),
            status=VerificationStatus.EXPIRED
            if row.get("over")  # and not written down yet
            else VerificationStatus(row["status"]),
            checks=row["checks"],
            max_checks=row["max_checks"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            expires_at=row["expires_at"],
            approved_at=row["approved_at"],
            deliveries=sent,
            payment=self._payment(row),
        )


def indexes_of_number(keyring: Keyring) -> list[BindParameter[bytes]]:
    """What a statement finds a number by, whichever key it was written with; see `named`."""
    return [bindparam(f"index_{i}", type_=_v.number_index.type) for i in range(len(keyring.kids))]


def named(indexes: Sequence[bytes]) -> dict[str, Any]:
    """The values of `indexes_of_number`."""
    return {f"index_{i}": index for i, index in enumerate(indexes)}


def wants_lookup(kept: Mapping[str, Any]) -> bool:
    """
    :param kept: a service's `twilio_only`
    """
    return bool(kept.get("lookup_enabled"))


def delivery_view(row: Row) -> Delivery:
    return Delivery(
        sid=row["sid"],
        channel=Channel(row["channel"]),
        state=DeliveryState(row["state"]),
        error_code=row["error_code"],
        provider_sid=row["provider_sid"],
        created_at=row["created_at"],
        published_at=row["published_at"],
        taken_at=row["taken_at"],
        accepted_at=row["accepted_at"],
        delivered_at=row["delivered_at"],
    )


def _paces(settings: Settings, channel: Channel) -> tuple[str, ...]:
    """The keys of the channel's paces; none where a sender has no pace and so is always free."""
    senders = [s for s in settings.all_senders() if channel in s.channels]
    if not all(sender.pace(channel) for sender in senders):
        return ()
    return tuple(sender.pace_key(channel) for sender in senders)
