"""Challenges: a question to a verified factor. One transaction takes a guess and decides."""

from collections.abc import Mapping, Sequence

import structlog
from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    RowMapping,
    Select,
    and_,
    bindparam,
    case,
    insert,
    select,
    update,
)

from worker.db import now_ms
from worker.errors import (
    FactorParameterError,
    FactorRefusedError,
    NotFoundError,
    SendcodeError,
)
from worker.factor_outbox import FactorEvent
from worker.factors import totp
from worker.factors.base import DAY, Base
from worker.factors.words import (
    APPROVED,
    CHALLENGE_LIFE,
    EXPIRED,
    MAX_CHALLENGE_LIFE,
    MAX_TRIES,
    PENDING,
    VERIFIED,
    Asked,
    Challenge,
    Entity,
)
from worker.models import challenges, factors, new_sid
from worker.paging import Slice, Window, look
from worker.states import FactorRefusal

log = structlog.get_logger()

HOUR = 3_600_000  # ms
_f, _c = factors.c, challenges.c
_seen = case((and_(_c.status == PENDING, _c.expires_at <= now_ms()), EXPIRED), else_=_c.status)
_LOOK = select(challenges, _seen.label("seen"))
_FIND = _LOOK.where(_c.entity_sid == bindparam("entity"), _c.sid == bindparam("sid"))
# The factor's part: its steps only go up, whichever challenge a code comes through, and wrong
# codes are counted over all of them. Failures are 0 after a right code and never after a wrong one.
_STEP = bindparam("b_step", type_=BigInteger)
_RIGHT = _f.last_step < _STEP
_TRY_FACTOR = (
    update(factors)
    .where(_f.sid == bindparam("b_factor"), _f.status == VERIFIED, _f.disabled_at.is_(None))
    .values(
        last_step=case((_RIGHT, _STEP), else_=_f.last_step),
        failures=case((_RIGHT, 0), else_=_f.failures + 1),
        disabled_at=case(
            (and_(~_RIGHT, _f.failures + 1 >= bindparam("b_most")), now_ms()), else_=None
        ),
    )
    .returning(_f.failures, _f.disabled_at)
)
_TAKE_BACK_FAILURE = (
    update(factors)
    .where(_f.sid.in_(bindparam("b_factors", expanding=True)))
    .where(_f.failures > 0, _f.disabled_at.is_(None))
    .values(failures=_f.failures - 1)
)
# The challenge's part: takes one of its guesses and decides. Where it has none, or ended, the
# whole transaction is undone and nothing was compared.
_ACCEPTED = bindparam("b_accepted", type_=Boolean)
_TAKE_GUESS = (
    update(challenges)
    .where(
        _c.sid == bindparam("b_sid"),
        _c.status == PENDING,
        _c.tries < MAX_TRIES,
        _c.expires_at > now_ms(),
    )
    .values(
        tries=_c.tries + 1,
        status=case((_ACCEPTED, APPROVED), else_=_c.status),
        responded_at=case((_ACCEPTED, now_ms()), else_=None),
        updated_at=now_ms(),
    )
    .returning(challenges, _seen.label("seen"))
)


class Challenging(Base):
    def create_challenge(
        self,
        account_sid: str,
        service_sid: str,
        identity: str,
        asked: Asked,
        code: str | None = None,
    ) -> Challenge:
        """A challenge, and its first guess where a code is given: `approved`, or still `pending`.

        :raises NotFoundError: no such entity, or it has no such factor
        :raises FactorParameterError: names the value that cannot be used
        :raises FactorRefusedError: `UNVERIFIED`, `DISABLED`, `TOO_MANY_CHALLENGES`
        """
        if code is not None:
            totp.read_code(code)
        with self._db.begin() as connection:
            entity = self._entity(connection, account_sid, service_sid, identity)
            factor = self._factor(connection, entity, asked.factor_sid, lock=True)
            _refuse_closed(factor)
            self._admit_challenge(connection, factor)
            row = self._insert(connection, entity, asked, factor["now"])
            if code is not None:
                row, step = self._guess(connection, entity, factor, row["sid"], code)
        if code is not None:
            _tell(row, factor, step)
        return _view(row, entity)

    def answer_challenge(
        self,
        account_sid: str,
        service_sid: str,
        identity: str,
        sid: str,
        code: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Challenge:
        """Take a guess: `approved`, or still `pending` when it was wrong.

        :raises NotFoundError: no such challenge
        :raises FactorParameterError: the code is not 3 to 8 ASCII digits
        :raises FactorRefusedError: `ANSWERED`, `EXPIRED`, `CHALLENGE_SPENT`, `DISABLED`
        """
        if code is not None:
            totp.read_code(code)
        with self._db.begin() as connection:
            entity = self._entity(connection, account_sid, service_sid, identity)
            row = _find(connection, entity, sid)
            if code is not None:
                factor = self._factor(connection, entity, row["factor_sid"])
                row, step = self._guess(connection, entity, factor, sid, code)
                guessed = row
            if metadata is not None:
                values = {"metadata": metadata, "updated_at": now_ms()}
                connection.execute(update(challenges).where(_c.sid == sid).values(**values))
                row = _find(connection, entity, sid)
        if code is not None:
            _tell(guessed, factor, step)
        return _view(row, entity)

    def take_back_failure(self, sids: Sequence[str]) -> None:
        """Count one wrong code of these factors less: it was another's right one. A factor that is
        disabled stays so.
        """
        if sids:
            with self._db.statement() as connection:
                connection.execute(_TAKE_BACK_FAILURE, {"b_factors": list(sids)})

    def _guess(
        self, connection: Connection, entity: Entity, factor: RowMapping, sid: str, code: str
    ) -> tuple[RowMapping, int]:
        """The challenge after it, and the step whose code it was, or -1."""
        step = self._step_of(factor, code)
        tried = connection.execute(
            _TRY_FACTOR,
            {
                "b_factor": factor["sid"],
                "b_step": step,
                "b_most": self._settings.disable_after_failures,
            },
        ).one_or_none()
        accepted = tried is not None and tried.failures == 0
        row = (
            connection.execute(_TAKE_GUESS, {"b_sid": sid, "b_accepted": accepted})
            .mappings()
            .one_or_none()
        )
        if row is None:
            raise _why_refused(connection, sid)
        if tried is None:
            raise FactorRefusedError(FactorRefusal.DISABLED)
        if tried.disabled_at is not None:
            log.warning("factor.disabled", factor=factor["sid"])
        if accepted:
            self._note(connection, FactorEvent.APPROVED, entity, factor["sid"], challenge=sid)
        return row, step

    def _admit_challenge(self, connection: Connection, factor: RowMapping) -> None:
        """Hold Twilio's limits. The factor's row is locked, so the count holds."""
        weak = factor["digits"] <= 4
        for most, window in ((10, DAY),) if weak else ((50, HOUR), (100, DAY)):
            oldest = connection.execute(_nth_newest(factor["sid"], most, window)).scalar()
            if oldest is not None:
                wait = max(1, -(-(oldest + window - factor["now"]) // 1000))
                log.warning("limit.hit", limit="challenges", factor=factor["sid"], retry_after=wait)
                raise FactorRefusedError(FactorRefusal.TOO_MANY_CHALLENGES, wait)

    def _insert(self, connection: Connection, entity: Entity, asked: Asked, now: int) -> RowMapping:
        expires_at = asked.expires_at
        if expires_at is None:
            expires_at = now + CHALLENGE_LIFE * 1000
        if not now < expires_at <= now + MAX_CHALLENGE_LIFE * 1000:
            raise FactorParameterError("ExpirationDate", "must be within the next 60 minutes")
        statement = (
            insert(challenges)
            .values(
                sid=new_sid("YC"),
                factor_sid=asked.factor_sid,
                entity_sid=entity.sid,
                status=PENDING,
                tries=0,
                details=asked.details,
                hidden_details=asked.hidden_details,
                created_at=now_ms(),
                updated_at=now_ms(),
                expires_at=expires_at,
            )
            .returning(challenges, _seen.label("seen"))
        )
        return connection.execute(statement).mappings().one()

    def fetch_challenge(
        self, account_sid: str, service_sid: str, identity: str, sid: str
    ) -> Challenge:
        """
        :raises NotFoundError: no such challenge
        """
        with self._db.statement() as connection:
            entity = self._entity(connection, account_sid, service_sid, identity)
            return _view(_find(connection, entity, sid), entity)

    def list_challenges(
        self,
        account_sid: str,
        service_sid: str,
        identity: str,
        window: Window,
        *,
        factor_sid: str | None = None,
        status: str | None = None,
        newest_first: bool = False,
    ) -> Slice[Challenge]:
        """Challenges of the entity, oldest first unless asked otherwise.

        :raises NotFoundError: no such entity
        """
        statement = _LOOK
        if factor_sid is not None:
            statement = statement.where(_c.factor_sid == factor_sid)
        if status is not None:
            statement = statement.where(_seen == status)
        with self._db.statement() as connection:
            entity = self._entity(connection, account_sid, service_sid, identity)
            return look(
                connection,
                statement.where(_c.entity_sid == entity.sid),
                _c.sid,
                window,
                lambda row: _view(row, entity),
                newest_first=newest_first,
            )


def _find(connection: Connection, entity: Entity, sid: str) -> RowMapping:
    where = {"entity": entity.sid, "sid": sid}
    row = connection.execute(_FIND, where).mappings().one_or_none()
    if row is None:
        raise NotFoundError("challenge")
    return row


def _tell(challenge: RowMapping, factor: RowMapping, step: int) -> None:
    about = {"factor": factor["sid"], "challenge": challenge["sid"], "tries": challenge["tries"]}
    if challenge["seen"] == APPROVED:
        log.info("totp.verified", **about)
    elif step >= 0:
        log.warning("totp.replayed", **about)
    else:
        log.info("totp.wrong", **about)


def _nth_newest(factor_sid: str, nth: int, window: int) -> Select[int]:
    """When the nth newest challenge of the window was made; nothing where there are fewer."""
    return (
        select(_c.created_at)
        .where(_c.factor_sid == factor_sid, _c.created_at > now_ms() - window)
        .order_by(_c.created_at.desc())
        .offset(nth - 1)
        .limit(1)
    )


def _refuse_closed(factor: RowMapping) -> None:
    if factor["status"] != VERIFIED:
        raise FactorRefusedError(FactorRefusal.UNVERIFIED)
    if factor["disabled_at"] is not None:
        raise FactorRefusedError(FactorRefusal.DISABLED)


def _why_refused(connection: Connection, sid: str) -> SendcodeError:
    look = select(_seen.label("seen"), (_c.expires_at - now_ms()).label("left"))
    row = connection.execute(look.where(_c.sid == sid)).one_or_none()
    if row is None:
        return NotFoundError("challenge")
    if row.seen == APPROVED:
        return FactorRefusedError(FactorRefusal.ANSWERED)
    if row.seen == EXPIRED:
        return FactorRefusedError(FactorRefusal.EXPIRED)
    return FactorRefusedError(FactorRefusal.CHALLENGE_SPENT, max(1, row.left // 1000))


def _view(row: RowMapping, entity: Entity) -> Challenge:
    return Challenge(
        sid=row["sid"],
        entity=entity,
        factor_sid=row["factor_sid"],
        status=row["seen"],
        details=row["details"],
        hidden_details=row["hidden_details"],
        metadata=row["metadata"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        expires_at=row["expires_at"],
        responded_at=row["responded_at"],
    )
