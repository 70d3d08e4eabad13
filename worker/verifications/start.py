"""Start: one live verification per service and number, one queued delivery per call."""

import re
from typing import Any

from sqlalchemy import (
    Connection,
    RowMapping,
    bindparam,
    literal,
    select,
    update,
)

from worker import phone
from worker.codes import new_salt
from worker.db import now_ms
from worker.errors import (
    ChecksSpentError,
    InvalidParameterError,
    LimitsUnavailableError,
    NotFoundError,
    NumberDisabledError,
    RequestConflictError,
)
from worker.messages import check_brand, resolve_locale
from worker.models import new_sid, number_guards, requests, services, verifications
from worker.statements import ALIVE, PENDING, SPENT, new_delivery, number_limits
from worker.states import Channel, VerificationStatus
from worker.verifications.base import Base, delivery_view
from worker.verifications.words import Start, Verification

_APP_HASH = re.compile(r"[A-Za-z0-9+/]{11}", re.ASCII)

_v, _g = verifications.c, number_guards.c
_SERVICE = select(services).where(
    services.c.sid == bindparam("service"), services.c.account_sid == bindparam("account")
)
_REQUEST = select(requests).where(
    requests.c.account_sid == bindparam("account"), requests.c.request_id == bindparam("request")
)
_RESEND = (
    update(verifications)
    .where(
        _v.service_sid == bindparam("b_service"),
        _v.number_index.in_(bindparam("b_indexes", expanding=True)),
        ALIVE,
    )
    .values(channel=bindparam("b_channel"), updated_at=now_ms())
    .returning(verifications)
)
_LIVE_OR_SPENT = select(
    _v.sid, _v.status, (_v.expires_at - now_ms()).label("left"), _v.expires_at
).where(
    _v.service_sid == bindparam("service"),
    _v.number_index.in_(bindparam("indexes", expanding=True)),
    _v.status.in_((PENDING, SPENT)),
)
_EXPIRE = (
    update(verifications)
    .where(
        _v.service_sid == bindparam("b_service"),
        _v.number_index.in_(bindparam("b_indexes", expanding=True)),
        _v.status.in_((PENDING, SPENT)),
        _v.expires_at <= now_ms(),
    )
    .values(status=VerificationStatus.EXPIRED.value, updated_at=now_ms())
)
_DISABLED = select(literal(1)).where(
    _g.service_sid == bindparam("service"),
    _g.number_index.in_(bindparam("indexes", expanding=True)),
    _g.disabled_at.is_not(None),
)


class Starting(Base):
    def start(self, account_sid: str, wanted: Start) -> Verification:
        """Promise a code to a number and hand it to the workers.

        While one is pending for the service and number, this is a resend: the same
        verification and the same code, over the channel now asked for.

        :raises InvalidParameterError: number, locale, name or hash cannot be used
        :raises NotFoundError: no such service in the account
        :raises LimitReachedError: a send limit is reached
        :raises LimitsUnavailableError: the limits cannot be asked
        :raises ChecksSpentError: the guesses of the last one are used and it has not expired
        :raises NumberDisabledError: too many wrong codes in a row
        :raises RequestConflictError: `request_id` was used for other values
        """
        number = phone.parse(wanted.to, wanted.channel)
        locale = resolve_locale(wanted.locale, number.country)
        brand = check_brand(wanted.friendly_name) if wanted.friendly_name else None
        _check_app_hash(wanted)
        fingerprints = self._fingerprints(wanted, number.e164)
        indexes = self._keyring.number_indexes(number.e164)
        with self._db.statement() as connection:
            service = (
                connection.execute(
                    _SERVICE, {"service": wanted.service_sid, "account": account_sid}
                )
                .mappings()
                .one_or_none()
            )
            if service is None:
                raise NotFoundError("service")
            known = self._known_request(connection, account_sid, wanted.request_id, fingerprints)
            if known:
                return known
            self._refuse_closed(connection, wanted.service_sid, indexes)
        self._limits.admit(
            number_limits(self._settings, wanted.service_sid, indexes[0], wanted.channel)
        )
        values = {
            "account_sid": account_sid,
            "service_sid": wanted.service_sid,
            "country": number.country,
            "locale": locale,
            "channel": wanted.channel.value,
            "friendly_name": brand,
            "app_hash": wanted.app_hash,
        }
        for _ in range(3):  # each round another start or check has won the row in between
            with self._db.begin() as connection:
                resent = self._resend(connection, values, indexes)
                row = resent or self._create(connection, values, number.e164, indexes, service)
                if row is None:
                    self._refuse_closed(connection, wanted.service_sid, indexes)
                    continue
                if wanted.request_id and not self._remember(
                    connection, account_sid, wanted.request_id, fingerprints[0], row["sid"]
                ):
                    connection.rollback()
                    return self._the_other(account_sid, wanted.request_id, fingerprints)
                delivery = self._queue(connection, row, wanted.channel)
                sent = self._sent(connection, row["sid"]) if resent else (delivery_view(delivery),)
            left = max(1, (row["expires_at"] - delivery["created_at"]) // 1000)
            self._publish(wanted.channel, [delivery["sid"]], left)
            return self._view(row, number.e164, sent)
        raise LimitsUnavailableError("the number is busy")

    def _known_request(
        self,
        connection: Connection,
        account: str,
        request_id: str | None,
        fingerprints: list[bytes],
    ) -> Verification | None:
        if request_id is None:
            return None
        request = (
            connection.execute(_REQUEST, {"account": account, "request": request_id})
            .mappings()
            .one_or_none()
        )
        if request is None:
            return None
        if request["fingerprint"] not in fingerprints:
            raise RequestConflictError("the request id was used for another request")
        row = (
            connection.execute(select(verifications).where(_v.sid == request["verification_sid"]))
            .mappings()
            .one_or_none()
        )
        if row is None:
            raise NotFoundError("verification")
        return self._view(row, sent=self._sent(connection, row["sid"]))

    def _the_other(self, account: str, request_id: str, fingerprints: list[bytes]) -> Verification:
        with self._db.statement() as connection:
            known = self._known_request(connection, account, request_id, fingerprints)
        if known is None:
            raise RequestConflictError("the same request is still running")
        return known

    def _remember(
        self, connection: Connection, account: str, request_id: str, fingerprint: bytes, sid: str
    ) -> bool:
        statement = self._db.insert(requests).values(
            account_sid=account,
            request_id=request_id,
            fingerprint=fingerprint,
            verification_sid=sid,
            created_at=now_ms(),
        )
        inserted = statement.on_conflict_do_nothing().returning(requests.c.request_id)
        return connection.execute(inserted).first() is not None

    def _refuse_closed(
        self, connection: Connection, service_sid: str, indexes: list[bytes]
    ) -> None:
        """Refuse before a limit is touched. Each reason is checked again by what writes."""
        where = {"service": service_sid, "indexes": indexes}
        if connection.execute(_DISABLED, where).first():
            raise NumberDisabledError("too many wrong codes in a row")
        for row in connection.execute(_LIVE_OR_SPENT, where):
            if row.status == SPENT and row.left > 0:
                raise ChecksSpentError(max(1, row.left // 1000))

    def _resend(
        self, connection: Connection, values: dict[str, Any], indexes: list[bytes]
    ) -> RowMapping | None:
        return (
            connection.execute(
                _RESEND,
                {
                    "b_service": values["service_sid"],
                    "b_indexes": indexes,
                    "b_channel": values["channel"],
                },
            )
            .mappings()
            .one_or_none()
        )

    def _create(
        self,
        connection: Connection,
        values: dict[str, Any],
        number: str,
        indexes: list[bytes],
        service: RowMapping,
    ) -> RowMapping | None:
        where = {"b_service": values["service_sid"], "b_indexes": indexes}
        connection.execute(_EXPIRE, where)
        sid, kid, salt = new_sid("VE"), self._keyring.kid, new_salt()
        length = service["code_length"]
        code = self._keyring.derive_code(kid, salt, length)
        statement = self._db.insert(verifications).values(
            sid=sid,
            key_id=kid,
            number_index=indexes[0],
            number_sealed=self._keyring.seal_number(number, sid),
            salt=salt,
            code_digest=self._keyring.digest(
                kid,
                salt=salt,
                verification=sid,
                service=values["service_sid"],
                number=number,
                code=code,
            ),
            code_length=length,
            status=PENDING,
            checks=0,
            max_checks=self._settings.max_checks,
            created_at=now_ms(),
            updated_at=now_ms(),
            expires_at=now_ms() + service["code_life"] * 1000,
            **values,
        )
        return (
            connection.execute(statement.on_conflict_do_nothing().returning(verifications))
            .mappings()
            .one_or_none()
        )

    def _queue(
        self, connection: Connection, verification: RowMapping, channel: Channel
    ) -> RowMapping:
        statement = new_delivery(verification["sid"], channel, verification["expires_at"])
        return connection.execute(statement).mappings().one()

    def _fingerprints(self, wanted: Start, number: str) -> list[bytes]:
        """What the request asks for, under every key: keyed, since a number can be guessed."""
        values = (
            wanted.service_sid,
            number,
            wanted.channel,
            wanted.locale or "",
            wanted.friendly_name or "",
            wanted.app_hash or "",
        )
        return self._keyring.number_indexes("\0".join(("request", *values)))


def _check_app_hash(wanted: Start) -> None:
    if wanted.app_hash is None:
        return
    if wanted.channel is not Channel.SMS:
        raise InvalidParameterError("AppHash", "goes with channel sms only")
    if not _APP_HASH.fullmatch(wanted.app_hash):
        raise InvalidParameterError("AppHash", "must be 11 characters of A-Z a-z 0-9 + /")
