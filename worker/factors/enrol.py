"""Enrolment: a factor is made with a secret and counts after its first right code."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import structlog
from sqlalchemy import (
    BigInteger,
    Connection,
    RowMapping,
    bindparam,
    case,
    delete,
    func,
    insert,
    select,
    update,
)

from worker.db import now_ms
from worker.errors import FactorParameterError, FactorRefusedError, NotFoundError, SendcodeError
from worker.factor_outbox import FactorEvent
from worker.factors import totp
from worker.factors.base import LASTS, Base, config_of, factor_view, sealed
from worker.factors.creations import count_creation
from worker.factors.words import (
    MAX_FACTORS,
    MAX_TRIES,
    UNVERIFIED,
    VERIFIED,
    Change,
    Config,
    Enrolment,
    Entity,
    Factor,
)
from worker.models import challenges, factors, new_sid
from worker.paging import Slice, Window, look
from worker.states import FactorRefusal

log = structlog.get_logger()

_f = factors.c
_HOW_MANY = select(func.count()).where(_f.entity_sid == bindparam("entity"), LASTS)
# One statement takes a guess and decides: of any number at once five are compared and one
# verifies, and its step is used up.
_STEP = bindparam("b_step", type_=BigInteger)
_RIGHT = _f.last_step < _STEP
_VERIFY = (
    update(factors)
    .where(_f.sid == bindparam("b_sid"), _f.status == UNVERIFIED, _f.tries < MAX_TRIES, LASTS)
    .values(
        tries=_f.tries + 1,
        status=case((_RIGHT, VERIFIED), else_=_f.status),
        last_step=case((_RIGHT, _STEP), else_=_f.last_step),
        updated_at=now_ms(),
    )
    .returning(factors)
)


class Enrolling(Base):
    def create_factor(
        self,
        account_sid: str,
        service_sid: str,
        identity: str,
        wanted: Change,
        *,
        secret: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Enrolment:
        """An unverified factor, of an entity that is made where there is none.

        :param wanted: with a friendly name; what else is None is the service's setting
        :param secret: Base32, where an app has it already; else 160 random bits
        :raises NotFoundError: no such service
        :raises FactorParameterError: names the value that cannot be used
        :raises FactorRefusedError: `TOO_MANY_FACTORS`, `TOO_MANY_CREATIONS`, `FACTOR_EXISTS`
        """
        name = totp.check_name(wanted.friendly_name or "")
        key = totp.read_secret(secret) if secret is not None else totp.new_secret()
        with self._db.begin() as connection:
            service = self._service(connection, account_sid, service_sid, lock=True)
            config = totp.check_config(changed(service_config(service["twilio_only"]), wanted))
            entity, _ = self._entity_or_new(connection, account_sid, service_sid, identity)
            self._admit(connection, entity)
            if secret is not None and self._has_secret(connection, entity, key):
                raise FactorRefusedError(FactorRefusal.FACTOR_EXISTS)
            sid = new_sid("YF")
            row = (
                connection.execute(
                    insert(factors)
                    .values(
                        sid=sid,
                        entity_sid=entity.sid,
                        friendly_name=name,
                        status=UNVERIFIED,
                        **sealed(self._keyring, sid, key),
                        **asdict(config),
                        last_step=-1,
                        tries=0,
                        failures=0,
                        metadata=metadata,
                        created_at=now_ms(),
                        updated_at=now_ms(),
                    )
                    .returning(factors)
                )
                .mappings()
                .one()
            )
            self._note(connection, FactorEvent.CREATED, entity, sid)
        return _enrolment(factor_view(row, entity), key, issuer_of(service))

    def _admit(self, connection: Connection, entity: Entity) -> None:
        """Count a creation. The entity's row stays locked, so the count below holds."""
        count_creation(connection, entity)
        if connection.execute(_HOW_MANY, {"entity": entity.sid}).scalar_one() >= MAX_FACTORS:
            raise FactorRefusedError(FactorRefusal.TOO_MANY_FACTORS)

    def enrolment(self, account_sid: str, service_sid: str, identity: str, sid: str) -> Enrolment:
        """What the app has to learn, as long as the factor is unverified.

        :raises NotFoundError: no such factor
        :raises FactorRefusedError: `VERIFIED`
        """
        with self._db.statement() as connection:
            service = self._service(connection, account_sid, service_sid)
            entity = self._entity(connection, account_sid, service_sid, identity)
            row = self._factor(connection, entity, sid)
        if row["status"] != UNVERIFIED:
            raise FactorRefusedError(FactorRefusal.VERIFIED)
        return _enrolment(factor_view(row, entity), self._secret(row), issuer_of(service))

    def fetch_factor(self, account_sid: str, service_sid: str, identity: str, sid: str) -> Factor:
        """
        :raises NotFoundError: no such factor
        """
        with self._db.statement() as connection:
            entity = self._entity(connection, account_sid, service_sid, identity)
            return factor_view(self._factor(connection, entity, sid), entity)

    def list_factors(
        self, account_sid: str, service_sid: str, identity: str, window: Window
    ) -> Slice[Factor]:
        """Factors of the entity, oldest first.

        :raises NotFoundError: no such entity
        """
        with self._db.statement() as connection:
            entity = self._entity(connection, account_sid, service_sid, identity)
            statement = select(factors).where(_f.entity_sid == entity.sid, LASTS)
            return look(connection, statement, _f.sid, window, lambda row: factor_view(row, entity))

    def update_factor(
        self,
        account_sid: str,
        service_sid: str,
        identity: str,
        sid: str,
        change: Change,
        code: str | None = None,
    ) -> Factor:
        """Change a factor, and verify it where a code is given: `status` says whether it was right.

        A verified factor keeps how its codes are made: its app would not learn of a change.

        :raises NotFoundError: no such factor
        :raises FactorParameterError: names the value that cannot be used
        :raises FactorRefusedError: `VERIFICATION_SPENT`
        """
        if code is not None:
            totp.read_code(code)
        with self._db.begin() as connection:
            entity = self._entity(connection, account_sid, service_sid, identity)
            row = self._factor(connection, entity, sid, lock=True)
            values = _changes(row["status"], config_of(row), change)
            if values:
                connection.execute(
                    update(factors).where(_f.sid == sid).values(updated_at=now_ms(), **values)
                )
                row = self._factor(connection, entity, sid)
            if code is not None:
                where = {"b_sid": sid, "b_step": self._step_of(row, code)}
                taken = connection.execute(_VERIFY, where).mappings().one_or_none()
                if taken is None:
                    raise _why_not_verified(row["status"])
                row = taken
                if row["status"] == VERIFIED:
                    self._note(connection, FactorEvent.VERIFIED, entity, sid)
        if code is not None:
            verified = row["status"] == VERIFIED
            log.info("totp.enrolled" if verified else "totp.wrong", factor=sid, tries=row["tries"])
        return factor_view(row, entity)

    def delete_factor(
        self,
        account_sid: str,
        service_sid: str,
        identity: str,
        sid: str,
        only: str | None = None,
    ) -> None:
        """Delete the factor with its challenges.

        :param only: the status that it must still have
        :raises NotFoundError: no such factor
        """
        with self._db.begin() as connection:
            entity = self._entity(connection, account_sid, service_sid, identity, lock=True)
            found = self._factor(connection, entity, sid, lock=True)
            if only not in (None, found["status"]):
                raise NotFoundError("factor")
            connection.execute(delete(challenges).where(challenges.c.factor_sid == sid))
            connection.execute(delete(factors).where(_f.sid == sid))
            self._note(connection, FactorEvent.DELETED, entity, sid)


def service_config(kept: Mapping[str, Any]) -> Config:
    """The service's `Totp.*` settings; what is not set is Twilio's default."""
    usual = Config()
    return Config(
        digits=kept.get("totp_code_length", usual.digits),
        period=kept.get("totp_time_step", usual.period),
        skew=kept.get("totp_skew", usual.skew),
    )


def issuer_of(service: RowMapping) -> str:
    return str(service["twilio_only"].get("totp_issuer") or service["friendly_name"])


def changed(config: Config, change: Change) -> Config:
    given = {key: value for key, value in asdict(change).items() if value is not None}
    given.pop("friendly_name", None)
    return Config(**(asdict(config) | given))


def _changes(status: str, before: Config, change: Change) -> dict[str, Any]:
    after = totp.check_config(changed(before, change))
    for field, one, other in (
        ("Config.Alg", before.algorithm, after.algorithm),
        ("Config.CodeLength", before.digits, after.digits),
        ("Config.TimeStep", before.period, after.period),
    ):
        if one != other and status != UNVERIFIED:
            raise FactorParameterError(field, "cannot change once the factor is verified")
    values: dict[str, Any] = {} if after == before else asdict(after)
    if change.friendly_name is not None:
        values["friendly_name"] = totp.check_name(change.friendly_name)
    return values


def _why_not_verified(status: str) -> SendcodeError:
    if status != UNVERIFIED:
        return FactorParameterError("AuthPayload", "the factor is verified, create a challenge")
    return FactorRefusedError(FactorRefusal.VERIFICATION_SPENT)


def _enrolment(factor: Factor, secret: bytes, issuer: str) -> Enrolment:
    uri = totp.uri(secret, factor.config, issuer=issuer, account=factor.friendly_name)
    return Enrolment(factor, totp.secret_text(secret), uri)
