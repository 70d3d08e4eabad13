"""Check: one statement takes a guess and decides."""

import hmac
import re
import time
from functools import cached_property
from typing import Any

import structlog
from sqlalchemy import Connection, bindparam, case, exists, select, update

from worker import logs, metrics, phone, tracing
from worker.db import now_ms
from worker.errors import (
    ChecksSpentError,
    InvalidParameterError,
    NotFoundError,
    NumberDisabledError,
    PaymentError,
    SendcodeError,
)
from worker.models import number_guards, verifications
from worker.outbox import OF_STATUS, note
from worker.prepared import Prepared, Row
from worker.statements import ALIVE, PENDING, SPENT
from worker.states import VerificationStatus
from worker.verifications.base import Base
from worker.verifications.telling import telling
from worker.verifications.words import Payment, Verification

_v, _g = verifications.c, number_guards.c
_GUARD_CLOSED = exists().where(
    _g.service_sid == _v.service_sid,
    _g.number_index == _v.number_index,
    _g.disabled_at.is_not(None),
)
# Takes a guess and decides in one statement: of any number of checks at once, only as many as
# the row allows are compared, and one approves.
_TAKE_CHECK = (
    update(verifications)
    .where(
        _v.sid == bindparam("b_sid"),
        ALIVE,
        _v.checks < _v.max_checks,
        ~_GUARD_CLOSED,
    )
    .values(
        checks=_v.checks + 1,
        status=case(
            (_v.code_digest == bindparam("b_digest"), VerificationStatus.APPROVED.value),
            (_v.checks + 1 >= _v.max_checks, SPENT),
            else_=_v.status,
        ),
        approved_at=case((_v.code_digest == bindparam("b_digest"), now_ms()), else_=None),
        updated_at=now_ms(),
    )
    .returning(_v.status, _v.checks, _v.updated_at, _v.approved_at)
)
_FAILED_BEFORE = (
    update(number_guards)
    .where(
        _g.service_sid == bindparam("b_service"),
        _g.number_index.in_(bindparam("b_indexes", expanding=True)),
    )
    .where(_g.failures > 0)
)
_CLEAR_FAILURES = _FAILED_BEFORE.values(failures=0, updated_at=now_ms()).returning(_g.disabled_at)
_TAKE_BACK_FAILURE = _FAILED_BEFORE.where(_g.disabled_at.is_(None)).values(
    failures=_g.failures - 1, updated_at=now_ms()
)


log = structlog.get_logger()
_CODE = re.compile(r"[0-9]{4,10}", re.ASCII)


class Checking(Base):
    @metrics.refusals_of_checks
    def check(
        self,
        account_sid: str,
        service_sid: str | None,
        code: str,
        *,
        sid: str | None = None,
        to: str | None = None,
        payment: Payment | None = None,
    ) -> Verification:
        """Take one guess. The answer's status is `approved`, or still `pending` when it was wrong.

        :param service_sid: None with a sid: of whatever service in the account
        :param to: with a sid, the number it must be of
        :raises InvalidParameterError: the code is not as many ASCII digits as were sent, or no
            target is named; no guess is taken
        :raises PaymentError: the code stands for a payment, which is not repeated
        :raises NotFoundError: none is alive: unknown, approved, canceled or expired
        :raises ChecksSpentError: every guess was used before this one
        :raises NumberDisabledError: too many wrong codes in a row
        """
        with telling("check"):
            return self._check(account_sid, service_sid, code, sid, to, payment)

    def _check(
        self,
        account_sid: str,
        service_sid: str | None,
        code: str,
        sid: str | None,
        to: str | None,
        payment: Payment | None,
    ) -> Verification:
        began = time.monotonic()
        if not (isinstance(code, str) and _CODE.fullmatch(code)):
            raise InvalidParameterError("Code", "must be 4 to 10 digits, sent as a string")
        found = self._find(account_sid, service_sid, sid, to)
        logs.learned(
            verification=found["sid"],
            service=found["service_sid"],
            channel=found["channel"],
            country=found["country"],
            number_hash=logs.number_hash(found["number_index"]),
        )
        if found["status"] != PENDING or found["over"]:
            raise self._why_refused(found)
        if len(code) != found["code_length"]:
            raise InvalidParameterError("Code", f"must have {found['code_length']} digits")
        number = self._to(found)
        if found["payment_sealed"] is None:
            payment = None
        elif payment is None or not all(payment):
            raise PaymentError
        logs.learned(number_masked=phone.mask(number))
        digest = self._digest(found, number, code, payment)
        taken = self._take(found, digest)
        if taken is None:
            raise self._why_refused(found)
        tracing.mark("check", taken["sid"], status=taken["status"])
        metrics.checked(
            taken["channel"],
            taken["country"],
            taken["status"],
            (taken["updated_at"] - taken["created_at"]) / 1000,
        )
        right = taken["status"] == VerificationStatus.APPROVED
        log.info(
            "code.verified" if right else "code.wrong",
            status=taken["status"],
            checks=taken["checks"],
            duration_ms=logs.ms_since(began),
        )
        if right:
            self._forget_sends(taken)
        return self._view(taken, number)

    def take_back_failure(self, service_sid: str, number: str) -> None:
        """Count one wrong code of the number less: it was right in another way. A number that is
        disabled stays so.

        :param number: E.164
        """
        where = {"b_service": service_sid, "b_indexes": self._keyring.number_indexes(number)}
        with self._db.statement() as connection:
            connection.execute(_TAKE_BACK_FAILURE, where)

    def _take(self, found: Row, digest: bytes) -> Row | None:
        """Take the guess. A right one with no wrong ones before it has nothing else to write, so
        it needs no transaction around its statement; which of them it is, the statement decides.
        """
        where = {"b_sid": found["sid"], "b_digest": digest}
        untouched = found["status"] == PENDING and not found["checks"] and not found["failures"]
        # As long as it is pending, its own guesses cannot be what disables the number.
        open_till_spent = found["max_checks"] <= self._settings.disable_after_failures
        alone = untouched and open_till_spent and not found["hooked"]
        if alone and hmac.compare_digest(found["code_digest"], digest):
            return _changed(found, self._take_check.first(where))
        with self._db.begin() as connection:
            taken = _changed(found, self._take_check.first(where, connection))
            if taken is not None:
                if not self._count(connection, taken):
                    connection.rollback()
                    return None
                if found["hooked"] and taken["status"] in OF_STATUS:
                    note(connection, OF_STATUS[taken["status"]], [taken["sid"]])
        return taken

    @cached_property
    def _take_check(self) -> Prepared:
        return Prepared(self._db, _TAKE_CHECK)

    def _count(self, connection: Connection, taken: Row) -> bool:
        """Wrong codes in a row, in the transaction of the guess: a rollback undoes both.

        A guess that waited for another's row has seen the number's guard as it was before; what
        counts it sees the guard as it is.

        :returns: False where the number was disabled before this guess
        """
        where = {"service_sid": taken["service_sid"], "number_index": taken["number_index"]}
        if taken["status"] == VerificationStatus.APPROVED:
            cleared = connection.execute(
                _CLEAR_FAILURES,
                {"b_service": where["service_sid"], "b_indexes": [where["number_index"]]},
            )
            return cleared.scalar_one_or_none() is None
        return connection.execute(self._count_failure, where).first() is not None

    @cached_property
    def _count_failure(self) -> Any:
        most = self._settings.disable_after_failures
        statement = self._db.insert(number_guards).values(
            failures=1, disabled_at=now_ms() if most <= 1 else None, updated_at=now_ms()
        )
        return statement.on_conflict_do_update(
            index_elements=[_g.service_sid, _g.number_index],
            set_={
                "failures": _g.failures + 1,
                "updated_at": now_ms(),
                "disabled_at": case((_g.failures + 1 >= most, now_ms()), else_=None),
            },
            where=_g.disabled_at.is_(None),
        ).returning(_g.failures)

    def _why_refused(self, found: Row) -> SendcodeError:
        with self._db.statement() as connection:
            row = connection.execute(
                select(
                    _v.status, (_v.expires_at - now_ms()).label("left"), _GUARD_CLOSED.label("shut")
                ).where(_v.sid == found["sid"])
            ).one_or_none()
        if row is None:
            return NotFoundError("verification")
        if row.status not in (PENDING, SPENT):
            return NotFoundError("verification", row.status)
        if row.left <= 0:
            return NotFoundError("verification", VerificationStatus.EXPIRED.value)
        if row.shut:
            return NumberDisabledError("too many wrong codes in a row")
        return ChecksSpentError(max(1, row.left // 1000))


def _changed(found: Row, changed: Row | None) -> Row | None:
    return None if changed is None else {**found, **changed}
