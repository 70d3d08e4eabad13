"""What single rows of the fault runs ask for: each thing that is wrong is named."""

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos import cases, lags, receipts, steady
from tests.chaos.report import Outcome, table
from tests.chaos.sandbox import Message, Request
from worker.relay import BATCH

NUMBER = "+12015550100"
CASE = cases.Case("500", ({"fail": "500"},), "delivered", (2, 2), gap=1, asked=True)
SEEN = [
    Request("VL1", kind, at) for kind, at in (("sms.create", 1), ("sms.list", 3), ("sms.create", 4))
]
DELIVERED = {"state": "delivered", "error_code": None}
MESSAGE = Message("VL1", NUMBER, "SM1", "123456", "delivered", "http://127.0.0.1/VL1")


@pytest.mark.parametrize(
    ("case", "row", "seen", "said"),
    [
        (CASE, DELIVERED, SEEN[:2], "1 requests to send"),
        (CASE, DELIVERED, [*SEEN, SEEN[2]], "3 requests to send"),
        (CASE, {"state": "failed"}, SEEN, "ended failed"),
        (replace(CASE, error="30003"), DELIVERED, SEEN, "error None, not 30003"),
        (replace(CASE, gap=5.0), DELIVERED, SEEN, "repeated after 3.00 s"),
        (CASE, DELIVERED, [SEEN[0], SEEN[2]], "not asked first"),
        (CASE, DELIVERED, [SEEN[0], SEEN[2], replace(SEEN[1], at=5)], "not asked first"),
    ],
)
def test_a_providers_case_is_judged(
    case: cases.Case, row: dict[str, Any], seen: list[Request], said: str
) -> None:
    """Too few or many requests, another end, a repeat too early or without a question."""
    assert cases.wrong(CASE, DELIVERED, SEEN) == []
    (found,) = cases.wrong(case, row, seen)
    assert said in found


def test_receipts_are_judged() -> None:
    """A forgery that is taken or kept, a genuine one that is refused, another end than told, and
    receipts that all came too late to try anything."""
    told, early, states = [(False, 403), (True, 200)], receipts.EARLY, {"VL1": "delivered"}
    assert receipts.wrong(told, 0, early, states, [MESSAGE]) == []
    for answers, said in (
        ([*told, (False, 200)], "forged receipts were answered [200, 403]"),
        (told[1:], "forged receipts were answered []"),
        ([*told, (True, 500)], "genuine receipts were answered [200, 500]"),
    ):
        assert receipts.wrong(answers, 0, early, states, [MESSAGE]) == [said]
    assert receipts.wrong(told, 1, early, states, [MESSAGE]) == ["1 forged receipts were kept"]
    assert "of 3 deliveries only" in receipts.wrong(told, 0, 3, states, [MESSAGE])[0]
    for ends in ({"VL1": "undelivered"}, {}):
        found = receipts.wrong(told, 0, early, ends, [MESSAGE])
        assert found == ["1 of 1 ended in another state"]


def test_a_backlog_is_judged() -> None:
    """A row left out, names without end, a step too large, a dead lease that waits."""
    told = [f"VL{n}" for n in range(1001)]
    assert steady.wrong(told, [BATCH, BATCH], 1000, 10, 1) == []
    for change in (
        (told[1:], [BATCH], 1000, 10, 1),
        (told * 3, [BATCH], 1000, 10, 1),
        (told, [BATCH + 1], 1000, 10, 1),
        (told, [], 1000, 10, 1),
        (told, [BATCH], 1000, 10, steady.AT_REST + 1),
    ):
        assert len(steady.wrong(*change)) == 1


def test_doubles_are_judged() -> None:
    """A message that was listed comes once; one that no list showed comes twice."""
    assert lags.wrong({"a"}, ["a"], 300, 300) == []
    assert "in time" in lags.wrong({"a", "b"}, ["a"], 300, 300)[0]
    assert "nothing was tried" in lags.wrong(set(), ["a"], 300, 300)[0]
    assert "only 299 of 300" in lags.wrong({"a"}, ["a"], 299, 300)[0]


def test_a_broken_row_is_shown_as_one() -> None:
    """One violation makes the verdict, and is written below the table."""
    row = Outcome("a-row", "a fault")
    assert row.verdict == "holds"
    row.fail("2 accepted starts are lost")
    assert row.verdict == "BROKEN"
    assert "BROKEN a-row: 2 accepted starts are lost" in table([row], seed=1)
