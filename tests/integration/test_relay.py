"""The relay on both databases and a real Valkey."""

import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from sqlalchemy import and_, insert, select, text, update
from sqlalchemy.exc import OperationalError

from tests.helpers import at_once, code_of, count, delivery, let_time_pass, waiting, wrong_code
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.standin import Standin
from worker import purging, queues
from worker import relay as relay_module
from worker.cli import processes
from worker.db import now_ms
from worker.errors import LimitsUnavailableError
from worker.models import number_guards
from worker.plan import read_plan
from worker.providers.twilio_errors import MESSAGE_STATUSES
from worker.relay import Relay
from worker.services import Service
from worker.states import Channel
from worker.verifications import Start
from worker.wiring import Sendcode


def make_relay(parts: Sendcode) -> Relay:
    return Relay(
        *(parts.db, parts.redis, parts.settings, parts.publish, parts.fallback, parts.ask_about),
        holds=parts.holds,
        operations=parts.operations,
    )


@pytest.fixture
def relay(parts: Sendcode) -> Relay:
    return make_relay(parts)


def start(
    parts: Sendcode, service: Service, to: str = NUMBER, channel: Channel = Channel.SMS
) -> str:
    wanted = Start(service.sid, to, channel)
    return parts.verifications.start(ACCOUNT, wanted).deliveries[-1].sid


@pytest.mark.kills("lost-hint-is-never-missed")
def test_an_emptied_broker_is_filled_again(parts: Sendcode, service: Service, relay: Relay) -> None:
    """A queued delivery whose message is gone is published again."""
    start(parts, service)
    parts.redis.flushdb()
    deadline = time.monotonic() + 10
    while not queues.depth(parts.redis, "sms") and time.monotonic() < deadline:
        relay.tick()
        time.sleep(0.1)
    assert queues.depth(parts.redis, "sms") == 1


@pytest.mark.kills("every-hint-counts-as-lost")
def test_a_waiting_message_is_not_doubled(parts: Sendcode, service: Service, relay: Relay) -> None:
    """A delivery whose message still waits in its queue is not published again."""
    start(parts, service)
    time.sleep(1.5)
    relay.tick()
    assert queues.depth(parts.redis, "sms") == 1


@pytest.mark.kills("hint-behind-a-newer-one-counts-as-waiting")
def test_a_message_behind_a_newer_one_is_lost(
    parts: Sendcode, service: Service, relay: Relay
) -> None:
    """A row older than the oldest waiting message is published again though others wait."""
    start(parts, service)
    parts.redis.flushdb()
    let_time_pass(parts, 5)
    start(parts, service, to="+447400123457")
    relay.tick()
    assert queues.depth(parts.redis, "sms") == 2


def test_a_backlog_leaves_time_for_the_rest(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much is due, one look publishes a bounded part, and comes round to dead leases."""
    published: list[str] = []

    def endless(queue: str, lost_before: int) -> int:
        published.append(queue)
        assert len(published) < 1000, "it goes on and on"
        return relay_module.BATCH

    monkeypatch.setattr(relay, "publish_due", endless)
    relay.publish()
    assert published.count("sms") == published.count("call") == relay_module.ROUNDS


def test_two_relays_publish_once(parts: Sendcode, service: Service) -> None:
    """Relays that look at the same moment publish each due delivery once."""
    for index in range(5):
        start(parts, service, to=f"+4474001240{index:02d}")
    parts.redis.flushdb()
    let_time_pass(parts, 5)
    relays = [make_relay(parts) for _ in range(4)]
    at_once(4, lambda i: relays[i].tick())
    assert queues.depth(parts.redis, "sms") == 5


@pytest.mark.kills("dead-lease-stays", "lease-comes-back-without-a-doubt")
def test_a_dead_lease_comes_back_with_a_doubt(
    parts: Sendcode, service: Service, relay: Relay, provider: Standin
) -> None:
    """A worker lost after its claim leaves a delivery that is asked for, then sent."""
    sid = start(parts, service)
    assert parts.dispatch._rows.claim(sid, None, "main", "main")
    relay.tick()
    assert delivery(parts, sid).state == "sending", "the lease still holds"
    let_time_pass(parts, 31)
    relay.tick()
    row = delivery(parts, sid)
    assert (row.state, row.doubts) == ("queued", 1)
    parts.dispatch.deliver([sid])
    assert delivery(parts, sid).state == "accepted"
    assert (provider.lists, len(provider.sent)) == (1, 1)


@pytest.mark.kills("overdue-delivery-stays")
def test_overdue_rows_expire(parts: Sendcode, service: Service, relay: Relay) -> None:
    """After its life a verification and its unsent delivery are expired, and not published."""
    sid = start(parts, service)
    parts.redis.flushdb()
    let_time_pass(parts, 601)
    relay.tick()
    assert delivery(parts, sid).state == "expired"
    assert count(parts, "verifications WHERE status = 'expired'") == 1
    assert queues.depth(parts.redis, "sms") == 0


def test_a_due_retry_is_published(
    parts: Sendcode, service: Service, relay: Relay, provider: Standin
) -> None:
    """A delivery that waits for its next try is published when that is due, not before."""
    sid = start(parts, service)
    provider.script.append((429, 20429, {"Retry-After": "30"}))
    parts.dispatch.deliver([sid])
    parts.redis.flushdb()
    relay.tick()
    assert queues.depth(parts.redis, "sms") == 0
    let_time_pass(parts, 31)
    relay.tick()
    assert queues.depth(parts.redis, "sms") == 1


def test_purge_removes_only_what_is_old(parts: Sendcode, service: Service, relay: Relay) -> None:
    """Ended verifications older than the retention go, with all that hangs on them."""
    start(parts, service)
    let_time_pass(parts, 31 * 86_400)
    relay.tick()
    start(parts, service)
    parts.purging.purge()
    assert [count(parts, t) for t in ("verifications", "deliveries")] == [1, 1]


@pytest.mark.kills("nobody-purges")
def test_no_code_waits_for_a_purge(parts: Sendcode, monkeypatch: pytest.MonkeyPatch) -> None:
    """A purge that goes on and on runs beside the relay's loop, which takes its turns meanwhile."""
    begun, over, turns = threading.Event(), threading.Event(), []

    def endless(self: object) -> None:
        begun.set()
        over.wait(30)

    def run(self: Relay, stop: threading.Event) -> None:
        assert begun.wait(30)
        self.tick()
        turns.append(over.is_set())
        stop.set()

    monkeypatch.setattr(purging.Purging, "purge", endless)
    monkeypatch.setattr(Relay, "run", run)
    monkeypatch.setattr(processes, "parts", lambda quiet: parts)
    monkeypatch.setattr("worker.cli.processes.metrics.serve", lambda *_: None)
    monkeypatch.setattr("worker.cli.processes.signal.signal", lambda *_: None)
    processes.relay.callback()  # type: ignore[misc]
    over.set()
    assert turns == [False]


def test_a_purge_goes_on_after_a_failure(parts: Sendcode, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is away ends no purging: it is tried again."""
    stop, tried = threading.Event(), []

    def away(self: object) -> None:
        tried.append(1)
        if len(tried) == 3:
            stop.set()
        raise OperationalError("", {}, Exception())

    monkeypatch.setattr(purging, "EVERY", 0.01)
    monkeypatch.setattr(purging.Purging, "purge", away)
    parts.purging.run(stop)
    assert len(tried) == 3


def test_guards_are_purged_but_for_disabled_numbers(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guard goes when it counts nothing, or the retention after its last change. A disabled
    number's stays, and one that an older process wrote gets its time first."""
    monkeypatch.setattr(purging, "BATCH", 2)
    day = 86_400_000
    add_guards(parts, service, 5, failures=3, updated_at=now(parts) - 31 * day)
    add_guards(parts, service, 3, failures=2, updated_at=now(parts) - 29 * day)
    add_guards(parts, service, 3, failures=0, updated_at=now(parts) - 1)
    add_guards(parts, service, 1, failures=100, disabled_at=1, updated_at=1)
    add_guards(parts, service, 3, failures=1)
    parts.purging.purge()
    assert guards(parts) == [1, 1, 1, 2, 2, 2, 100]
    assert count(parts, "number_guards WHERE updated_at IS NULL") == 0
    let_time_pass(parts, 30 * 86_400)
    parts.purging.purge()
    assert guards(parts) == [100]


def test_each_guess_starts_the_guards_time_anew(parts: Sendcode, service: Service) -> None:
    """Wrong codes in a row are kept for the retention after the last one, not after the first."""
    sid = start(parts, service)
    verification = parts.verifications.fetch(ACCOUNT, service.sid, to=NUMBER)
    wrong = wrong_code(code_of(parts, verification.sid))
    for failures in (1, 2):
        parts.verifications.check(ACCOUNT, service.sid, wrong, to=NUMBER)
        assert guards(parts) == [failures]
        change = "UPDATE number_guards SET updated_at = updated_at - :ms"
        with parts.db.begin() as connection:
            connection.execute(text(change), {"ms": 29 * 86_400_000})
        parts.purging.purge()
    assert (guards(parts), delivery(parts, sid).state) == ([2], "queued")


def test_a_purge_waits_for_nobody(parts: Sendcode, service: Service) -> None:
    """A guard that somebody writes at the moment is left for the next time, the others go."""
    if parts.db.dialect != "postgresql":
        return
    add_guards(parts, service, 3, failures=1, updated_at=1)
    with parts.db.begin() as connection:
        row = connection.execute(select(number_guards.c.number_index).limit(1)).scalar_one()
        held = number_guards.c.number_index == row
        connection.execute(update(number_guards).where(held).values(failures=2))
        parts.purging.purge()
    assert guards(parts) == [2]
    parts.purging.purge()
    assert guards(parts) == []


def test_guards_are_purged_by_index(parts: Sendcode, service: Service) -> None:
    """No purge of guards reads the table: most of its rows are to stay."""
    explain = "EXPLAIN QUERY PLAN " if parts.db.dialect == "sqlite" else "EXPLAIN "
    with parts.db.begin() as connection:
        if parts.db.dialect == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        for which, index in (
            (purging._UNTIMED, "ix_number_guards_untimed"),
            (purging._CLEARED, "ix_number_guards_cleared"),
            (and_(purging._IDLE, number_guards.c.updated_at < 1), "ix_number_guards_idle"),
        ):
            found = purging._next(number_guards, which)
            options = {"literal_binds": True}
            compiled = found.compile(parts.db.engine, compile_kwargs=options)
            plan = connection.exec_driver_sql(f"{explain}{compiled}".replace("%", "%%")).all()
            assert index in str(plan), plan


def add_guards(parts: Sendcode, service: Service, count: int, **values: Any) -> None:
    """Guards of made-up numbers; without `updated_at` as an older process writes them."""
    rows = [
        {"service_sid": service.sid, "number_index": secrets.token_bytes(32), **values}
        for _ in range(count)
    ]
    with parts.db.begin() as connection:
        connection.execute(insert(number_guards), rows)


def guards(parts: Sendcode) -> list[int]:
    """Their wrong codes in a row, the fewest first."""
    with parts.db.statement() as connection:
        return sorted(connection.execute(select(number_guards.c.failures)).scalars())


def now(parts: Sendcode) -> int:
    with parts.db.statement() as connection:
        return int(connection.execute(select(now_ms())).scalar_one())


def test_a_large_backlog_is_published_in_batches(
    parts: Sendcode, service: Service, relay: Relay
) -> None:
    """More due rows than one batch holds are all published by one tick, each once."""
    start(parts, service)
    with parts.db.begin() as connection:
        for index in range(1200):
            connection.execute(
                text(
                    "INSERT INTO deliveries (sid, verification_sid, channel, queue, state, step,"
                    " tries, doubts, next_try_at, hinted_at, expires_at, created_at)"
                    " SELECT :sid, verification_sid, channel, queue, state, step, 0, 0,"
                    " next_try_at, 0, expires_at, created_at FROM deliveries"
                    " WHERE sid NOT LIKE 'VLx%'"
                ),
                {"sid": f"VLx{index:031d}"},
            )
    parts.redis.flushdb()
    relay.tick()
    named = [sid for sids in waiting(parts, "sms") for sid in sids]
    assert len(named) == len(set(named))
    assert sum(sid.startswith("VLx") for sid in named) == 1200  # the first may be hinted anew
    assert max(len(sids) for sids in waiting(parts, "sms")) == 8


def test_a_publisher_with_a_fast_clock_does_not_flood(
    parts: Sendcode, service: Service, relay: Relay
) -> None:
    """Messages that claim to come from the future do not make waiting deliveries look lost."""
    sid = start(parts, service)
    parts.redis.flushdb()
    parts.publish("sms", [sid], 600, time.time_ns() // 1_000_000 + 3_600_000)
    relay.tick()
    relay.tick()
    assert queues.depth(parts.redis, "sms") == 1


@pytest.mark.parametrize(("long_from", "then"), [(3, 4), (2, 2)])
def test_only_a_short_queue_gets_repeats(
    parts: Sendcode,
    service: Service,
    relay: Relay,
    monkeypatch: pytest.MonkeyPatch,
    long_from: int,
    then: int,
) -> None:
    """What has waited for a minute is published again in a short queue, never in a long one."""
    sids = [start(parts, service, to=f"+4474001240{index:02d}") for index in range(2)]
    parts.redis.flushdb()
    let_time_pass(parts, 65)
    for sid in sids:
        parts.publish("sms", [sid], 600, time.time_ns() // 1_000_000 - 70_000)
    monkeypatch.setattr(relay_module, "LONG_QUEUE", long_from)
    relay.tick()
    assert queues.depth(parts.redis, "sms") == then


def test_what_was_never_told_waits_behind_no_backlog(
    parts: Sendcode, service: Service, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A put-off delivery is published although a long queue's oldest message tells no time, as
    those that a backend publishes itself."""
    start(parts, service)
    parts.redis.flushdb()
    parts.redis.lpush("sms", *["{}"] * 3)
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE deliveries SET hinted_at = 0"))
    monkeypatch.setattr(relay_module, "LONG_QUEUE", 2)
    relay.publish()
    assert queues.depth(parts.redis, "sms") == 4


@pytest.mark.kills("silence-never-ends", "given-up-is-final")
def test_silence_after_acceptance_ends(
    parts: Sendcode, service: Service, relay: Relay, provider: Standin
) -> None:
    """An accepted delivery that no receipt follows ends, and a receipt that comes late counts."""
    sid = start(parts, service)
    parts.dispatch.deliver([sid])
    let_time_pass(parts, 655)
    relay.tick()
    assert delivery(parts, sid).state == "accepted"
    let_time_pass(parts, 70)
    relay.tick()
    row = delivery(parts, sid)
    assert (row.state, row.error_code) == ("undelivered", "no_receipt")
    parts.receipts.apply(
        sid,
        provider="twilio",
        provider_sid=row.provider_sid,
        status="delivered",
        words=MESSAGE_STATUSES,
    )
    assert delivery(parts, sid).state == "delivered"


def test_a_fallback_that_could_not_be_made_is_made_later(
    make_parts: Callable[..., Sendcode], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that Redis's absence prevented is made by the relay, once."""
    parts = make_parts()
    service = parts.services.create(ACCOUNT, "Example", plan=read_plan("call"))
    sid = start(parts, service)

    def away(*_: object, **__: object) -> None:
        raise LimitsUnavailableError("away")

    monkeypatch.setattr(parts.limits, "admit", away)
    parts.receipts.apply(
        sid,
        provider="twilio",
        provider_sid="SM1",
        status="undelivered",
        words=MESSAGE_STATUSES,
        hope=True,
    )
    monkeypatch.undo()
    assert count(parts, "deliveries") == 1
    relay = make_relay(parts)
    relay.tick()
    relay.tick()
    assert count(parts, "deliveries WHERE channel = 'call'") == 1


def test_relay_reads_use_their_indexes(parts: Sendcode) -> None:
    """What the relay looks for twice a second is found by index, however many rows there are."""
    if parts.db.dialect != "postgresql":
        return
    with parts.db.begin() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        for statement, index in (
            (relay_module._OVERDUE_VERIFICATIONS, "ix_verifications_overdue"),
            (relay_module._DEAD_LEASES, "ix_deliveries_leased"),
            (relay_module._TO_ASK, "ix_deliveries_unreceipted"),
            (relay_module._SILENT, "ix_deliveries_unreceipted"),
        ):
            compiled = statement.compile(parts.db.engine, compile_kwargs={"literal_binds": True})
            plan = "\n".join(
                row[0]
                for row in connection.exec_driver_sql(f"EXPLAIN {compiled}".replace("%", "%%"))
            )
            assert index in plan, plan
            assert "Index Cond" in plan, plan


@pytest.mark.kills("nobody-asks-where-no-receipt-came")
def test_the_provider_is_asked_where_no_receipt_came(
    parts: Sendcode, service: Service, relay: Relay, provider: Standin
) -> None:
    """Half a minute without a receipt brings a question, and its answer counts as one."""
    sid = start(parts, service)
    parts.dispatch.deliver([sid])
    parts.redis.flushdb()
    relay.tick()
    assert queues.depth(parts.redis, "relay") == 0
    let_time_pass(parts, 31)
    relay.tick()
    relay.tick()
    assert queues.depth(parts.redis, "relay") == 1
    provider.kept[0]["status"] = "delivered"
    parts.enquiry.ask([sid])
    assert delivery(parts, sid).state == "delivered"
    parts.enquiry.ask([sid])
    let_time_pass(parts, 61)
    relay.tick()
    assert queues.depth(parts.redis, "relay") == 1


def planned(make_parts: Callable[..., Sendcode], plan: str) -> tuple[Sendcode, Service]:
    parts = make_parts()
    return parts, parts.services.create(ACCOUNT, "Example", plan=read_plan(plan))


def receive(parts: Sendcode, sid: str, status: str, *, hope: bool = False) -> None:
    parts.receipts.apply(
        sid,
        provider="twilio",
        provider_sid=f"SM{sid[2:]}",
        status=status,
        words=MESSAGE_STATUSES,
        hope=hope,
    )


def channels(parts: Sendcode) -> list[str]:
    with parts.db.statement() as connection:
        found = connection.execute(text("SELECT channel FROM deliveries ORDER BY created_at, step"))
        return list(found.scalars())


def test_a_call_follows_a_text_that_takes_too_long(make_parts: Callable[..., Sendcode]) -> None:
    """Where the plan waits 30 s, the call is made then, once, while nothing was delivered."""
    parts, service = planned(make_parts, "call:30")
    relay = make_relay(parts)
    receive(parts, start(parts, service), "sent")
    let_time_pass(parts, 29)
    relay.tick()
    assert channels(parts) == ["sms"]
    let_time_pass(parts, 2)
    relay.tick()
    relay.tick()
    assert channels(parts) == ["sms", "call"]


@pytest.mark.parametrize("end", ["delivered", "refused", "approved"])
def test_nothing_follows_where_the_plan_ends(make_parts: Callable[..., Sendcode], end: str) -> None:
    """A text that arrived, a number that refuses, a code that was used: no call comes after it."""
    parts, service = planned(make_parts, "call:30")
    sid = start(parts, service)
    if end == "delivered":
        receive(parts, sid, "delivered")
    elif end == "refused":
        receive(parts, sid, "undelivered", hope=False)
    else:
        verification = delivery(parts, sid).verification_sid
        code = code_of(parts, verification)
        parts.verifications.check(ACCOUNT, service.sid, code, sid=verification)
    let_time_pass(parts, 31)
    make_relay(parts).tick()
    assert channels(parts) == ["sms"]
    assert parts.fallback.due() == []


def test_a_later_text_that_arrived_ends_the_plan_of_an_earlier(
    make_parts: Callable[..., Sendcode],
) -> None:
    """A resend that was delivered makes the call after the first text needless."""
    parts, service = planned(make_parts, "call:30")
    start(parts, service)
    receive(parts, start(parts, service), "delivered")
    let_time_pass(parts, 31)
    make_relay(parts).tick()
    assert channels(parts) == ["sms", "sms"]


def test_every_step_of_a_plan_is_taken_once(make_parts: Callable[..., Sendcode]) -> None:
    """Two relays and a receipt at once take each step of the plan once, with the same code."""
    parts, service = planned(make_parts, "sms:20,call:20")
    sid = start(parts, service)
    relays = [make_relay(parts) for _ in range(2)]
    for _ in range(2):
        let_time_pass(parts, 21)
        at_once(4, lambda i: relays[i].settle() if i < 2 else parts.fallback.follow(sid))
    let_time_pass(parts, 21)
    relays[0].tick()
    assert channels(parts) == ["sms", "sms", "call"]


def test_who_asked_for_a_call_gets_no_plan(make_parts: Callable[..., Sendcode]) -> None:
    """A call that was asked for and not answered is not repeated by the plan."""
    parts, service = planned(make_parts, "call:5")
    sid = start(parts, service, channel=Channel.CALL)
    receive(parts, sid, "undelivered", hope=True)
    let_time_pass(parts, 6)
    make_relay(parts).tick()
    assert channels(parts) == ["call"]


def test_a_broker_that_is_away_keeps_no_other_chore_back(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Codes expire and leases are recovered while the broker cannot be reached."""
    sid = start(parts, service)
    relay = make_relay(parts)
    stop = threading.Event()

    def away(*_: object) -> None:
        stop.set()
        raise redis.ConnectionError("away")

    monkeypatch.setattr(relay_module, "oldest_waiting", away)
    let_time_pass(parts, 601)
    relay.run(stop)
    assert delivery(parts, sid).state == "expired"


def test_a_broker_that_refuses_is_asked_nothing_more(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one question that could not be put the rest waits: each would hold the relay up."""
    sids = [start(parts, service, to=f"+4474001234{index:02}") for index in range(25)]
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE deliveries SET state = 'accepted'"))
    relay = make_relay(parts)
    asked: list[list[str]] = []
    monkeypatch.setattr(relay, "_ask_about", asked.append)
    relay.settle()
    assert len(asked) == 1
    assert set(asked[0]) < set(sids)


def test_a_broker_that_refuses_is_told_no_more(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one publish that failed the rest of the batch waits, and is published later."""
    for index in range(3):
        parts.verifications.start(ACCOUNT, Start(service.sid, f"+4474001234{index:02}"))
    parts.redis.flushdb()
    let_time_pass(parts, 2)
    relay = make_relay(parts)
    told = []
    monkeypatch.setattr(relay, "_publish", lambda *given: told.append(given))
    relay.publish()
    assert len(told) == 1
    monkeypatch.undo()
    let_time_pass(parts, 2)
    relay.publish()
    assert len(waiting(parts, "sms")) == 3
