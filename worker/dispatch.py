"""Dispatch: claim a delivery, hand it to the provider, write down what came of it.

The claim is committed before the provider is called and the outcome is written only under that
claim, so a repeated, late or resurrected job does nothing. No connection is held meanwhile.
"""

import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog
from cryptography.exceptions import InvalidTag
from sqlalchemy import (
    Boolean,
    Executable,
    RowMapping,
    and_,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    update,
)

from worker import messages
from worker.codes import Keyring
from worker.db import UNAVAILABLE, Database, now_ms
from worker.errors import KeyMissingError, OutcomeUnknownError, ProviderError
from worker.models import deliveries, services, verifications
from worker.providers import Accepted, Outgoing, Provider
from worker.settings import Settings
from worker.statements import PENDING
from worker.states import Channel, DeliveryState, ErrorKind

log = structlog.get_logger()

_d, _v, _s = deliveries.c, verifications.c, services.c

MARGIN = 2_000  # ms of a code's life that a claim leaves for the way to the provider

ENQUIRE_AFTER = 30_000  # ms without a receipt after which the provider is asked

_CLAIM = (
    update(deliveries)
    .where(
        _d.sid == bindparam("b_sid"),
        _d.state == DeliveryState.QUEUED,
        _d.next_try_at <= now_ms(),
        _d.expires_at > now_ms() + MARGIN,
        _d.accepted_at.is_(None),
        exists().where(_v.sid == _d.verification_sid, _v.status == PENDING),
    )
    .values(
        state=DeliveryState.SENDING.value,
        tries=_d.tries + 1,
        lease_until=now_ms() + bindparam("b_lease"),
        published_at=case(
            (_d.published_at.is_(None), bindparam("b_published")), else_=_d.published_at
        ),
        taken_at=func.coalesce(_d.taken_at, now_ms()),
    )
    .returning(_d.tries)
)
_JOB = (
    select(
        _d.sid,
        _d.channel,
        _d.doubts,
        _d.tries,
        _d.created_at,
        _d.verification_sid,
        (_d.expires_at - now_ms()).label("left"),
        _v.key_id,
        _v.number_sealed,
        _v.salt,
        _v.code_length,
        _v.locale,
        _v.app_hash,
        _v.country,
        _v.service_sid,
        func.coalesce(_v.friendly_name, _s.friendly_name).label("brand"),
        _s.spoken_name,
        _s.press_key,
        _s.do_not_share,
        _s.web_origin,
        _s.call_fallback,
    )
    .join(verifications, _v.sid == _d.verification_sid)
    .join(services, _s.sid == _v.service_sid)
    .where(_d.sid == bindparam("sid"))
)
_UNDECIDED = _d.state.in_((DeliveryState.QUEUED, DeliveryState.SENDING))
_OURS = (
    update(deliveries)
    .where(
        _d.sid == bindparam("b_sid"),
        _d.tries == bindparam("b_tries"),
        _d.state == DeliveryState.SENDING,
    )
    .returning(_d.state)
)
# The provider has it, whatever happened to our claim meanwhile: a receipt may have moved the state
# on, or the relay may have given the lease up. A newer claim has another number of tries.
_ACCEPTED = (
    update(deliveries)
    .where(
        _d.sid == bindparam("b_sid"),
        _d.tries == bindparam("b_tries"),
        or_(_UNDECIDED, _d.accepted_at.is_(None), _d.provider_sid == bindparam("b_provider_sid")),
    )
    .values(
        state=case((_UNDECIDED, DeliveryState.ACCEPTED.value), else_=_d.state),
        provider=bindparam("b_provider"),
        provider_sid=bindparam("b_provider_sid"),
        accepted_at=func.coalesce(_d.accepted_at, now_ms()),
        next_try_at=now_ms() + ENQUIRE_AFTER,
        error_code=case((_UNDECIDED, None), else_=_d.error_code),
        lease_until=None,
    )
    .returning(_d.state)
)
_FAILED = _OURS.values(
    state=DeliveryState.FAILED.value,
    error_code=bindparam("b_error"),
    call_wanted=and_(bindparam("b_call_wanted", type_=Boolean), _d.channel == Channel.SMS),
    ended_at=now_ms(),
    lease_until=None,
)
# Sids of the verification's other deliveries, which a search must not take for this one.
_OTHERS = select(_d.provider_sid).where(
    _d.verification_sid == bindparam("verification"),
    _d.sid != bindparam("sid"),
    _d.provider_sid.is_not(None),
)
# Later means within the code's life, or not at all.
_NEXT = now_ms() + bindparam("b_wait")
_LATER = _OURS.values(
    state=case(
        (_d.expires_at > _NEXT, DeliveryState.QUEUED.value), else_=DeliveryState.FAILED.value
    ),
    ended_at=case((_d.expires_at > _NEXT, None), else_=now_ms()),
    next_try_at=_NEXT,
    hinted_at=None,
    error_code=bindparam("b_error"),
    lease_until=None,
    doubts=_d.doubts + bindparam("b_doubt"),
)


class Dispatch:
    """Takes deliveries to their provider."""

    def __init__(
        self,
        db: Database,
        keyring: Keyring,
        provider: Provider,
        settings: Settings,
        on_unreachable: Callable[[str], object],
    ) -> None:
        self._db = db
        self._keyring = keyring
        self._provider = provider
        self._settings = settings
        self._on_unreachable = on_unreachable

    def deliver(self, sids: Sequence[str], published_at: int | None = None) -> None:
        """Deliver what is due of `sids`; anything else among them is left alone.

        :param published_at: when the broker was told, ms since 1970 UTC
        """
        for sid in sids:
            self._deliver(sid, published_at)

    def _deliver(self, sid: str, published_at: int | None) -> None:
        clock = time.monotonic()  # before the row is read, so that its life is not overrated
        job = self._claim(sid, published_at)
        if job is None:
            log.debug("job.discarded", delivery=sid, reason="not due")
            return
        try:
            outgoing = self._outgoing(job, dies_at=clock + job["left"] / 1000)
        except (ValueError, KeyMissingError, InvalidTag) as error:
            log.error("job.refused", delivery=sid, reason=type(error).__name__)
            self._failed(job, "cannot_render")
            return
        try:
            accepted = self._hand_over(job, outgoing, clock)
        except ProviderError as error:
            self._refused(job, error)
        except OutcomeUnknownError as error:
            self._unknown(job, error.code)
        else:
            if accepted is not None:
                self._accepted(job, accepted)

    def _claim(self, sid: str, published_at: int | None) -> RowMapping | None:
        lease = self._settings.lease_seconds * 1000
        with self._db.statement() as connection:
            claimed = connection.execute(
                _CLAIM, {"b_sid": sid, "b_lease": lease, "b_published": published_at}
            ).scalar_one_or_none()
            if claimed is None:
                return None
            job = connection.execute(_JOB, {"sid": sid}).mappings().one()
        return job if job["tries"] == claimed else None

    def _outgoing(self, job: RowMapping, dies_at: float) -> Outgoing:
        channel = Channel(job["channel"])
        base = f"{self._settings.base_url}/callbacks/twilio"
        return Outgoing(
            delivery_sid=job["sid"],
            channel=channel,
            to=self._keyring.open_number(
                job["key_id"], job["number_sealed"], job["verification_sid"]
            ),
            content=self._content(job, channel, f"{base}/gate/{job['sid']}"),
            callback_url=f"{base}/{channel}/{job['sid']}",
            dies_at=dies_at,
        )

    def _content(self, job: RowMapping, channel: Channel, gate_url: str) -> str:
        if channel is Channel.SMS:
            return messages.sms_text(
                code=self._code(job),
                brand=job["brand"],
                locale=job["locale"],
                do_not_share=job["do_not_share"],
                app_hash=job["app_hash"],
                origin=job["web_origin"],
            )
        brand = job["spoken_name"] or job["brand"]
        if job["press_key"]:
            return messages.call_gate_twiml(brand=brand, locale=job["locale"], action_url=gate_url)
        return messages.call_twiml(code=self._code(job), brand=brand, locale=job["locale"])

    def _code(self, job: RowMapping) -> str:
        return self._keyring.derive_code(job["key_id"], job["salt"], job["code_length"])

    def spoken(self, sid: str) -> str | None:
        """The TwiML that reads the code, once the callee has pressed a key; None when it died."""
        with self._db.statement() as connection:
            job = (
                connection.execute(
                    _JOB.where(_v.status == PENDING, _d.expires_at > now_ms()), {"sid": sid}
                )
                .mappings()
                .one_or_none()
            )
        if job is None:
            return None
        return messages.call_twiml(
            code=self._code(job), brand=job["spoken_name"] or job["brand"], locale=job["locale"]
        )

    def _hand_over(self, job: RowMapping, outgoing: Outgoing, claimed: float) -> Accepted | None:
        if job["doubts"]:
            since = datetime.fromtimestamp(job["created_at"] / 1000, UTC)
            found = self._provider_has(job, outgoing, since)
            if found is not None:
                log.info("delivery.reconciled", delivery=job["sid"], doubts=job["doubts"])
                return found
            if job["doubts"] > 1:
                # It was repeated once already; a third message is worse than none.
                self._failed(job, "outcome_unknown")
                return None
        if time.monotonic() - claimed > self._settings.lease_seconds / 2:
            # This process slept or the provider was slow to ask: the claim may be lost
            # before an answer could come.
            raise ProviderError("claim_too_old", ErrorKind.TRANSIENT, retry_after=0)
        return self._provider.send(outgoing)

    def _provider_has(
        self, job: RowMapping, outgoing: Outgoing, since: datetime
    ) -> Accepted | None:
        """Whether the provider has it. A question that fails is asked again; it sent nothing."""
        with self._db.statement() as connection:
            others = connection.execute(
                _OTHERS, {"verification": job["verification_sid"], "sid": job["sid"]}
            ).scalars()
            known = frozenset(others)
        try:
            return self._provider.find(outgoing, since, known)
        except (ProviderError, OutcomeUnknownError) as error:
            raise ProviderError(f"ask_{error.code}"[:32], ErrorKind.TRANSIENT) from None

    def _accepted(self, job: RowMapping, accepted: Accepted) -> None:
        written = self._write(
            _ACCEPTED,
            job,
            b_provider=self._provider.name,
            b_provider_sid=accepted.sid[:34],
        )
        if written:
            log.info("delivery.accepted", delivery=job["sid"], channel=job["channel"])

    def _refused(self, job: RowMapping, error: ProviderError) -> None:
        if error.kind in (ErrorKind.PERMANENT, ErrorKind.CHANNEL):
            unreachable = error.kind is ErrorKind.CHANNEL
            self._failed(job, error.code, call_wanted=unreachable)
            if unreachable:
                self._on_unreachable(job["sid"])
            return
        if error.kind is ErrorKind.ACCOUNT:
            log.error("provider.account_alarm", provider=self._provider.name, code=error.code)
        wait = max(error.retry_after or 0, self._backoff(job["tries"]))
        if error.code == "claim_too_old":
            wait = 0.0
        self._later(job, error.code, wait, doubt=0)

    def _unknown(self, job: RowMapping, code: str) -> None:
        self._later(job, code, self._settings.settle_seconds, doubt=1)

    def _backoff(self, tries: int) -> float:
        s = self._settings
        return random.uniform(0, min(s.retry_cap_seconds, s.retry_base_seconds * 2 ** (tries - 1)))  # noqa: S311

    def _later(self, job: RowMapping, code: str, wait: float, doubt: int) -> None:
        written = self._write(
            _LATER, job, b_wait=int(wait * 1000), b_error=code[:32], b_doubt=doubt
        )
        if written:
            log.info("retry.scheduled", delivery=job["sid"], reason=code, state=written)

    def _failed(self, job: RowMapping, code: str, *, call_wanted: bool = False) -> None:
        if self._write(_FAILED, job, b_error=code[:32], b_call_wanted=call_wanted):
            log.warning("delivery.failed", delivery=job["sid"], reason=code)

    def _write(self, statement: Executable, job: RowMapping, **values: object) -> str | None:
        """Write an outcome under our claim, or say that the claim is lost.

        What is known must not be lost to a database that restarts: the write is fenced, so it is
        repeated until the lease would have ended.
        """
        where = {"b_sid": job["sid"], "b_tries": job["tries"], **values}
        give_up = time.monotonic() + self._settings.lease_seconds
        while True:
            try:
                with self._db.statement() as connection:
                    state = connection.execute(statement, where).scalar_one_or_none()
                break
            except UNAVAILABLE:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.5)
        if state is None:
            log.warning("outcome.late", delivery=job["sid"], tries=job["tries"])
        return str(state) if state is not None else None
