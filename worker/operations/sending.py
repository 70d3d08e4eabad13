"""Retry, resend and cancel: what operators do to one verification or delivery.

A delivery is sent again once, by whoever asks and however often: the row in `repeats` decides.
"""

from collections.abc import Callable, Sequence
from typing import Any

import structlog
from sqlalchemy import Connection, RowMapping, bindparam, insert, select

from worker import phone
from worker.audit import Operator, clean_reason, write_down
from worker.codes import Keyring
from worker.db import Database, now_ms
from worker.errors import (
    ActionRefusedError,
    BlockedError,
    NotFoundError,
    PaymentError,
)
from worker.holds import Holds, blocks_number
from worker.limits import Limit, Limits
from worker.models import deliveries, services, verifications
from worker.operations.opening import open_number
from worker.operations.words import Outcome, Result, acting, done_or_would, require_admin
from worker.operator_tables import repeats
from worker.settings import Settings
from worker.spending import spends_of
from worker.spends import Spend
from worker.statements import (
    ALIVE,
    PENDING,
    Publish,
    insert_delivery,
    new_delivery,
    number_limits,
)
from worker.states import Channel, DeliveryState, Lane, queue_of

log = structlog.get_logger()

Cancel = Callable[[str, str, Callable[[Connection], object]], object]
"""Ends a pending verification of a service and does what is given in the same transaction."""

_d, _v, _r = deliveries.c, verifications.c, repeats.c
_LANES = {queue_of(channel, lane): lane for lane in Lane for channel in Channel}
# One more message would be one too many: it is under way, or it has arrived.
_NO_NEED = (
    *(DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.ACCEPTED),
    *(DeliveryState.SENT, DeliveryState.DELIVERED),
)
_FOUND = (
    select(
        *(_d.sid, _d.channel, _d.state, _d.queue),
        *(_v.account_sid, _v.service_sid, _v.status, _v.expires_at, _v.number_index),
        *(_v.key_id, _v.number_sealed, _v.own_code, _v.country),
        _v.sid.label("verification"),
        _v.code_sealed.is_(None).label("code_gone"),
        _v.payment_sealed.is_not(None).label("pays"),
        ALIVE.label("alive"),
        blocks_number(_v.number_index.__eq__).label("blocked"),
        services.c.send_limit,
        now_ms().label("now"),
    )
    .join(verifications, _v.sid == _d.verification_sid)
    .join(services, services.c.sid == _v.service_sid)
    .order_by(_d.sid.desc())
    .limit(1)
)
_BY_DELIVERY = _FOUND.where(_d.sid == bindparam("sid"))
_NEWEST = _FOUND.where(_d.verification_sid == bindparam("sid"))
_INSERT_DELIVERY = insert_delivery(insert(deliveries))
_LOCK = select(_v.sid).where(_v.sid == bindparam("sid")).with_for_update()
_REPEATED = select(_r.repeated_by).where(_r.delivery_sid == bindparam("sid"))
_BESIDE = (
    select(_d.sid)
    .where(
        _d.verification_sid == bindparam("verification"),
        _d.sid >= bindparam("sid"),
        _d.channel == bindparam("channel"),
        _d.state.in_(_NO_NEED),
    )
    .order_by(_d.sid.desc())
    .limit(1)
)


class Sending:
    """
    :param find: the verification behind a sid, see `worker.records.Records.find`
    """

    def __init__(
        self,
        db: Database,
        keyring: Keyring,
        holds: Holds,
        limits: Limits,
        settings: Settings,
        publish: Publish,
        find: Callable[[str], str],
        cancel: Cancel,
    ) -> None:
        self._db = db
        self._keyring = keyring
        self._holds = holds
        self._limits = limits
        self._settings = settings
        self._publish = publish
        self._find = find
        self._cancel = cancel

    @acting("retry")
    def retry(
        self,
        by: Operator,
        sid: str,
        reason: str,
        *,
        override_limits: bool = False,
        dry_run: bool = False,
    ) -> Outcome:
        """Send the same code again, by the channel of the delivery.

        Nothing is done where a later one of the channel is under way or has arrived, or where
        this one was sent again before.

        :param sid: `VL…`, or `VE…` for its newest delivery, or the provider's
        :param override_limits: the limits are not asked and do not count it
        :raises NotFoundError: there is none
        :raises ActionRefusedError: `expired`, or how else the verification ended; `code_gone`, its
            own code is not kept any more; `key_missing` or `unreadable`, its number cannot be
            opened; `not_allowed`, to override limits
        :raises BlockedError: the number is blocked
        :raises LimitReachedError: a send limit is reached, or a budget used up
        :raises LimitsUnavailableError: the limits cannot be asked
        """
        return self._again(by, "retry", sid, None, reason, override_limits, dry_run)

    @acting("resend")
    def resend(
        self,
        by: Operator,
        sid: str,
        channel: str,
        reason: str,
        *,
        override_limits: bool = False,
        dry_run: bool = False,
    ) -> Outcome:
        """Send the same code by a channel, otherwise as `retry`.

        :param channel: `sms` or `call`
        :raises PaymentError: a call cannot say what the code stands for
        :raises LandlineError: an SMS to a landline
        """
        return self._again(by, "resend", sid, Channel(channel), reason, override_limits, dry_run)

    @acting("cancel")
    def cancel(self, by: Operator, sid: str, reason: str, *, dry_run: bool = False) -> Outcome:
        """End a verification: its code can no longer be checked, what waits is not sent. Nothing
        is done where it has ended.

        :param sid: `VE…`, `VL…` or the provider's
        :raises NotFoundError: there is none
        """
        reason = clean_reason(reason)
        with self._db.statement() as connection:
            row = self._row(connection, sid)
        target = row["verification"]
        if not row["alive"]:
            return Outcome("cancel", target, Result.UNCHANGED, {"status": row["status"]})
        before, after = {"status": row["status"]}, {"status": "canceled"}
        if not dry_run:

            def note(connection: Connection) -> None:
                write_down(connection, by, "cancel", target, reason, before, after)

            try:
                self._cancel(row["service_sid"], target, note)
            except NotFoundError:  # it has ended since we looked
                return Outcome("cancel", target, Result.UNCHANGED, before)
        return Outcome("cancel", target, done_or_would(dry_run), before, after)

    def _again(
        self,
        by: Operator,
        action: str,
        sid: str,
        channel: Channel | None,
        reason: str,
        override_limits: bool,
        dry_run: bool,
    ) -> Outcome:
        reason = clean_reason(reason)
        if override_limits:
            require_admin(by, "override limits")
        with self._db.statement() as connection:
            row = self._row(connection, sid)
            wanted = channel or Channel(row["channel"])
            _check_code(row)
            known = self._repeated(connection, row, wanted)
        before = {"delivery": row["sid"], "channel": row["channel"], "state": row["state"]}
        if known is not None:
            return Outcome(action, row["sid"], Result.UNCHANGED, before, {"delivery": known})
        self._check(row, wanted)
        after: dict[str, Any] = {"channel": wanted.value, "limits_overridden": override_limits}
        queue = queue_of(wanted, _LANES[row["queue"]])
        pause = self._holds.now().pause_of(queue, wanted.value, row["country"])
        after |= {"waits_for_end_of": pause} if pause else {}
        if dry_run:
            return Outcome(action, row["sid"], Result.WOULD, before, after)
        limits = [] if override_limits else self._limits_of(row, wanted)
        spends = [] if override_limits else self._spends_of(row, wanted)
        admitted = False
        try:
            with self._db.begin() as connection:
                # Under the verification's lock, so that of two operators the second finds what
                # the first has made, and the limits count it once.
                connection.execute(_LOCK, {"sid": row["verification"]})
                _check_code(self._row(connection, row["sid"]))
                known = self._repeated(connection, row, wanted)
                if known is not None:
                    return Outcome(
                        action, row["sid"], Result.UNCHANGED, before, {"delivery": known}
                    )
                if limits:
                    self._limits.admit(limits, spends=spends)
                    admitted = True
                after["delivery"] = self._make(connection, row, wanted)
                write_down(connection, by, action, row["sid"], reason, before, after)
        except Exception:
            if admitted:
                self._limits.release(limits, spends)
            raise
        life = max(1, (row["expires_at"] - row["now"]) // 1000)
        self._publish(queue, [after["delivery"]], life, row["now"])
        return Outcome(action, row["sid"], Result.DONE, before, after)

    def _row(self, connection: Connection, sid: str) -> RowMapping:
        statement = _BY_DELIVERY if sid.startswith("VL") else _NEWEST
        if not sid.startswith(("VL", "VE")):
            sid = self._find(sid)
        row = connection.execute(statement, {"sid": sid}).mappings().one_or_none()
        if row is None or row["account_sid"] != self._settings.account_sid:
            raise NotFoundError("delivery")
        return row

    def _repeated(self, connection: Connection, row: RowMapping, channel: Channel) -> str | None:
        """The delivery that makes another one needless."""
        known = connection.execute(_REPEATED, {"sid": row["sid"]}).scalar_one_or_none()
        if known is not None:
            return str(known)
        values = {"verification": row["verification"], "sid": row["sid"], "channel": channel.value}
        found = connection.execute(_BESIDE, values).scalar_one_or_none()
        return None if found is None else str(found)

    def _check(self, row: RowMapping, channel: Channel) -> None:
        if row["pays"] and channel is Channel.CALL:
            raise PaymentError(by_call=True)
        sealed = (row["key_id"], row["number_sealed"], row["verification"])
        number = open_number(self._keyring, *sealed)
        phone.parse(number, channel)  # a landline takes no SMS
        if row["blocked"] or self._holds.is_blocked_by_prefix(row["account_sid"], number):
            raise BlockedError("the number is blocked")

    def _limits_of(self, row: RowMapping, channel: Channel) -> list[Limit]:
        return number_limits(
            *(self._settings, row["service_sid"], row["number_index"], channel),
            send_limit=row["send_limit"],
        )

    def _spends_of(self, row: RowMapping, channel: Channel) -> Sequence[Spend]:
        held, prices = self._holds.now(), self._settings.price_list()
        return spends_of(held.budgets, prices, row["service_sid"], channel, row["country"])

    def _make(self, connection: Connection, row: RowMapping, channel: Channel) -> str:
        delivery = new_delivery(
            row["verification"],
            channel,
            row["expires_at"],
            plan=(),
            lane=_LANES[row["queue"]],
        )
        connection.execute(_INSERT_DELIVERY, delivery)
        sid = str(delivery["sid"])
        connection.execute(
            self._db.insert(repeats).values(
                delivery_sid=row["sid"], repeated_by=sid, created_at=now_ms()
            )
        )
        return sid


def _check_code(row: RowMapping) -> None:
    """The code lives and is there to be sent."""
    if not row["alive"]:
        ended = "expired" if row["status"] == PENDING else row["status"]
        raise ActionRefusedError(ended, f"the code's life is over: {ended}")
    if row["own_code"] and row["code_gone"]:
        raise ActionRefusedError("code_gone", "the backend's own code is not kept any more")
