"""Start: one live verification per service and number, one queued delivery per call."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog
from sqlalchemy.exc import IntegrityError

from worker import logs, metrics, phone, tracing
from worker.db import UNAVAILABLE
from worker.errors import (
    BlockedError,
    InvalidParameterError,
    LimitReachedError,
    PausedError,
    RateLimitedError,
    RequestRunningError,
    SendcodeError,
)
from worker.holds import Held, PauseKind
from worker.limits import Limit, Share
from worker.messages import check_brand, resolve_locale
from worker.plan import step_of
from worker.prepared import Row
from worker.spending import spends_of
from worker.spends import Spend
from worker.statements import RANGE, number_limits, range_limits
from worker.states import Channel, Lane, queue_of
from worker.templates import choose_text
from worker.verifications.admission import refuse_closed
from worker.verifications.base import wants_lookup
from worker.verifications.brought import RATE_LIMIT
from worker.verifications.telling import telling
from worker.verifications.texts import check_text
from worker.verifications.words import Start, Verification
from worker.verifications.writing import Also, Writing

log = structlog.get_logger()
_APP_HASH = re.compile(r"[A-Za-z0-9+/]{11}", re.ASCII)


class Starting(Writing):
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
        :raises InvalidParameterError: number, locale, name or hash cannot be used, or no text
            can hold them all
        :raises FeatureOffError: the service does not have what this start needs
        :raises PaymentError: a payment is missing, or a call is asked to say it
        :raises NotFoundError: no such service in the account
        :raises TemplateNotFoundError: no such template, or none in this locale
        :raises LimitReachedError: a send limit is reached, the number's or one that it shares
        :raises BudgetExceededError: the day's budget of all, the service or the country is used
        :raises RateLimitedError: a limit of the service's own is reached by a value given here
        :raises OverloadedError: codes wait too long for a worker
        :raises LimitsUnavailableError: the limits cannot be asked
        :raises NumberBusyError: too many starts for the number at this moment
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
        seen = self._look(account_sid, wanted.service_sid, indexes)
        logs.learned(service=wanted.service_sid)
        if known := self._again(account_sid, wanted, fingerprints, seen[0]):
            return known
        self._check_brought(wanted, seen[0])
        template, pattern = self._template(wanted, seen), None
        if template:
            with self._db.statement() as connection:
                text = choose_text(connection, account_sid, template, wanted.locale, number.country)
            locale, pattern = text.locale, text.text
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
        live = any(row["live_status"] for row in seen)  # it may keep a name that fits
        if wanted.channel is Channel.SMS and not live:
            length = self._code_length(wanted, seen[0])
            check_text(values, seen[0], length=length, pattern=pattern, payment=wanted.payment)
        own_limits = self._rate_limits(wanted)
        refuse_closed(seen)
        if self._holds.is_blocked_by_prefix(account_sid, number.e164):
            raise BlockedError("the number's prefix is blocked")
        plan = seen[0]["plan"] if wanted.payment is None else ()  # no call names a payment
        at_once = _plan_takes_over(held, wanted.channel, number.country, plan)
        limits = number_limits(
            *(self._settings, wanted.service_sid, indexes[0], wanted.channel, indexes),
            send_limit=seen[0]["send_limit"],
        )
        if not seen[0]["vouched"]:
            limits += range_limits(
                self._settings, wanted.service_sid, number, self._keyring.number_index
            )
        limits += own_limits
        spends = spends_of(
            *(held.budgets, self._settings.price_list(), wanted.service_sid),
            *(wanted.channel, number.country),
        )
        running = self._running(account_sid, wanted.request_id)
        try:
            lane = self._admit(limits, self._share(wanted, has_waited), running, spends)
        except LimitReachedError as error:
            # The same request may have been answered since we looked, and taken the last place.
            if known := self._again(account_sid, wanted, fingerprints, seen[0]):
                return known
            service, country = wanted.service_sid, number.country
            self._limits.refusals.note(error, indexes[0], service, country, _range_of(limits))
            raise
        clock = time.monotonic()
        try:
            written = self._write(
                wanted, values, number.e164, indexes, seen, fingerprints[0], lane, at_once, also
            )
        except (SendcodeError, IntegrityError, *UNAVAILABLE) as error:
            # Where the answer to a COMMIT was lost the send may stand; one uncounted send
            # is better than a number locked out by sends that never were.
            self._limits.release(limits, spends)
            if isinstance(error, IntegrityError):
                self._look(account_sid, wanted.service_sid, indexes)  # it may be deleted by now
            raise
        finally:
            if running:
                self._limits.finish(running)
        if written is None:
            self._limits.release(limits, spends)
            if known := self._again(account_sid, wanted, fingerprints, seen[0]):
                return known
            raise RequestRunningError("the same request is still running")
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
        return replace(view, lookup=wants_lookup(seen[0]["twilio_only"]))

    def _again(
        self, account: str, wanted: Start, fingerprints: list[bytes], service: Row
    ) -> Verification | None:
        """What the same request was answered with before, if it was."""
        known = self._answered(account, wanted.request_id, fingerprints)
        return known and replace(known, lookup=wants_lookup(service["twilio_only"]))

    def _template(self, wanted: Start, seen: Sequence[Row]) -> str | None:
        """The template whose text is chosen now. A call has none: what it says is ours. A resend
        that asks for none keeps what it has, and the service's default may have no such locale.
        """
        if wanted.channel is not Channel.SMS:
            return None
        keeps = any(row["live_template"] and row["live_left"] > 0 for row in seen)
        sid: str | None = wanted.template_sid
        return sid if sid or keeps else seen[0]["default_template_sid"]

    def _admit(
        self, limits: list[Limit], share: Share, running: str | None, spends: Sequence[Spend]
    ) -> Lane:
        try:
            return self._limits.admit(limits, share, running, spends)
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


def _range_of(limits: Sequence[Limit]) -> str:
    return next((one.key for one in limits if one.name == RANGE), "")


def _check_app_hash(wanted: Start) -> None:
    if wanted.app_hash is None:
        return
    if wanted.channel is not Channel.SMS:
        raise InvalidParameterError("AppHash", "goes with channel sms only")
    if not _APP_HASH.fullmatch(wanted.app_hash):
        raise InvalidParameterError("AppHash", "must be 11 characters of A-Z a-z 0-9 + /")
