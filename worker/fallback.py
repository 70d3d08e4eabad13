"""Fallback: a call with the same code where an SMS cannot arrive and the service wants it."""

import structlog
from sqlalchemy import bindparam, select

from worker.db import Database
from worker.errors import LimitReachedError, LimitsUnavailableError
from worker.limits import Limits
from worker.models import deliveries, services, verifications
from worker.settings import Settings
from worker.statements import ALIVE, Publish, new_delivery, number_limits
from worker.states import Channel

log = structlog.get_logger()

_d, _v, _s = deliveries.c, verifications.c, services.c

_CALL_INSTEAD = (
    select(_v.sid, _v.service_sid, _v.number_index, _v.expires_at)
    .join(deliveries, _d.verification_sid == _v.sid)
    .join(services, _s.sid == _v.service_sid)
    .where(
        _d.sid == bindparam("sid"),
        _d.channel == Channel.SMS,
        _d.fallback.is_(False),
        _s.call_fallback.is_(True),
        ALIVE,
    )
)


class Fallback:
    def __init__(self, db: Database, limits: Limits, settings: Settings, publish: Publish) -> None:
        self._db = db
        self._limits = limits
        self._settings = settings
        self._publish = publish

    def call_instead(self, delivery_sid: str) -> None:
        """Follow the SMS `delivery_sid` by a call. Nothing happens where the service does not
        want it, the verification has ended, or a limit says no.
        """
        with self._db.statement() as connection:
            row = connection.execute(_CALL_INSTEAD, {"sid": delivery_sid}).one_or_none()
        if row is None:
            return
        try:
            self._limits.admit(
                number_limits(self._settings, row.service_sid, row.number_index, Channel.CALL)
            )
        except (LimitReachedError, LimitsUnavailableError) as error:
            log.warning("fallback.refused", delivery=delivery_sid, reason=str(error))
            return
        with self._db.statement() as connection:
            made = connection.execute(
                new_delivery(row.sid, Channel.CALL, row.expires_at, fallback=True)
            ).one()
        log.info("fallback.triggered", delivery=delivery_sid, call=made.sid)
        self._publish(Channel.CALL, [made.sid], max(1, (row.expires_at - made.created_at) // 1000))
