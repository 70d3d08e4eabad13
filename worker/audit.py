"""The audit log: who did what to what, why, from where, and what was before and after.

No entry holds a whole number, a code or a key: numbers are masked, also in what is written as a
reason.
"""

import ipaddress
import re
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from worker.db import Database, now_ms, then_ms
from worker.errors import InvalidParameterError
from worker.models import new_sid, sid_at
from worker.operator_tables import audit

KEPT = 365 * 86_400_000  # ms
MOST_REASON = 200  # characters
UNASKED = "none was asked for"  # the reason of what takes none
_a = audit.c
_SID = re.compile(r"[A-Z]{2}[0-9a-f]{32}", re.ASCII)
_NUMBER = re.compile(r"\+?\d(?:[\s().\-/]?\d){6,}")  # what may be somebody's phone number


@dataclass(frozen=True, slots=True)
class Operator:
    """Who acts.

    :param name: a user, or an API key's sid
    :param address: where from: an IP address, or the host of a command line
    :param admin: may also override limits
    """

    name: str
    address: str
    admin: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """`at` is ms since 1970 UTC."""

    sid: str
    at: int
    who: str
    address: str
    action: str
    target: str
    reason: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Audit:
    def __init__(self, db: Database) -> None:
        self._db = db

    def page(
        self,
        limit: int = 50,
        before: str | None = None,
        *,
        action: str | None = None,
        who: str | None = None,
        target: str | None = None,
    ) -> list[Entry]:
        """Entries, the newest first.

        :param before: the sid that the page before ended with
        """
        statement = select(audit).order_by(_a.sid.desc()).limit(limit)
        if before is not None:
            statement = statement.where(_a.sid < before)
        for column, wanted in ((_a.action, action), (_a.who, who), (_a.target, target)):
            if wanted is not None:
                statement = statement.where(column == wanted)
        with self._db.statement() as connection:
            return [Entry(**row) for row in connection.execute(statement).mappings()]

    def purge(self) -> None:
        """Delete what is older than a year."""
        old = sid_at("OA", int(time.time() * 1000) - KEPT)  # by the index of the sids
        with self._db.statement() as connection:
            connection.execute(delete(audit).where(_a.sid < old, _a.at < then_ms() - KEPT))


def write_down(
    connection: Connection,
    by: Operator,
    action: str,
    target: str,
    reason: str,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Add an entry, in the transaction of what it tells of.

    :param reason: as `clean_reason` gives it
    """
    connection.execute(
        insert(audit).values(
            sid=new_sid("OA"),
            at=now_ms(),
            who=by.name[:64],
            address=by.address[:64],
            action=action,
            target=target[:80],
            reason=reason,
            before=before,
            after=after,
        )
    )


def configured(
    connection: Connection, by: Operator | None, action: str, target: str, **after: Any
) -> None:
    """Add the entry of a change for which no reason is asked; none where nobody is named.

    :param after: what was set, whose texts lose what may be numbers
    """
    if by is not None:
        shown = {name: _plain(value) for name, value in after.items()}
        write_down(connection, by, action, target, UNASKED, after=shown or None)


def _plain(value: Any) -> Any:
    if not isinstance(value, str) or _SID.fullmatch(value) or _is_address(value):
        return value
    return without_numbers(value)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def clean_reason(text: str) -> str:
    """A reason as it is kept: what looks like a phone number is taken out.

    :raises InvalidParameterError: empty, too long, or not plain text
    """
    shown = without_numbers(" ".join(text.split()))
    if not shown:
        raise InvalidParameterError("Reason", "say why: it is kept in the audit log")
    if len(shown) > MOST_REASON or not shown.isprintable():
        raise InvalidParameterError(
            "Reason", f"must be plain text of up to {MOST_REASON} characters"
        )
    return shown


def without_numbers(text: str) -> str:
    """A text in which `[number]` stands for what may be somebody's phone number."""
    return _NUMBER.sub("[number]", text)
