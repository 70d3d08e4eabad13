"""Telling hooks what is in an outbox: leased, at once to several, again and again for up to a day.

An outbox is a table with `hook_sid`, `kind`, `subject_sid`, `tries`, `next_try_at` and
`created_at`; its hooks have `sid`, `failures` and `paused_until`. Times are ms since 1970 UTC.
What is given up goes, or stays without a `next_try_at` where the outbox allows it to have none.
"""

import hashlib
import random
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

import structlog
from cryptography.exceptions import InvalidTag
from sqlalchemy import (
    Delete,
    RowMapping,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    delete,
    select,
    tuple_,
    update,
)

from worker import metrics
from worker.db import Database, now_ms, then_ms
from worker.errors import KeyMissingError
from worker.posting import Poster, TargetRefusedError, UnreachableError

log = structlog.get_logger()

BATCH = 50
AT_ONCE = 8  # requests under way
TICK = 1.0  # seconds between two looks at the outbox
LEASE = 60_000  # ms in which no other relay tries the same event
FIRST_WAIT, LONGEST_WAIT = 10_000, 3_600_000  # ms
KEPT = 86_400_000  # ms after which an event is given up
GIVEN_UP = 5_000  # events in one look, however many are too old


class Teller:
    """Tells hooks. Several may run at once: each event is leased to one of them.

    :param due: what to tell of each event, and of its hook the `failures` and the `url`; the
        waiting and its order are added here
    """

    def __init__(
        self, db: Database, poster: Poster, events: Table, hooks: Table, due: Select[Any]
    ) -> None:
        e, h = events.c, hooks.c
        this = and_(
            e.hook_sid == bindparam("b_hook"),
            e.kind == bindparam("b_kind"),
            e.subject_sid == bindparam("b_subject"),
        )
        self._db = db
        self._poster = poster
        self._any_due = select(e.hook_sid).where(e.next_try_at <= then_ms()).limit(1)
        self._due = (
            due.add_columns(e.next_try_at)
            .where(e.next_try_at <= then_ms(), h.paused_until <= then_ms())
            .order_by(e.next_try_at)
            .limit(BATCH)
            .with_for_update(skip_locked=True, of=events)
        )
        self._take = update(events).where(this)
        self._take = self._take.values(tries=e.tries + 1, next_try_at=now_ms() + LEASE)
        self._told = delete(events).where(this)
        self._again = update(events).where(this)
        self._again = self._again.values(next_try_at=now_ms() + bindparam("b_wait"))
        self._untried = update(events).where(this, e.tries == bindparam("b_tries") + 1)
        self._untried = self._untried.values(
            tries=bindparam("b_tries"), next_try_at=bindparam("b_due")
        )
        of_hook = h.sid == bindparam("b_hook")
        self._well = update(hooks).where(of_hook, h.failures > 0).values(failures=0)
        # Of several failures at once, whichever relay has them, the first counts.
        self._ill = update(hooks).where(of_hook, h.paused_until <= now_ms())
        self._ill = self._ill.values(
            failures=h.failures + 1, paused_until=now_ms() + bindparam("b_pause")
        )
        too_old = (e.next_try_at.is_not(None), e.created_at < then_ms() - KEPT)
        key = tuple_(e.hook_sid, e.kind, e.subject_sid)
        these = key.in_(select(e.hook_sid, e.kind, e.subject_sid).where(*too_old).limit(GIVEN_UP))
        self._give_up: Delete | Update = delete(events).where(these)
        if e.next_try_at.nullable:
            self._give_up = update(events).where(these).values(next_try_at=None)

    def _request(self, row: RowMapping) -> tuple[bytes, Mapping[str, str]]:
        """The body and the headers that tell of an event.

        :raises KeyMissingError: a key that it takes is no longer configured
        """
        raise NotImplementedError

    def run(self, stop: threading.Event) -> None:
        """Tell what is due until `stop` is set."""
        while not stop.is_set():
            try:
                told = self.tick()
            except Exception as error:
                # Nothing that goes wrong once may end the telling.
                log.warning("webhooks.failed", error_class=type(error).__name__)
                metrics.chore_failed("webhooks")
                told = 0
            if told < BATCH:
                stop.wait(TICK)

    def tick(self) -> int:
        """Tell one batch of what is due; how many were tried."""
        with self._db.statement() as connection:
            if connection.execute(self._any_due).first() is None:
                return 0
        with self._db.begin() as connection:
            gone = connection.execute(self._give_up).rowcount
            due = connection.execute(self._due).mappings().all()
            for row in due:
                connection.execute(self._take, _key(row))
        if gone:
            log.warning("webhook.given_up", events=gone)
        self._tell_all(due)
        return len(due)

    def _tell_all(self, due: Sequence[RowMapping]) -> None:
        """Tell them, some at once, and nothing more to a hook that fails meanwhile. The threads die
        with the process: a lease outlives them.
        """
        waiting = SimpleQueue[RowMapping]()
        for row in due:
            waiting.put(row)
        failed, untried = set[str](), list[RowMapping]()

        def work() -> None:
            with suppress(Empty):
                while True:
                    row = waiting.get_nowait()
                    if row["hook_sid"] in failed:
                        untried.append(row)
                    else:
                        self._tell(row, failed)

        threads = [threading.Thread(target=work, daemon=True) for _ in due[:AT_ONCE]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._give_back(untried)

    def _give_back(self, untried: Sequence[RowMapping]) -> None:
        """As if they had not been taken: they are due as they were once their hook is."""
        if not untried:
            return
        with self._db.statement() as connection:
            for row in untried:
                was = {"b_tries": row["tries"], "b_due": row["next_try_at"]}
                connection.execute(self._untried, _key(row) | was)

    def _tell(self, row: RowMapping, failed: set[str]) -> None:
        """
        :param failed: hooks that have failed in this batch; the first failure pauses one
        """
        hook = row["hook_sid"]
        fault = self._fault(row)
        if fault is None:
            with self._db.statement() as connection:
                connection.execute(self._told, _key(row))
                if row["failures"]:
                    connection.execute(self._well, {"b_hook": hook})
            log.info("webhook.told", hook=hook, kind=row["kind"])
            return
        again, first = _key(row) | {"b_wait": _jitter(row["tries"])}, hook not in failed
        failed.add(hook)
        with self._db.begin() as connection:
            connection.execute(self._again, again)
            if first:
                pause = {"b_hook": hook, "b_pause": _jitter(row["failures"])}
                connection.execute(self._ill, pause)
        log.warning("webhook.failed", hook=hook, kind=row["kind"], reason=fault)

    def _fault(self, row: RowMapping) -> str | None:
        """Post the event; what is wrong, or None when it was taken."""
        try:
            body, headers = self._request(row)
            status = self._poster.post(row["url"], body, {"User-Agent": "sendcode", **headers})
        except (KeyMissingError, InvalidTag):
            return "key_missing"
        except TargetRefusedError:
            return "target_refused"
        except UnreachableError as error:
            return f"unreachable: {error}"
        return None if 200 <= status < 300 else f"http_{status}"


def event_digest(kind: str, subject_sid: str) -> bytes:
    """The same for every try and every hook: what a receiver drops repeats by, in some shape."""
    return hashlib.sha256(f"{kind} {subject_sid}".encode()).digest()


def _key(row: RowMapping) -> dict[str, Any]:
    return {"b_hook": row["hook_sid"], "b_kind": row["kind"], "b_subject": row["subject_sid"]}


def _jitter(failures: int) -> int:
    """Full jitter: up to 10 s, doubling to an hour; ms."""
    most = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(failures, 16))
    return random.randint(1_000, most)  # noqa: S311
