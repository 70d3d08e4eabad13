"""What operators do with factors: enable disabled ones, seal secrets with a new key."""

from sqlalchemy import select, update

from worker.audit import Operator, configured
from worker.factors.base import Base, sealed
from worker.models import entities, factors

_e, _f = entities.c, factors.c
BATCH = 500


class Keeping(Base):
    def enable_factor(self, account_sid: str, sid: str, by: Operator | None = None) -> bool:
        """Let a factor that was disabled after too many wrong codes try again; whether it was.

        :param by: who does, for the audit log
        """
        owned = select(_e.sid).where(_e.account_sid == account_sid)
        change = (
            update(factors)
            .where(_f.sid == sid, _f.entity_sid.in_(owned), _f.disabled_at.is_not(None))
            .values(failures=0, disabled_at=None)
        )
        with self._db.begin() as connection:
            enabled = bool(connection.execute(change).rowcount)
            if enabled:
                configured(connection, by, "factor.enable", sid)
        return enabled

    def reseal(self) -> int:
        """Seal every secret that an older key sealed with the present one; how many.

        :raises KeyMissingError: a key that a row needs is no longer configured
        """
        old = select(_f.sid, _f.key_id, _f.secret_sealed).where(_f.key_id != self._keyring.kid)
        done = 0
        while True:
            with self._db.begin() as connection:
                rows = connection.execute(old.limit(BATCH).with_for_update(skip_locked=True))
                found = rows.mappings().all()
                for row in found:
                    values = sealed(self._keyring, row["sid"], self._secret(row))
                    connection.execute(update(factors).where(_f.sid == row["sid"]).values(**values))
            done += len(found)
            if len(found) < BATCH:
                return done
