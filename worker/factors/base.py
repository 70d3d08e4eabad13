"""What enrolment, challenges and the rest of the room share: rows, secrets and views."""

from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, or_, select

from worker.codes import Keyring
from worker.db import Database, now_ms
from worker.errors import NotFoundError
from worker.factor_outbox import FactorEvent, note
from worker.factors import totp
from worker.factors.words import (
    UNVERIFIED_LIFE,
    VERIFIED,
    Config,
    Entity,
    Factor,
)
from worker.models import entities, factors, new_sid, services
from worker.settings import Settings

DAY = 86_400_000  # ms
_e, _f = entities.c, factors.c
LASTS = or_(_f.status == VERIFIED, _f.created_at > now_ms() - UNVERIFIED_LIFE * 1000)
"""Factors that are there: an unverified one lapses and is as good as deleted."""

_SERVICE = select(services).where(
    services.c.sid == bindparam("service"), services.c.account_sid == bindparam("account")
)
_ENTITY = select(entities).where(
    _e.service_sid == bindparam("service"),
    _e.account_sid == bindparam("account"),
    _e.identity == bindparam("identity"),
)
_FACTOR = select(factors, now_ms().label("now")).where(
    _f.entity_sid == bindparam("entity"), _f.sid == bindparam("sid"), LASTS
)
_SECRETS = select(_f.sid, _f.key_id, _f.secret_sealed).where(
    _f.entity_sid == bindparam("entity"), LASTS
)


class Base:
    def __init__(self, db: Database, keyring: Keyring, settings: Settings) -> None:
        self._db = db
        self._keyring = keyring
        self._settings = settings

    def _service(
        self, connection: Connection, account_sid: str, sid: str, lock: bool = False
    ) -> RowMapping:
        """
        :param lock: it is not deleted before the transaction ends
        :raises NotFoundError: no such service in the account
        """
        where = {"account": account_sid, "service": sid}
        statement = _SERVICE.with_for_update(read=True, key_share=True) if lock else _SERVICE
        row = connection.execute(statement, where).mappings().one_or_none()
        if row is None:
            raise NotFoundError("service")
        return row

    def _entity(
        self,
        connection: Connection,
        account_sid: str,
        service_sid: str,
        identity: str,
        lock: bool = False,
    ) -> Entity:
        """
        :param lock: let no other transaction with this entity's lock run beside this one
        :raises NotFoundError: no such entity in the service
        """
        if not totp.is_identity(identity):
            raise NotFoundError("entity")
        where = {"account": account_sid, "service": service_sid, "identity": identity}
        statement = _ENTITY.with_for_update() if lock else _ENTITY
        row = connection.execute(statement, where).mappings().one_or_none()
        if row is None:
            raise NotFoundError("entity")
        return entity_view(row)

    def _entity_or_new(
        self, connection: Connection, account_sid: str, service_sid: str, identity: str
    ) -> tuple[Entity, bool]:
        """The entity, locked, and whether this call made it."""
        made = connection.execute(
            self._db.insert(entities)
            .values(
                sid=new_sid("YE"),
                account_sid=account_sid,
                service_sid=service_sid,
                identity=totp.check_identity(identity),
                factors_made=0,
                factors_made_from=now_ms(),
                created_at=now_ms(),
                updated_at=now_ms(),
            )
            .on_conflict_do_nothing()
            .returning(entities)
        )
        row = made.mappings().one_or_none()
        if row is not None:
            return entity_view(row), True
        return self._entity(connection, account_sid, service_sid, identity, lock=True), False

    def _factor(
        self, connection: Connection, entity: Entity, sid: str, lock: bool = False
    ) -> RowMapping:
        """The row and, as `now`, the database's clock: read here, once per check.

        :raises NotFoundError: the entity has no such factor
        """
        statement = _FACTOR.with_for_update(of=factors) if lock else _FACTOR
        where = {"entity": entity.sid, "sid": sid}
        row = connection.execute(statement, where).mappings().one_or_none()
        if row is None:
            raise NotFoundError("factor")
        return row

    def _note(
        self,
        connection: Connection,
        event: FactorEvent,
        entity: Entity,
        *sids: str,
        challenge: str | None = None,
    ) -> None:
        """Have the service's webhooks told what became of factors, or of one's challenge."""
        note(connection, event, entity.service_sid, entity.identity, sids, challenge)

    def _secret(self, row: RowMapping) -> bytes:
        return self._keyring.open_secret(row["key_id"], row["secret_sealed"], row["sid"])

    def _has_secret(self, connection: Connection, entity: Entity, secret: bytes) -> bool:
        """Whether a factor of the entity has this secret. A second one would accept a code that
        the first has accepted, and have guesses of its own.
        """
        rows = connection.execute(_SECRETS, {"entity": entity.sid}).mappings()
        return any(self._secret(row) == secret for row in rows)

    def _step_of(self, row: RowMapping, code: str) -> int:
        """The step whose code this is, or -1, which no row has left behind it."""
        found = totp.matching_step(self._secret(row), config_of(row), code, row["now"])
        return -1 if found is None else found


def sealed(keyring: Keyring, sid: str, secret: bytes) -> dict[str, Any]:
    """The columns that hold a secret."""
    return {"key_id": keyring.kid, "secret_sealed": keyring.seal_secret(secret, sid)}


def config_of(row: RowMapping) -> Config:
    return Config(row["algorithm"], row["digits"], row["period"], row["skew"])


def entity_view(row: RowMapping) -> Entity:
    return Entity(
        sid=row["sid"],
        account_sid=row["account_sid"],
        service_sid=row["service_sid"],
        identity=row["identity"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def factor_view(row: RowMapping, entity: Entity) -> Factor:
    return Factor(
        sid=row["sid"],
        entity=entity,
        friendly_name=row["friendly_name"],
        status=row["status"],
        config=config_of(row),
        metadata=row["metadata"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
