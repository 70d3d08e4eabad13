"""The judge of the fault runs: each broken promise is seen, and an honest history is not."""

from dataclasses import replace
from typing import Any

from tests.chaos.client import Answer
from tests.chaos.history import History
from tests.chaos.judge import judge

NUMBER = "+12015550100"
ROW = {"sid": "VL1", "verification_sid": "VE1", "state": "delivered", "doubts": 0}
TIMES = {"created_at": 1_000_000, "expires_at": 1_060_000}
DELIVERY: dict[str, Any] = ROW | TIMES
VERIFICATION: dict[str, Any] = {
    "sid": "VE1",
    "status": "approved",
    "checks": 1,
    "max_checks": 5,
    "approved_at": 1_010_000,
    "expires_at": 1_060_000,
}
START = Answer("start", 1000.0, NUMBER, 201, "VE1", "VL1")
CHECK = Answer("check", 1010.0, NUMBER, 200, "VE1", word="approved", of=True)
GOOD = History(
    answers=[START, CHECK],
    deliveries={"VL1": DELIVERY},
    verifications={"VE1": VERIFICATION},
    messages=[("VL1", "123456")],
    calls=[("VL1", 1001.0)],
)


def faults(history: History, **more: Any) -> list[str]:
    return judge(history, [("a fault", 999.0)], **more).violations


def test_an_honest_history_holds() -> None:
    """One start, one message, one approval: nothing is violated, and the recovery is measured."""
    found = judge(GOOD, [("a fault", 999.0)])
    assert (found.violations, found.recovery, found.slowest) == ([], 2.0, 1.0)
    assert (found.accepted, found.lost, found.doubled, found.late) == (1, 0, 0, 0)


def test_what_is_lost_is_seen() -> None:
    """An accepted start without a row, and a row without an end, are lost."""
    assert "1 accepted starts are not" in faults(replace(GOOD, deliveries={}))[0]
    for state in ("queued", "sending", "accepted", "sent"):
        stuck = replace(GOOD, deliveries={"VL1": DELIVERY | {"state": state}})
        assert "have no end state" in faults(stuck)[0]
        assert judge(stuck, []).lost == 1


def test_what_is_made_up_is_seen() -> None:
    """A message for no row, an arrival without a message, a failure without a reason."""
    ghost = replace(GOOD, messages=[*GOOD.messages, ("VL2", "123456")])
    assert "1 deliveries that do not exist" in faults(ghost)[0]
    for state in ("delivered", "undelivered"):
        row = DELIVERY | {"state": state}
        made_up = replace(GOOD, deliveries={"VL1": row}, messages=[], answers=[START])
        assert "were not sent" in faults(made_up)[0]
    failed = DELIVERY | {"state": "failed", "error_code": None}
    assert "without a reason" in faults(replace(GOOD, deliveries={"VL1": failed}))[0]
    told = failed | {"error_code": "30003"}
    assert faults(replace(GOOD, deliveries={"VL1": told})) == []


def test_what_is_doubled_is_seen() -> None:
    """A second message is one too many, unless a share of the unknown outcomes is allowed."""
    twice = replace(GOOD, messages=[("VL1", "123456")] * 2)
    assert "more than once" in faults(twice)[0]
    assert "although its outcome was known" in faults(twice, may_double=1.0)[-1]
    doubted = {"VL1": DELIVERY | {"doubts": 1}}
    assert faults(replace(twice, deliveries=doubted), may_double=1.0) == []
    thrice = replace(GOOD, deliveries=doubted, messages=[("VL1", "123456")] * 3)
    assert "three times" in faults(thrice, may_double=1.0)[0]
    messages = [("VL1", "123456"), ("VL1", "654321")]
    two_codes = replace(GOOD, deliveries=doubted, messages=messages)
    assert "two codes" in faults(two_codes, may_double=1.0)[0]


def test_the_share_is_of_the_unknown_outcomes() -> None:
    """Of 200 unknown outcomes one may have come twice at 0.5 %, of 199 none, whatever was known."""
    for unknown, violated in ((200, False), (199, True)):
        sids = [f"VL{n}" for n in range(1000)]
        rows = {s: DELIVERY | {"sid": s, "doubts": n < unknown} for n, s in enumerate(sids)}
        rows = {s: row | {"verification_sid": s} for s, row in rows.items()}
        sent = [(sid, "123456") for sid in [*sids, "VL0"]]
        history = History([], rows, {}, sent, [("VL0", 1001.0)])
        found = judge(history, [], may_double=0.005)
        assert (found.unknown, found.doubled) == (unknown, 1)
        assert bool(found.violations) is violated


def test_what_is_late_is_seen() -> None:
    """A call to the provider, or an approval, after the code's life."""
    assert "after the code's life" in faults(replace(GOOD, calls=[("VL1", 1060.1)]))[0]
    late = {"VE1": VERIFICATION | {"approved_at": 1_062_000}}
    assert "accepted after its life" in faults(replace(GOOD, verifications=late))[0]
    assert faults(replace(GOOD, verifications=late), slack=3) == []


def test_broken_checks_are_seen() -> None:
    """A code accepted twice, a wrong one, a forgotten approval, a guess too many."""
    assert "accepted twice" in faults(replace(GOOD, answers=[START, CHECK, CHECK]))[0]
    wrong = replace(CHECK, of=False)
    assert "wrong code" in faults(replace(GOOD, answers=[START, wrong]))[0]
    for change in ({"status": "pending"}, {"checks": 6}):
        assert faults(replace(GOOD, verifications={"VE1": VERIFICATION | change}))


def test_an_unclear_answer_and_a_long_silence_are_seen() -> None:
    """A 500 is no clear refusal, and a recovery of more than 35 s is too long."""
    assert "{500: 1}" in faults(replace(GOOD, answers=[replace(START, status=500)]))[0]
    assert "passed after a kill" in judge(GOOD, [("a kill", 965.0)]).violations[0]


def test_a_world_that_does_not_come_back_is_seen() -> None:
    """A fault after which nothing was handed over is no quiet row."""
    found = judge(GOOD, [("a fault", 999.0), ("a kill", 1001.5)])
    assert found.violations == ["nothing was handed over after a kill"]
