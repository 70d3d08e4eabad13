"""Pauses: what is paused is not sent and is kept, in every process, on both databases."""

import json
import time
from collections.abc import Callable

import pytest
from sqlalchemy import event, text

from api_stub.console.pages import templates
from tests.helpers import at_once, count, delivery, let_time_pass, waiting
from tests.integration.conftest import ACCOUNT
from tests.integration.operating import (
    AMERICAN,
    ANN,
    BRITISH,
    audited,
    delivery_of,
    make_relay,
    start,
)
from tests.standin import Standin
from worker import holds as holds_module
from worker.errors import InvalidParameterError, PausedError
from worker.gauges import Gauges
from worker.operations import discarding as discarding_module
from worker.operations import pauses as pauses_module
from worker.plan import read_plan
from worker.services import Service
from worker.states import Channel
from worker.wiring import Sendcode

COUNTRY, CHANNEL = ("country", "GB"), ("channel", "sms")


def pause(parts: Sendcode, kind: str, name: str, until: int | None = None) -> None:
    parts.operations.pauses.pause(ANN, kind, name, "pumping", until)


def resume(parts: Sendcode, kind: str, name: str) -> None:
    parts.operations.pauses.resume(ANN, kind, name, "it is over")


@pytest.mark.kills("paused-is-claimed", "paused-is-claimed-in-one")
@pytest.mark.parametrize(("kind", "name"), [COUNTRY, CHANNEL, ("queue", "sms"), ("sender", "main")])
def test_what_is_paused_is_kept_and_goes_out_at_resume(
    parts: Sendcode, service: Service, provider: Standin, kind: str, name: str
) -> None:
    """A delivery that was accepted before a pause is not sent in it, and is sent after it."""
    sid = delivery_of(parts, service)
    pause(parts, kind, name)
    parts.dispatch.deliver([sid])
    row = delivery(parts, sid)
    assert (row.state, row.tries, provider.sent) == ("queued", 0, [])
    resume(parts, kind, name)
    parts.dispatch.deliver([sid])
    assert delivery(parts, sid).state == "accepted"
    assert len(provider.sent) == 1


@pytest.mark.kills("paused-is-claimed", "paused-is-claimed-in-one")
def test_a_pause_of_one_country_stops_no_other(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """While one country is paused the codes of another go out."""
    held, free = delivery_of(parts, service), delivery_of(parts, service, AMERICAN)
    pause(parts, *COUNTRY)
    parts.dispatch.deliver([held, free])
    assert [sent["To"] for sent in provider.sent] == [AMERICAN]


@pytest.mark.kills("paused-is-published")
def test_the_relay_publishes_nothing_that_is_held(parts: Sendcode, service: Service) -> None:
    """What is held makes no messages; after the resume it is published again."""
    held, free = delivery_of(parts, service), delivery_of(parts, service, AMERICAN)
    called = delivery_of(parts, service, AMERICAN, channel=Channel.CALL)
    parts.redis.flushdb()
    pause(parts, *COUNTRY)
    pause(parts, "channel", "call")
    let_time_pass(parts, 5)
    relay = make_relay(parts)
    relay.publish()
    assert (waiting(parts, "sms"), waiting(parts, "call")) == ([[free]], [])
    resume(parts, *COUNTRY)
    resume(parts, "channel", "call")
    relay.publish()
    assert (waiting(parts, "sms"), waiting(parts, "call")) == ([[free], [held]], [[called]])


@pytest.mark.kills("pause-is-known-too-late")
def test_every_process_knows_within_two_seconds(
    parts: Sendcode, service: Service, make_parts: Callable[..., Sendcode]
) -> None:
    """Another process, which has just looked, sees a pause set and cleared in under two seconds."""
    other = Sendcode(parts.settings)
    for act, expected in ((pause, {"GB"}), (resume, set())):
        other.holds.now()
        act(parts, *COUNTRY)
        time.sleep(holds_module.STALE)
        assert other.holds.now().countries == expected
    other.db.close()


def test_a_pause_outlives_every_process(parts: Sendcode, service: Service) -> None:
    """A process that starts later is held by it."""
    pause(parts, *COUNTRY)
    parts.redis.flushdb()
    later = Sendcode(parts.settings)
    with pytest.raises(PausedError):
        start(later, service)
    later.db.close()


@pytest.mark.kills("pause-is-asked-for-each-time")
def test_nothing_paused_costs_no_statement(parts: Sendcode, service: Service) -> None:
    """Ten starts and ten deliveries ask once for what is paused, not once each."""
    asked = 0

    def count_it(*args: object) -> None:
        nonlocal asked
        asked += "FROM pauses" in str(args[2])

    for engine in parts.db.engines:
        event.listen(engine, "before_cursor_execute", count_it)
    parts.holds.now()
    before = asked
    parts.holds._read_at = time.monotonic() + 60  # as if it had been asked just now, all along
    sids = [delivery_of(parts, service, f"+4474001234{n:02}") for n in range(10)]
    parts.dispatch.deliver(sids)
    assert (before, asked) == (1, 1)


@pytest.mark.kills("paused-is-promised")
def test_a_start_to_what_is_paused_is_refused(parts: Sendcode, service: Service) -> None:
    """A start that nothing would come of is refused at once, counts against no limit and writes
    nothing; one in a paused queue is accepted and held."""
    pause(parts, *COUNTRY, until=600)
    with pytest.raises(PausedError) as refused:
        start(parts, service)
    assert (refused.value.kind, refused.value.retry_after) == ("country", 600)
    resume(parts, *COUNTRY)
    pause(parts, *CHANNEL)
    with pytest.raises(PausedError):
        start(parts, service)
    assert (count(parts, "verifications"), parts.redis.keys("sendcode:limit:*")) == (0, [])
    assert start(parts, service, channel=Channel.CALL).sid
    resume(parts, *CHANNEL)
    pause(parts, "queue", "sms")
    assert start(parts, service, AMERICAN).sid


def test_a_plan_takes_over_from_a_paused_channel(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """While texts are paused a service with a plan calls at once, for new starts and for those
    that wait."""
    parts.services.update(ACCOUNT, service.sid, plan=read_plan("call"))
    older = delivery_of(parts, service)
    pause(parts, *CHANNEL)
    newer = delivery_of(parts, service, AMERICAN)
    make_relay(parts).settle()
    with parts.db.statement() as connection:
        calls = connection.execute(text("SELECT sid FROM deliveries WHERE channel = 'call'"))
        parts.dispatch.deliver([older, newer, *calls.scalars()])
    assert sorted(sent["To"] for sent in provider.sent) == [AMERICAN, BRITISH]
    assert {sent["kind"] for sent in provider.sent} == {"calls"}


def test_a_paused_sender_is_passed_over(
    make_parts: Callable[..., Sendcode], provider: Standin
) -> None:
    """With one of two senders paused codes go by the other; with both, nowhere."""
    account = {"account_sid": "AC" + "1" * 32, "auth_token": "provider-token"}
    numbers = {"one": "+12025550101", "two": "+12025550102"}
    senders = [{"name": name, "from": number, **account} for name, number in numbers.items()]
    none = {"twilio_account_sid": "", "twilio_auth_token": "", "twilio_from": ""}
    parts = make_parts(senders=json.dumps(senders), **none)
    service = parts.services.create(ACCOUNT, "Example")
    pause(parts, "sender", "one")
    parts.dispatch.deliver([delivery_of(parts, service)])
    assert [sent["From"] for sent in provider.sent] == [numbers["two"]]
    pause(parts, "sender", "two")
    with pytest.raises(PausedError):
        start(parts, service, AMERICAN)


def test_pausing_a_sender_tells_what_it_keeps(
    make_parts: Callable[..., Sendcode], provider: Standin
) -> None:
    """Codes that no worker has taken yet are kept where no other sender serves their channel; where
    one does, it takes over."""
    account = {"account_sid": "AC" + "1" * 32, "auth_token": "provider-token"}
    senders = [
        {"name": "one", "from": "+12025550101", **account},
        {"name": "two", "from": "+12025550102", "channels": ["sms"], **account},
    ]
    none = {"twilio_account_sid": "", "twilio_auth_token": "", "twilio_from": ""}
    parts = make_parts(senders=json.dumps(senders), **none)
    service = parts.services.create(ACCOUNT, "Example")
    delivery_of(parts, service)
    delivery_of(parts, service, AMERICAN)
    delivery_of(parts, service, AMERICAN, channel=Channel.CALL)
    act, page = parts.operations.pauses, templates.get_template("parts/outcome.html")

    def told(name: str) -> tuple[str, dict[str, object]]:
        one = act.pause(ANN, "sender", name, "why", dry_run=True)
        return page.render(outcome=one), one.after or {}

    text_of_one, one = told("one")
    text_of_two, two = told("two")
    assert (one["held"], one["others_take_over"]) == (1, "sms")
    assert "1 code that waits is kept. Other senders take over: sms." in text_of_one
    assert (two["held"], two["others_take_over"]) == (0, "sms")
    assert "No code waits" not in text_of_two
    pause(parts, "sender", "two")
    text_of_one, one = told("one")
    assert (one["held"], "others_take_over" in one) == (3, False)
    assert "3 codes that wait are kept." in text_of_one
    pause(parts, "sender", "one")
    back = act.resume(ANN, "sender", "two", "why", dry_run=True)
    assert (back.before or {})["held"] == 2


@pytest.mark.kills("pause-never-ends")
def test_it_ends_by_itself(parts: Sendcode, service: Service) -> None:
    """After its time nothing is held any more; the relay writes down that it ended."""
    pause(parts, *COUNTRY, until=60)
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE pauses SET until = until - 61000"))
    parts.holds.refresh()
    assert start(parts, service).sid
    assert parts.operations.pauses.all() == []
    parts.operations.end_overdue()
    parts.operations.end_overdue()
    entries = [(one.action, one.who) for one in audited(parts)]
    assert entries == [("pause.set", "ann"), ("pause.clear", "sendcode")]
    assert count(parts, "pauses") == 0


def test_twice_and_two_at_once(parts: Sendcode) -> None:
    """Whoever pauses or resumes at the same time, there is one pause, then none."""
    act = parts.operations.pauses
    made = at_once(8, lambda n: act.pause(ANN, *COUNTRY, f"reason {n}"))
    assert {one.result for one in made} == {"done"}
    assert count(parts, "pauses") == 1
    ended = at_once(8, lambda n: act.resume(ANN, *COUNTRY, "over").result)
    assert count(parts, "pauses") == 0
    assert set(ended) <= {"done", "unchanged"}
    assert act.resume(ANN, *COUNTRY, "over").result == "unchanged"


def test_a_dry_run_tells_and_does_nothing(parts: Sendcode, service: Service) -> None:
    """A dry run says how much would be held, and holds nothing."""
    delivery_of(parts, service)
    told = parts.operations.pauses.pause(ANN, *COUNTRY, "why", 60, dry_run=True)
    assert (told.result, told.after) == ("would", {"reason": "why", "seconds": 60, "held": 1})
    assert (parts.operations.pauses.all(), audited(parts)) == ([], [])
    pause(parts, *COUNTRY)
    told = parts.operations.pauses.resume(ANN, *COUNTRY, "why", dry_run=True)
    assert told.result == "would"
    assert len(parts.operations.pauses.all()) == 1


@pytest.mark.kills("number-in-the-audit-log")
def test_the_log_says_who_why_and_what_was_before(parts: Sendcode) -> None:
    """Each change has an entry with who, where from, why, before and after; a number in the
    reason is not kept."""
    parts.operations.pauses.pause(ANN, *COUNTRY, "asked by +44 7400 123456, see INC-77", 60)
    parts.operations.pauses.pause(ANN, *COUNTRY, "longer", 120)
    resume(parts, *COUNTRY)
    first, second, last = audited(parts)
    assert (first.who, first.address, first.target) == ("ann", "10.0.0.1", "country GB")
    assert first.reason == "asked by [number], see INC-77"
    assert first.before is None
    assert second.before is not None
    assert second.before["reason"] == first.reason
    assert second.after == {"reason": "longer", "seconds": 120, "held": 0}
    assert (last.action, last.after) == ("pause.clear", None)


@pytest.mark.parametrize(
    ("kind", "name", "reason", "until"),
    [
        ("planet", "GB", "why", None),
        ("country", "XX", "why", None),
        ("country", "ß", "why", None),  # its capitals are the code of South Sudan
        ("queue", "relay", "why", None),
        ("sender", "nobody", "why", None),
        ("country", "GB", "  ", None),
        ("country", "GB", "w" * 201, None),
        ("country", "GB", "why", 0),
        ("country", "GB", "why", 31 * 86_400),
    ],
)
def test_what_cannot_be_paused(
    parts: Sendcode, kind: str, name: str, reason: str, until: int | None
) -> None:
    """What is not there, or has no reason or no usable end, is refused and changes nothing."""
    with pytest.raises(InvalidParameterError):
        parts.operations.pauses.pause(ANN, kind, name, reason, until)
    assert (parts.operations.pauses.all(), audited(parts)) == ([], [])


def test_a_country_that_is_none_is_told_what_to_write(parts: Sendcode) -> None:
    """The message says how a country is written, and names the queues where it was a queue."""
    for kind, words in (("country", "an ISO 3166 code, such as GB"), ("queue", "one of: sms")):
        with pytest.raises(InvalidParameterError, match=words):
            parts.operations.pauses.pause(ANN, kind, "England", "why", None)


def test_a_count_that_was_cut_says_so(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where as many are kept, may go out or are dropped as are counted at most, the pages say that
    there may be more; below that they do not."""
    for to in (BRITISH, AMERICAN):
        delivery_of(parts, service, to)
    act, drop = parts.operations.pauses, parts.operations.discarding

    def told() -> str:
        page = templates.get_template("parts/outcome.html")
        dry = (
            act.pause(ANN, "queue", "sms", "why", dry_run=True),
            act.resume(ANN, "channel", "sms", "why", dry_run=True),
            drop.queue(ANN, "sms", "all", "why", dry_run=True),
        )
        return "".join(page.render(outcome=one) for one in dry)

    pause(parts, *CHANNEL)
    whole = ("2 codes that wait are kept", "2 kept codes may go out", "2 deliveries match")
    assert all(words in told() for words in whole)
    for module in (pauses_module, discarding_module):
        monkeypatch.setattr(module, "MOST", 2)
    assert all(words.replace("2", "2+") in told() for words in whole)


def test_what_is_held_is_no_wait(parts: Sendcode, service: Service) -> None:
    """Held deliveries are counted as held and make no queue look old."""
    delivery_of(parts, service)
    parts.redis.flushdb()
    let_time_pass(parts, 20)
    pause(parts, *COUNTRY)
    (sms,) = (queue for queue in parts.standing.queues() if queue.name == "sms")
    assert (sms.held, sms.oldest_age) == (1, None)


def test_the_gauges_say_which_pause_ends_by_itself(parts: Sendcode) -> None:
    """Each pause has since when, one with an end also until when: the alert is on the others."""
    act = parts.operations.pauses
    pause(parts, *COUNTRY, until=600)
    pause(parts, *CHANNEL)
    gauges = Gauges(parts.standing, lambda: True, act.all, list).collect()
    found = {family.name: family.samples for family in gauges}
    began, ends = (f"sendcode_paused_{word}_timestamp_seconds" for word in ("since", "until"))
    since = {one.labels["name"]: one.value for one in found[began]}
    (until,) = found[ends]
    assert set(since) == {"GB", "sms"}
    assert (until.labels["kind"], until.value) == ("country", since["GB"] + 600)
