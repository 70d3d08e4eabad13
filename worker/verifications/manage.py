"""Cancel, fetch and enable: what backends and operators do beside start and check."""

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Connection, String, bindparam, case, exists, select, update

from worker import phone
from worker.audit import Operator, configured
from worker.db import now_ms
from worker.errors import NotFoundError
from worker.models import deliveries, number_guards, services, verifications
from worker.outbox import OF_STATUS, note
from worker.prepared import Row
from worker.statements import ALIVE
from worker.states import Channel, DeliveryState, VerificationStatus
from worker.verifications.base import Base, wants_lookup
from worker.verifications.words import Verification

_v, _d, _g = verifications.c, deliveries.c, number_guards.c
_CANCEL = (
    update(verifications)
    .where(_v.sid == bindparam("b_sid"), ALIVE)
    .values(
        status=bindparam("b_status", type_=String),
        approved_at=case(
            (bindparam("b_status", type_=String) == VerificationStatus.APPROVED.value, now_ms())
        ),
        updated_at=now_ms(),
    )
    .returning(verifications)
)
_CANCEL_QUEUED = (
    update(deliveries)
    .where(
        _d.verification_sid == bindparam("b_sid"), _d.state == DeliveryState.QUEUED, _d.doubts == 0
    )
    .values(state=DeliveryState.CANCELED.value, ended_at=now_ms())
)


class Managing(Base):
    def cancel(
        self,
        account_sid: str,
        service_sid: str,
        *,
        sid: str | None = None,
        to: str | None = None,
        status: VerificationStatus = VerificationStatus.CANCELED,
        also: Callable[[Connection], object] = lambda _: None,
    ) -> Verification:
        """End a pending verification as `canceled` (or as `approved`, which the backend checked
        itself), drop what is not sent yet and give its sends back.

        :param also: what is written in the same transaction
        :raises NotFoundError: none is pending
        """
        with self._db.begin() as connection:
            found = self._find(account_sid, service_sid, sid, to, connection)
            ended = (
                connection.execute(_CANCEL, {"b_sid": found["sid"], "b_status": status.value})
                .mappings()
                .one_or_none()
            )
            if ended is None:
                raise NotFoundError("verification")
            connection.execute(_CANCEL_QUEUED, {"b_sid": found["sid"]})
            also(connection)
            if found["hooked"]:
                note(connection, OF_STATUS[status.value], [found["sid"]])
            shown = self._shown(connection, ended)
        self._forget_sends(ended)
        return shown

    def fetch(
        self,
        account_sid: str,
        service_sid: str | None = None,
        *,
        sid: str | None = None,
        to: str | None = None,
    ) -> Verification:
        """A verification in whatever state, the newest one of a number, with its deliveries.

        :param service_sid: None with a sid: of whatever service in the account
        :raises NotFoundError: there is none
        """
        row = self._find(account_sid, service_sid, sid, to)
        with self._db.statement() as connection:
            return self._shown(connection, row)

    def _shown(self, connection: Connection, row: Row) -> Verification:
        """As a start answers: with its deliveries, and whether the carrier is told."""
        kept = connection.execute(
            select(services.c.twilio_only).where(services.c.sid == row["service_sid"])
        ).scalar_one()
        view = self._view(row, sent=self._sent(connection, row["sid"]))
        return replace(view, lookup=wants_lookup(kept))

    def enable_number(
        self, account_sid: str, service_sid: str, to: str, by: Operator | None = None
    ) -> None:
        """Let a number that was disabled after too many wrong codes try again.

        :param by: who does, for the audit log
        :raises NotFoundError: the number is not disabled in this service
        """
        number = phone.parse(to, Channel.CALL).e164
        indexes = self._keyring.number_indexes(number)
        owned = exists().where(services.c.sid == service_sid, services.c.account_sid == account_sid)
        with self._db.begin() as connection:
            enabled = connection.execute(
                update(number_guards)
                .where(_g.service_sid == service_sid, _g.number_index.in_(indexes), owned)
                .where(_g.disabled_at.is_not(None))
                .values(failures=0, disabled_at=None, updated_at=now_ms())
            ).rowcount
            if enabled:
                masked = phone.mask(number)
                configured(connection, by, "number.enable", masked, service=service_sid)
        if not enabled:
            raise NotFoundError("disabled number")
