"""What dispatch reads and writes: the claim, the job behind it, and the fenced outcomes."""

import logging
import time
from typing import Any

import structlog
from sqlalchemy import (
    Executable,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    update,
)

from worker import metrics
from worker.db import UNAVAILABLE, Database, now_ms
from worker.door_tables import messaging_configurations, template_texts
from worker.holds import NOTHING_HELD, Held, blocks_number
from worker.models import deliveries, services, verifications
from worker.outbox import Event, delivery_hooked, note
from worker.prepared import Prepared, Row
from worker.statements import PENDING
from worker.states import Channel, DeliveryState

log = structlog.get_logger()

_d, _v, _s = deliveries.c, verifications.c, services.c
_m, _t = messaging_configurations.c, template_texts.c

MARGIN = 2_000  # ms of a code's life that a claim leaves for the way to the provider
ENQUIRE_AFTER = 30_000  # ms without a receipt after which the provider is asked
SLOT_HOLDS = 5_000  # ms after its time in which a place in a sender's pace may be used

_CLAIMABLE = (
    _d.sid == bindparam("b_sid"),
    _d.state == DeliveryState.QUEUED,
    _d.next_try_at <= now_ms(),
    _d.expires_at > now_ms() + MARGIN,
    _d.accepted_at.is_(None),
)
_CLAIMED: dict[str, Any] = {
    "state": DeliveryState.SENDING.value,
    "tries": _d.tries + 1,
    "lease_until": now_ms() + bindparam("b_lease"),
    # A doubt is asked about where the call was made, so the sender of a doubtful one stays.
    "sender": case(
        (_d.doubts > 0, _d.sender),
        (_d.channel == Channel.SMS, bindparam("b_sms")),
        else_=bindparam("b_call"),
    ),
    "published_at": case(
        (_d.published_at.is_(None), bindparam("b_published")), else_=_d.published_at
    ),
    "taken_at": func.coalesce(_d.taken_at, now_ms()),
}
CLAIM = (
    update(deliveries)
    .where(
        *_CLAIMABLE,
        exists().where(_v.sid == _d.verification_sid, _v.status == PENDING),
    )
    .values(_CLAIMED)
    .returning(_d.tries)
)
_MESSAGING_SERVICE = (  # the country's own, else the one for all countries
    select(_m.messaging_service_sid)
    .where(_m.service_sid == _v.service_sid, _m.country.in_((_v.country, "all")))
    .order_by(case((_m.country == "all", 1), else_=0))
    .limit(1)
    .correlate(verifications)
    .scalar_subquery()
)
_PATTERN = (
    select(_t.text)
    .where(_t.template_sid == _v.template_sid, _t.locale == _v.locale)
    .correlate(verifications)
    .scalar_subquery()
)
_JOB = (
    _d.sid,
    _d.channel,
    _d.doubts,
    _d.tries,
    _d.sender,
    _d.only_by,
    case((_d.next_try_at > now_ms() - SLOT_HOLDS, _d.slot_of)).label("slot_of"),
    blocks_number(_v.number_index.__eq__).correlate(verifications).label("blocked"),
    _v.account_sid,
    _d.created_at,
    _d.queue,
    (now_ms() - _d.next_try_at).label("waited"),
    (now_ms() - _d.created_at).label("age"),
    _d.verification_sid,
    (_d.expires_at - now_ms()).label("left"),
    _v.key_id,
    _v.number_sealed,
    _v.salt,
    _v.code_length,
    _v.own_code,
    _v.code_sealed,
    _v.payment_sealed,
    _v.send_digits,
    _v.locale,
    _v.app_hash,
    _v.country,
    _v.number_index,
    _v.service_sid,
    func.coalesce(_v.friendly_name, _s.friendly_name).label("brand"),
    _s.spoken_name,
    _s.press_key,
    _s.do_not_share,
    _s.web_origin,
    _PATTERN.label("pattern"),
    _MESSAGING_SERVICE.label("messaging_service_sid"),
)
JOB = (
    select(*_JOB)
    .join_from(deliveries, verifications, _v.sid == _d.verification_sid)
    .join(services, _s.sid == _v.service_sid)
    .where(_d.sid == bindparam("sid"))
)
# Both in one, where the database can return what is joined; SQLite cannot.
TAKE = (
    update(deliveries)
    .where(
        *_CLAIMABLE,
        _v.sid == _d.verification_sid,
        _v.status == PENDING,
        _s.sid == _v.service_sid,
    )
    .values(_CLAIMED)
    .returning(*_JOB)
)
SPOKEN = JOB.where(_v.status == PENDING, _d.expires_at > now_ms())
# Sids of the verification's other deliveries, which a search must not take for this one.
OTHERS = select(_d.provider_sid).where(
    _d.verification_sid == bindparam("verification"),
    _d.sid != bindparam("sid"),
    _d.provider_sid.is_not(None),
)
# What was not claimed because its code or its verification has ended.
END = (
    update(deliveries)
    .where(
        _d.sid == bindparam("b_sid"),
        _d.state == DeliveryState.QUEUED,
        or_(
            _d.expires_at <= now_ms() + MARGIN,
            ~exists().where(_v.sid == _d.verification_sid, _v.status == PENDING),
        ),
    )
    .values(
        state=case(
            (_d.expires_at <= now_ms() + MARGIN, DeliveryState.EXPIRED.value),
            else_=DeliveryState.CANCELED.value,
        ),
        ended_at=now_ms(),
    )
    .returning(_d.state, _d.queue, delivery_hooked().label("hooked"))
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
BY = _OURS.values(sender=bindparam("b_sender"))
# The provider has it, whatever happened to our claim meanwhile: a receipt may have moved the state
# on, or the relay may have given the lease up. A newer claim has another number of tries.
ACCEPTED = (
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
        segments=bindparam("b_segments"),
        encoding=bindparam("b_encoding"),
        price_micros=bindparam("b_micros"),
        price_currency=bindparam("b_currency"),
        price_told=bindparam("b_told"),
        lease_until=None,
        slot_of=None,
    )
    .returning(_d.state)
)
_FAILED = _OURS.values(
    state=DeliveryState.FAILED.value,
    error_code=bindparam("b_error"),
    ended_at=now_ms(),
    lease_until=None,
    slot_of=None,
)
FAILED = _FAILED.values(follow_at=None)
FAILED_HERE = _FAILED.values(follow_at=now_ms())  # another step of the plan may get through
# Later means within the code's life, or not at all.
_NEXT = now_ms() + bindparam("b_wait")
LATER = _OURS.values(
    state=case(
        (_d.expires_at > _NEXT, DeliveryState.QUEUED.value), else_=DeliveryState.FAILED.value
    ),
    ended_at=case((_d.expires_at > _NEXT, None), else_=now_ms()),
    follow_at=case((_d.expires_at > _NEXT, _d.follow_at), else_=now_ms()),
    next_try_at=_NEXT,
    hinted_at=0,
    error_code=bindparam("b_error"),
    lease_until=None,
    slot_of=bindparam("b_slot"),
    doubts=_d.doubts + bindparam("b_doubt"),
)


_MAY_FAIL = frozenset({FAILED, FAILED_HERE, LATER})


class Rows:
    """
    :param lease_seconds: how long a claim holds
    """

    def __init__(self, db: Database, lease_seconds: int) -> None:
        self._db = db
        self._lease = lease_seconds
        self._in_one = None if db.dialect == "sqlite" else Prepared(db, TAKE)
        self._in_two = Prepared(db, CLAIM), Prepared(db, JOB)
        self._accepted = Prepared(db, ACCEPTED)

    def claim(
        self,
        sid: str,
        published_at: int | None,
        sms: str | None,
        call: str | None,
        held: Held = NOTHING_HELD,
    ) -> Row | None:
        """The job of `sid` under a claim of ours, or None when it is not to be done now.

        :param sms: the sender that a text will be tried with first, as `call` of a call
        :param held: what is paused, and stays queued
        """
        values = {
            "b_sid": sid,
            "b_lease": self._lease * 1000,
            "b_published": published_at,
            "b_sms": sms,
            "b_call": call,
        }
        if self._in_one is None or held.holds:
            job = self._claim_and_read(held, values)
        else:
            job = self._in_one.first(values)
        if job is None:
            self._discard(sid)
        return job

    def _claim_and_read(self, held: Held, values: dict[str, Any]) -> Row | None:
        claim, read = self._in_two
        if held.holds:
            with self._db.statement() as connection:
                claimed = connection.execute(CLAIM.where(held.free()), values).scalar_one_or_none()
        else:
            row = claim.first(values)
            claimed = row["tries"] if row else None
        if claimed is None:
            return None
        job = read.first({"sid": values["b_sid"]})
        return job if job and job["tries"] == claimed else None

    def _discard(self, sid: str) -> None:
        """End what was not claimed because its code or its verification has ended."""
        with self._db.begin() as connection:
            ended = connection.execute(END, {"b_sid": sid}).one_or_none()
            if ended and ended.hooked and ended.state == DeliveryState.EXPIRED:
                note(connection, Event.FAILED, [sid])
        reason = ended.state if ended else "not due"
        level = logging.INFO if ended else logging.DEBUG
        log.log(level, "job.discarded", delivery=sid, reason=reason)
        if ended:
            metrics.discarded(ended.queue, ended.state)

    def spoken(self, sid: str) -> Row | None:
        """The job of a call that is on while its verification is pending."""
        with self._db.statement() as connection:
            return connection.execute(SPOKEN, {"sid": sid}).mappings().one_or_none()

    def others(self, job: Row) -> frozenset[str]:
        """The provider's sids of the verification's other deliveries."""
        with self._db.statement() as connection:
            found = connection.execute(
                OTHERS, {"verification": job["verification_sid"], "sid": job["sid"]}
            )
            return frozenset(found.scalars())

    def write(self, statement: Executable, job: Row, **values: object) -> str | None:
        """Write an outcome under our claim, or say that the claim is lost; the new state.

        What is known must not be lost to a database that restarts: the write is fenced, so it is
        repeated until the lease would have ended.
        """
        where = {"b_sid": job["sid"], "b_tries": job["tries"], **values}
        give_up = time.monotonic() + self._lease
        while True:
            try:
                state = self._write(statement, where)
                break
            except UNAVAILABLE:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.5)
        if state is None:
            log.warning("outcome.late", tries=job["tries"])
        return str(state) if state is not None else None

    def _write(self, statement: Executable, where: dict[str, object]) -> str | None:
        if statement is ACCEPTED:
            accepted = self._accepted.first(where)
            return accepted["state"] if accepted else None
        if statement not in _MAY_FAIL:
            with self._db.statement() as connection:
                return connection.execute(statement, where).scalar_one_or_none()
        with self._db.begin() as connection:
            state: str | None = connection.execute(statement, where).scalar_one_or_none()
            if state == DeliveryState.FAILED:
                note(connection, Event.FAILED, [str(where["b_sid"])])
        return state
