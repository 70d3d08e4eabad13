"""Block and unblock: numbers and prefixes that nothing is sent to."""

import re
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Connection, delete, insert, null, or_, select, update

from worker import phone
from worker.audit import Operator, clean_reason, write_down
from worker.codes import Keyring
from worker.db import Database, now_ms, then_ms
from worker.errors import InvalidParameterError
from worker.holds import Holds
from worker.models import new_sid
from worker.operations.words import Outcome, Result, acting, check_span, done_or_would
from worker.operator_tables import blocked_numbers, blocks
from worker.states import Channel

log = structlog.get_logger()

NUMBER, PREFIX = "number", "prefix"
# Seven digits are no whole number, but for a few islands', which are read as numbers first.
_PREFIX = re.compile(r"\+[1-9][0-9]{0,6}", re.ASCII)
_SID = re.compile(r"BK[0-9a-f]{32}", re.ASCII)
_b, _n = blocks.c, blocked_numbers.c


@dataclass(frozen=True, slots=True)
class Block:
    """Times are ms since 1970 UTC.

    :param kind: `number` or `prefix`
    :param name: the prefix, or the number masked
    """

    sid: str
    kind: str
    name: str
    reason: str
    blocked_by: str
    since: int
    until: int | None


@dataclass(frozen=True, slots=True)
class _Target:
    kind: str
    name: str
    indexes: tuple[bytes, ...] = ()


def is_prefix(what: str) -> bool:
    """Whether a block of it is one of a prefix, and not of a number."""
    try:
        phone.parse(what, Channel.CALL)
    except InvalidParameterError:
        return _PREFIX.fullmatch(what) is not None
    return False


class Blocks:
    def __init__(self, db: Database, keyring: Keyring, holds: Holds) -> None:
        self._db = db
        self._keyring = keyring
        self._holds = holds

    def all(self, limit: int = 1000, before: str | None = None) -> list[Block]:
        """What is blocked now, the newest first.

        :param before: the sid that the page before ended with
        """
        alive = select(blocks).where(or_(_b.until.is_(None), _b.until > then_ms()))
        if before is not None:
            alive = alive.where(_b.sid < before)
        with self._db.statement() as connection:
            rows = connection.execute(alive.order_by(_b.sid.desc()).limit(limit)).mappings()
            return [Block(**row) for row in rows]

    @acting("block.set")
    def block(
        self,
        by: Operator,
        what: str,
        reason: str,
        until: int | None = None,
        *,
        dry_run: bool = False,
    ) -> Outcome:
        """Refuse starts to a number or a prefix, and let what waits for it fail. A block that is
        there gets the new reason and end.

        :param what: a number in any international spelling, or a prefix such as `+8835`, of up to
            seven digits
        :param until: seconds from now after which it ends by itself; None: not at all
        :raises InvalidParameterError: neither number nor prefix, no reason, or no such span
        """
        target, reason = self._target(what), clean_reason(reason)
        check_span(until)
        after = {"kind": target.kind, "reason": reason, "seconds": until}
        with self._db.begin() as connection:
            sid, before = self._find(connection, target)
            if not dry_run:
                self._set(connection, by, target, sid, reason, until)
                write_down(connection, by, "block.set", target.name, reason, before, after)
        if not dry_run:
            self._holds.refresh()
        return Outcome("block.set", target.name, done_or_would(dry_run), before, after)

    @acting("block.clear")
    def unblock(self, by: Operator, what: str, reason: str, *, dry_run: bool = False) -> Outcome:
        """Let a number or a prefix be sent to again.

        :param what: as it was blocked, or the block's sid
        :raises InvalidParameterError: neither number nor prefix, or no reason
        """
        reason = clean_reason(reason)
        with self._db.begin() as connection:
            if _SID.fullmatch(what):
                sid, before = self._load(connection, what)
                name = before["name"] if before else what
            else:
                target = self._target(what)
                sid, before = self._find(connection, target)
                name = target.name
            if sid is None:
                return Outcome("block.clear", name, Result.UNCHANGED)
            if not dry_run:
                connection.execute(delete(blocks).where(_b.sid == sid))
                write_down(connection, by, "block.clear", name, reason, before)
        if not dry_run:
            self._holds.refresh()
        return Outcome("block.clear", name, done_or_would(dry_run), before)

    def end_overdue(self) -> None:
        """Delete blocks whose time is over; they refuse nothing any more even before this."""
        overdue = _b.until <= then_ms()
        with self._db.statement() as connection:  # a look locks nobody out, a DELETE of none does
            if connection.execute(select(_b.sid).where(overdue).limit(1)).first() is not None:
                connection.execute(delete(blocks).where(overdue))

    def _target(self, what: str) -> _Target:
        try:
            number = phone.parse(what, Channel.CALL).e164
        except InvalidParameterError as error:
            prefix = "".join(what.split())
            if _PREFIX.fullmatch(prefix):
                return _Target(PREFIX, prefix)
            text = f"{error.reason}; a prefix is + and up to seven digits"
            raise InvalidParameterError("To", text) from None
        indexes = tuple(self._keyring.number_indexes(number))
        return _Target(NUMBER, phone.mask(number), indexes)

    def _find(
        self, connection: Connection, target: _Target
    ) -> tuple[str | None, dict[str, Any] | None]:
        if target.kind == PREFIX:
            wanted = select(_b.sid).where(_b.kind == PREFIX, _b.name == target.name)
        else:
            wanted = select(_n.block_sid).where(_n.number_index.in_(target.indexes))
        sid = connection.execute(wanted.limit(1)).scalar_one_or_none()
        return (None, None) if sid is None else self._load(connection, sid)

    def _load(self, connection: Connection, sid: str) -> tuple[str | None, dict[str, Any] | None]:
        # Locked: one that ends at this moment is gone before it is looked at, or stays.
        wanted = select(blocks).where(_b.sid == sid).with_for_update()
        row = connection.execute(wanted).mappings().one_or_none()
        return (None, None) if row is None else (sid, dict(row))

    def _set(
        self,
        connection: Connection,
        by: Operator,
        target: _Target,
        sid: str | None,
        reason: str,
        until: int | None,
    ) -> None:
        ends = null() if until is None else now_ms() + until * 1000
        values = {"reason": reason, "blocked_by": by.name[:64], "until": ends}
        if sid is not None:
            connection.execute(update(blocks).where(_b.sid == sid).values(**values))
            connection.execute(
                update(blocked_numbers).where(_n.block_sid == sid).values(until=ends)
            )
            return
        sid = new_sid("BK")
        new = {"sid": sid, "kind": target.kind, "name": target.name, "since": now_ms(), **values}
        if target.kind == PREFIX:
            statement = self._db.insert(blocks).values(**new)
            connection.execute(  # another may have just done it
                statement.on_conflict_do_update(
                    index_elements=[_b.name],
                    index_where=_b.kind == PREFIX,
                    set_=values,
                )
            )
            return
        connection.execute(insert(blocks).values(**new))
        rows = [
            {"number_index": index, "block_sid": sid, "until": ends} for index in target.indexes
        ]
        statement = self._db.insert(blocked_numbers).values(rows).on_conflict_do_nothing()
        if not connection.execute(statement.returning(_n.number_index)).all():
            # Another has blocked it since we looked; one block stands for it.
            connection.execute(delete(blocks).where(_b.sid == sid))
