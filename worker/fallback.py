"""Fallback: a call with the same code where an SMS cannot arrive and the service wants it.

That a call may be wanted is written with the SMS's end, so it survives any crash; the call is
made at once where possible, else by the relay.
"""

import structlog
from sqlalchemy import bindparam, select, update

from worker.db import Database, now_ms
from worker.errors import LimitReachedError, LimitsUnavailableError
from worker.limits import Limits
from worker.models import deliveries, services, verifications
from worker.settings import Settings
from worker.statements import ALIVE, Publish, insert_delivery, number_limits
from worker.states import Channel

log = structlog.get_logger()

_d, _v, _s = deliveries.c, verifications.c, services.c
BATCH = 100

_WANTED = (
    select(_v.sid, _v.service_sid, _v.number_index, _v.expires_at, now_ms().label("now"))
    .join(deliveries, _d.verification_sid == _v.sid)
    .join(services, _s.sid == _v.service_sid)
    .where(
        _d.sid == bindparam("sid"),
        _d.call_wanted,
        _s.call_fallback,
        ALIVE,
    )
)
_SETTLED = update(deliveries).where(_d.sid == bindparam("b_sid")).values(call_wanted=False)
_PENDING = select(_d.sid).where(_d.call_wanted).limit(BATCH)


class Fallback:
    def __init__(self, db: Database, limits: Limits, settings: Settings, publish: Publish) -> None:
        self._db = db
        self._limits = limits
        self._settings = settings
        self._publish = publish

    def pending(self) -> list[str]:
        """Deliveries whose call was neither made nor given up yet."""
        with self._db.statement() as connection:
            return list(connection.execute(_PENDING).scalars())

    def call_instead(self, delivery_sid: str) -> None:
        """Follow the SMS `delivery_sid` by a call, one for its verification at most. It is given
        up where the service does not want it, the verification has ended, or a limit says no.
        """
        with self._db.statement() as connection:
            row = connection.execute(_WANTED, {"sid": delivery_sid}).one_or_none()
        if row is None:
            self._settle(delivery_sid)
            return
        limits = number_limits(self._settings, row.service_sid, row.number_index, Channel.CALL)
        try:
            self._limits.admit(limits)
        except LimitReachedError as error:
            log.warning("fallback.refused", delivery=delivery_sid, limit=error.limit)
            self._settle(delivery_sid)
            return
        except LimitsUnavailableError:
            return  # the relay comes back to it
        with self._db.begin() as connection:
            made = connection.execute(
                insert_delivery(
                    self._db.insert(deliveries),
                    row.sid,
                    Channel.CALL,
                    row.expires_at,
                    fallback=True,
                )
                .on_conflict_do_nothing()
                .returning(_d.sid)
            ).scalar_one_or_none()
            connection.execute(_SETTLED, {"b_sid": delivery_sid})
        if made is None:
            self._limits.release(limits)
            return
        log.info("fallback.triggered", delivery=delivery_sid, call=made)
        self._publish(Channel.CALL, [made], max(1, (row.expires_at - row.now) // 1000), row.now)

    def _settle(self, delivery_sid: str) -> None:
        with self._db.statement() as connection:
            connection.execute(_SETTLED, {"b_sid": delivery_sid})
