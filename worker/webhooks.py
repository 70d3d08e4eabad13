"""Webhooks: tells the hooks what is in the outbox, signed, again and again for up to a day."""

import hashlib
import hmac
import json
import random
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Any

import structlog
from cryptography.exceptions import InvalidTag
from sqlalchemy import RowMapping, and_, bindparam, case, delete, select, update

from worker import phone
from worker.codes import Keyring
from worker.db import Database, now_ms, then_ms
from worker.door_tables import event_hooks, events
from worker.errors import KeyMissingError
from worker.models import deliveries, verifications
from worker.outbox import Event
from worker.posting import Poster, TargetRefusedError, UnreachableError

log = structlog.get_logger()

BATCH = 50
AT_ONCE = 8  # requests under way
TICK = 1.0  # seconds between two looks at the outbox
LEASE = 60_000  # ms in which no other relay tries the same event
FIRST_WAIT, LONGEST_WAIT = 10_000, 3_600_000  # ms
KEPT = 86_400_000  # ms after which an event is given up
SIGNATURE = "Sendcode-Signature"

_e, _h, _v, _d = events.c, event_hooks.c, verifications.c, deliveries.c
_KEY = (_e.hook_sid == bindparam("b_hook"), _e.kind == bindparam("b_kind"))
_THIS = and_(*_KEY, _e.subject_sid == bindparam("b_subject"))
_ANY_DUE = select(_e.hook_sid).where(_e.next_try_at <= then_ms()).limit(1)
_DUE = (
    select(
        *(_e.hook_sid, _e.kind, _e.subject_sid, _e.tries, _e.created_at, _e.verification_sid),
        *(_h.url, _h.key_id.label("hook_key"), _h.secret_sealed, _h.failures),
        *(_v.account_sid, _v.service_sid, _v.key_id, _v.number_sealed, _v.country, _v.channel),
        *(_d.channel.label("delivery_channel"), _d.error_code),
    )
    .join(event_hooks, _h.sid == _e.hook_sid)
    .join(verifications, _v.sid == _e.verification_sid)
    .outerjoin(deliveries, _d.sid == _e.subject_sid)
    .where(_e.next_try_at <= then_ms(), _h.enabled, _h.paused_until <= then_ms())
    .order_by(_e.next_try_at)
    .limit(BATCH)
    .with_for_update(skip_locked=True, of=events)
)
_TAKE = update(events).where(_THIS).values(tries=_e.tries + 1, next_try_at=now_ms() + LEASE)
_TOLD = delete(events).where(_THIS)
_AGAIN = update(events).where(_THIS).values(next_try_at=now_ms() + bindparam("b_wait"))
_WELL = update(event_hooks).where(_h.sid == bindparam("b_hook"), _h.failures > 0).values(failures=0)
_ILL = (
    update(event_hooks)
    .where(_h.sid == bindparam("b_hook"))
    .values(
        failures=_h.failures + 1,
        paused_until=case(
            (_h.paused_until > now_ms(), _h.paused_until), else_=now_ms() + bindparam("b_pause")
        ),
    )
)
_TOO_OLD = delete(events).where(_e.created_at < then_ms() - KEPT)


class Webhooks:
    """Tells hooks. Several may run at once: each event is leased to one of them."""

    def __init__(self, db: Database, keyring: Keyring, poster: Poster) -> None:
        self._db = db
        self._keyring = keyring
        self._poster = poster

    def run(self, stop: threading.Event) -> None:
        """Tell what is due until `stop` is set."""
        while not stop.is_set():
            try:
                told = self.tick()
            except Exception as error:
                # Nothing that goes wrong once may end the telling.
                log.warning("webhooks.failed", reason=type(error).__name__)
                told = 0
            if told < BATCH:
                stop.wait(TICK)

    def tick(self) -> int:
        """Tell one batch of what is due; how many were tried."""
        with self._db.statement() as connection:
            if connection.execute(_ANY_DUE).first() is None:
                return 0
        with self._db.begin() as connection:
            gone = connection.execute(_TOO_OLD).rowcount
            due = connection.execute(_DUE).mappings().all()
            for row in due:
                connection.execute(_TAKE, _key(row))
        if gone:
            log.warning("webhook.given_up", events=gone)
        self._tell_all(due)
        return len(due)

    def _tell_all(self, due: Sequence[RowMapping]) -> None:
        """Tell them, some at once. The threads die with the process: a lease outlives them."""
        waiting = SimpleQueue[RowMapping]()
        for row in due:
            waiting.put(row)

        def work() -> None:
            with suppress(Empty):
                while True:
                    self._tell(waiting.get_nowait())

        threads = [threading.Thread(target=work, daemon=True) for _ in due[:AT_ONCE]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _tell(self, row: RowMapping) -> None:
        fault = self._fault(row)
        if fault is None:
            with self._db.statement() as connection:
                connection.execute(_TOLD, _key(row))
                if row["failures"]:
                    connection.execute(_WELL, {"b_hook": row["hook_sid"]})
            log.info("webhook.told", hook=row["hook_sid"], kind=row["kind"])
            return
        wait = {"b_wait": _jitter(row["tries"])}
        with self._db.begin() as connection:
            connection.execute(_AGAIN, _key(row) | wait)
            pause = {"b_hook": row["hook_sid"], "b_pause": _jitter(row["failures"])}
            connection.execute(_ILL, pause)
        log.warning("webhook.failed", hook=row["hook_sid"], kind=row["kind"], reason=fault)

    def _fault(self, row: RowMapping) -> str | None:
        """Post the event; what is wrong, or None when it was taken."""
        try:
            body = json.dumps(self._body(row), separators=(",", ":")).encode()
            owner = f"hook {row['hook_sid']}"
            secret = self._keyring.open(row["hook_key"], row["secret_sealed"], owner)
            headers = {
                "Content-Type": "application/json",
                "User-Agent": "sendcode",
                SIGNATURE: sign(secret, int(time.time()), body),
            }
            status = self._poster.post(row["url"], body, headers)
        except (KeyMissingError, InvalidTag):
            return "key_missing"
        except TargetRefusedError:
            return "target_refused"
        except UnreachableError as error:
            return f"unreachable: {error}"
        return None if 200 <= status < 300 else f"http_{status}"

    def _body(self, row: RowMapping) -> Mapping[str, Any]:
        """Sids and a masked number; never a number or a code."""
        number = self._keyring.open_number(
            row["key_id"], row["number_sealed"], row["verification_sid"]
        )
        delivery = None
        if row["delivery_channel"] is not None:
            delivery = {
                "sid": row["subject_sid"],
                "channel": row["delivery_channel"],
                "error_code": row["error_code"] if row["kind"] != Event.DELIVERED else None,
            }
        return {
            "id": event_id(row["kind"], row["subject_sid"]),
            "type": row["kind"],
            "created": datetime.fromtimestamp(row["created_at"] / 1000, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "account_sid": row["account_sid"],
            "service_sid": row["service_sid"],
            "verification_sid": row["verification_sid"],
            "to": phone.mask(number),
            "country": row["country"],
            "channel": row["channel"],
            "delivery": delivery,
        }


def sign(secret: str, at: int, body: bytes) -> str:
    """The header's value: `t=<seconds since 1970>,v1=<HMAC-SHA256 of "t.body" in hex>`."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def event_id(kind: str, subject_sid: str) -> str:
    """The same for every try and every hook: what a receiver drops repeats by."""
    return "EV" + hashlib.sha256(f"{kind} {subject_sid}".encode()).hexdigest()[:32]


def _key(row: RowMapping) -> dict[str, Any]:
    return {"b_hook": row["hook_sid"], "b_kind": row["kind"], "b_subject": row["subject_sid"]}


def _jitter(failures: int) -> int:
    """Full jitter: up to 10 s, doubling to an hour; ms."""
    most = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(failures, 16))
    return random.randint(1_000, most)  # noqa: S311
