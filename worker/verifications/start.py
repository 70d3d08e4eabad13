"""Start: one live verification per service and number, one queued delivery per call."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Any

import structlog
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    RowMapping,
    String,
    and_,
    bindparam,
    case,
    func,
    insert,
    select,
    update,
)

from worker import logs, metrics, phone, tracing
from worker.codes import new_salt
from worker.db import UNAVAILABLE, now_ms
from worker.errors import (
    BlockedError,
    ChecksSpentError,
    InvalidParameterError,
    LimitReachedError,
    LimitsUnavailableError,
    NotFoundError,
    NumberDisabledError,
    PausedError,
    RateLimitedError,
    RequestRunningError,
    SendcodeError,
)
from worker.holds import Held, PauseKind, blocks_number, vouches_for
from worker.limits import Limit, Share
from worker.messages import check_brand, resolve_locale
from worker.models import deliveries, new_sid, number_guards, services, verifications
from worker.outbox import Event, note
from worker.plan import step_of
from worker.statements import (
    ALIVE,
    PENDING,
    SPENT,
    insert_delivery,
    new_delivery,
    number_limits,
    range_limits,
)
from worker.states import Channel, Lane, VerificationStatus, queue_of
from worker.templates import choose_locale
from worker.verifications.base import delivery_view
from worker.verifications.brought import RATE_LIMIT, Brought
from worker.verifications.telling import telling
from worker.verifications.words import Delivery, Start, Verification

log = structlog.get_logger()
Also = Callable[[Connection, str, str], object]
"""Is given the connection and the sids of the verification and of the delivery."""
_APP_HASH = re.compile(r"[A-Za-z0-9+/]{11}", re.ASCII)

_v, _g = verifications.c, number_guards.c
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
        # An SMS of a template is in the template's locale; what has none keeps the first's.
        send_digits=func.coalesce(bindparam("b_digits", type_=String), _v.send_digits),
        template_sid=func.coalesce(bindparam("b_template", type_=String), _v.template_sid),
        locale=case(
            (bindparam("b_template", type_=String).is_not(None), bindparam("b_locale")),
            else_=_v.locale,
        ),
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


def _is_the_number(index: ColumnElement[bytes]) -> ColumnElement[bool]:
    return index.in_(bindparam("indexes", expanding=True))


# One look at everything that may refuse: the service, its guard and its live verification.
_ADMISSION = (
    select(
        services,
        _g.disabled_at,
        _v.status.label("live_status"),
        (_v.expires_at - now_ms()).label("live_left"),
        blocks_number(_is_the_number).label("blocked"),
        vouches_for(_is_the_number, services.c.account_sid).label("vouched"),
    )
    .outerjoin(
        number_guards,
        and_(
            _g.service_sid == services.c.sid,
            _g.number_index.in_(bindparam("indexes", expanding=True)),
            _g.disabled_at.is_not(None),
        ),
    )
    .outerjoin(
        verifications,
        and_(
            _v.service_sid == services.c.sid,
            _v.number_index.in_(bindparam("indexes", expanding=True)),
            _v.status.in_((PENDING, SPENT)),
        ),
    )
    .where(services.c.sid == bindparam("service"), services.c.account_sid == bindparam("account"))
)

_INSERT_DELIVERY = insert_delivery(insert(deliveries)).returning(deliveries)


class Starting(Brought):
    @metrics.refusals_of_starts
    def start(
        self,
        account_sid: str,
        wanted: Start,
        *,
        has_waited: bool = False,
        also: Also | None = None,
    ) -> Verification:
        """Promise a code to a number and hand it to the workers.

        While one is pending for the service and number, this is a resend: the same
        verification and the same code, over the channel now asked for.

        :param has_waited: the request has been through a queue, and is not refused for its length
        :param also: done in the transaction that writes it
        :raises InvalidParameterError: number, locale, name or hash cannot be used
        :raises FeatureOffError: the service does not have what this start needs
        :raises PaymentError: a payment is missing, or a call is asked to say it
        :raises NotFoundError: no such service in the account
        :raises TemplateNotFoundError: no such template, or none in this locale
        :raises LimitReachedError: a send limit is reached, the number's or one that it shares
        :raises RateLimitedError: a limit of the service's own is reached by a value given here
        :raises OverloadedError: codes wait too long for a worker
        :raises LimitsUnavailableError: the limits cannot be asked
        :raises ChecksSpentError: the guesses of the last one are used and it has not expired
        :raises NumberDisabledError: too many wrong codes in a row
        :raises BlockedError: an operator has blocked the number or its prefix
        :raises PausedError: an operator has paused the country, or the channel and the service's
            plan has no other
        :raises RequestConflictError: `request_id` was used for other values
        :raises RequestRunningError: the same request is being answered at this moment
        """
        began = time.monotonic()
        with telling("start", channel=wanted.channel.value):
            return self._start(account_sid, wanted, has_waited, also, began)

    def _start(
        self, account_sid: str, wanted: Start, has_waited: bool, also: Also | None, began: float
    ) -> Verification:
        number = self._number(account_sid, wanted)
        indexes = self._keyring.number_indexes(number.e164)
        logs.learned(
            country=number.country,
            number_hash=logs.number_hash(indexes[0]),
            number_masked=phone.mask(number.e164),
        )
        locale = resolve_locale(wanted.locale, number.country)
        name = wanted.friendly_name
        brand = check_brand(name, "CustomFriendlyName") if name else None
        _check_app_hash(wanted)
        fingerprints = self._fingerprints(wanted, number.e164)
        held = self._holds.now()
        with self._db.statement() as connection:
            seen = self._admission(connection, account_sid, wanted.service_sid, indexes)
            logs.learned(service=wanted.service_sid)
            known = self._known_request(connection, account_sid, wanted.request_id, fingerprints)
            if known:
                return replace(known, lookup=_wants_lookup(seen[0]))
            self._check_brought(wanted, seen[0])
            template = self._template(wanted, seen[0])
            if template:
                locale = choose_locale(
                    connection, account_sid, template, wanted.locale, number.country
                )
            own_limits = self._rate_limits(connection, wanted)
        _refuse_closed(seen)
        if self._holds.is_blocked_by_prefix(account_sid, number.e164):
            raise BlockedError("the number's prefix is blocked")
        at_once = _plan_takes_over(held, wanted.channel, number.country, seen[0]["plan"])
        limits = number_limits(self._settings, wanted.service_sid, indexes[0], wanted.channel)
        if not seen[0]["vouched"]:
            limits += range_limits(
                self._settings, wanted.service_sid, number, self._keyring.number_index
            )
        limits += own_limits
        running = self._running(account_sid, wanted.request_id)
        try:
            lane = self._admit(limits, self._share(wanted, has_waited), running)
        except LimitReachedError:
            # The same request may have been answered since we looked, and taken the last place.
            answered = self._answered(account_sid, wanted.request_id, fingerprints)
            if answered:
                return answered
            raise
        values = {
            "account_sid": account_sid,
            "service_sid": wanted.service_sid,
            "country": number.country,
            "locale": locale,
            "channel": wanted.channel.value,
            "friendly_name": brand,
            "app_hash": wanted.app_hash,
            "template_sid": template,
            "send_digits": wanted.send_digits,
        }
        clock = time.monotonic()
        try:
            written = self._write(
                wanted, values, number.e164, indexes, seen, fingerprints[0], lane, at_once, also
            )
        except (SendcodeError, *UNAVAILABLE):
            # Where the answer to a COMMIT was lost the send may stand; one uncounted send
            # is better than a number locked out by sends that never were.
            self._release(limits)
            raise
        finally:
            if running:
                self._limits.finish(running)
        if written is None:
            self._release(limits)
            answered = self._answered(account_sid, wanted.request_id, fingerprints)
            if answered is None:
                raise RequestRunningError("the same request is still running")
            return answered
        row, sent = written
        metrics.accepted(wanted.channel, number.country)
        queue = queue_of(wanted.channel, lane)
        now = sent[-1].created_at + logs.ms_since(clock)
        life = max(1, (row["expires_at"] - now) // 1000)
        with tracing.span("start", row["sid"], since=clock, channel=wanted.channel):
            self._publish(queue, [sent[-1].sid], life, now)
        log.info(
            "request.accepted",
            verification=row["sid"],
            delivery=sent[-1].sid,
            queue=queue,
            sends=len(sent),
            duration_ms=logs.ms_since(began),
        )
        view = self._view(row, number.e164, sent)
        return replace(view, lookup=_wants_lookup(seen[0]))

    def _admit(self, limits: list[Limit], share: Share, running: str | None) -> Lane:
        try:
            return self._limits.admit(limits, share, running)
        except LimitReachedError as error:
            name = error.limit.removeprefix(RATE_LIMIT)
            if name == error.limit:
                raise
            raise RateLimitedError(name, error.retry_after) from None

    def _share(self, wanted: Start, has_waited: bool) -> Share:
        s = self._settings
        patience = 0 if has_waited else s.overload_seconds
        paces = self._paces[wanted.channel]
        return Share(wanted.service_sid, wanted.channel, s.busy_starts, patience, paces)

    def _template(self, wanted: Start, service: RowMapping) -> str | None:
        """The template of the text. A call has none: what it says is ours."""
        if wanted.channel is not Channel.SMS:
            return None
        sid: str | None = wanted.template_sid or service["default_template_sid"]
        return sid

    def _write(
        self,
        wanted: Start,
        values: dict[str, Any],
        number: str,
        indexes: list[bytes],
        seen: Sequence[RowMapping],
        fingerprint: bytes,
        lane: Lane,
        at_once: bool,
        also: Also | None,
    ) -> tuple[RowMapping, tuple[Delivery, ...]] | None:
        """Write the verification, or find the live one, and queue a delivery: one transaction.

        What was seen before only says which statements to try; the unique index decides.

        :param at_once: the plan's next step is due now
        :returns: None when the same request was written by another meanwhile
        """
        account, service = values["account_sid"], values["service_sid"]
        for _ in range(3):  # each round another start or check has won the row in between
            with self._db.begin() as connection:
                live = any(row["live_status"] for row in seen)
                resent = self._resend(connection, values, indexes) if live else None
                if resent is not None:
                    resent = self._fit(connection, resent, wanted, number)
                row = resent or self._create(
                    connection, wanted, values, number, indexes, seen[0], live
                )
                if row is None:
                    seen = self._admission(connection, account, service, indexes)
                    _refuse_closed(seen)
                    continue
                delivery = self._queue(connection, row, wanted, seen[0]["plan"], lane, at_once)
                if also is not None:
                    also(connection, row["sid"], delivery["sid"])
                if wanted.request_id and not self._remember(
                    connection, account, wanted.request_id, fingerprint, row, delivery
                ):
                    connection.rollback()
                    return None
                sent = self._sent(connection, row["sid"]) if resent else (delivery_view(delivery),)
                return row, sent
        raise LimitsUnavailableError("the number is busy")

    def _release(self, limits: list[Limit]) -> None:
        with suppress(LimitsUnavailableError):  # the windows end by themselves
            self._limits.release(limits)

    def _admission(
        self, connection: Connection, account: str, service: str, indexes: list[bytes]
    ) -> Sequence[RowMapping]:
        """The service, once for each guard and live verification the number has in it."""
        rows = (
            connection.execute(
                _ADMISSION, {"account": account, "service": service, "indexes": indexes}
            )
            .mappings()
            .all()
        )
        if not rows:
            raise NotFoundError("service")
        return rows

    def _resend(
        self, connection: Connection, values: dict[str, Any], indexes: list[bytes]
    ) -> RowMapping | None:
        rows = (
            connection.execute(
                _RESEND,
                {
                    "b_service": values["service_sid"],
                    "b_indexes": indexes,
                    "b_channel": values["channel"],
                    "b_digits": values["send_digits"],
                    "b_template": values["template_sid"],
                    "b_locale": values["locale"],
                },
            )
            .mappings()
            .all()
        )
        newest = max(rows, key=lambda row: row["sid"], default=None)
        for row in rows:
            # Two at once can only come of two hosts that write with different keys while they
            # are being rotated; the number keeps one.
            if row is not newest:
                connection.execute(_SUPERSEDED, {"b_sid": row["sid"]})
        return newest

    def _create(
        self,
        connection: Connection,
        wanted: Start,
        values: dict[str, Any],
        number: str,
        indexes: list[bytes],
        service: RowMapping,
        live: bool,
    ) -> RowMapping | None:
        if live:  # an overdue one that the relay has not ended yet keeps the place
            self._expire(connection, values["service_sid"], indexes)
        sid, kid, salt = new_sid("VE"), self._keyring.kid, new_salt()
        length = wanted.code_length or service["code_length"]
        code = wanted.custom_code or self._keyring.derive_code(kid, salt, length)
        row = {
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
            "max_checks": self._settings.max_checks,
            "b_life": service["code_life"] * 1000,
            **self._brought(wanted, kid, sid),
            **values,
        }
        return connection.execute(self._insert_live, row).mappings().one_or_none()

    def _expire(self, connection: Connection, service: str, indexes: list[bytes]) -> None:
        ended = connection.execute(_EXPIRE, {"b_service": service, "b_indexes": indexes}).scalars()
        sids = list(ended)
        if sids:
            note(connection, Event.EXPIRED, sids)

    def _queue(
        self,
        connection: Connection,
        verification: RowMapping,
        wanted: Start,
        plan: Sequence[dict[str, Any]],
        lane: Lane,
        at_once: bool,
    ) -> RowMapping:
        follows = wanted.channel is Channel.SMS and wanted.only_by is None
        delivery = new_delivery(
            verification["sid"],
            wanted.channel,
            verification["expires_at"],
            plan=plan if follows else (),
            lane=lane,
            only_by=wanted.only_by,
        )
        if at_once:
            delivery["b_wait"] = 0
        return connection.execute(_INSERT_DELIVERY, delivery).mappings().one()

    @cached_property
    def _insert_live(self) -> Any:
        """The verification, unless the number has a live one in the service."""
        statement = self._db.insert(verifications).values(
            created_at=now_ms(),
            updated_at=now_ms(),
            expires_at=now_ms() + bindparam("b_life", type_=BigInteger),
        )
        return statement.on_conflict_do_nothing().returning(verifications)


def _refuse_closed(seen: Sequence[RowMapping]) -> None:
    if seen[0]["blocked"]:
        raise BlockedError("the number is blocked")
    for row in seen:
        if row["disabled_at"] is not None:
            raise NumberDisabledError("too many wrong codes in a row")
        if row["live_status"] == SPENT and row["live_left"] > 0:
            raise ChecksSpentError(max(1, row["live_left"] // 1000))


def _plan_takes_over(
    held: Held, channel: Channel, country: str, plan: Sequence[Mapping[str, Any]]
) -> bool:
    """Whether the channel is paused and the service's plan goes on over another.

    :raises PausedError: nothing of this start would go out
    """
    try:
        held.refuse(channel, country)
    except PausedError as error:
        step = step_of(plan, 1) if channel is Channel.SMS else None
        if error.kind == PauseKind.COUNTRY or step is None or step.channel in held.channels:
            raise
        return True
    return False


def _wants_lookup(service: RowMapping) -> bool:
    return bool(service["twilio_only"].get("lookup_enabled"))


def _check_app_hash(wanted: Start) -> None:
    if wanted.app_hash is None:
        return
    if wanted.channel is not Channel.SMS:
        raise InvalidParameterError("AppHash", "goes with channel sms only")
    if not _APP_HASH.fullmatch(wanted.app_hash):
        raise InvalidParameterError("AppHash", "must be 11 characters of A-Z a-z 0-9 + /")
