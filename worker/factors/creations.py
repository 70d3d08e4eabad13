"""Creations: how much may be made of an entity in a day, deleted or not."""

import structlog
from sqlalchemy import Connection, bindparam, case, select, update

from worker.db import now_ms
from worker.errors import FactorRefusedError
from worker.factors.base import DAY
from worker.factors.words import MAX_FACTORS_MADE, Entity
from worker.models import entities
from worker.states import FactorRefusal

log = structlog.get_logger()

_e = entities.c
_FRESH_DAY = _e.factors_made_from <= now_ms() - DAY
_COUNT = (
    update(entities)
    .where(_e.sid == bindparam("b_entity"), _FRESH_DAY | (_e.factors_made < MAX_FACTORS_MADE))
    .values(
        factors_made=case((_FRESH_DAY, 1), else_=_e.factors_made + 1),
        factors_made_from=case((_FRESH_DAY, now_ms()), else_=_e.factors_made_from),
    )
)
_OPEN_IN = select(_e.factors_made_from + DAY - now_ms()).where(_e.sid == bindparam("entity"))


def count_creation(connection: Connection, entity: Entity) -> None:
    """Count a factor, or a set of backup codes, that is about to be made.

    :raises FactorRefusedError: `TOO_MANY_CREATIONS`
    """
    if connection.execute(_COUNT, {"b_entity": entity.sid}).rowcount:
        return
    wait = connection.execute(_OPEN_IN, {"entity": entity.sid}).scalar_one()
    retry_after = max(1, -(-wait // 1000))
    log.warning("limit.hit", limit="factors", entity=entity.sid, retry_after=retry_after)
    raise FactorRefusedError(FactorRefusal.TOO_MANY_CREATIONS, retry_after)
