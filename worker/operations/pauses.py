"""Pause and resume: what is paused is kept unsent, and goes out at resume if it still lives."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import phonenumbers
import structlog
from sqlalchemy import Connection, Select, bindparam, delete, func, null, or_, select, text, update

from worker import phone
from worker.audit import Operator, clean_reason, write_down
from worker.db import Database, now_ms, then_ms
from worker.errors import InvalidParameterError
from worker.holds import Holds, PauseKind
from worker.models import deliveries, verifications
from worker.operations.words import Outcome, Result, acting, check_span, done_or_would
from worker.operator_tables import pauses
from worker.states import DELIVERY_QUEUES, Channel

log = structlog.get_logger()

MOST = 10_000  # held deliveries that are counted
ENDED = Operator("sendcode", "relay")
_p, _d, _v = pauses.c, deliveries.c, verifications.c
_QUEUED = text("deliveries.state = 'queued'")
_THIS = (_p.kind == bindparam("b_kind"), _p.name == bindparam("b_name"))
_OVERDUE = delete(pauses).where(_p.until <= now_ms()).returning(pauses)
# A text that is held does not arrive, so a plan need not wait for it.
_PLANS_GO_ON = (
    update(deliveries)
    .where(
        _QUEUED,
        _d.channel.in_(bindparam("b_channels", expanding=True)),
        or_(_d.follow_at.is_(None), _d.follow_at > now_ms()),
    )
    .values(follow_at=now_ms())
)


@dataclass(frozen=True, slots=True)
class Pause:
    """Times are ms since 1970 UTC; `until` is None for one that does not end by itself."""

    kind: str
    name: str
    reason: str
    paused_by: str
    since: int
    until: int | None


class Pauses:
    """
    :param senders: their names
    """

    def __init__(self, db: Database, holds: Holds, senders: Sequence[str]) -> None:
        self._db = db
        self._holds = holds
        self._senders = senders

    def all(self) -> list[Pause]:
        """What is paused now, the oldest first.

        :raises sqlalchemy.exc.SQLAlchemyError: the database does not answer
        """
        alive = select(pauses).where(or_(_p.until.is_(None), _p.until > then_ms()))
        with self._db.statement() as connection:
            rows = connection.execute(alive.order_by(_p.since)).mappings()
            return [Pause(**row) for row in rows]

    @acting("pause.set")
    def pause(
        self,
        by: Operator,
        kind: str,
        name: str,
        reason: str,
        until: int | None = None,
        *,
        dry_run: bool = False,
    ) -> Outcome:
        """Send nothing of a queue, by a channel, to a country or by a sender, in any process
        within two seconds. A pause that is there gets the new reason and end.

        :param until: seconds from now after which it ends by itself; None: not at all
        :raises InvalidParameterError: no such thing, no reason, or no such span
        """
        kind, name = self._known(kind, name)
        reason = clean_reason(reason)
        check_span(until)
        after: dict[str, Any] = {"reason": reason, "seconds": until}
        with self._db.begin() as connection:
            before = _find(connection, kind, name)
            after |= self._held_by(connection, kind, name)
            if not dry_run:
                self._set(connection, by, kind, name, reason, until)
                write_down(connection, by, "pause.set", f"{kind} {name}", reason, before, after)
        if not dry_run:
            held = self._holds.refresh()
            if kind in (PauseKind.CHANNEL, PauseKind.SENDER):
                self._let_plans_go_on(held.channels)
            log.warning("pause.set", kind=kind, name=name, seconds=until, by=by.name)
        return Outcome("pause.set", f"{kind} {name}", done_or_would(dry_run), before, after)

    @acting("pause.clear")
    def resume(
        self, by: Operator, kind: str, name: str, reason: str, *, dry_run: bool = False
    ) -> Outcome:
        """Send again what is paused, also what was held, as far as its code still lives.

        :raises InvalidParameterError: no such thing, or no reason
        """
        kind, name = self._known(kind, name)
        reason, target = clean_reason(reason), f"{kind} {name}"
        with self._db.begin() as connection:
            before = _find(connection, kind, name)
            if before is None:
                return Outcome("pause.clear", target, Result.UNCHANGED)
            before |= self._held_by(connection, kind, name)
            if not dry_run:
                connection.execute(delete(pauses).where(*_THIS), {"b_kind": kind, "b_name": name})
                write_down(connection, by, "pause.clear", target, reason, before)
        if not dry_run:
            self._holds.refresh()
            log.warning("pause.cleared", kind=kind, name=name, by=by.name)
        return Outcome("pause.clear", target, done_or_would(dry_run), before)

    def end_overdue(self) -> None:
        """Take away pauses whose time is over; they hold nothing any more even before this."""
        with self._db.statement() as connection:
            if connection.execute(select(_p.kind).where(_p.until <= then_ms())).first() is None:
                return
        with self._db.begin() as connection:
            gone = [Pause(**row) for row in connection.execute(_OVERDUE).mappings()]
            for one in gone:
                target = f"{one.kind} {one.name}"
                write_down(
                    connection, ENDED, "pause.clear", target, "its time is over", asdict(one)
                )
        for one in gone:
            log.warning("pause.cleared", kind=one.kind, name=one.name, by=ENDED.name)

    def _known(self, kind: str, name: str) -> tuple[str, str]:
        known: dict[str, Sequence[str]] = {
            PauseKind.QUEUE: DELIVERY_QUEUES,
            PauseKind.CHANNEL: [channel.value for channel in Channel],
            PauseKind.COUNTRY: sorted(phonenumbers.SUPPORTED_REGIONS),
            PauseKind.SENDER: self._senders,
        }
        if kind not in known:
            raise InvalidParameterError("Kind", f"must be one of {', '.join(known)}")
        name = phone.region(name) or "" if kind == PauseKind.COUNTRY else name
        if name not in known[kind]:
            names = f"one of: {', '.join(known[kind])}"
            wanted = "an ISO 3166 code, such as GB" if kind == PauseKind.COUNTRY else names
            raise InvalidParameterError("Name", f"of a {kind} must be {wanted}")
        return kind, name

    def _set(
        self,
        connection: Connection,
        by: Operator,
        kind: str,
        name: str,
        reason: str,
        until: int | None,
    ) -> None:
        values = {
            "reason": reason,
            "paused_by": by.name[:64],
            "until": null() if until is None else now_ms() + until * 1000,
        }
        statement = self._db.insert(pauses).values(kind=kind, name=name, since=now_ms(), **values)
        connection.execute(
            statement.on_conflict_do_update(index_elements=["kind", "name"], set_=values)
        )

    def _held_by(self, connection: Connection, kind: str, name: str) -> dict[str, Any]:
        """How many queued deliveries this pause concerns. A sender's are those of the channels that
        no other sender serves: which one takes a delivery is decided when it is taken.
        """
        queued = select(_d.sid).where(_QUEUED, _d.expires_at > then_ms())
        if kind == PauseKind.SENDER:
            alone, shared = self._holds.channels_of(name)
            held = _count(connection, queued.where(_d.channel.in_(alone))) if alone else {"held": 0}
            return held | ({"others_take_over": ", ".join(shared)} if shared else {})
        if kind == PauseKind.COUNTRY:
            there = queued.join(verifications, _v.sid == _d.verification_sid)
            return _count(connection, there.where(_v.country == name))
        column = _d.queue if kind == PauseKind.QUEUE else _d.channel
        return _count(connection, queued.where(column == name))

    def _let_plans_go_on(self, channels: Collection[str]) -> None:
        if channels:
            with self._db.statement() as connection:
                connection.execute(_PLANS_GO_ON, {"b_channels": sorted(channels)})


def _find(connection: Connection, kind: str, name: str) -> dict[str, Any] | None:
    row = (
        connection.execute(
            select(_p.reason, _p.paused_by, _p.since, _p.until).where(*_THIS),
            {"b_kind": kind, "b_name": name},
        )
        .mappings()
        .one_or_none()
    )
    return None if row is None else dict(row)


def _count(connection: Connection, queued: Select[Any]) -> dict[str, Any]:
    """How many there are, up to `MOST`; with `more` where that many were found."""
    found = queued.limit(MOST).subquery()
    held = int(connection.execute(select(func.count()).select_from(found)).scalar_one())
    return {"held": held} | ({"more": True} if held >= MOST else {})
