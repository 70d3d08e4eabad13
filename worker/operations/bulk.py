"""Bulk: a verb on deliveries that match or were chosen, in the background, in the relay's process.

A job is a row with a cursor. Whoever holds its lease does the next one and moves the cursor, so a
relay that dies is followed by another, and stopping takes effect at the next one. Deliveries that
come after the job was made do not match, which the new ones of a retry would.
"""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import structlog
from sqlalchemy import RowMapping, bindparam, delete, insert, select, text, update

from worker import metrics
from worker.audit import Operator, clean_reason, write_down
from worker.db import UNAVAILABLE, Database, now_ms, then_ms
from worker.errors import (
    InvalidParameterError,
    LimitsUnavailableError,
    NotFoundError,
    SendcodeError,
)
from worker.filters import Filters, check
from worker.models import new_sid
from worker.operations.sending import Sending
from worker.operations.words import Outcome, Result, acting, done_or_would, require_admin
from worker.operator_tables import bulk_jobs
from worker.records import Records
from worker.sent import LONGEST_LIFE
from worker.states import Channel

log = structlog.get_logger()

SENDS = ("retry", "resend")  # of no use once the code is dead
VERBS = (*SENDS, "cancel")
MOST_CHOSEN = 500  # deliveries that are named one by one
BATCH = 50  # deliveries that one look finds
TICK = 1.0  # seconds between two looks for a job
LEASE = 5_000  # ms; one delivery takes less, and each renews it
_SID = re.compile(r"VL[0-9a-f]{32}", re.ASCII)
_j = bulk_jobs.c
_RUNNING = text("bulk_jobs.state = 'running'")
# In turns, since a code that waits behind another job's thousands would be dead.
_FREE = (
    select(_j.sid)
    .where(_RUNNING, _j.lease_until <= then_ms())
    .order_by(_j.updated_at, _j.sid)
    .limit(1)
)
_TAKE = (
    update(bulk_jobs)
    .where(_j.sid == bindparam("b_sid"), _j.state == "running", _j.lease_until <= now_ms())
    .values(lease_until=now_ms() + LEASE)
    .returning(bulk_jobs)
)
# The cursor is the fence: where it has moved, another relay does this job.
_OURS = (
    update(bulk_jobs)
    .where(
        _j.sid == bindparam("b_sid"),
        _j.state == "running",
        _j.cursor == bindparam("b_seen"),
    )
    .values(updated_at=now_ms())
)
_MOVE = _OURS.values(
    cursor=bindparam("b_cursor"),
    done=_j.done + bindparam("b_done"),
    unchanged=_j.unchanged + bindparam("b_unchanged"),
    failed=_j.failed + bindparam("b_failed"),
    lease_until=now_ms() + LEASE,
)
_FINISH = _OURS.values(state="done", ended_at=now_ms()).returning(bulk_jobs)
_LET_GO = (
    update(bulk_jobs)
    .where(_j.sid == bindparam("b_sid"), _j.cursor == bindparam("b_seen"))
    .values(lease_until=0)
)
_COUNTS = {Result.DONE: "b_done", Result.UNCHANGED: "b_unchanged"}


@dataclass(frozen=True, slots=True)
class BulkJob:
    """Times are ms since 1970 UTC.

    :param verb: `retry`, `resend` or `cancel`
    :param options: of a resend the `channel`; `override_limits`; `at_least`, where not all that
        match were counted
    :param filters: as `worker.filters.Filters`, without a number; of chosen ones their `sids`
    :param state: `running`, `done` or `stopped`
    :param total: what matched when it was made, of a retry or resend those whose code lived; what
        has changed since is passed over
    :param unchanged: nothing had to be done
    :param failed: refused, such as by a limit
    """

    sid: str
    verb: str
    options: dict[str, Any]
    filters: dict[str, Any]
    reason: str
    who: str
    address: str
    state: str
    total: int
    done: int
    unchanged: int
    failed: int
    created_at: int
    updated_at: int
    ended_at: int | None


class Bulk:
    def __init__(self, db: Database, records: Records, sending: Sending) -> None:
        self._db = db
        self._records = records
        self._sending = sending

    def all(self, limit: int = 50) -> list[BulkJob]:
        """Jobs, the newest first."""
        statement = select(bulk_jobs).order_by(_j.sid.desc()).limit(limit)
        with self._db.statement() as connection:
            return [_job(row) for row in connection.execute(statement).mappings()]

    def fetch(self, sid: str) -> BulkJob:
        """
        :raises NotFoundError: there is none
        """
        with self._db.statement() as connection:
            row = (
                connection.execute(select(bulk_jobs).where(_j.sid == sid)).mappings().one_or_none()
            )
        if row is None:
            raise NotFoundError("bulk job")
        return _job(row)

    @acting("bulk")
    def start(
        self,
        by: Operator,
        verb: str,
        filters: Filters,
        reason: str,
        *,
        channel: str | None = None,
        override_limits: bool = False,
        dry_run: bool = False,
    ) -> Outcome:
        """Have a verb done to all deliveries that match now; its sid is the target, the count is
        in `after`. A dry run counts. A retry or resend passes over what is older than any code
        lives, and what is dead; `after` has those that `live`.

        :param filters: with `sids`, up to `MOST_CHOSEN` deliveries that were chosen, and no other
            filter; of those that are gone none is made of
        :param channel: of a resend
        :raises InvalidParameterError: no such verb or channel, no reason, an unusable filter, or
            one by number, whose few deliveries are for `Sending`
        :raises ActionRefusedError: `not_allowed`, to override limits
        """
        reason = clean_reason(reason)
        if verb not in VERBS:
            raise InvalidParameterError("Verb", f"must be one of {', '.join(VERBS)}")
        if channel not in (tuple(Channel) if verb == "resend" else (None,)):
            raise InvalidParameterError("Channel", "goes with resend, and must be sms or call")
        check(filters)
        if filters.sids is not None:
            _check_chosen(filters.sids, filters.narrowed)
        if filters.number:
            raise InvalidParameterError("Number", "is no filter here: act on each of its sids")
        if override_limits:
            require_admin(by, "override limits")
        if verb in SENDS:
            filters = replace(filters, within=min(filters.within, LONGEST_LIFE // 1000))
        since, before = self._records.window(filters)
        counted = self._records.count(filters, since, before)
        options: dict[str, Any] = {"channel": channel, "override_limits": override_limits}
        options |= {"at_least": True} if counted.at_least else {}
        shown = _shown(filters)
        after = {"verb": verb, "total": counted.total, **_told(filters, shown), **options}
        after |= {"live": counted.alive} if verb in SENDS else {}
        total = counted.alive if verb in SENDS else counted.total
        if dry_run or not (total or counted.at_least):
            result = Result.WOULD if dry_run else Result.UNCHANGED
            return Outcome(f"bulk.{verb}", "-", result, after=after)
        sid = new_sid("OJ")
        with self._db.begin() as connection:
            connection.execute(
                insert(bulk_jobs).values(
                    sid=sid,
                    verb=verb,
                    options=options,
                    filters=shown,
                    reason=reason,
                    who=by.name[:64],
                    address=by.address[:64],
                    state="running",
                    total=total,
                    done=0,
                    unchanged=0,
                    failed=0,
                    since=since,
                    cursor=before,
                    lease_until=0,
                    created_at=now_ms(),
                    updated_at=now_ms(),
                )
            )
            write_down(connection, by, f"bulk.{verb}", sid, reason, after=after)
        return Outcome(f"bulk.{verb}", sid, Result.DONE, after=after)

    @acting("bulk.stop")
    def stop(self, by: Operator, sid: str, reason: str, *, dry_run: bool = False) -> Outcome:
        """Let a job end where it is. What it has done stays done.

        :raises NotFoundError: there is none
        """
        reason, job = clean_reason(reason), self.fetch(sid)
        before = _progress(job)
        if job.state != "running":
            return Outcome("bulk.stop", sid, Result.UNCHANGED, before)
        if not dry_run:
            with self._db.begin() as connection:
                stopped = connection.execute(
                    update(bulk_jobs)
                    .where(_j.sid == sid, _j.state == "running")
                    .values(state="stopped", ended_at=now_ms(), updated_at=now_ms())
                ).rowcount
                if not stopped:
                    return Outcome("bulk.stop", sid, Result.UNCHANGED, before)
                write_down(connection, by, "bulk.stop", sid, reason, before)
        return Outcome("bulk.stop", sid, done_or_would(dry_run), before, {"state": "stopped"})

    def purge(self, age: int) -> None:
        """Delete jobs that ended longer ago than `age` ms; the audit log still tells of them."""
        with self._db.statement() as connection:
            connection.execute(delete(bulk_jobs).where(_j.ended_at < then_ms() - age))

    def run(self, stop: threading.Event) -> None:
        """Do what jobs there are until `stop` is set."""
        while not stop.is_set():
            try:
                worked = self.tick(stop)
            except Exception as error:
                # Nothing that goes wrong once may end the thread; the job waits for its lease.
                log.warning("bulk.failed", error_class=type(error).__name__)
                metrics.chore_failed("bulk")
                worked = False
            if not worked:
                stop.wait(TICK)

    def tick(self, stop: threading.Event | None = None) -> bool:
        """Do one batch of the job that waits longest; whether there was one that nobody does."""
        with self._db.statement() as connection:
            sid = connection.execute(_FREE).scalar_one_or_none()
            if sid is None:
                return False
            job = connection.execute(_TAKE, {"b_sid": sid}).mappings().one_or_none()
        if job is None:
            return False
        try:
            seen = self._batch(job, stop or threading.Event())
        except (LimitsUnavailableError, *UNAVAILABLE) as error:
            log.warning("bulk.waits", job=sid, error_class=type(error).__name__)
            return False  # until its lease is over
        if seen is not None:
            with self._db.statement() as connection:
                connection.execute(_LET_GO, {"b_sid": sid, "b_seen": seen})
        return True

    def _batch(self, job: RowMapping, stop: threading.Event) -> str | None:
        """Where the cursor is then; None where another does the job, whose lease it is."""
        seen = str(job["cursor"])
        filters, alive = Filters(**job["filters"]), job["verb"] in SENDS
        sids, further = self._records.sids(filters, job["since"], seen, BATCH, alive=alive)
        for sid in sids:
            if stop.is_set():
                return seen
            if not self._move(job, seen, sid, self._do(job, sid)):
                return None
            seen = sid
        if further is None:
            self._finish(job, seen)
        elif further != seen:
            return further if self._move(job, seen, further, {}) else None
        return seen

    def _do(self, job: RowMapping, sid: str) -> dict[str, int]:
        """Do the verb to one delivery. Done once more after a crash it changes nothing."""
        by = Operator(job["who"], job["address"], admin=job["options"]["override_limits"])
        reason, override = job["reason"], job["options"]["override_limits"]
        acts: Mapping[str, Callable[[], Outcome]] = {
            "retry": lambda: self._sending.retry(by, sid, reason, override_limits=override),
            "resend": lambda: self._sending.resend(
                by, sid, job["options"]["channel"], reason, override_limits=override
            ),
            "cancel": lambda: self._sending.cancel(by, sid, reason),
        }
        try:
            outcome = acts[job["verb"]]()
        except (LimitsUnavailableError, *UNAVAILABLE):
            raise
        except Exception as error:
            # One that cannot be done, whatever the reason, keeps none of the others back.
            if not isinstance(error, SendcodeError):
                kind = type(error).__name__
                log.error("bulk.crashed", job=job["sid"], delivery=sid, error_class=kind)
            return {"b_failed": 1}
        return {_COUNTS[outcome.result]: 1}

    def _move(self, job: RowMapping, seen: str, cursor: str, counts: dict[str, int]) -> bool:
        values = {"b_sid": job["sid"], "b_seen": seen, "b_cursor": cursor}
        values |= {"b_done": 0, "b_unchanged": 0, "b_failed": 0} | counts
        with self._db.statement() as connection:
            return bool(connection.execute(_MOVE, values).rowcount)

    def _finish(self, job: RowMapping, seen: str) -> None:
        with self._db.begin() as connection:
            row = (
                connection.execute(_FINISH, {"b_sid": job["sid"], "b_seen": seen})
                .mappings()
                .one_or_none()
            )
            if row is None:
                return
            ended = _progress(_job(row))
            by = Operator(job["who"], job["address"])
            write_down(connection, by, "bulk.end", job["sid"], job["reason"], after=ended)
        log.info("bulk.done", job=job["sid"], **ended)


def _check_chosen(sids: Sequence[str], filtered: bool) -> None:
    if filtered:
        raise InvalidParameterError("Requests", "are chosen, so no filter goes with them")
    if not 1 <= len(sids) <= MOST_CHOSEN:
        raise InvalidParameterError("Requests", f"choose from 1 to {MOST_CHOSEN}")
    if not all(_SID.fullmatch(sid) for sid in sids):
        raise InvalidParameterError("Requests", "must be sids of deliveries (VL…)")


def _shown(filters: Filters) -> dict[str, Any]:
    """What is kept with the job."""
    if filters.sids is not None:
        return {"sids": sorted(set(filters.sids), reverse=True)}
    return {name: value for name, value in asdict(filters).items() if value is not None}


def _told(filters: Filters, shown: dict[str, Any]) -> dict[str, Any]:
    """What the audit log says of them: each of those chosen has an entry of its own."""
    return {"filters": shown} if filters.sids is None else {"chosen": len(shown["sids"])}


def _job(row: RowMapping) -> BulkJob:
    return BulkJob(**{name: row[name] for name in BulkJob.__dataclass_fields__})


def _progress(job: BulkJob) -> dict[str, Any]:
    names = ("state", "total", "done", "unchanged", "failed")
    return {name: getattr(job, name) for name in names}
