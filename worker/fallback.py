"""Fallback: the next step of a service's plan, for a delivery that did not arrive, same code.

When the step is due is written with the delivery, so it survives any crash; it is taken at once
where a delivery is known not to arrive, else by the relay.
"""

import structlog
from sqlalchemy import bindparam, exists, or_, select, update

from worker import logs, metrics
from worker.db import Database, now_ms, then_ms
from worker.errors import LimitReachedError, LimitsUnavailableError
from worker.holds import Holds
from worker.limits import Limits
from worker.models import deliveries, services, verifications
from worker.plan import step_of
from worker.settings import Settings
from worker.spending import spends_of
from worker.statements import ALIVE, Publish, insert_delivery, new_delivery, number_limits
from worker.states import Channel, DeliveryState, Lane, queue_of

log = structlog.get_logger()

_d, _v, _s = deliveries.c, verifications.c, services.c
BATCH = 100
_LANES = {queue_of(channel, lane): lane for lane in Lane for channel in Channel}

_arrived = deliveries.alias()
_WANTED = (
    select(
        _v.sid,
        _v.service_sid,
        _v.country,
        _v.number_index,
        _v.expires_at,
        _d.step,
        _d.queue,
        _d.channel,
        _d.state,
        _s.plan,
        _s.send_limit,
        _v.payment_sealed.is_not(None).label("names_payment"),
        now_ms().label("now"),
    )
    .join(deliveries, _d.verification_sid == _v.sid)
    .join(services, _s.sid == _v.service_sid)
    .where(
        _d.sid == bindparam("sid"),
        _d.follow_at <= now_ms(),
        _d.only_by.is_(None),  # of a test nothing follows
        or_(_d.step > 0, _d.channel == Channel.SMS),  # who asked for a call gets no plan
        _d.state != DeliveryState.DELIVERED,
        ALIVE,
        ~exists().where(
            _arrived.c.verification_sid == _v.sid,
            _arrived.c.state == DeliveryState.DELIVERED,
            _arrived.c.created_at >= _d.created_at,
        ),
    )
)
_SETTLED = (
    update(deliveries)
    .where(_d.sid == bindparam("b_sid"), _d.follow_at <= now_ms())
    .values(follow_at=None)
)
_DUE = select(_d.sid).where(_d.follow_at <= then_ms()).order_by(_d.follow_at).limit(BATCH)


class Fallback:
    """
    :param holds: what operators have set budgets for
    """

    def __init__(
        self, db: Database, limits: Limits, settings: Settings, publish: Publish, holds: Holds
    ) -> None:
        self._holds = holds
        self._db = db
        self._limits = limits
        self._settings = settings
        self._publish = publish
        inserted = insert_delivery(db.insert(deliveries))
        self._insert = inserted.on_conflict_do_nothing().returning(_d.sid)

    def due(self) -> list[str]:
        """Deliveries whose next step was neither taken nor given up yet."""
        with self._db.statement() as connection:
            return list(connection.execute(_DUE).scalars())

    def follow(self, delivery_sid: str) -> bool:
        """Take the step of the plan that comes after `delivery_sid`, once. It is given up where
        the plan has no more, the verification has ended, a later one arrived, or a limit says no;
        also where it is a call and a payment is confirmed, whose amount and payee no call says.

        :returns: False where the limits cannot be asked now: the relay comes back to it
        """
        with self._db.statement() as connection:
            row = connection.execute(_WANTED, {"sid": delivery_sid}).one_or_none()
        step = step_of(row.plan, row.step + 1) if row else None
        if row is None or step is None or (row.names_payment and step.channel is Channel.CALL):
            self._settle(delivery_sid)
            return True
        limits = number_limits(
            *(self._settings, row.service_sid, row.number_index, step.channel),
            send_limit=row.send_limit,
        )
        spends = spends_of(
            *(self._holds.now().budgets, self._settings.price_list()),
            *(row.service_sid, step.channel, row.country),
        )
        try:
            self._limits.admit(limits, spends=spends)
        except LimitReachedError as error:
            log.warning(
                "fallback.refused",
                delivery=delivery_sid,
                verification=row.sid,
                service=row.service_sid,
                limit=error.limit,
            )
            metrics.rate_limited(error.limit)
            index, country = row.number_index, row.country
            self._limits.refusals.note(error, index, row.service_sid, country)
            self._settle(delivery_sid)
            return True
        except LimitsUnavailableError:
            return False
        lane = _LANES[row.queue]
        delivery = new_delivery(
            row.sid,
            step.channel,
            row.expires_at,
            plan=row.plan,
            step=row.step + 1,
            lane=lane,
        )
        try:
            with self._db.begin() as connection:
                made = connection.execute(self._insert, delivery).scalar_one_or_none()
                connection.execute(_SETTLED, {"b_sid": delivery_sid})
        except Exception:
            # The relay comes back to it, and counts it again.
            self._limits.release(limits, spends)
            raise
        if made is None:
            self._limits.release(limits, spends)
            return True
        metrics.fell_back(row.channel, step.channel, row.state)
        log.info(
            "fallback.triggered",
            delivery=made,
            after=delivery_sid,
            verification=row.sid,
            service=row.service_sid,
            channel=step.channel,
            number_hash=logs.number_hash(row.number_index),
        )
        life = max(1, (row.expires_at - row.now) // 1000)
        self._publish(queue_of(step.channel, lane), [made], life, row.now)
        return True

    def _settle(self, delivery_sid: str) -> None:
        with self._db.statement() as connection:
            connection.execute(_SETTLED, {"b_sid": delivery_sid})
