"""How sendcode stands: what waits where and for how long, who works, what came of it. Reads only.

Every look is bounded, so it costs the same on ten rows and on ten million: a partial index holds
what is under way, sids begin with the time, and no look counts more than `MOST` rows, of what waits
`MOST` of each queue.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import redis
from sqlalchemy import (
    ColumnElement,
    Select,
    Subquery,
    and_,
    bindparam,
    case,
    func,
    literal,
    select,
    text,
    true,
    union_all,
)

from worker import flows, presence, queues
from worker.circuits import Circuit, Circuits
from worker.db import Database, now_ms, then_ms
from worker.flows import Flow
from worker.holds import Held, Holds
from worker.models import deliveries, sid_at, verifications
from worker.presence import Worker
from worker.senders import Sender
from worker.states import DELIVERY_QUEUES, QUEUES

MOST = 10_000  # rows one look counts; a count of this many means "at least"
HEARTBEAT = "sendcode:heartbeat"
BEATS = "relay"  # the queue that heartbeats go through
SILENT_AFTER = 15  # seconds without a heartbeat that passed through the queue

_d, _v = deliveries.c, verifications.c
_NOW = select(now_ms())
_sending = (
    select(_d.queue).where(text("deliveries.state = 'sending'")).limit(MOST).subquery("sending")
)
_SENDING = select(_sending.c.queue, func.count().label("in_flight")).group_by(_sending.c.queue)
_recent = (
    select(_d.state)
    .where(_d.sid >= bindparam("since"))
    .order_by(_d.sid.desc())
    .limit(MOST)
    .subquery("recent")
)
_STATES = select(_recent.c.state, func.count()).group_by(_recent.c.state)
_pending = (
    select(_v.sid)
    .where(
        text("verifications.status IN ('pending', 'max_attempts_reached')"),
        _v.status == "pending",
        _v.expires_at > then_ms(),
    )
    .limit(MOST)
    .subquery("pending")
)
_PENDING = select(func.count()).select_from(_pending)


def _queued(held: Held) -> Select[Any]:
    """What waits, by queue: `MOST` rows of each, so that a flood in one hides no other. What is
    held waits for nobody, so it has no age. What was put off does: whoever asked for it sits before
    a form, whyever it has not gone out.
    """
    some = [_waiting(held, _d.queue == queue, _d.hinted_at) for queue in DELIVERY_QUEUES]
    of = union_all(*(select(one) for one in some)).subquery().c
    due = case((and_(of.held == 0, of.next_try_at <= then_ms()), 1), else_=0)
    later = case((and_(of.held == 0, of.next_try_at > then_ms()), 1), else_=0)
    return select(
        of.queue,
        func.sum(due).label("due"),
        func.sum(later).label("later"),
        func.min(case((of.held == 0, of.created_at))).label("since"),
        func.sum(of.held).label("held"),
        func.count().label("seen"),
    ).group_by(of.queue)


def _oldest(held: Held) -> Select[Any]:
    """Since when the codes wait that end first. Of a queue with more than `MOST` rows these are the
    oldest, while `_queued` sees those that the broker was told of first.
    """
    of = _waiting(held, true(), _d.expires_at).c
    return (
        select(of.queue, func.min(of.created_at).label("since"))
        .where(of.held == 0)
        .group_by(of.queue)
    )


def _waiting(held: Held, which: ColumnElement[bool], first: ColumnElement[Any]) -> Subquery:
    is_held = case((held.free(), 0), else_=1) if held.holds else literal(0)
    return (
        select(_d.queue, _d.created_at, _d.next_try_at, is_held.label("held"))
        .where(text("deliveries.state = 'queued'"), which)
        .order_by(first)
        .limit(MOST)
        .subquery()
    )


@dataclass(frozen=True, slots=True)
class QueueStanding:
    """One queue of the broker.

    :param waiting: deliveries that are due and that no worker has taken, or messages where these
        are more: a message carries several of a backlog, a backend's own is no delivery yet, and
        what is due may not be published yet
    :param later: deliveries whose next try is not due yet
    :param in_flight: deliveries that a worker holds
    :param held: deliveries that an operator's pause keeps
    :param at_least: so much is queued that not all was looked at: `waiting`, `later` and `held` may
        be more
    :param in_flight_at_least: likewise of what workers hold
    :param oldest_age: seconds since the oldest code that is not held was asked for, or its step of
        a plan came, also where its next try is put off, or since the oldest message was published;
        None when none waits, or when only messages of a backend of its own do, which tell no time
    """

    name: str
    waiting: int
    later: int
    in_flight: int
    oldest_age: float | None
    held: int = 0
    at_least: bool = False
    in_flight_at_least: bool = False


class Silent(StrEnum):
    """Whose fault it is that no heartbeat comes through the queue."""

    RELAY = "relay"  # workers are up, and nothing waits for them: nobody sends a heartbeat
    WORKERS = "workers"


def who_is_silent(seconds: float | None, workers: Sequence[Worker], beats: int) -> Silent | None:
    """
    :param seconds: since the last heartbeat that came through; None when none did in an hour
    :param workers: those that are up
    :param beats: messages that wait in the queue of heartbeats
    :returns: None when one came in time
    """
    if seconds is not None and seconds <= SILENT_AFTER:
        return None
    return Silent.RELAY if workers and not beats else Silent.WORKERS


class Standing:
    """
    :param senders: whose circuits are looked at
    """

    def __init__(
        self,
        db: Database,
        broker: "redis.Redis",
        circuits: Circuits,
        senders: tuple[Sender, ...],
        holds: Holds,
    ) -> None:
        self._db = db
        self._broker = broker
        self._circuits = circuits
        self._senders = senders
        self._holds = holds

    def queues(self) -> list[QueueStanding]:
        """Every queue. A code counts as waiting in the row, too: the broker may have lost it.

        :raises redis.RedisError: the broker does not answer
        :raises sqlalchemy.exc.SQLAlchemyError: the database does not answer
        """
        held = self._holds.now()
        with self._db.statement() as connection:
            now = int(connection.execute(_NOW).scalar_one())
            queued = {row.queue: row for row in connection.execute(_queued(held))}
            oldest = {row.queue: row.since for row in connection.execute(_oldest(held))}
            sending = {row.queue: row.in_flight for row in connection.execute(_SENDING)}
        cut = sum(sending.values()) >= MOST
        found = []
        for name in QUEUES:
            row = queued.get(name)
            since = (row and row.since, oldest.get(name), queues.oldest_waiting(self._broker, name))
            waits_since = min((at for at in since if at), default=None)
            found.append(
                QueueStanding(
                    name,
                    max(queues.depth(self._broker, name), int(row.due) if row else 0),
                    int(row.later) if row else 0,
                    sending.get(name, 0),
                    None if waits_since is None else max(0, now - waits_since) / 1000,
                    held=int(row.held) if row else 0,
                    at_least=row is not None and row.seen >= MOST,
                    in_flight_at_least=cut,
                )
            )
        return found

    def flows(self) -> dict[str, Flow]:
        """What came and was taken in the last minute, by queue, of the newest `MOST` deliveries of
        the last quarter of an hour.

        :raises sqlalchemy.exc.SQLAlchemyError: the database does not answer
        """
        with self._db.statement() as connection:
            return flows.read(connection)

    def silent_seconds(self) -> float | None:
        """Seconds since the last heartbeat that a worker took from the queue was sent; None when
        none was in the last hour.

        :raises redis.RedisError: the broker does not answer
        """
        beat = self._broker.get(HEARTBEAT)
        return max(0.0, time.time() - int(beat) / 1000) if beat else None

    def beats(self) -> int:
        """Messages that wait in the queue of heartbeats.

        :raises redis.RedisError: the broker does not answer
        """
        return queues.depth(self._broker, BEATS)

    def silent(self) -> Silent | None:
        """Who must be looked at when nothing shows that a worker takes messages.

        :raises redis.RedisError: the broker does not answer
        """
        return who_is_silent(self.silent_seconds(), self.workers(), self.beats())

    def workers(self) -> list[Worker]:
        """The worker processes that are up.

        :raises redis.RedisError: the broker does not answer
        """
        return presence.all_workers(self._broker)

    def circuits(self) -> list[Circuit]:
        """Every sender's circuits.

        :raises worker.errors.LimitsUnavailableError: the broker does not answer
        """
        return self._circuits.all(self._senders)

    def states(self, within: int) -> dict[str, int]:
        """How many of the deliveries of the last `within` seconds, the newest `MOST` of them, are
        in which state.

        :raises sqlalchemy.exc.SQLAlchemyError: the database does not answer
        """
        with self._db.statement() as connection:
            now = int(connection.execute(_NOW).scalar_one())
            since = sid_at("VL", now - within * 1000)
            return dict(connection.execute(_STATES, {"since": since}).all())

    def pending(self) -> int:
        """Verifications that are alive, counted up to `MOST`.

        :raises sqlalchemy.exc.SQLAlchemyError: the database does not answer
        """
        with self._db.statement() as connection:
            return int(connection.execute(_PENDING).scalar_one())
