"""What a start may bring along: a code of its own, the payment it stands for, an extension."""

import json
import re
import unicodedata
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from worker import phone
from worker.door_tables import buckets, rate_limits
from worker.errors import (
    FeatureOffError,
    InvalidParameterError,
    LandlineError,
    NotFoundError,
    PaymentError,
)
from worker.limits import Limit
from worker.messages import has_link
from worker.models import services, verifications
from worker.prepared import Row
from worker.states import Channel
from worker.verifications.requests import Requests
from worker.verifications.words import Start

RATE_LIMIT = "rate_limit."  # before the name of a service's own limit
MAX_AMOUNT, MAX_PAYEE = 20, 40
CODE_LENGTHS = range(4, 11)
_CODE = re.compile(r"[0-9]{4,10}", re.ASCII)
_SEND_DIGITS = re.compile(r"[0-9#*wW]{1,32}", re.ASCII)
_PUNCTUATION = frozenset(" .,'’-&_()+!/")
_v, _s = verifications.c, services.c
_BUCKETS = (
    select(rate_limits.c.unique_name, buckets.c.sid, buckets.c.most, buckets.c.seconds)
    .outerjoin(buckets, buckets.c.rate_limit_sid == rate_limits.c.sid)
    .where(
        rate_limits.c.service_sid == bindparam("service"),
        rate_limits.c.unique_name.in_(bindparam("names", expanding=True)),
    )
)
_NEW_CODE = (
    update(verifications)
    .where(_v.sid == bindparam("b_sid"))
    .values(
        own_code=True,
        code_sealed=bindparam("b_sealed"),
        code_digest=bindparam("b_digest"),
        code_length=bindparam("b_length"),
    )
    .returning(verifications)
)


class Brought(Requests):
    def _number(self, account_sid: str, wanted: Start) -> phone.Phone:
        """The number of a start.

        :raises LandlineError: an SMS to a landline, in a service that wants to be told so
        :raises InvalidParameterError: it cannot be used
        """
        try:
            return phone.parse(wanted.to, wanted.channel)
        except LandlineError as error:
            statement = select(_s.twilio_only).where(
                _s.sid == wanted.service_sid, _s.account_sid == account_sid
            )
            with self._db.statement() as connection:
                kept = connection.execute(statement).scalar_one_or_none()
            if kept is None:
                raise NotFoundError("service") from None
            if kept.get("skip_sms_to_landlines") and kept.get("lookup_enabled"):
                raise
            raise InvalidParameterError(error.field, error.reason) from None

    def _check_brought(self, wanted: Start, service: Row) -> None:
        """
        :raises FeatureOffError: the service does not have what this start needs
        :raises PaymentError: a payment is missing, or a call is asked to say it
        :raises InvalidParameterError: a value cannot be used
        """
        kept = service["twilio_only"]
        if wanted.custom_code is not None:
            if not kept.get("custom_code_enabled"):
                raise FeatureOffError("CustomCode")
            if not _CODE.fullmatch(wanted.custom_code):
                raise InvalidParameterError("CustomCode", "must be 4 to 10 digits")
        if wanted.send_digits is not None:
            if wanted.channel is not Channel.CALL:
                raise InvalidParameterError("SendDigits", "goes with channel call only")
            if not _SEND_DIGITS.fullmatch(wanted.send_digits):
                raise InvalidParameterError("SendDigits", "must be 1 to 32 of 0-9 # * w")
        if wanted.code_length is not None and wanted.code_length not in CODE_LENGTHS:
            raise InvalidParameterError("CodeLength", "must be from 4 to 10")
        self._check_payment(wanted, bool(kept.get("psd2_enabled")))

    def _check_payment(self, wanted: Start, enabled: bool) -> None:
        if not enabled:
            if wanted.payment is not None:
                raise FeatureOffError("PSD2")
            return
        if wanted.channel is Channel.CALL:
            raise PaymentError(by_call=True)
        if wanted.payment is None or not all(wanted.payment):
            raise PaymentError
        _check_text("Amount", wanted.payment.amount, MAX_AMOUNT)
        _check_text("Payee", wanted.payment.payee, MAX_PAYEE)

    def _rate_limits(self, wanted: Start) -> list[Limit]:
        """The service's own limits that this start is counted under, a bucket each. What stands in
        Redis is a keyed hash of the value, which may be a person's address.

        :raises InvalidParameterError: the service has no limit of a name given
        """
        if not wanted.rate_limits:
            return []
        with self._db.statement() as connection:
            found = connection.execute(
                _BUCKETS, {"service": wanted.service_sid, "names": list(wanted.rate_limits)}
            ).all()
        unknown = set(wanted.rate_limits) - {row.unique_name for row in found}
        if unknown:
            raise InvalidParameterError(
                "RateLimits", "names a limit that the service does not have"
            )
        return [
            Limit(
                f"{RATE_LIMIT}{row.unique_name}",
                self._rate_key(row.sid, value),
                row.most,
                row.seconds,
            )
            for row in found
            if row.sid is not None and (value := wanted.rate_limits[row.unique_name])
        ]

    def _rate_key(self, bucket: str, value: str) -> str:
        return self._keyring.number_index("\0".join(("rate", bucket, value))).hex()

    def _brought(self, wanted: Start, kid: str, sid: str) -> dict[str, Any]:
        """The columns of what the start brought, sealed with the key of the row."""
        code, payment = wanted.custom_code, wanted.payment
        return {
            "own_code": code is not None,
            "code_sealed": code and self._keyring.seal(kid, code, f"code {sid}"),
            "payment_sealed": payment
            and self._keyring.seal(kid, json.dumps([*payment]), f"payment {sid}"),
        }

    def _fit(self, connection: Connection, row: Row, wanted: Start, number: str) -> Row:
        """The live verification, made to say what this resend brought.

        A code is taken over and never compared: whoever may start could else try codes here,
        where no guess is counted.

        :raises InvalidParameterError: it is for another payment, or its code must be repeated
        """
        if self._payment(row) != wanted.payment:
            raise InvalidParameterError(
                "Amount", "the pending verification is for another payment: cancel it first"
            )
        if wanted.custom_code is None:
            if row["own_code"] and row["code_sealed"] is None:
                raise InvalidParameterError(
                    "CustomCode", "is not kept any more: repeat it to send it again"
                )
            return row
        sid, kid, code = row["sid"], row["key_id"], wanted.custom_code
        values = {
            "b_sid": sid,
            "b_sealed": self._keyring.seal(kid, code, f"code {sid}"),
            "b_digest": self._digest(row, number, code, wanted.payment),
            "b_length": len(code),
        }
        return connection.execute(_NEW_CODE, values).mappings().one()


def _check_text(field: str, given: str, most: int) -> None:
    """What may stand in a text beside the code: a sum, a name."""
    sound = all(
        unicodedata.category(c)[0] in "LMN" or unicodedata.category(c) == "Sc" or c in _PUNCTUATION
        for c in given
    )
    if not sound or not 1 <= len(given) <= most or given != given.strip() or has_link(given):
        raise InvalidParameterError(
            field, f"must have 1 to {most} letters, digits and common signs, and no link"
        )
