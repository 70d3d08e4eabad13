"""How often a sign-in may be tried: per name, per address and for the pair of them.

In the database, not in the broker: an operator signs in when the broker is away, too.
"""

import hashlib
from dataclasses import dataclass

from sqlalchemy import Connection, case, delete, or_, select

from worker.db import Database, now_ms
from worker.errors import SignInRefusedError
from worker.sign_in_tables import sign_in_tries

_t = sign_in_tries.c


@dataclass(frozen=True, slots=True)
class _Limit:
    scope: str
    most: int
    window: int  # ms


_QUARTER, _DAY = 900_000, 86_400_000
PAIR = _Limit("pair", 5, _QUARTER)
ADDRESS = _Limit("address", 20, _QUARTER)
NAME = _Limit("name", 50, _DAY)  # a link from the command line is the way round it
_ALL = (PAIR, ADDRESS, NAME)
_OLD = delete(sign_in_tries).where(_t.tries_from < now_ms() - _DAY)


class Tries:
    def __init__(self, db: Database) -> None:
        self._db = db

    def take(self, name: str, address: str) -> None:
        """Count a try before anything is compared: by all limits or by none.

        :raises SignInRefusedError: one of them is reached; `retry_after` says for how long
        """
        with self._db.begin() as connection:
            for limit in _ALL:
                if not self._take(connection, limit, _key(limit, name, address)):
                    connection.rollback()
                    raise SignInRefusedError(self._wait(limit, _key(limit, name, address)))

    def forget(self, name: str, address: str) -> None:
        """The sign-in was right: what led to it counts no more, but for others' tries."""
        keys = [_key(limit, name, address) for limit in (PAIR, NAME)]
        with self._db.begin() as connection:
            connection.execute(delete(sign_in_tries).where(_t.key_digest.in_(keys)))
            connection.execute(_OLD)

    def purge(self) -> None:
        """Delete counts that no limit looks at any more."""
        with self._db.statement() as connection:
            connection.execute(_OLD)

    def _take(self, connection: Connection, limit: _Limit, key: bytes) -> bool:
        fresh = _t.tries_from <= now_ms() - limit.window
        insert = self._db.insert(sign_in_tries).values(
            scope=limit.scope, key_digest=key, tries=1, tries_from=now_ms()
        )
        statement = insert.on_conflict_do_update(
            index_elements=[_t.scope, _t.key_digest],
            set_={
                "tries": case((fresh, 1), else_=_t.tries + 1),
                "tries_from": case((fresh, now_ms()), else_=_t.tries_from),
            },
            where=or_(fresh, _t.tries < limit.most),
        ).returning(_t.tries)
        return connection.execute(statement).first() is not None

    def _wait(self, limit: _Limit, key: bytes) -> int:
        left = _t.tries_from + limit.window - now_ms()
        with self._db.statement() as connection:
            found = connection.execute(
                select(left).where(_t.scope == limit.scope, _t.key_digest == key)
            ).scalar_one_or_none()
        return max(1, -(-int(found or 0) // 1000))


def _key(limit: _Limit, name: str, address: str) -> bytes:
    parts = {"pair": (name, address), "address": (address,), "name": (name,)}[limit.scope]
    return hashlib.sha256("\0".join((limit.scope, *parts)).encode()).digest()
