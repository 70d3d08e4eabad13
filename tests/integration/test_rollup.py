"""What is counted per minute is what the rows say, however often and by however many."""

import pytest
from sqlalchemy import select, text, update

from tests.helpers import at_once, code_of
from tests.integration.conftest import ACCOUNT
from worker import rollup
from worker.minute_tables import WAIT_BOUNDS, minute_looks
from worker.minutes import Minutes, percentile
from worker.models import deliveries
from worker.rollup import AGES, MINUTE, Rollup, is_due
from worker.services import Service
from worker.states import Channel
from worker.verifications import Start
from worker.wiring import Sendcode

NUMBERS = [f"+4474001234{i:02}" for i in range(56, 90)]


@pytest.fixture
def room(parts: Sendcode) -> Rollup:
    return Rollup(parts.db, 30)


@pytest.fixture
def minutes(parts: Sendcode) -> Minutes:
    return Minutes(parts.db)


def start(parts: Sendcode, service: Service, number: str) -> tuple[str, str]:
    """A code that was promised; the sids of verification and delivery."""
    made = parts.verifications.start(ACCOUNT, Start(service.sid, number, Channel.SMS))
    return made.sid, made.deliveries[-1].sid


def becomes(parts: Sendcode, sid: str, state: str, after: int | None = None) -> None:
    d = deliveries.c
    accepted = None if after is None else d.created_at + after
    with parts.db.begin() as connection:
        connection.execute(
            update(deliveries).where(d.sid == sid).values(state=state, accepted_at=accepted)
        )


def test_counts_say_what_the_rows_say(
    parts: Sendcode, service: Service, room: Rollup, minutes: Minutes
) -> None:
    """Started, approved, accepted, delivered and failed codes are counted by channel and country,
    and again when they have changed."""
    sids = [start(parts, service, number) for number in NUMBERS[:6]]
    for (_, sid), state, after in (
        (sids[0], "delivered", 40),
        (sids[1], "delivered", 400),
        (sids[2], "accepted", 4000),
        (sids[3], "failed", None),
    ):
        becomes(parts, sid, state, after)
    parts.verifications.check(ACCOUNT, service.sid, code_of(parts, sids[0][0]), sid=sids[0][0])
    room.look()
    (place,) = minutes.places(5)
    assert (place.channel, place.country) == ("sms", "GB")
    counts = place.counts
    assert (counts.codes, counts.approved, counts.deliveries) == (6, 1, 6)
    assert (counts.accepted, counts.delivered, counts.failed) == (3, 2, 1)
    assert (counts.conversion, counts.arrival) == (1 / 6, 2 / 3)
    assert sum(counts.waits) == 3
    becomes(parts, sids[2][1], "delivered", 4000)
    room.look()
    assert minutes.total(5).delivered == 3
    assert sum(one.counts.codes for one in minutes.series(5)) == 6
    assert minutes.series(5, country="US") == []
    assert minutes.channels(5)["sms"].delivered == 3
    assert minutes.counted_at() is not None


def by_service(parts: Sendcode) -> dict[str, tuple[int, int, int]]:
    with parts.db.statement() as connection:
        sums = "SELECT service_sid, sum(sms), sum(calls), sum(approved) FROM service_minutes"
        rows = connection.execute(text(f"{sums} GROUP BY service_sid")).all()
    return {sid: (int(sms), int(calls), int(approved)) for sid, sms, calls, approved in rows}


def test_services_are_counted_apart(parts: Sendcode, service: Service, room: Rollup) -> None:
    """Texts, calls and right codes are counted by service, and again when they have changed."""
    other = parts.services.create(ACCOUNT, "Other")
    sids = [start(parts, service, number)[0] for number in NUMBERS[:3]]
    start(parts, other, NUMBERS[0])
    parts.verifications.start(ACCOUNT, Start(other.sid, NUMBERS[0], Channel.CALL))
    room.look()
    assert by_service(parts) == {service.sid: (3, 0, 0), other.sid: (1, 1, 0)}
    parts.verifications.check(ACCOUNT, service.sid, code_of(parts, sids[0]), sid=sids[0])
    room.look()
    assert by_service(parts)[service.sid] == (3, 0, 1)


def test_counted_twice_is_counted_once(
    parts: Sendcode, service: Service, room: Rollup, minutes: Minutes
) -> None:
    """Six counts at once by as many relays leave one count."""
    start(parts, service, NUMBERS[0])
    results = at_once(6, lambda _: Rollup(parts.db, 30).look())
    assert all(isinstance(found, int) for found in results), results
    room.look()
    assert minutes.total(5).deliveries == 1


def test_a_place_that_is_empty_again_goes(
    parts: Sendcode, service: Service, room: Rollup, minutes: Minutes
) -> None:
    """What moved to another channel is not counted in both."""
    start(parts, service, NUMBERS[0])
    room.look()
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE verifications SET channel = 'call'"))
        connection.execute(text("UPDATE deliveries SET channel = 'call'"))
    room.look()
    assert [place.channel for place in minutes.places(5)] == ["call"]


def test_what_was_missed_is_made_up_for(
    parts: Sendcode, room: Rollup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a pause the minutes of the last day are counted, some at a time, until each was."""
    monkeypatch.setattr(rollup, "BACK", 100)
    assert [room.look(), room.look() >= 40] == [60, True]
    with parts.db.statement() as connection:
        seen = connection.execute(select(minute_looks.c.minute)).scalars().all()
    assert len(seen) >= 100
    assert max(seen) - min(seen) == (len(seen) - 1) * MINUTE


def test_old_minutes_go(parts: Sendcode, service: Service, minutes: Minutes) -> None:
    """What is older than the retention is forgotten."""
    start(parts, service, NUMBERS[0])
    room = Rollup(parts.db, 1)
    room.look()
    with parts.db.begin() as connection:
        for table in ("minutes", "minute_looks"):
            connection.execute(text(f"UPDATE {table} SET minute = minute - 86400000"))
    assert minutes.total(3000).codes == 1
    room.purge()
    assert minutes.total(3000).codes == 0
    assert minutes.counted_at() is None


def test_when_a_minute_is_due() -> None:
    """While it goes on, when it was never counted, and at every age once."""
    end = MINUTE
    assert is_due(0, None, 5 * end)
    assert is_due(0, 10, end - 1)
    for age in AGES:
        at = end + age * 1000
        assert is_due(0, at - 1, at)
        assert not is_due(0, at, at)


def test_percentiles_lie_between_the_bounds() -> None:
    """The median of one bucket is its middle, what is beyond all bounds the last of them."""
    empty = [0] * (len(WAIT_BOUNDS) + 1)
    assert percentile(empty, 0.5) is None
    first = [10, *empty[1:]]
    assert percentile(first, 0.5) == 25
    assert percentile([0, 10, *empty[2:]], 1.0) == 100
    assert percentile([*empty[:-1], 3], 0.95) == WAIT_BOUNDS[-1]
    assert percentile([95, 0, 0, 0, 5, *empty[5:]], 0.95) == 50
