"""What the provider may do wrong: case by case, gone for a moment, and gone for an outage."""

import json
import signal
import sqlite3
from dataclasses import dataclass
from typing import Any

from tests.chaos.report import Outcome
from tests.chaos.rig import SHORT, Rig, World
from tests.chaos.rows import LONG, Size, conclude, row

LIFE = 20  # seconds of a code in the rows that outlive it


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
)
DOUBLES = sum(case.doubles for case in CASES)


@row("provider-cases", "429, 500, 503, hang, cut, refusals, one number each")
def cases(rig: Rig, size: Size, made: Outcome) -> None:
    """What is repeated, when, and what never: the table above, word for word."""
    assert made.violations is not None
    with World(rig, "provider-cases", settings=SHORT) as world:
        for case in CASES:
            number = next(rig.numbers)
            for fault in case.faults:
                # The callbacks would tell the outcome before the question does.
                world.order(number, times=1, callbacks="none", **fault)
            world.start(number, case.channel)
            world.injected += len(case.faults)
        found = conclude(world, made, may_double=1)
        if found.doubled != DOUBLES:
            made.violations.append(f"{found.doubled} texts came twice, not {DOUBLES}")
        made.note = f"{DOUBLES} texts came twice, those that the provider said it did not have"
        states = {row["sid"]: row for row in world.rows("SELECT * FROM deliveries")}
        for answer, case in zip(world.told, CASES, strict=True):
            row = states.get(answer.delivery, {})
            seen = requests(world, answer.number)
            made.violations += [f"{case.name}: {wrong}" for wrong in _wrong(case, row, seen)]


def _wrong(case: Case, row: dict[str, Any], seen: list[tuple[str, float]]) -> list[str]:
    sends = [at for kind, at in seen if kind == f"{case.channel}.create"]
    asked = [at for kind, at in seen if kind == f"{case.channel}.list"]
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


def requests(world: World, number: str) -> list[tuple[str, float]]:
    """Kinds and times of what reached the provider for a number, in order."""
    with sqlite3.connect(f"file:{world.sandbox_file}?mode=ro", uri=True, timeout=10) as store:
        rows = store.execute(
            "SELECT kind, created, params FROM requests WHERE recipient = ? ORDER BY id", (number,)
        ).fetchall()
    store.close()
    return [(kind, at) for kind, at, params in rows if json.loads(params)]


@row("provider-refuses", "provider's port closed for 8 s, again and again", forms=LONG)
def refuses(rig: Rig, size: Size, made: Outcome) -> None:
    with World(rig, "provider-refuses", workers=2) as world:
        world.run_load(15)
        world.pause(2)
        for _ in range(5):
            sandbox = world.parts["sandbox"]
            sandbox.keep = False
            sandbox.kill9()
            world.pause(8)
            sandbox.start()
            sandbox.wait()
            world.fault_over("a closed port")
            world.pause(8)
        conclude(world, made)


@row("provider-hangs", "provider takes and does not answer (SIGSTOP 12 s)", forms=LONG)
def hangs(rig: Rig, size: Size, made: Outcome) -> None:
    with World(rig, "provider-hangs", workers=2) as world:
        world.run_load(10)
        world.pause(2)
        for _ in range(4):
            world.parts["sandbox"].signal(signal.SIGSTOP)
            world.pause(12)
            world.parts["sandbox"].signal(signal.SIGCONT)
            world.fault_over("a hanging provider")
            world.pause(20)
        conclude(world, made)


@row("provider-outage", f"outage of 1.5 code lives (life {LIFE} s in place of 600 s)", forms=LONG)
def outage(rig: Rig, size: Size, made: Outcome) -> None:
    """What cannot be sent in its life ends, and is not sent afterwards."""
    with World(rig, "provider-outage", life=LIFE, settings=SHORT) as world:
        world.run_load(10)
        world.pause(2)
        sandbox = world.parts["sandbox"]
        sandbox.keep = False
        sandbox.kill9()
        world.pause(LIFE * 1.5)
        sandbox.start()
        sandbox.wait()
        world.fault_over("the outage")
        world.pause(20)
        conclude(world, made)
        ended = world.rows(
            "SELECT count(*) AS n FROM deliveries WHERE state IN ('failed','expired')"
        )
        made.note = f"{ended[0]['n']} codes ended unsent, those of the outage"


@row("workers-away", "workers stopped for longer than the code's life, 1,000 queued")
def workers_away(rig: Rig, size: Size, made: Outcome) -> None:
    """Nobody gets a dead code: no call to the provider, and every row ends expired."""
    assert made.violations is not None
    wanted, life = size.of(1000, 60), size.of(45, 5)
    with World(rig, "workers-away", workers=1, life=life) as world:
        worker = world.parts["worker1"]
        worker.stop()
        load = world.run_load(60, wanted)
        world.until(lambda: load.full, 60)
        load.stop()
        newest = world.rows("SELECT max(expires_at) AS at FROM deliveries")[0]["at"]
        now = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS now"
        world.until(lambda: world.rows(now)[0]["now"] > newest, life + 5)
        worker.start()
        worker.wait()
        world.injected += 1
        world.pause(2)
        conclude(world, made)
        states = {row["state"] for row in world.rows("SELECT DISTINCT state FROM deliveries")}
        calls = sum(bool(requests(world, answer.number)) for answer in load.answers)
        if states != {"expired"} or calls:
            made.violations.append(f"ended {sorted(states)}, {calls} calls to the provider")
