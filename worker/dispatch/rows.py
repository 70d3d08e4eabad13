"""What dispatch reads and writes: the claim, the job behind it, and the fenced outcomes."""

import logging
import time

import structlog
from sqlalchemy import (
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

from worker import metrics
from worker.db import UNAVAILABLE, Database, now_ms
from worker.door_tables import messaging_configurations, template_texts
from worker.holds import NOTHING_HELD, Held, blocks_number
from worker.models import deliveries, services, verifications
from worker.outbox import Event, note
from worker.statements import PENDING
from worker.states import Channel, DeliveryState

log = structlog.get_logger()

_d, _v, _s = deliveries.c, verifications.c, services.c
_m = messaging_configurations.c

MARGIN = 2_000  # ms of a code's life that a claim leaves for the way to the provider
ENQUIRE_AFTER = 30_000  # ms without a receipt after which the provider is asked
SLOT_HOLDS = 5_000  # ms after its time in which a place in a sender's pace may be used

# A doubt is asked about where the call was made, so the sender of a doubtful one stays.
CLAIM = (
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
        sender=case(
            (_d.doubts > 0, _d.sender),
            (_d.channel == Channel.SMS, bindparam("b_sms")),
            else_=bindparam("b_call"),
        ),
        published_at=case(
            (_d.published_at.is_(None), bindparam("b_published")), else_=_d.published_at
        ),
        taken_at=func.coalesce(_d.taken_at, now_ms()),
    )
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
JOB = (
    select(
        _d.sid,
        _d.channel,
        _d.doubts,
        _d.tries,
        _d.sender,
        _d.only_by,
        case((_d.next_try_at > now_ms() - SLOT_HOLDS, _d.slot_of)).label("slot_of"),
        blocks_number(_v.number_index.__eq__).label("blocked"),
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
        template_texts.c.text.label("pattern"),
        _MESSAGING_SERVICE.label("messaging_service_sid"),
    )
    .join(verifications, _v.sid == _d.verification_sid)
    .join(services, _s.sid == _v.service_sid)
    .outerjoin(
        template_texts,
        and_(
            template_texts.c.template_sid == _v.template_sid, template_texts.c.locale == _v.locale
        ),
    )
    .where(_d.sid == bindparam("sid"))
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
    .returning(_d.state, _d.queue)
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

    def claim(
        self,
        sid: str,
        published_at: int | None,
        sms: str | None,
        call: str | None,
        held: Held = NOTHING_HELD,
    ) -> RowMapping | None:
        """The job of `sid` under a claim of ours, or None when it is not to be done now.

        :param sms: the sender that a text will be tried with first, as `call` of a call
        :param held: what is paused, and stays queued
        """
        claim = CLAIM.where(held.free()) if held.holds else CLAIM
        values = {
            "b_sid": sid,
            "b_lease": self._lease * 1000,
            "b_published": published_at,
            "b_sms": sms,
            "b_call": call,
        }
        with self._db.statement() as connection:
            claimed = connection.execute(claim, values).scalar_one_or_none()
            if claimed is None:
                ended = connection.execute(END, {"b_sid": sid}).one_or_none()
                reason = ended.state if ended else "not due"
                level = logging.INFO if ended else logging.DEBUG
                log.log(level, "job.discarded", delivery=sid, reason=reason)
                if ended:
                    metrics.discarded(ended.queue, ended.state)
                return None
            job = connection.execute(JOB, {"sid": sid}).mappings().one()
        return job if job["tries"] == claimed else None

    def spoken(self, sid: str) -> RowMapping | None:
        """The job of a call that is on while its verification is pending."""
        with self._db.statement() as connection:
            return connection.execute(SPOKEN, {"sid": sid}).mappings().one_or_none()

    def others(self, job: RowMapping) -> frozenset[str]:
        """The provider's sids of the verification's other deliveries."""
        with self._db.statement() as connection:
            found = connection.execute(
                OTHERS, {"verification": job["verification_sid"], "sid": job["sid"]}
            )
            return frozenset(found.scalars())

    def write(self, statement: Executable, job: RowMapping, **values: object) -> str | None:
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
        if statement not in _MAY_FAIL:
            with self._db.statement() as connection:
                return connection.execute(statement, where).scalar_one_or_none()
        with self._db.begin() as connection:
            state: str | None = connection.execute(statement, where).scalar_one_or_none()
            if state == DeliveryState.FAILED:
                note(connection, Event.FAILED, [str(where["b_sid"])])
        return state
