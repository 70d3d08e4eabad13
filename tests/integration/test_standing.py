"""How everything stands, on both databases and a real Valkey."""

import re
import time
from typing import Any

import pytest
import redis
from click.testing import CliRunner
from fastapi.testclient import TestClient
from rich.console import Console
from sqlalchemy import text

from api_stub.app import create_app
from api_stub.console.looks import Looks
from api_stub.console.pages import templates
from tests.helpers import let_time_pass
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.integration.operating import ANN, make_relay
from worker import flows, presence, standing
from worker.circuits import OPENS_AT
from worker.cli import doctor, main, top
from worker.cli.lines import queue_line, worker_line
from worker.holds import NOTHING_HELD
from worker.plan import read_plan
from worker.relay import send_heartbeat
from worker.services import Service
from worker.standing import QueueStanding
from worker.states import QUEUES, Channel
from worker.verifications import Start
from worker.wiring import Sendcode


def start(parts: Sendcode, service: Service, to: str = NUMBER) -> str:
    return parts.verifications.start(ACCOUNT, Start(service.sid, to)).deliveries[-1].sid


def change(parts: Sendcode, sid: str, values: str) -> None:
    with parts.db.begin() as connection:
        connection.execute(text(f"UPDATE deliveries SET {values} WHERE sid = :sid"), {"sid": sid})


def sms(parts: Sendcode) -> QueueStanding:
    return next(queue for queue in parts.standing.queues() if queue.name == "sms")


def ready(parts: Sendcode) -> tuple[int, Any]:
    answer = TestClient(create_app(parts.settings)).get("/readyz")
    return answer.status_code, answer.json()


def test_an_idle_installation(parts: Sendcode) -> None:
    """Every queue is there, and nothing waits in it."""
    assert parts.standing.queues() == [QueueStanding(name, 0, 0, 0, None) for name in QUEUES]
    assert (parts.standing.states(3600), parts.standing.pending()) == ({}, 0)
    assert parts.standing.workers() == []


def test_what_waits_what_comes_later_and_what_is_in_flight(
    parts: Sendcode, service: Service
) -> None:
    """A queue counts its messages, the tries that are not due yet and the claims apart."""
    sids = [start(parts, service, f"+4474001234{n:02d}") for n in range(4)]
    change(parts, sids[0], "next_try_at = next_try_at + 60000")
    change(parts, sids[1], "state = 'sending'")
    found = sms(parts)
    assert (found.waiting, found.later, found.in_flight) == (4, 1, 1)
    assert parts.standing.states(3600) == {"queued": 3, "sending": 1}
    assert parts.standing.pending() == 4


def test_the_oldest_code_is_seen_in_an_emptied_broker(parts: Sendcode, service: Service) -> None:
    """A code that waits without a message is as old as its row says."""
    start(parts, service)
    let_time_pass(parts, 40)
    parts.redis.flushdb()
    age = sms(parts).oldest_age
    assert age is not None
    assert 40 <= age < 60


def test_a_backlog_is_counted_by_its_codes(parts: Sendcode, service: Service) -> None:
    """Codes that share a message, or have none yet, wait all the same, and by their number the
    time until the queue is empty is told; heartbeats that wait are no codes."""
    sids = [start(parts, service, f"+4474001234{n:02d}") for n in range(9)]
    parts.redis.flushdb()
    parts.publish("sms", sids[:6], 600, 1)
    change(parts, sids[8], "taken_at = created_at, state = 'accepted'")
    _ = parts.celery
    send_heartbeat()
    look = Looks(lambda: parts).look()
    (found,) = (queue for queue in look.queues or () if queue.name == "sms")
    assert (found.waiting, look.waiting) == (8, 8)
    assert look.drain(found) == 8 * 60
    for _ in range(9):
        parts.publish("sms", sids[:1], 600, 1)
    assert sms(parts).waiting == 10


def test_a_code_that_was_put_off_waits(parts: Sendcode, service: Service) -> None:
    """A code whose next try is due later has waited since it was asked for, as whoever sits before
    the form has."""
    later = start(parts, service)
    let_time_pass(parts, 90)
    change(parts, later, "next_try_at = next_try_at + 120000")
    parts.redis.flushdb()
    found = sms(parts)
    assert found.oldest_age is not None
    assert 90 <= found.oldest_age < 110
    assert found.later == 1


def test_a_step_of_a_plan_waits_from_when_it_is_due(parts: Sendcode) -> None:
    """The call that follows a text is as old as its step, not as the text before it."""
    planned = parts.services.create(ACCOUNT, "Planned", plan=read_plan("call"))
    text_sid = start(parts, planned)
    let_time_pass(parts, 90)
    change(parts, text_sid, "state = 'undelivered', follow_at = created_at")
    make_relay(parts).settle()
    parts.redis.flushdb()
    age = next(queue.oldest_age for queue in parts.standing.queues() if queue.name == "call")
    assert age is not None
    assert age < 30


def test_the_index_serves_the_queues(parts: Sendcode) -> None:
    """What waits is read from the index of what is queued, not from the table."""
    explain = "EXPLAIN QUERY PLAN " if parts.db.dialect == "sqlite" else "EXPLAIN "
    plans = []
    with parts.db.begin() as connection:
        if parts.db.dialect == "postgresql":
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            connection.execute(text("SET LOCAL enable_sort = off"))
        for look in (standing._queued, standing._oldest):
            literal = {"literal_binds": True}
            statement = look(NOTHING_HELD).compile(parts.db.engine, compile_kwargs=literal)
            found = connection.exec_driver_sql(f"{explain}{statement}".replace("%", "%%"))
            plans.append(str(found.all()))
    queued, oldest = plans
    assert queued.count("ix_deliveries_due") == 4
    assert "ix_deliveries_overdue" in oldest


def test_the_oldest_message_is_seen_without_its_row(parts: Sendcode, service: Service) -> None:
    """A message that nobody takes is as old as it says, whatever became of its delivery."""
    sid = start(parts, service)
    time.sleep(0.3)
    change(parts, sid, "state = 'canceled'")
    age = sms(parts).oldest_age
    assert age is not None
    assert age > 0


def test_no_look_counts_more_than_its_bound(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the tables hold, each statement reads at most `MOST` rows."""
    read = []
    monkeypatch.setattr(
        type(parts.db.engine.dialect),
        "do_execute",
        lambda self, cursor, statement, parameters, context=None: (
            read.append(statement) or cursor.execute(statement, parameters)
        ),
    )
    look = parts.standing
    look.queues(), look.states(3600), look.pending()
    tables = [s for s in read if "FROM deliveries" in s or "FROM verifications" in s]
    assert len(tables) == 5
    assert all("LIMIT" in statement for statement in tables)
    assert standing.MOST <= 10_000


@pytest.mark.kills("one-queue-floods-the-look")
def test_a_flood_hides_no_other_queue(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many rows one queue has, another's are counted and its oldest is seen; of the flood
    the oldest is seen too, whenever the broker was told of it, and its numbers say "at least"."""
    flood = [start(parts, service, f"+4474001234{n:02d}") for n in range(5)]
    call = parts.verifications.start(ACCOUNT, Start(service.sid, NUMBER, Channel.CALL))
    let_time_pass(parts, 40)
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE deliveries SET hinted_at = created_at"))
    change(parts, call.deliveries[-1].sid, "expires_at = expires_at + 60000")
    change(
        parts,
        flood[-1],
        "hinted_at = hinted_at + 30000, created_at = created_at - 50000,"
        " expires_at = expires_at - 50000",
    )
    parts.redis.flushdb()
    monkeypatch.setattr(standing, "MOST", 3)
    look = Looks(lambda: parts).look()
    found = {queue.name: queue for queue in look.queues or ()}
    assert (found["call"].waiting, found["call"].at_least) == (1, False)
    assert 40 <= (found["call"].oldest_age or 0) < 70
    assert (found["sms"].waiting, found["sms"].at_least) == (3, True)
    assert 90 <= (found["sms"].oldest_age or 0) < 120
    assert (queue_line(found["sms"])[:20], queue_line(found["call"])[:19]) == (
        "sms       3+ waiting",
        "call      1 waiting",
    )
    page = templates.get_template("parts/queues.html").render(look=look)
    assert page.count('<td class="n">3+</td>') == 1
    assert page.count("0+") == 1  # due later
    assert "4+ waiting" in templates.get_template("parts/tiles.html").render(look=look)


def test_a_flood_in_flight_is_at_least(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What workers hold says "at least" where the look has reached its bound, and only there."""
    sids = [start(parts, service, f"+4474001234{n:02d}") for n in range(3)]
    for sid in sids:
        change(parts, sid, "state = 'sending'")
    page = templates.get_template("parts/queues.html")
    assert "3+" not in page.render(look=Looks(lambda: parts).look())
    monkeypatch.setattr(standing, "MOST", 3)
    assert "3+" in page.render(look=Looks(lambda: parts).look())
    assert "3+ in flight" in queue_line(sms(parts))


def test_old_deliveries_are_not_counted_as_recent(parts: Sendcode, service: Service) -> None:
    """The states are those of the window alone."""
    old = start(parts, service)
    hour_ago = f"VL{time.time_ns() // 1_000_000 - 3_700_000:012x}" + "0" * 20
    change(parts, old, f"sid = '{hour_ago}'")
    start(parts, service, "+447400123457")
    assert parts.standing.states(3600) == {"queued": 1}
    assert parts.standing.states(7200) == {"queued": 2}


def test_a_worker_is_known_until_it_leaves(parts: Sendcode) -> None:
    """A worker that announces itself is listed with its slots, and gone when it says so."""
    presence.announce(parts.redis, "one@host", 32, 3)
    presence.announce(parts.redis, "two@host", 8, 0)
    found = [(w.name, w.slots, w.busy) for w in parts.standing.workers()]
    assert found == [("one@host", 32, 3), ("two@host", 8, 0)]
    presence.leave(parts.redis, "one@host")
    assert [w.name for w in parts.standing.workers()] == ["two@host"]


def test_a_worker_that_died_is_forgotten(parts: Sendcode, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that says nothing any more is no longer listed."""
    monkeypatch.setattr(presence, "GONE_AFTER", 1)
    presence.announce(parts.redis, "dead@host", 32, 0)
    deadline = time.monotonic() + 5
    while parts.standing.workers() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert parts.standing.workers() == []
    presence.announce(parts.redis, "live@host", 32, 0)
    assert parts.redis.zrange("sendcode:workers", 0, -1) == [b"live@host"]


def heard(broker: "redis.Redis", seconds_ago: float) -> None:
    broker.set(standing.HEARTBEAT, time.time_ns() // 1_000_000 - int(seconds_ago * 1000))


def test_silence_of_the_workers_degrades(parts: Sendcode) -> None:
    """Without a fresh heartbeat the api is degraded, and still ready: checks need no worker."""
    assert ready(parts)[0] == 200
    assert ready(parts)[1]["checks"]["worker"] == "silent"
    heard(parts.redis, standing.SILENT_AFTER + 1)
    assert ready(parts)[1]["status"] == "degraded"
    heard(parts.redis, 1)
    code, body = ready(parts)
    assert (code, body["status"], body["checks"]["worker"]) == (200, "ok", "ok")


@pytest.mark.parametrize("last", [None, standing.SILENT_AFTER + 1])
def test_a_dead_relay_is_not_told_as_dead_workers(
    parts: Sendcode, last: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where workers are up and nobody sends them a heartbeat, everybody who looks is told to start
    the relay; where one waits, the workers do not take it."""
    presence.announce(parts.redis, "one@host", 32, 3)
    if last is not None:
        heard(parts.redis, last)
    look = Looks(lambda: parts).look()
    (told,) = (one for one in look.concerns if one.path == "/workers" and one.level == "bad")
    assert (told.what, "start the relay" in told.why) == ("The relay sends nothing", True)
    code, body = ready(parts)
    assert (code, body["status"]) == (200, "degraded")
    assert (body["checks"]["worker"], body["checks"]["relay"]) == ("ok", "silent")
    page = templates.get_template("parts/workers.html").render(look=look)
    assert "The relay sends nothing" in page
    assert "No worker takes messages" not in page
    now = parts.standing
    assert "start it" in worker_line(now.workers(), now.silent_seconds(), now.beats())
    monkeypatch.setattr(doctor, "BEATS_WITHIN", 0.1)
    with pytest.raises(doctor.ProblemError, match="sendcode relay"):
        doctor._relay(parts)
    _ = parts.celery
    send_heartbeat()
    assert parts.standing.silent() is standing.Silent.WORKERS
    look = Looks(lambda: parts).look()
    assert "Workers are up, and none takes messages" in [one.what for one in look.concerns]
    assert ready(parts)[1]["checks"]["relay"] == "unknown"
    assert "no worker takes them" in doctor._relay(parts)


def test_an_open_circuit_degrades(parts: Sendcode) -> None:
    """An open circuit is named, and the api still ready."""
    heard(parts.redis, 1)
    for _ in range(OPENS_AT):
        parts.circuits.failed("main", Channel.SMS)
    code, body = ready(parts)
    assert (code, body["status"], body["open_circuits"]) == (200, "degraded", ["main/sms"])


def test_without_a_broker_it_is_unavailable(parts: Sendcode) -> None:
    """Broker, database and migrations alone decide about 503."""
    heard(parts.redis, 1)
    away = parts.settings.model_copy(
        update={"broker_url": type(parts.settings.broker_url)("redis://127.0.0.1:1/0")}
    )
    answer = TestClient(create_app(away)).get("/readyz")
    body = answer.json()
    assert (answer.status_code, body["status"]) == (503, "unavailable")
    assert body["checks"] == {
        "broker": "failed",
        "database": "ok",
        "migrations": "ok",
        "worker": "silent",
        "relay": "unknown",
    }


def test_flows_of_the_last_minute(parts: Sendcode, service: Service) -> None:
    """What came and what workers took in the last minute is told by queue; older is not."""
    first, second = (
        parts.verifications.start(ACCOUNT, Start(service.sid, to, Channel.SMS)).deliveries[0].sid
        for to in ("+447400123451", "+447400123452")
    )
    with parts.db.begin() as connection:
        taken = "UPDATE deliveries SET taken_at = created_at + 5 WHERE sid = :sid"
        connection.execute(text(taken), {"sid": first})
        old = "UPDATE deliveries SET created_at = created_at - 90000 WHERE sid = :sid"
        connection.execute(text(old), {"sid": second})
    flow = parts.standing.flows()["sms"]
    assert (flow.came, flow.taken, flow.at_least) == (1, 1, False)


def test_only_what_was_cut_says_at_least(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A minute of which every code was looked at is told exactly, also where older ones were not;
    what was taken may be more where only codes that waited for long were taken in it."""
    first, second = (start(parts, service, f"+44740012345{n}") for n in range(2))
    monkeypatch.setattr(flows, "MOST", 2)
    page = templates.get_template("parts/tiles.html")

    def flow() -> tuple[int, int, bool, bool]:
        one = parts.standing.flows()["sms"]
        return one.came, one.taken, one.at_least, one.taken_at_least

    assert flow() == (2, 0, True, True)
    change(parts, first, "created_at = created_at - 90000")
    change(parts, first, "taken_at = created_at + 5")
    change(parts, second, "taken_at = created_at + 5")
    assert flow() == (1, 1, False, False)
    assert "≥" not in page.render(look=Looks(lambda: parts).look())
    change(parts, first, "taken_at = created_at + 89000")
    assert flow() == (1, 2, False, True)
    assert "≥ 2 <small>out" in page.render(look=Looks(lambda: parts).look())


def without(parts: Sendcode, *away: str) -> Sendcode:
    """The same installation, as it looks while broker or database does not answer."""
    urls = {
        "broker_url": type(parts.settings.broker_url)("redis://127.0.0.1:1/0"),
        "database_url": "postgresql+psycopg://nobody@127.0.0.1:1/none",
    }
    return Sendcode(parts.settings.model_copy(update={name: urls[name] for name in away}))


def shown(seen: dict[str, Any]) -> str:
    console = Console(width=120)
    with console.capture() as captured:
        console.print(top.screen(seen))
    return captured.get()


def test_top_goes_on_while_a_part_is_away(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What broker or database does not answer for says so, and the rest is shown; where nothing
    answers the live screen looks again, and `--once` ends with 5."""
    start(parts, service)
    presence.announce(parts.redis, "one@host", 32, 3)
    parts.operations.pauses.pause(ANN, "country", "GB", "a drill")
    whole = shown(top.look(parts))
    assert "no answer" not in whole
    assert re.search(r"sms +│ 1 +│ 0 +│ 0 +│ 1 ", whole)  # waiting, due later, in flight, held
    broker_away = shown(top.look(without(parts, "broker_url")))
    assert "last minute: queued 1" in broker_away
    assert "PAUSED country GB" in broker_away
    for part in ("queues", "workers", "circuits"):
        assert f"{part}: no answer" in broker_away
    database_away = shown(top.look(without(parts, "database_url")))
    assert "1 up, 3 of 32 slots busy" in database_away
    for part in ("pauses", "queues", "last minute", "failures"):
        assert f"{part}: no answer" in database_away
    nothing = without(parts, "broker_url", "database_url")
    assert "looking again" in str(top._screen_now(nothing))
    monkeypatch.setattr(top, "parts", lambda: nothing)
    assert CliRunner().invoke(main, ["top", "--once"]).exit_code == 5
