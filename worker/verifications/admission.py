"""Admission: one look at everything that may refuse a start."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, bindparam, select

from worker.db import now_ms
from worker.errors import BlockedError, ChecksSpentError, NotFoundError, NumberDisabledError
from worker.holds import blocks_number, vouches_for
from worker.models import number_guards, services, verifications
from worker.prepared import Prepared, Row
from worker.statements import PENDING, SPENT
from worker.verifications.base import indexes_of_number, named
from worker.verifications.brought import Brought

_v, _g = verifications.c, number_guards.c


class Admission(Brought):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._admitting = Prepared(self._db, _admission(indexes_of_number(self._keyring)))

    def _look(
        self,
        account: str,
        service: str,
        indexes: list[bytes],
        connection: Connection | None = None,
    ) -> Sequence[Row]:
        """The service, once for each guard and live verification the number has in it.

        :param connection: whose transaction it is to be seen in
        """
        asked = {"account": account, "service": service, **named(indexes)}
        rows = self._admitting.all(asked, connection)
        if not rows:
            raise NotFoundError("service")
        return rows


def _admission(indexes: Sequence[Any]) -> Any:
    """The service, its guard and its live verification."""
    return (
        select(
            services,
            _g.disabled_at,
            _v.status.label("live_status"),
            (_v.expires_at - now_ms()).label("live_left"),
            _v.template_sid.label("live_template"),
            blocks_number(lambda index: index.in_(indexes)).label("blocked"),
            vouches_for(lambda index: index.in_(indexes), services.c.account_sid).label("vouched"),
        )
        .outerjoin(
            number_guards,
            and_(
                _g.service_sid == services.c.sid,
                _g.number_index.in_(indexes),
                _g.disabled_at.is_not(None),
            ),
        )
        .outerjoin(
            verifications,
            and_(
                _v.service_sid == services.c.sid,
                _v.number_index.in_(indexes),
                _v.status.in_((PENDING, SPENT)),
            ),
        )
        .where(
            services.c.sid == bindparam("service"), services.c.account_sid == bindparam("account")
        )
    )


def refuse_closed(seen: Sequence[Row]) -> None:
    """
    :param seen: see `Admission`
    :raises BlockedError: an operator has blocked the number
    :raises NumberDisabledError: too many wrong codes in a row
    :raises ChecksSpentError: the guesses of the last one are used and it has not expired
    """
    if seen[0]["blocked"]:
        raise BlockedError("the number is blocked")
    for row in seen:
        if row["disabled_at"] is not None:
            raise NumberDisabledError("too many wrong codes in a row")
        if row["live_status"] == SPENT and row["live_left"] > 0:
            raise ChecksSpentError(max(1, row["live_left"] // 1000))
