"""Backup codes: ten codes of 80 random bits, each good once, kept as Argon2id."""

import base64
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from argon2.low_level import Type, hash_secret
from sqlalchemy import Connection, RowMapping, bindparam, case, delete, func, select, update

from worker.codes import new_salt
from worker.db import now_ms
from worker.errors import (
    BusyError,
    FactorParameterError,
    FactorRefusedError,
    NotFoundError,
    SendcodeError,
)
from worker.factors.base import Base
from worker.factors.creations import count_creation
from worker.factors.words import BackupCodes, Entity
from worker.models import backup_codes, backup_sets
from worker.states import FactorRefusal

log = structlog.get_logger()

CODES = 10
CODE_BYTES = 10
MAX_TRIES_AN_HOUR = 5
HOUR = 3_600_000  # ms
# OWASP's least for Argon2id. Other values would leave the codes that are stored without a match.
TIME_COST, MEMORY_KIB, LANES = 2, 19_456, 1
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TO_CROCKFORD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", _CROCKFORD)
_MISREAD = str.maketrans("OIL", "011")
_CODE = re.compile(f"[{_CROCKFORD}]{{16}}", re.ASCII)
_TURNS = threading.Semaphore(2)  # a hash takes 19 MiB
TURN_SECONDS = 5  # many times what ten hashes take
COME_BACK = 1  # seconds

_s, _b = backup_sets.c, backup_codes.c
_FRESH_HOUR = _s.tries_from <= now_ms() - HOUR
# Taken before the code is hashed: hashing is what an attacker can make dear.
_TAKE_TRY = (
    update(backup_sets)
    .where(
        _s.entity_sid == bindparam("b_entity"),
        _s.failures < bindparam("b_most"),
        _FRESH_HOUR | (_s.tries < MAX_TRIES_AN_HOUR),
    )
    .values(
        tries=case((_FRESH_HOUR, 1), else_=_s.tries + 1),
        tries_from=case((_FRESH_HOUR, now_ms()), else_=_s.tries_from),
        failures=_s.failures + 1,
    )
    .returning(backup_sets)
)
_USE = (
    update(backup_codes)
    .where(
        _b.entity_sid == bindparam("b_entity"),
        _b.code_hash == bindparam("b_hash"),
        _b.used_at.is_(None),
    )
    .values(used_at=now_ms())
)
_CLEAR = (
    update(backup_sets)
    .where(_s.entity_sid == bindparam("b_entity"), _s.salt == bindparam("b_salt"))
    .values(tries=0, failures=0)
)
_SET = select(
    backup_sets,
    (_s.tries_from + HOUR - now_ms()).label("wait"),
    select(func.count())
    .where(_b.entity_sid == _s.entity_sid, _b.used_at.is_(None))
    .scalar_subquery()
    .label("remaining"),
).where(_s.entity_sid == bindparam("entity"))


class BackingUp(Base):
    def make_backup_codes(self, account_sid: str, service_sid: str, identity: str) -> BackupCodes:
        """Ten new codes in place of the old ones, of an entity that is made where there is none.
        This answer alone has the codes.

        :raises NotFoundError: no such service
        :raises FactorParameterError: the identity is not 8 to 64 letters, digits and dashes
        :raises FactorRefusedError: `TOO_MANY_CREATIONS`
        :raises BusyError: others hash too
        """
        salt = new_salt()
        codes = tuple(new_code() for _ in range(CODES))
        with _turn():
            with self._db.begin() as connection:
                self._service(connection, account_sid, service_sid, lock=True)
                entity, _ = self._entity_or_new(connection, account_sid, service_sid, identity)
                count_creation(connection, entity)
            hashes = [hash_code(code, salt) for code in codes]
        with self._db.begin() as connection:
            # Another one where it was deleted and made again while we hashed.
            entity = self._entity(connection, account_sid, service_sid, identity, lock=True)
            for table in (backup_codes, backup_sets):
                connection.execute(delete(table).where(table.c.entity_sid == entity.sid))
            connection.execute(
                self._db.insert(backup_sets).values(
                    entity_sid=entity.sid,
                    salt=salt,
                    tries=0,
                    tries_from=now_ms(),
                    failures=0,
                    created_at=now_ms(),
                )
            )
            connection.execute(
                self._db.insert(backup_codes),
                [{"entity_sid": entity.sid, "code_hash": one} for one in hashes],
            )
            made = _set(connection, entity)
        return BackupCodes(
            entity, made["remaining"], made["created_at"], codes=tuple(map(shown, codes))
        )

    def fetch_backup_codes(self, account_sid: str, service_sid: str, identity: str) -> BackupCodes:
        """How many are left, never the codes.

        :raises NotFoundError: no such entity, or none were made
        """
        with self._db.statement() as connection:
            entity = self._entity(connection, account_sid, service_sid, identity)
            found = _set(connection, entity)
        return BackupCodes(entity, found["remaining"], found["created_at"])

    def check_backup_code(
        self, account_sid: str, service_sid: str, identity: str, code: str
    ) -> BackupCodes:
        """Use a code up. `accepted` says whether it was one, unused.

        :raises NotFoundError: no such entity, or none were made
        :raises FactorParameterError: the code is not 16 characters of Crockford's Base32
        :raises FactorRefusedError: `BACKUP_SPENT`, `DISABLED`
        :raises BusyError: others hash too; no try is taken
        """
        typed = read_code(code)
        most = self._settings.disable_after_failures
        with self._db.statement() as connection:
            entity = self._entity(connection, account_sid, service_sid, identity)
        with _turn():
            with self._db.statement() as connection:
                where = {"b_entity": entity.sid, "b_most": most}
                taken = connection.execute(_TAKE_TRY, where).mappings().one_or_none()
                if taken is None:
                    raise _why_refused(_set(connection, entity), most)
            hashed = hash_code(typed, taken["salt"])
        with self._db.begin() as connection:
            used = connection.execute(_USE, {"b_entity": entity.sid, "b_hash": hashed}).rowcount
            if used:
                connection.execute(_CLEAR, {"b_entity": entity.sid, "b_salt": taken["salt"]})
            left = _set(connection, entity)
        if used:
            log.info("backup_code.used", entity=entity.sid, remaining=left["remaining"])
        return BackupCodes(entity, left["remaining"], left["created_at"], accepted=bool(used))


def new_code() -> str:
    """80 random bits as 16 characters of Crockford's Base32."""
    return base64.b32encode(secrets.token_bytes(CODE_BYTES)).decode().translate(_TO_CROCKFORD)


def shown(code: str) -> str:
    """In groups of four, as a user copies it."""
    return "-".join(code[i : i + 4] for i in range(0, len(code), 4))


def read_code(code: str) -> str:
    """What a user typed: case, dashes, spaces and Crockford's misreadings make no difference.

    :raises FactorParameterError: not such a code
    """
    bare = code.replace("-", "").replace(" ", "")
    typed = bare.upper().translate(_MISREAD) if bare.isascii() else ""
    if not _CODE.fullmatch(typed):
        raise FactorParameterError("Code", "must be a backup code of 16 letters and digits")
    return typed


def hash_code(code: str, salt: bytes) -> str:
    """Argon2id. The codes of a set share their salt, so that a check hashes once and not ten times;
    of 80 random bits that leaves more than enough.
    """
    return hash_secret(
        code.encode(),
        salt,
        time_cost=TIME_COST,
        memory_cost=MEMORY_KIB,
        parallelism=LANES,
        hash_len=32,
        type=Type.ID,
    ).decode()


@contextmanager
def _turn() -> Iterator[None]:
    """One of those who may hash at once. Who waits holds a thread, so nobody waits long.

    :raises BusyError: none is free
    """
    if not _TURNS.acquire(timeout=TURN_SECONDS):
        raise BusyError(COME_BACK)
    try:
        yield
    finally:
        _TURNS.release()


def _set(connection: Connection, entity: Entity) -> RowMapping:
    row = connection.execute(_SET, {"entity": entity.sid}).mappings().one_or_none()
    if row is None:
        raise NotFoundError("backup codes")
    return row


def _why_refused(found: RowMapping, most: int) -> SendcodeError:
    if found["failures"] >= most:
        return FactorRefusedError(FactorRefusal.DISABLED)
    return FactorRefusedError(FactorRefusal.BACKUP_SPENT, max(1, -(-found["wait"] // 1000)))
