"""What the provider may do wrong, case by case."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.chaos.report import Outcome
from tests.chaos.rig import Rig
from tests.chaos.rows import Size, conclude, row
from tests.chaos.sandbox import Request
from tests.chaos.settings import SHORT
from tests.chaos.world import World


@dataclass(frozen=True)
class Case:
    """One number whose provider misbehaves.

    :param faults: what it does, one request after the other
    :param calls: requests to send that reach the provider, fewest and most
    :param gap: seconds that lie at least between the first two
    :param asked: the provider is asked about it before the second
    :param doubles: two requests are two messages, since the provider said it had none
    """

    name: str
    faults: tuple[dict[str, Any], ...]
    state: str
    calls: tuple[int, int]
    error: str | None = None
    gap: float = 0.0
    asked: bool = False
    channel: str = "sms"
    doubles: bool = False


CASES = (
    Case("429", ({"fail": "429", "retry_after": 0},), "delivered", (2, 2)),
    Case("429, Retry-After 2", ({"fail": "429", "retry_after": 2},), "delivered", (2, 2), gap=2),
    Case("429, Retry-After 5", ({"fail": "429", "retry_after": 5},), "delivered", (2, 2), gap=5),
    Case("500, not taken", ({"fail": "500"},), "delivered", (2, 2), gap=1, asked=True),
    Case("503, not taken", ({"fail": "503"},), "delivered", (2, 2), gap=1, asked=True),
    Case("500, but taken", ({"fail": "500", "accept": True},), "delivered", (1, 1), asked=True),
    Case("503, but taken", ({"fail": "503", "accept": True},), "delivered", (1, 1), asked=True),
    Case("500 twice", ({"fail": "500"}, {"fail": "500"}), "failed", (2, 2), "outcome_unknown"),
    Case("taken, then cut", ({"fail": "drop"},), "delivered", (1, 1), asked=True),
    Case("taken, hangs", ({"fail": "hang", "seconds": 3},), "delivered", (1, 1), asked=True),
    Case("no such number", ({"fail": "reject", "code": 21211},), "failed", (1, 1), "21211"),
    Case("sent STOP", ({"fail": "reject", "code": 21610},), "failed", (1, 1), "21610"),
    Case("a landline", ({"fail": "reject", "code": 21614},), "failed", (1, 1), "21614"),
    Case("bad credentials", ({"fail": "reject", "code": 20003},), "delivered", (2, 2)),
    Case(
        "500, question refused",
        ({"fail": "500", "accept": True}, {"on": "lookup", "fail": "503"}),
        "delivered",
        (1, 1),
        asked=True,
    ),
    # Lists may lag. Within the settling second nobody sees it; beyond it a text goes out again.
    Case("listed late", ({"fail": "drop", "list_late": 0.5},), "delivered", (1, 1), asked=True),
    Case(
        "listed too late",
        ({"fail": "drop", "list_late": 600},),
        "delivered",
        (2, 2),
        gap=1,
        asked=True,
        doubles=True,
    ),
    Case(
        "listed too late twice",
        ({"fail": "drop", "list_late": 600},) * 2,
        "failed",
        (2, 2),
        "outcome_unknown",
        gap=1,
        asked=True,
        doubles=True,
    ),
    Case(
        "a call listed late",
        ({"fail": "drop", "list_late": 0.5},),
        "delivered",
        (1, 1),
        asked=True,
        channel="call",
    ),
    Case(
        "a call listed too late",
        ({"fail": "drop", "list_late": 600},),
        "delivered",
        (2, 2),
        gap=1,
        asked=True,
        channel="call",
        doubles=True,
    ),
)
DOUBLES = sum(case.doubles for case in CASES)


@row("provider-cases", "429, 500, 503, hang, cut, refusals, one number each")
def cases(rig: Rig, size: Size, made: Outcome) -> None:
    """What is repeated, when, and what never: the table above, word for word."""
    with World(rig, "provider-cases", settings=SHORT) as world:
        for case in CASES:
            number = next(rig.numbers)
            for fault in case.faults:
                # The callbacks would tell the outcome before the question does.
                world.sandbox.order(number, times=1, callbacks="none", **fault)
            world.start(number, case.channel)
            world.injected += len(case.faults)
        found = conclude(world, made, may_double=1)
        if found.doubled != DOUBLES:
            made.fail(f"{found.doubled} came twice, not {DOUBLES}")
        made.note = f"{DOUBLES} came twice, those that the provider said it did not have"
        states = {row["sid"]: row for row in world.rows("SELECT * FROM deliveries")}
        for answer, case in zip(world.told, CASES, strict=True):
            row = states.get(answer.delivery, {})
            seen = world.sandbox.requests(answer.number)
            made.fail(*[f"{case.name}: {found}" for found in wrong(case, row, seen)])


def wrong(case: Case, row: dict[str, Any], seen: Sequence[Request]) -> list[str]:
    sends = [r.at for r in seen if r.kind == f"{case.channel}.create"]
    asked = [r.at for r in seen if r.kind == f"{case.channel}.list"]
    found = []
    if not case.calls[0] <= len(sends) <= case.calls[1]:
        found.append(f"{len(sends)} requests to send, not {case.calls}")
    if row.get("state") != case.state:
        found.append(f"ended {row.get('state')}, not {case.state}")
    if case.error and row.get("error_code") != case.error:
        found.append(f"error {row.get('error_code')}, not {case.error}")
    if len(sends) > 1 and sends[1] - sends[0] < case.gap:
        found.append(f"repeated after {sends[1] - sends[0]:.2f} s, not {case.gap}")
    if case.asked and not [at for at in asked if len(sends) < 2 or at < sends[1]]:
        found.append("the provider was not asked first")
    return found
