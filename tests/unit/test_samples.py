"""What `sendcode demo` sends, and how it judges what came of it."""

import re
from typing import Any

import pytest

from worker import phone
from worker.cli.samples import AREAS, CODE, LINES, MOST, Row, Sample, samples, summary
from worker.states import Channel, DeliveryState
from worker.verifications import Delivery

BOTH = (Channel.SMS, Channel.CALL)
NUMBERS = [f"+1{area}555{line:04}" for area in AREAS for line in LINES]


def row(*, fails: bool = False, checks: bool = False, approved: bool = False, **known: Any) -> Row:
    """A row of a delivery that was accepted after 30 ms and delivered after 90."""
    values = {"sid": "VL1", "channel": Channel.SMS, "error_code": None, "provider_sid": "SM1"}
    times = {"created_at": 1000, "published_at": 1001, "taken_at": 1002, "accepted_at": 1030}
    delivered = {"delivered_at": 1090, "state": DeliveryState.DELIVERED}
    delivery = Delivery(**(values | times | delivered | known))
    return Row(Sample(NUMBERS[0], Channel.SMS, fails, checks), "VE1", delivery, "", approved)


def test_every_number_is_for_fiction_alone() -> None:
    """Each can be sent to by both channels, and is one of those that no phone has."""
    for number in NUMBERS:
        assert re.fullmatch(r"\+1\d{3}55501\d\d", number)
    for number in NUMBERS[:: len(LINES)]:
        assert {phone.parse(number, channel).e164 for channel in Channel} == {number}
    assert {one.to for one in samples(MOST, 0.5, BOTH, set())} <= set(NUMBERS)


def test_as_many_as_asked_fail_and_call() -> None:
    """The shares are exact: failures to the nearest whole, every fifth a call; only what is to
    arrive is checked."""
    made = samples(20, 0.13, BOTH, set())
    assert len({one.to for one in made}) == 20
    assert sum(one.fails for one in made) == 3
    assert sum(one.channel is Channel.CALL for one in made) == 4
    assert not any(one.fails and one.checks for one in made)
    assert 7 <= sum(one.checks for one in made) <= 10
    assert {one.channel for one in samples(20, 0, (Channel.CALL,), set())} == {Channel.CALL}
    assert all(one.fails for one in samples(7, 1, BOTH, set()))


def test_a_number_of_somebody_elses_order_is_left_alone() -> None:
    """No sample goes to a number that others have ordered something for."""
    free = set(NUMBERS[-5:])
    assert {one.to for one in samples(5, 0, BOTH, set(NUMBERS) - free)} == free


FAILED = {"state": DeliveryState.UNDELIVERED, "delivered_at": None}


@pytest.mark.parametrize(
    ("one", "as_ordered"),
    [
        (row(), True),
        (row(checks=True, approved=True), True),
        (row(checks=True), False),
        (row(state=DeliveryState.SENT), False),
        (row(**FAILED, error_code=str(CODE)), False),
        (row(fails=True, **FAILED, error_code=str(CODE)), True),
        (row(fails=True, **FAILED, error_code="30007"), False),
        (row(fails=True, state=DeliveryState.FAILED, error_code=str(CODE)), False),
        (row(fails=True), False),
        (Row(Sample(NUMBERS[0], Channel.SMS, False, False), refused="no"), False),
        (Row(Sample(NUMBERS[0], Channel.SMS, True, False)), False),
    ],
)
def test_what_counts_as_ordered(one: Row, as_ordered: bool) -> None:
    """What was to arrive did, and was approved where it was checked; what was to fail failed for
    the reason that was ordered."""
    assert one.as_ordered is as_ordered


def test_what_is_told_of_a_row_is_no_whole_number() -> None:
    """A row shows its number masked."""
    told = str(row().shown())
    assert NUMBERS[0][2:] not in told
    assert phone.mask(NUMBERS[0]) in told


def test_the_summary_adds_up() -> None:
    """Every row is counted once, and the times are those that half and nearly all were within."""
    rows = [row(delivered_at=1000 + ms) for ms in range(1, 101)]
    rows += [row(fails=True, **FAILED, error_code=str(CODE)), row(state=DeliveryState.SENT)]
    rows.append(Row(Sample(NUMBERS[0], Channel.SMS, False, False)))
    found = summary(rows)
    counts = ("wanted", "sent", "delivered", "approved", "failed_as_ordered", "unexpected")
    assert [found[name] for name in counts] == [103, 102, 100, 0, 1, 2]
    assert found["accepted_ms"] == {"p50": 30, "p95": 30}
    assert summary(rows[:100])["delivered_ms"] == {"p50": 50, "p95": 95}
    assert summary(rows[-1:])["delivered_ms"] == {"p50": None, "p95": None}
