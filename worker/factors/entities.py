"""Entities: a backend's users, under names of the backend's own."""

from sqlalchemy import delete, select

from worker.errors import FactorRefusedError
from worker.factor_outbox import FactorEvent
from worker.factors.base import LASTS, Base, entity_view
from worker.factors.words import Entity
from worker.models import backup_codes, backup_sets, challenges, entities, factors
from worker.paging import Slice, Window, look
from worker.states import FactorRefusal

_e = entities.c


class Entities(Base):
    def create_entity(self, account_sid: str, service_sid: str, identity: str) -> Entity:
        """
        :raises NotFoundError: no such service
        :raises FactorParameterError: the identity is not 8 to 64 letters, digits and dashes
        :raises FactorRefusedError: `ENTITY_EXISTS`
        """
        with self._db.begin() as connection:
            self._service(connection, account_sid, service_sid, lock=True)
            entity, new = self._entity_or_new(connection, account_sid, service_sid, identity)
        if not new:
            raise FactorRefusedError(FactorRefusal.ENTITY_EXISTS)
        return entity

    def fetch_entity(self, account_sid: str, service_sid: str, identity: str) -> Entity:
        """
        :raises NotFoundError: no such entity
        """
        with self._db.statement() as connection:
            return self._entity(connection, account_sid, service_sid, identity)

    def list_entities(self, account_sid: str, service_sid: str, window: Window) -> Slice[Entity]:
        """Entities of the service, oldest first.

        :raises NotFoundError: no such service
        """
        statement = select(entities).where(_e.service_sid == service_sid)
        with self._db.statement() as connection:
            self._service(connection, account_sid, service_sid)
            return look(connection, statement, _e.sid, window, entity_view)

    def delete_entity(self, account_sid: str, service_sid: str, identity: str) -> None:
        """Delete the entity with its factors, challenges and backup codes.

        :raises NotFoundError: no such entity
        """
        with self._db.begin() as connection:
            entity = self._entity(connection, account_sid, service_sid, identity, lock=True)
            # A challenge that is being made holds its factor's row, and is deleted then.
            ours = select(factors.c.sid).where(factors.c.entity_sid == entity.sid, LASTS)
            gone = connection.execute(ours.with_for_update()).scalars().all()
            for table in (challenges, factors, backup_codes, backup_sets):
                connection.execute(delete(table).where(table.c.entity_sid == entity.sid))
            connection.execute(delete(entities).where(_e.sid == entity.sid))
            self._note(connection, FactorEvent.DELETED, entity, *gone)
