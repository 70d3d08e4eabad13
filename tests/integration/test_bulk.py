"""Bulk: a verb on all that match, once each, whatever dies, on both databases."""

import threading
from dataclasses import replace

import pytest
from sqlalchemy import text

from tests.helpers import at_once, count, delivery, let_time_pass
from tests.integration.conftest import ACCOUNT
from tests.integration.operating import ADMIN, ANN, audited, delivery_of
from tests.standin import Standin
from worker import records
from worker.cli import bulk as commands
from worker.errors import ActionRefusedError, InvalidParameterError, NotFoundError
from worker.filters import Filters
from worker.operations import BulkJob
from worker.operations import bulk as bulk_module
from worker.services import Service
from worker.wiring import Sendcode

FAILED = Filters(state="failed", error_code="21610")


def fail(parts: Sendcode, service: Service, provider: Standin, times: int) -> list[str]:
    """Deliveries that the provider refused, each to a number of its own."""
    sids = [delivery_of(parts, service, f"+4474001{n:05}") for n in range(times)]
    provider.script.extend([(400, 21610, {})] * times)
    parts.dispatch.deliver(sids)
    return sids


def begin(parts: Sendcode, verb: str = "retry", filters: Filters = FAILED, **values: str) -> str:
    return parts.operations.bulk.start(ANN, verb, filters, "carrier is back", **values).target


def finish(parts: Sendcode, sid: str) -> BulkJob:
    while parts.operations.bulk.tick():
        pass
    return parts.operations.bulk.fetch(sid)


def test_all_that_match_are_sent_again_once(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """A job sends each match again, no other, and ends; its count is told before, its end is in
    the log, and a second job of the same changes nothing."""
    sids = fail(parts, service, provider, 5)
    other = delivery_of(parts, service, "+13035550199")
    told = parts.operations.bulk.start(ANN, "retry", FAILED, "why", dry_run=True)
    assert told.after is not None
    assert (told.result, told.after["total"]) == ("would", 5)
    assert parts.operations.bulk.all() == []
    job = finish(parts, begin(parts))
    assert (job.state, job.total, job.done, job.failed) == ("done", 5, 5, 0)
    assert count(parts, "deliveries") == 11
    assert delivery(parts, other).state == "queued"
    again = finish(parts, begin(parts))
    assert (again.state, again.done, again.unchanged) == ("done", 0, 5)
    actions = [one.action for one in audited(parts)]
    assert actions == ["bulk.retry", *["retry"] * 5, "bulk.end", "bulk.retry", "bulk.end"]
    assert {one.reason for one in audited(parts)} == {"carrier is back"}
    assert {one.target for one in audited(parts) if one.action == "retry"} == set(sids)


def test_what_a_job_makes_is_none_of_its_matches(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """The new deliveries of a retry that fail too are not retried by the same job."""
    fail(parts, service, provider, 3)
    sid = begin(parts)
    parts.operations.bulk.tick(stop=_after(1))
    made = [s for s in _all(parts) if delivery(parts, s).state == "queued"]
    provider.script.extend([(400, 21610, {})] * len(made))
    parts.dispatch.deliver(made)
    job = finish(parts, sid)
    assert (job.done, count(parts, "deliveries")) == (3, 6)


def test_it_goes_on_where_it_died(parts: Sendcode, service: Service, provider: Standin) -> None:
    """A relay that dies after a step was done and before it was noted is followed by another,
    once its lease is over, and nothing is done twice."""
    fail(parts, service, provider, 6)
    sid = begin(parts)
    bulk = parts.operations.bulk
    moves, whole = [], bulk._move

    def dying(*args: object) -> bool:
        if len(moves) == 3:
            raise SystemExit
        moves.append(args)
        return whole(*args)  # type: ignore[arg-type]

    bulk._move = dying  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        bulk.tick()
    bulk._move = whole  # type: ignore[method-assign]
    assert not bulk.tick(), "the dead one's lease holds"
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE bulk_jobs SET lease_until = 1"))
    job = finish(parts, sid)
    assert (job.state, job.done, job.unchanged) == ("done", 5, 1)
    assert count(parts, "deliveries") == 12


def test_who_was_overtaken_leaves_the_lease(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """A relay that was slower than its lease does not let go of the job for the one that has it."""
    fail(parts, service, provider, 3)
    begin(parts)
    bulk, far = parts.operations.bulk, 9_000_000_000_000

    def overtaken(*_: object) -> dict[str, int]:
        with parts.db.begin() as connection:
            connection.execute(
                text("UPDATE bulk_jobs SET cursor = 'VL1', lease_until = :far"), {"far": far}
            )
        return {"b_done": 1}

    bulk._do = overtaken  # type: ignore[method-assign]
    bulk.tick()
    with parts.db.statement() as connection:
        assert connection.execute(text("SELECT lease_until FROM bulk_jobs")).scalar_one() == far


def test_two_relays_do_each_one_once(parts: Sendcode, service: Service, provider: Standin) -> None:
    """However many relays run, each match is sent again once and counted once."""
    fail(parts, service, provider, 6)
    sid = begin(parts)
    at_once(4, lambda _: finish(parts, sid))
    job = finish(parts, sid)
    assert (job.state, job.done + job.unchanged) == ("done", 6)
    assert count(parts, "deliveries") == 12


def test_a_job_can_be_stopped(parts: Sendcode, service: Service, provider: Standin) -> None:
    """A stopped job does no more; what it has done stays done and is told."""
    fail(parts, service, provider, 4)
    sid = begin(parts)
    parts.operations.bulk.tick(stop=_after(2))
    assert parts.operations.bulk.stop(ANN, sid, "enough", dry_run=True).result == "would"
    assert parts.operations.bulk.stop(ANN, sid, "enough").result == "done"
    job = finish(parts, sid)
    assert (job.state, job.done) == ("stopped", 2)
    assert parts.operations.bulk.stop(ANN, sid, "enough").result == "unchanged"
    assert count(parts, "deliveries") == 6


def test_those_chosen_and_no_others(parts: Sendcode, service: Service, provider: Standin) -> None:
    """A job of chosen deliveries does each of them once, however old it is, and nothing else; of
    those that are gone it tells by its count, and each has its own entry in the log."""
    sids = fail(parts, service, provider, 4)
    old = fail_long_ago(parts, service, provider)
    gone = "VL" + "0" * 32
    chosen = Filters(sids=(sids[0], sids[2], sids[2], old, gone))
    told = parts.operations.bulk.start(ANN, "retry", chosen, "why", dry_run=True)
    assert told.after is not None
    assert (told.result, told.after["total"], told.after["chosen"]) == ("would", 3, 4)
    assert (parts.operations.bulk.all(), audited(parts)) == ([], [])
    job = finish(parts, begin(parts, "cancel", chosen))
    assert (job.state, job.total, job.done) == ("done", 3, 2), "the old one had ended"
    ended = [one.target for one in audited(parts) if one.action == "cancel"]
    owners = {delivery(parts, sid).verification_sid for sid in (sids[0], sids[2])}
    assert (len(ended), set(ended)) == (2, owners)


def fail_long_ago(parts: Sendcode, service: Service, provider: Standin) -> str:
    """The sid of a delivery of the year 2001, whose verification has ended."""
    sid = delivery_of(parts, service, "+447400199999")
    provider.script.append((400, 21610, {}))
    parts.dispatch.deliver([sid])
    values = {"old": "VL00e8d4a51000" + sid[14:], "sid": sid}
    owner = {"owner": delivery(parts, sid).verification_sid}
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE deliveries SET sid = :old WHERE sid = :sid"), values)
        connection.execute(
            text("UPDATE verifications SET status = 'expired' WHERE sid = :owner"), owner
        )
    return values["old"]


def test_it_cancels_and_switches_channels(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """A bulk resend calls those it matches; a bulk cancel ends their verifications, each once."""
    fail(parts, service, provider, 2)
    job = finish(parts, begin(parts, "resend", channel="call"))
    assert (job.done, job.failed) == (2, 0)
    assert count(parts, "deliveries WHERE channel = 'call'") == 2
    job = finish(parts, begin(parts, "cancel", Filters(country="GB")))
    assert (job.total, job.done, job.unchanged) == (4, 2, 2)
    assert count(parts, "verifications WHERE status = 'canceled'") == 2


def test_a_job_for_one_service(parts: Sendcode, service: Service, provider: Standin) -> None:
    """A job by service, or by sender, touches no other's deliveries."""
    other = parts.services.create(ACCOUNT, "Other")
    theirs = delivery_of(parts, other, "+447400200001")
    sids = fail(parts, service, provider, 2)
    for wanted in (Filters(service=other.sid), Filters(service=service.sid, sender="second")):
        told = parts.operations.bulk.start(ANN, "cancel", wanted, "why", dry_run=True)
        assert told.after is not None
        assert told.after["total"] == (1 if wanted.sender is None else 0)
    job = finish(parts, begin(parts, "cancel", Filters(service=service.sid, sender="main")))
    assert (job.done, job.filters["service"], job.filters["sender"]) == (2, service.sid, "main")
    assert delivery(parts, theirs).state == "queued"
    canceled = [entry.target for entry in audited(parts) if entry.action == "cancel"]
    assert canceled == [delivery(parts, sid).verification_sid for sid in sids[::-1]]


def test_what_is_refused_is_counted_as_failed(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """A match that may not be sent again is passed over and counted; the rest goes on."""
    fail(parts, service, provider, 3)
    parts.operations.blocks.block(ANN, "+447400100001", "abuse")
    job = finish(parts, begin(parts))
    assert (job.state, job.done, job.failed) == ("done", 2, 1)


@pytest.mark.kills("dead-codes-are-sent-again")
def test_dead_codes_are_passed_over(parts: Sendcode, service: Service, provider: Standin) -> None:
    """A retry looks no further back than a code can live, and tries none whose code is dead: it
    tells before how many live. Where none does there is no job, and a cancel looks at all."""
    sids, month = fail(parts, service, provider, 3), replace(FAILED, within=2_592_000)
    parts.operations.sending.cancel(ANN, sids[1], "asked to")
    told = parts.operations.bulk.start(ANN, "retry", month, "why", dry_run=True).after or {}
    assert (told["total"], told["live"], told["filters"]["within"]) == (3, 2, 86_400)
    job = finish(parts, begin(parts, "retry", month))
    assert (job.total, job.done, job.unchanged, job.failed) == (2, 2, 0, 0)
    told = parts.operations.bulk.start(ANN, "cancel", month, "why", dry_run=True).after or {}
    assert (told["total"], told["filters"]["within"]) == (3, 2_592_000)
    assert "live" not in told
    let_time_pass(parts, 601)
    assert parts.operations.bulk.start(ANN, "retry", month, "why").result == "unchanged"


def test_a_job_that_nobody_does_is_not_waited_for(
    parts: Sendcode,
    service: Service,
    provider: Standin,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without a relay the command line ends, with what is to be done; with one it sees the end,
    however long each step takes."""
    monkeypatch.setattr(commands, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(commands, "IDLE", 0.3)
    fail(parts, service, provider, 3)
    sid = begin(parts)
    with pytest.raises(SystemExit) as ended:
        commands._watch(parts, sid)
    assert ended.value.code == 5
    assert "it does not run (`sendcode relay`)" in capsys.readouterr().err
    monkeypatch.setattr(commands, "IDLE", 60)
    relay = threading.Thread(target=finish, args=(parts, sid))
    relay.start()
    assert commands._watch(parts, sid).done == 3
    relay.join()


@pytest.mark.kills("a-job-waits-for-all-before-it")
def test_jobs_take_turns(
    parts: Sendcode, service: Service, provider: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long job keeps no later one waiting: each gets its batch in turn."""
    monkeypatch.setattr(bulk_module, "BATCH", 1)
    fail(parts, service, provider, 4)
    first, second = begin(parts), begin(parts)
    for _ in range(4):
        parts.operations.bulk.tick()
    jobs = [parts.operations.bulk.fetch(sid) for sid in (first, second)]
    assert [job.done + job.unchanged for job in jobs] == [2, 2]


@pytest.mark.kills("a-count-has-no-bound")
def test_a_count_is_bounded(
    parts: Sendcode, service: Service, provider: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting stops at a bound and says so; the job does all that match all the same, also
    where none of them was counted."""
    fail(parts, service, provider, 5)
    monkeypatch.setattr(records, "SCAN", 2)
    monkeypatch.setattr(records, "COUNTED", 2)
    told = parts.operations.bulk.start(ANN, "retry", FAILED, "why", dry_run=True).after or {}
    assert (told["total"], told["live"], told["at_least"]) == (2, 2, True)
    job = finish(parts, begin(parts))
    assert (job.state, job.total, job.done, job.options["at_least"]) == ("done", 2, 5, True)
    job = finish(parts, begin(parts, "cancel", replace(FAILED, country="GB", state="failed")))
    assert (job.state, job.done) == ("done", 5)
    rare = Filters(state="failed", channel="call")
    assert parts.operations.bulk.start(ANN, "retry", rare, "why").result == "done"


def test_one_that_breaks_keeps_no_other_back(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """A match whose row cannot be read counts as failed, and the job goes on and ends."""
    sids = fail(parts, service, provider, 3)
    owner = delivery(parts, sids[1]).verification_sid
    with parts.db.begin() as connection:
        connection.execute(
            text("UPDATE verifications SET number_sealed = code_digest WHERE sid = :sid"),
            {"sid": owner},
        )
    job = finish(parts, begin(parts))
    assert (job.state, job.done, job.failed) == ("done", 2, 1)


def test_old_jobs_are_purged(parts: Sendcode, service: Service, provider: Standin) -> None:
    """The relay deletes a job once it ended longer ago than other rows are kept, and none that
    runs or ended since."""
    fail(parts, service, provider, 2)
    old, young, running = finish(parts, begin(parts)), finish(parts, begin(parts)), begin(parts)
    with parts.db.begin() as connection:
        change = "UPDATE bulk_jobs SET ended_at = ended_at - :ms WHERE sid = :sid"
        month = parts.settings.retention_days * 86_400_000
        connection.execute(text(change), {"ms": month + 1, "sid": old.sid})
        connection.execute(text(change), {"ms": month - 60_000, "sid": young.sid})
    parts.purging.purge()
    assert {job.sid for job in parts.operations.bulk.all()} == {young.sid, running}


@pytest.mark.kills("none-chosen-is-all-that-match")
def test_what_cannot_be_a_job(parts: Sendcode) -> None:
    """No verb, no channel of a resend, a number as filter, or limits overridden by no admin: no
    job. Where nothing matches there is none either."""
    act = parts.operations.bulk
    for verb, filters, channel in (
        ("delete", FAILED, None),
        ("resend", FAILED, None),
        ("retry", FAILED, "call"),
        ("retry", FAILED, "7400123456"),
        ("retry", Filters(number="+447400123456"), None),
        ("retry", Filters(error_code="7400123456"), None),
        ("retry", Filters(state="lost"), None),
        ("retry", Filters(channel="fax"), None),
        ("retry", Filters(country="Britain"), None),
        ("retry", Filters(service="VE" + "0" * 32), None),
        ("retry", Filters(sender="main 2"), None),
        ("retry", Filters(sender="447400123456"), None),
        ("retry", Filters(sids=("VL" + "0" * 32,), sender="main"), None),
        ("retry", Filters(sids=()), None),
        ("retry", Filters(sids=("VE" + "0" * 32,)), None),
        ("retry", Filters(sids=("VL" + "0" * 32,) * 501), None),
        ("retry", Filters(sids=("VL" + "0" * 32,), state="failed"), None),
    ):
        with pytest.raises(InvalidParameterError):
            act.start(ANN, verb, filters, "why", channel=channel)
    with pytest.raises(ActionRefusedError):
        act.start(ANN, "retry", FAILED, "why", override_limits=True)
    assert act.start(ADMIN, "retry", FAILED, "why", override_limits=True).result == "unchanged"
    with pytest.raises(NotFoundError):
        act.stop(ANN, "OJ" + "0" * 32, "why")
    assert (act.all(), audited(parts)) == ([], [])


def _all(parts: Sendcode) -> list[str]:
    with parts.db.statement() as connection:
        return list(connection.execute(text("SELECT sid FROM deliveries ORDER BY sid")).scalars())


class _after(threading.Event):  # noqa: N801
    """A stop that comes after so many steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.left = steps

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0
