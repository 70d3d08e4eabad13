"""Writing: the verification, or the live one again, and a delivery that is queued for it."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    String,
    and_,
    bindparam,
    case,
    func,
    insert,
    update,
)

from worker.codes import new_salt
from worker.db import now_ms
from worker.errors import NumberBusyError
from worker.models import deliveries, new_sid, verifications
from worker.outbox import Event, note
from worker.prepared import Row
from worker.statements import ALIVE, PENDING, SPENT, insert_delivery, new_delivery
from worker.states import Channel, Lane, VerificationStatus
from worker.templates import choose_text, text_of
from worker.verifications.admission import Admission, refuse_closed
from worker.verifications.base import delivery_view
from worker.verifications.texts import check_text
from worker.verifications.together import Together
from worker.verifications.words import Delivery, Start

Also = Callable[[Connection, str, str], object]
"""Is given the connection and the sids of the verification and of the delivery."""

_v = verifications.c
_BROUGHT = ("friendly_name", "app_hash", "send_digits", "template_sid", "locale")


def _stays(name: str) -> ColumnElement[Any]:
    """What this start does not bring stays as the one before brought it."""
    return func.coalesce(bindparam(f"b_{name}", type_=String), _v[name])


_KEEPS_TEMPLATE = and_(
    bindparam("b_template_sid", type_=String).is_(None), _v.template_sid.is_not(None)
)
_RESEND = (
    update(verifications)
    .where(
        _v.service_sid == bindparam("b_service"),
        _v.number_index.in_(bindparam("b_indexes", expanding=True)),
        ALIVE,
    )
    .values(
        channel=bindparam("b_channel"),
        updated_at=now_ms(),
        **{name: _stays(name) for name in _BROUGHT if name not in ("template_sid", "locale")},
        template_sid=func.coalesce(
            bindparam("b_template_sid", type_=String),
            _v.template_sid,
            bindparam("b_default_template", type_=String),
        ),
        # A template that stays has its text in the locale that was chosen with it.
        locale=case((_KEEPS_TEMPLATE, _v.locale), else_=_stays("locale")),
    )
    .returning(verifications)
)
_SUPERSEDED = (
    update(verifications)
    .where(_v.sid == bindparam("b_sid"), ALIVE)
    .values(status=VerificationStatus.CANCELED.value, updated_at=now_ms())
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
    .returning(_v.sid)
)


_INSERT_DELIVERY = insert_delivery(insert(deliveries)).returning(deliveries)


class Writing(Admission):
    def _write(
        self,
        wanted: Start,
        values: dict[str, Any],
        number: str,
        indexes: list[bytes],
        seen: Sequence[Row],
        fingerprint: bytes,
        lane: Lane,
        at_once: bool,
        also: Also | None,
    ) -> tuple[Row, tuple[Delivery, ...]] | None:
        """Write the verification, or find the live one, and queue a delivery: one transaction.

        What was seen before only says which statements to try; the unique index decides.

        :param at_once: the plan's next step is due now
        :raises NumberBusyError: in every round another was quicker
        :raises TemplateNotFoundError: see `_with_default`
        :returns: None when the same request was written by another meanwhile
        """
        account, service = values["account_sid"], values["service_sid"]
        alone = also is None and not wanted.request_id
        if self._together and alone and not any(row["live_status"] for row in seen):
            new = self._new(wanted, values, number, indexes, seen[0])
            delivery = _delivery(new["sid"], wanted, seen[0]["plan"], lane, at_once)
            if both := self._together.write(new, delivery):
                return both[0], (delivery_view(both[1]),)
        checked = not any(row["live_status"] for row in seen)  # its text, before the limits
        for _ in range(3):  # each round another start or check has won the row in between
            with self._db.begin() as connection:
                live = any(row["live_status"] for row in seen)
                resent = self._resend(connection, wanted, values, indexes) if live else None
                if resent is not None:
                    resent = self._fit(connection, resent, wanted, number)
                else:
                    values = _with_default(connection, wanted, values, seen[0])
                row = resent or self._create(
                    connection, self._new(wanted, values, number, indexes, seen[0]), indexes, live
                )
                if row is None:
                    seen = self._look(account, service, indexes, connection)
                    refuse_closed(seen)
                    continue
                if resent or not checked:
                    _check_written(connection, row, seen[0], wanted)
                queued = self._queue(connection, row, wanted, seen[0]["plan"], lane, at_once)
                if also is not None:
                    also(connection, row["sid"], queued["sid"])
                if wanted.request_id and not self._remember(
                    connection, account, wanted.request_id, fingerprint, row, queued
                ):
                    connection.rollback()
                    return None
                sent = self._sent(connection, row["sid"]) if resent else (delivery_view(queued),)
                return row, sent
        raise NumberBusyError("the number is busy")

    def _resend(
        self, connection: Connection, wanted: Start, values: dict[str, Any], indexes: list[bytes]
    ) -> Row | None:
        brought = {f"b_{name}": values[name] for name in _BROUGHT}
        brought["b_default_template"] = values["template_sid"]
        if not wanted.template_sid:
            brought["b_template_sid"] = None  # it is the service's default
        if not (wanted.locale or values["template_sid"]):
            brought["b_locale"] = None  # it is the country's, and a template's else
        where = {"b_service": values["service_sid"], "b_indexes": indexes}
        resent = connection.execute(_RESEND, {**where, **brought, "b_channel": values["channel"]})
        rows = resent.mappings().all()
        newest = max(rows, key=lambda row: row["sid"], default=None)
        for row in rows:
            # Two at once can only come of two hosts that write with different keys while they
            # are being rotated; the number keeps one.
            if row is not newest:
                connection.execute(_SUPERSEDED, {"b_sid": row["sid"]})
        return newest

    def _create(
        self, connection: Connection, new: dict[str, Any], indexes: list[bytes], live: bool
    ) -> Row | None:
        if live:  # an overdue one that the relay has not ended yet keeps the place
            self._expire(connection, new["service_sid"], indexes)
        return connection.execute(self._insert_live, new).mappings().one_or_none()

    def _new(
        self,
        wanted: Start,
        values: dict[str, Any],
        number: str,
        indexes: list[bytes],
        service: Row,
    ) -> dict[str, Any]:
        """A verification's columns, and `b_life` in ms."""
        sid, kid, salt = new_sid("VE"), self._keyring.kid, new_salt()
        length = self._code_length(wanted, service)
        code = wanted.custom_code or self._keyring.derive_code(kid, salt, length)
        return {
            "sid": sid,
            "key_id": kid,
            "number_index": indexes[0],
            "number_sealed": self._keyring.seal_number(number, sid),
            "salt": salt,
            "code_digest": self._keyring.digest(
                kid,
                salt=salt,
                verification=sid,
                service=values["service_sid"],
                number=number,
                code=code,
                bound=wanted.payment or (),
            ),
            "code_length": len(code),
            "status": PENDING,
            "checks": 0,
            "max_checks": service["check_limit"] or self._settings.max_checks,
            "b_life": service["code_life"] * 1000,
            **self._brought(wanted, kid, sid),
            **values,
        }

    def _code_length(self, wanted: Start, service: Row) -> int:
        """Of a new verification's code."""
        if wanted.custom_code:
            return len(wanted.custom_code)
        length: int = wanted.code_length or service["code_length"]
        return length

    def _expire(self, connection: Connection, service: str, indexes: list[bytes]) -> None:
        ended = connection.execute(_EXPIRE, {"b_service": service, "b_indexes": indexes}).scalars()
        sids = list(ended)
        if sids:
            note(connection, Event.EXPIRED, sids)

    def _queue(
        self,
        connection: Connection,
        verification: Row,
        wanted: Start,
        plan: Sequence[dict[str, Any]],
        lane: Lane,
        at_once: bool,
    ) -> Row:
        delivery = _delivery(verification["sid"], wanted, plan, lane, at_once)
        delivery["expires_at"] = verification["expires_at"]
        return connection.execute(_INSERT_DELIVERY, delivery).mappings().one()

    @cached_property
    def _together(self) -> Together | None:
        return None if self._db.dialect == "sqlite" else Together(self._db)

    @cached_property
    def _insert_live(self) -> Any:
        """The verification, unless the number has a live one in the service."""
        statement = self._db.insert(verifications).values(
            created_at=now_ms(),
            updated_at=now_ms(),
            expires_at=now_ms() + bindparam("b_life", type_=BigInteger),
        )
        return statement.on_conflict_do_nothing().returning(verifications)


def _with_default(
    connection: Connection, wanted: Start, values: dict[str, Any], service: Row
) -> dict[str, Any]:
    """The columns of a new verification, where a resend was to keep the template of the one before,
    which has ended since.

    :raises TemplateNotFoundError: the service's default has no text in the locale
    """
    default = service["default_template_sid"]
    if wanted.channel is not Channel.SMS or values["template_sid"] or not default:
        return values
    account, country = values["account_sid"], values["country"]
    text = choose_text(connection, account, default, wanted.locale, country)
    return values | {"template_sid": default, "locale": text.locale}


def _check_written(connection: Connection, row: Row, service: Row, wanted: Start) -> None:
    """What is kept and what is brought may not fit together.

    :raises InvalidParameterError: no text can hold both
    """
    free = row["app_hash"] is None and service["web_origin"] is None
    if wanted.channel is not Channel.SMS or free:
        return
    template = row["template_sid"]
    pattern = text_of(connection, template, row["locale"]) if template else None
    check_text(row, service, length=row["code_length"], pattern=pattern, payment=wanted.payment)


def _delivery(
    verification_sid: str,
    wanted: Start,
    plan: Sequence[dict[str, Any]],
    lane: Lane,
    at_once: bool,
) -> dict[str, Any]:
    """What a delivery's INSERT is run with, but for `expires_at`."""
    follows = wanted.channel is Channel.SMS and wanted.only_by is None
    delivery = new_delivery(
        verification_sid,
        wanted.channel,
        0,
        plan=plan if follows else (),
        lane=lane,
        only_by=wanted.only_by,
    )
    return delivery | ({"b_wait": 0} if at_once else {})
