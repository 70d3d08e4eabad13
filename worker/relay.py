"""The relay: makes up for everything the broker may forget. Every step is a conditional write.

Two relays may run at once and either may die anywhere: a step done twice changes nothing, and a
delivery published twice is claimed once.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import redis
import structlog
from sqlalchemy import (
    Row,
    Select,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    text,
    update,
)

from worker import __version__, celery_app, logs, metrics
from worker.chores import Chore, run_chores
from worker.db import Database, now_ms, then_ms
from worker.fallback import Fallback
from worker.holds import Holds
from worker.models import deliveries, verifications
from worker.operations import Operations
from worker.outbox import Event, delivery_hooked, note
from worker.queues import PUBLISHED_AT, depth, oldest_waiting
from worker.settings import Settings
from worker.statements import PENDING, SPENT, Publish
from worker.states import DELIVERY_QUEUES, NO_RECEIPT, DeliveryState, VerificationStatus

log = structlog.get_logger()

BATCH = 500
ROUNDS = 10  # batches of one queue that are published between two looks at everything else
TICK = 0.5  # seconds between two looks at what is due
END_EVERY = 1  # pauses and blocks
HEARTBEAT_EVERY = 5
HINT_PATIENCE = 60_000  # ms after which a hint is repeated even if it may still wait in its queue
LONG_QUEUE = 500  # messages from which repeats would only make the wait longer
RECEIPT_GRACE = 60_000  # ms after a code's life in which a receipt may still come
ENQUIRE_EVERY = 60_000  # ms between two questions about one delivery; more, the older it is
ASKED_AT_ONCE = 10  # deliveries in one message: a provider that hangs holds it for each
SHARED_FROM = 64  # due deliveries from which one message carries two of them
SLACK = 1_000  # ms between a row's commit and its message being visible in the broker

_d, _v = deliveries.c, verifications.c
# Literal, so that PostgreSQL sees that the partial indexes apply.
_QUEUED = text("deliveries.state = 'queued'")
_SENDING = text("deliveries.state = 'sending'")
_TAKEN = text("deliveries.state IN ('accepted', 'sent')")
_LIVE_OR_SPENT = text("verifications.status IN ('pending', 'max_attempts_reached')")

# Due and never hinted, or hinted with a message that cannot be in the queue any more. Whether
# the verification still lives is the claim's to decide.
_DUE = (
    select(_d.sid, _d.expires_at, then_ms().label("now"))
    .where(
        _QUEUED,
        _d.next_try_at <= then_ms(),
        _d.expires_at > then_ms(),
        _d.queue == bindparam("queue"),
        _d.hinted_at < bindparam("lost_before"),
    )
    .order_by(_d.hinted_at)
    .limit(BATCH)
    .with_for_update(skip_locked=True, of=deliveries)
)
_HINT = (
    update(deliveries)
    .where(_d.sid.in_(bindparam("b_sids", expanding=True)))
    .values(hinted_at=now_ms())
)
_DEAD_LEASES = (
    select(_d.sid, _d.channel)
    .where(_SENDING, _d.lease_until < then_ms())
    .limit(BATCH)
    .with_for_update(skip_locked=True)
)
_RECOVER = (
    update(deliveries)
    .where(
        _d.sid.in_(bindparam("b_sids", expanding=True)),
        _d.state == DeliveryState.SENDING,
        _d.lease_until < now_ms(),
    )
    .values(
        state=DeliveryState.QUEUED.value,
        doubts=_d.doubts + 1,
        next_try_at=now_ms(),
        hinted_at=0,
        lease_until=None,
        slot_of=None,
        error_code="worker_lost",
    )
)
_OVERDUE_DELIVERIES = (
    select(_d.sid, _d.queue, delivery_hooked().label("hooked"))
    .where(_QUEUED, _d.expires_at <= then_ms())
    .order_by(_d.expires_at)
    .limit(BATCH)
    .with_for_update(skip_locked=True)
)
_END_DELIVERIES = (
    update(deliveries)
    .where(
        _d.sid.in_(bindparam("b_sids", expanding=True)),
        _d.state == DeliveryState.QUEUED,
        _d.expires_at <= now_ms(),
    )
    .values(
        state=DeliveryState.EXPIRED.value,
        ended_at=now_ms(),
    )
)
# Deliveries the provider took and nobody reported on for a while: the provider is asked, again and
# again while the code lives. After that they end as not known to have arrived; a receipt that
# comes after all still counts.
_UNRECEIPTED = select(_d.sid).where(_TAKEN, _d.next_try_at <= then_ms())
_TO_ASK = (
    _UNRECEIPTED.where(_d.expires_at >= then_ms() - RECEIPT_GRACE)
    .limit(BATCH)
    .with_for_update(skip_locked=True)
)
# The older it is the more seldom, but in time to end where nobody says anything.
_SOON, _END = now_ms() + ENQUIRE_EVERY, _d.expires_at + RECEIPT_GRACE
_PATIENTLY = now_ms() + (now_ms() - func.coalesce(_d.accepted_at, _d.created_at)) // 4
_ASKED = (
    update(deliveries)
    .where(_d.sid.in_(bindparam("b_sids", expanding=True)))
    .values(
        next_try_at=case(
            (or_(_PATIENTLY <= _SOON, _END <= _SOON), _SOON),
            (_END < _PATIENTLY, _END),
            else_=_PATIENTLY,
        )
    )
)
_SILENT = (
    _UNRECEIPTED.where(_d.expires_at < then_ms() - RECEIPT_GRACE)
    .limit(BATCH)
    .with_for_update(skip_locked=True)
)
_GIVE_UP = (
    update(deliveries)
    .where(_d.sid.in_(bindparam("b_sids", expanding=True)), _d.state.in_(("accepted", "sent")))
    .values(
        state=DeliveryState.UNDELIVERED.value,
        error_code=NO_RECEIPT,
        ended_at=now_ms(),
    )
)
# A backend's own code that nothing needs any more: its verification has ended, or every delivery
# has, and none is to follow.
_OPEN = (
    DeliveryState.QUEUED,
    DeliveryState.SENDING,
    DeliveryState.ACCEPTED,
    DeliveryState.SENT,
)
_TOLD = or_(
    _v.status != PENDING,
    ~exists().where(
        _d.verification_sid == _v.sid, or_(_d.state.in_(_OPEN), _d.follow_at.is_not(None))
    ),
)
_TOLD_CODES = (
    select(_v.sid)
    .where(text("verifications.code_sealed IS NOT NULL"), _TOLD)
    .limit(BATCH)
    .with_for_update(skip_locked=True, of=verifications)
)
_FORGET_CODES = (  # asks again under the lock: a resend may have come between
    update(verifications)
    .where(_v.sid.in_(bindparam("b_sids", expanding=True)), _TOLD)
    .values(code_sealed=None)
)
_OVERDUE_VERIFICATIONS = (
    select(_v.sid)
    .where(_LIVE_OR_SPENT, _v.expires_at <= then_ms())
    .order_by(_v.expires_at)
    .limit(BATCH)
    .with_for_update(skip_locked=True)
)
_END_VERIFICATIONS = (
    update(verifications)
    .where(
        _v.sid.in_(bindparam("b_sids", expanding=True)),
        _v.status.in_((PENDING, SPENT)),
        _v.expires_at <= now_ms(),
    )
    .values(status=VerificationStatus.EXPIRED.value, updated_at=now_ms())
)


class Relay:
    """Publishes what is due, recovers dead leases and ends what is over."""

    def __init__(
        self,
        db: Database,
        broker: "redis.Redis",
        settings: Settings,
        publish: Publish,
        fallback: Fallback,
        ask_about: Callable[[Sequence[str]], bool],
        holds: Holds,
        operations: Operations,
    ) -> None:
        self._db = db
        self._broker = broker
        self._settings = settings
        self._publish = publish
        self._fallback = fallback
        self._ask_about = ask_about
        self._holds = holds
        self._operations = operations

    def run(self, stop: threading.Event) -> None:
        """Tick until `stop` is set. A database or broker that is away is tried again."""
        chores = (
            Chore(self.settle, TICK),
            Chore(self.publish, TICK),
            Chore(self._operations.end_overdue, END_EVERY),
            Chore(send_heartbeat, HEARTBEAT_EVERY),
        )
        log.info("relay.started", version=__version__)
        run_chores(chores, stop)
        log.info("relay.stopped")

    def tick(self) -> None:
        """One look at everything that may be due. Ending comes before publishing."""
        self.settle()
        self.publish()

    def settle(self) -> None:
        """End, recover and follow up what is due: the database alone decides."""
        self._in_batches(_OVERDUE_DELIVERIES, _END_DELIVERIES, _discarded, tells=Event.FAILED)
        self._in_batches(_OVERDUE_VERIFICATIONS, _END_VERIFICATIONS, _expired, tells=Event.EXPIRED)
        self._in_batches(_DEAD_LEASES, _RECOVER, _recovered)
        self._in_batches(_SILENT, _GIVE_UP, _never_told, tells=Event.UNDELIVERED)
        self._in_batches(_TO_ASK, _ASKED, self._ask)
        self._in_batches(_TOLD_CODES, _FORGET_CODES, _forgotten)
        for sid in self._fallback.due():
            if not self._fallback.follow(sid):
                break  # each of the others would wait for the broker, too

    def _ask(self, rows: Sequence[Row[Any]]) -> None:
        sids = _sids(rows)
        log.info("receipt.asked_for", deliveries=sids)
        for first in range(0, len(sids), ASKED_AT_ONCE):
            if not self._ask_about(sids[first : first + ASKED_AT_ONCE]):
                break  # a broker that hangs would hold us at each; they are asked about again

    def publish(self) -> None:
        """Tell the broker of what is due, not held and cannot be in its queue any more, the oldest
        hint first; of a backlog a bounded part."""
        for queue in DELIVERY_QUEUES:
            if queue in self._holds.now().queues:
                continue
            lost_before = self._lost_before(queue)
            for _ in range(ROUNDS):
                if self.publish_due(queue, lost_before) < BATCH:
                    break

    def publish_due(self, queue: str, lost_before: int) -> int:
        """Publish one batch of due deliveries; how many.

        A delivery whose message may still wait in its queue is left alone. The queue is first in,
        first out, so a message older than the oldest one waiting is no longer there.
        """
        clock = time.monotonic()
        held = self._holds.now()
        which = _DUE.where(held.free()) if held.holds else _DUE
        with self._db.begin() as connection:
            due = connection.execute(which, {"queue": queue, "lost_before": lost_before}).all()
            if due:
                connection.execute(_HINT, {"b_sids": [row.sid for row in due]})
        size = 1 + len(due) // SHARED_FROM  # a backlog shares its messages
        for some in (due[i : i + size] for i in range(0, len(due), size)):
            now = some[0].now + logs.ms_since(clock)
            life = max(1, (max(row.expires_at for row in some) - now) // 1000)
            if not self._publish(queue, [row.sid for row in some], life, now):
                break  # a broker that hangs would hold us at each one; they are hinted again
        if due:
            log.info("backlog.published", queue=queue, count=len(due))
        return len(due)

    def _lost_before(self, queue: str) -> int:
        """Hints older than this (ms since 1970 UTC) are not in the queue any more."""
        with self._db.statement() as connection:
            now = int(connection.execute(select(now_ms())).scalar_one())
        waiting = oldest_waiting(self._broker, queue)
        if waiting is None:
            return now - SLACK
        passed = min(waiting, now) - SLACK
        if depth(self._broker, queue) >= LONG_QUEUE:
            return max(passed, 1)  # what was put off, or never told, is in no queue
        return max(passed, now - HINT_PATIENCE)

    def _in_batches(
        self,
        which: Select[Any],
        change: object,
        then: Callable[[Sequence[Row[Any]]], object],
        tells: Event | None = None,
    ) -> None:
        while True:
            with self._db.begin() as connection:
                rows = connection.execute(which).all()
                if rows:
                    sids = _sids(rows)
                    connection.execute(change, {"b_sids": sids})  # type: ignore[call-overload]
                    told = [row.sid for row in rows if getattr(row, "hooked", True)]
                    if tells and told:
                        note(connection, tells, told)
            if rows:
                then(rows)
            if len(rows) < BATCH:
                return


def _sids(rows: Sequence[Row[Any]]) -> list[str]:
    return [row.sid for row in rows]


def _expired(rows: Sequence[Row[Any]]) -> None:
    log.info("code.expired", verifications=_sids(rows))
    metrics.expired(len(rows))


def _never_told(rows: Sequence[Row[Any]]) -> None:
    log.info("receipt.missing", deliveries=_sids(rows))
    metrics.receipts_missing(len(rows))


def _forgotten(rows: Sequence[Row[Any]]) -> None:
    log.debug("code.forgotten", verifications=_sids(rows))


def _discarded(rows: Sequence[Row[Any]]) -> None:
    log.info("job.discarded", reason=DeliveryState.EXPIRED.value, deliveries=_sids(rows))
    for row in rows:
        metrics.discarded(row.queue, DeliveryState.EXPIRED)


def _recovered(rows: Sequence[Row[Any]]) -> None:
    log.warning("lease.recovered", deliveries=_sids(rows))
    for row in rows:
        metrics.put_off(row.channel, "worker_lost")


def send_heartbeat() -> None:
    """Send a message through the queue; the worker that takes it writes down when."""
    now = time.time_ns() // 1_000_000
    celery_app.app.send_task(
        celery_app.HEARTBEAT,
        args=[now],
        headers={PUBLISHED_AT: now},
        queue="relay",
        expires=HEARTBEAT_EVERY * 3,
        retry=False,
    )
