"""What operators do about a number: reset its limits, see it whole."""

from collections.abc import Callable

from sqlalchemy import bindparam, select

from worker import phone
from worker.audit import Operator, clean_reason, write_down
from worker.codes import Keyring
from worker.db import Database
from worker.errors import NotFoundError
from worker.limits import Limit, Limits
from worker.models import verifications
from worker.operations.opening import open_number
from worker.operations.words import Outcome, Result, acting, done_or_would
from worker.settings import Settings
from worker.statements import number_limits
from worker.states import Channel

MOST = 1000  # verifications of a number whose services are looked at
_v = verifications.c
_SERVICES = (
    select(_v.service_sid)
    .where(_v.number_index.in_(bindparam("indexes", expanding=True)))
    .order_by(_v.created_at.desc())
    .limit(MOST)
)
_SEALED = select(_v.key_id, _v.number_sealed, _v.sid).where(
    _v.sid == bindparam("sid"), _v.account_sid == bindparam("account")
)


class Numbers:
    """
    :param find: the verification behind a sid, see `worker.records.Records.find`
    """

    def __init__(
        self,
        db: Database,
        keyring: Keyring,
        limits: Limits,
        settings: Settings,
        find: Callable[[str], str],
    ) -> None:
        self._db = db
        self._keyring = keyring
        self._limits = limits
        self._settings = settings
        self._find = find

    @acting("limits.reset")
    def reset_limits(
        self, by: Operator, number: str, reason: str, *, dry_run: bool = False
    ) -> Outcome:
        """Give a number back the sends that were counted against it, in every service. Limits of
        a service's own stay, since they count by other values.

        :raises InvalidParameterError: the number cannot be read, or no reason
        :raises LimitsUnavailableError: Redis does not answer
        """
        e164, reason = phone.parse(number, Channel.CALL).e164, clean_reason(reason)
        target = phone.mask(e164)
        limits = self._of_number(self._keyring.number_indexes(e164))
        before = self._limits.counted(limits)
        if not before:
            return Outcome("limits.reset", target, Result.UNCHANGED)
        if not dry_run:
            with self._db.begin() as connection:
                write_down(connection, by, "limits.reset", target, reason, dict(before), {})
                self._limits.forget(limits)
        return Outcome("limits.reset", target, done_or_would(dry_run), dict(before), {})

    @acting("reveal")
    def reveal(self, by: Operator, sid: str, reason: str, *, dry_run: bool = False) -> Outcome:
        """The whole number behind a verification, in `number` of the answer and nowhere else. It
        is in the audit log before it is shown.

        :param sid: `VE…`, `VL…` or the provider's
        :raises NotFoundError: there is none
        :raises ActionRefusedError: `key_missing`: it was sealed with a key that is gone;
            `unreadable`
        """
        reason = clean_reason(reason)
        with self._db.statement() as connection:
            values = {"sid": self._find(sid), "account": self._settings.account_sid}
            row = connection.execute(_SEALED, values).one_or_none()
        if row is None:
            raise NotFoundError("verification")
        number = open_number(self._keyring, row.key_id, row.number_sealed, row.sid)
        after = {"shown": phone.mask(number)}
        if dry_run:
            return Outcome("reveal", row.sid, Result.WOULD, after=after)
        with self._db.begin() as connection:
            write_down(connection, by, "reveal", row.sid, reason, after=after)
        return Outcome("reveal", row.sid, Result.DONE, after=after, number=number)

    def _of_number(self, indexes: list[bytes]) -> list[Limit]:
        with self._db.statement() as connection:
            found = connection.execute(_SERVICES, {"indexes": indexes}).scalars()
            services = sorted(set(found))
        every = {
            limit.redis_key: limit
            for index in indexes
            for service in services or [""]
            for limit in number_limits(self._settings, service, index, Channel.CALL)
        }
        return list(every.values())
