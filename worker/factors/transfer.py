"""Bring factors in from elsewhere and take them out, so that nobody is locked in."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from sqlalchemy import Connection, func, insert, select

from worker.audit import Operator, configured
from worker.db import now_ms
from worker.factors import totp
from worker.factors.base import LASTS, Base, config_of, sealed
from worker.factors.enrol import issuer_of
from worker.factors.rows import BadRow, FactorRow
from worker.factors.words import MAX_FACTORS, UNVERIFIED, VERIFIED, Entity
from worker.models import entities, factors, new_sid

_e, _f = entities.c, factors.c
_ALL = (
    select(factors, _e.identity)
    .join(entities, _e.sid == _f.entity_sid)
    .where(LASTS)
    .order_by(_f.sid)
    .limit(500)
)


class Transferring(Base):
    def import_factors(
        self,
        account_sid: str,
        service_sid: str,
        rows: Sequence[FactorRow],
        *,
        verified: bool = False,
        skip_bad: bool = False,
    ) -> tuple[int, list[BadRow]]:
        """Write the rows in one transaction; how many were written, and which could not be.

        A bad row, unless it is to be skipped, undoes all of them.

        :param verified: count the rows that say so at once; else each waits for its first right
            code and lapses without it
        :raises NotFoundError: no such service
        """
        bad: list[BadRow] = []
        with self._db.begin() as connection:
            self._service(connection, account_sid, service_sid, lock=True)
            for row in sorted(rows, key=lambda row: row.identity):  # locks in one order
                entity, _ = self._entity_or_new(connection, account_sid, service_sid, row.identity)
                reason = self._why_not(connection, entity, row)
                if reason is None:
                    self._bring_in(connection, entity, row, verified and row.verified)
                else:
                    bad.append(BadRow(row.number, reason))
            if bad and not skip_bad:
                connection.rollback()
                return 0, sorted(bad, key=lambda row: row.number)
        return len(rows) - len(bad), sorted(bad, key=lambda row: row.number)

    def _why_not(self, connection: Connection, entity: Entity, row: FactorRow) -> str | None:
        if self._has_secret(connection, entity, row.secret):
            return "is there already: the entity has a factor with this secret"
        there = select(func.count()).where(_f.entity_sid == entity.sid, LASTS)
        if connection.execute(there).scalar_one() >= MAX_FACTORS:
            return f"has no room: an entity has {MAX_FACTORS} factors at most"
        return None

    def _bring_in(
        self, connection: Connection, entity: Entity, row: FactorRow, verified: bool
    ) -> None:
        sid = new_sid("YF")
        now = connection.execute(select(now_ms())).scalar_one()
        # Codes up to now may have been used where the factor comes from.
        last_step = totp.step_at(now, row.config.period) if verified else -1
        connection.execute(
            insert(factors).values(
                sid=sid,
                entity_sid=entity.sid,
                friendly_name=row.friendly_name,
                status=VERIFIED if verified else UNVERIFIED,
                **sealed(self._keyring, sid, row.secret),
                **asdict(row.config),
                last_step=last_step,
                tries=0,
                failures=0,
                created_at=now_ms(),
                updated_at=now_ms(),
            )
        )

    def export_factors(
        self, account_sid: str, service_sid: str, by: Operator | None = None
    ) -> tuple[str, Iterator[FactorRow]]:
        """The service's issuer and all its factors with their secrets.

        :param by: who takes them, for the audit log: it has an entry before the first is given
        :raises NotFoundError: no such service
        """
        with self._db.begin() as connection:
            issuer = issuer_of(self._service(connection, account_sid, service_sid))
            configured(connection, by, "factors.export", service_sid)
        return issuer, self._every(service_sid)

    def _every(self, service_sid: str) -> Iterator[FactorRow]:
        last, number = "", 0
        while True:
            batch = _ALL.where(_e.service_sid == service_sid, _f.sid > last)
            with self._db.statement() as connection:
                found = connection.execute(batch).mappings().all()
            for row in found:
                number += 1
                yield FactorRow(
                    number=number,
                    identity=row["identity"],
                    friendly_name=row["friendly_name"],
                    config=config_of(row),
                    secret=self._secret(row),
                    verified=row["status"] == VERIFIED,
                )
            if not found:
                return
            last = found[-1]["sid"]
