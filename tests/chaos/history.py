"""Compares what the provider saw, what the database holds and what the client was told."""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from api_stub.sandbox.codes import find
from tests.chaos.load import Answer
from tests.chaos.rig import SETTLED, World

CLEAR = (0, 200, 201, 404, 429, 503)  # 0: the connection broke; anything else is no clear answer
RECOVERY_SECONDS = 35.0


@dataclass
class History:
    """The three records of one row.

    :param messages: deliveries and codes of what the provider accepted, in order
    :param calls: deliveries and times (s since 1970) of every request to send, refused ones too
    """

    answers: Sequence[Answer]
    deliveries: dict[str, dict[str, Any]]
    verifications: dict[str, dict[str, Any]]
    messages: list[tuple[str, str | None]]
    calls: list[tuple[str, float]]


@dataclass
class Judgement:
    """What one row came to. `violations` are sentences; none means that it held."""

    accepted: int = 0
    lost: int = 0
    doubled: int = 0
    late: int = 0
    recovery: float | None = None
    slowest: float = 0.0
    violations: list[str] = field(default_factory=list)

    def demand(self, held: bool, otherwise: str) -> None:
        if not held:
            self.violations.append(otherwise)


def read(world: World) -> History:
    """All three records, once the row has settled."""
    with sqlite3.connect(f"file:{world.sandbox_file}?mode=ro", uri=True, timeout=10) as store:
        items = store.execute("SELECT params, body, channel FROM items ORDER BY id").fetchall()
        requests = store.execute(
            "SELECT params, created FROM requests WHERE kind LIKE '%.create' ORDER BY id"
        ).fetchall()
    store.close()
    codes = ((find(body, channel), params) for params, body, channel in items)
    deliveries = world.rows("SELECT * FROM deliveries")
    return History(
        answers=world.answers,
        deliveries={row["sid"]: row for row in deliveries},
        verifications={r["sid"]: r for r in world.rows("SELECT * FROM verifications")},
        messages=[(_delivery(params), found.code if found else None) for found, params in codes],
        calls=[(_delivery(params), created) for params, created in requests],
    )


def judge(
    history: History,
    fault_ends: Sequence[tuple[str, float]],
    *,
    may_double: float = 0.0,
    slack: float = 0.0,
) -> Judgement:
    """
    :param fault_ends: what was broken, and when that was over (s since 1970)
    :param may_double: greatest share of deliveries that may have reached the phone twice
    :param slack: seconds after its life in which a code may still have been accepted
    """
    found = Judgement()
    _kept(history, found)
    _once(history, found, may_double)
    _in_time(history, found)
    _checks(history, found, slack)
    _answers(history, found)
    _recovered(history, fault_ends, found)
    return found


def _delivery(params: str) -> str:
    return str(json.loads(params).get("StatusCallback", [""])[0].rpartition("/")[2])


def _kept(history: History, found: Judgement) -> None:
    """Every start that was answered 201 is on record, and everything on record has ended."""
    accepted = [a for a in history.answers if a.kind == "start" and a.status == 201]
    found.accepted = len(accepted)
    missing = [a for a in accepted if a.delivery not in history.deliveries]
    stuck = [row for row in history.deliveries.values() if row["state"] not in SETTLED]
    ghosts = [sid for sid, _ in history.messages if sid not in history.deliveries]
    found.lost = len(missing) + len(stuck)
    states = Counter(row["state"] for row in stuck)
    found.demand(not missing, f"{len(missing)} accepted starts are not in the database")
    found.demand(not stuck, f"{len(stuck)} deliveries have no end state: {dict(states)}")
    found.demand(not ghosts, f"{len(ghosts)} messages were sent for rows that do not exist")


def _once(history: History, found: Judgement, may_double: float) -> None:
    """A delivery is one message; a repeat of an unknown outcome is the same code, once."""
    times = Counter(sid for sid, _ in history.messages)
    codes = defaultdict(set)
    for sid, code in history.messages:
        row = history.deliveries.get(sid)
        codes[row["verification_sid"] if row else sid].add(code)
    found.doubled = sum(count > 1 for count in times.values())
    share = found.doubled / max(1, len(times))
    found.demand(
        share <= may_double,
        f"{found.doubled} of {len(times)} deliveries reached the phone more than once",
    )
    found.demand(max(times.values(), default=0) <= 2, "a delivery reached the phone three times")
    found.demand(all(len(c) == 1 for c in codes.values()), "a verification had two codes")


def _in_time(history: History, found: Judgement) -> None:
    """The provider is never called after a code's life."""
    for sid, at in history.calls:
        row = history.deliveries.get(sid)
        if row and at * 1000 > row["expires_at"]:
            found.late += 1
        if row:
            found.slowest = max(
                found.slowest, min(at, row["expires_at"]) - row["created_at"] / 1000
            )
    found.demand(not found.late, f"{found.late} calls to the provider after the code's life")


def _checks(history: History, found: Judgement, slack: float) -> None:
    """A right code is approved once, a wrong one never, none after its life."""
    approved = [a for a in history.answers if a.kind == "check" and a.word == "approved"]
    twice = sum(n > 1 for n in Counter(a.verification for a in approved).values())
    found.demand(not twice, f"{twice} codes were accepted twice")
    found.demand(all(a.of for a in approved), "a wrong code was accepted")
    rows = history.verifications
    gone = [a for a in approved if rows.get(a.verification, {}).get("status") != "approved"]
    found.demand(not gone, f"{len(gone)} approvals are not in the database")
    for row in rows.values():
        if row["approved_at"] and row["approved_at"] > row["expires_at"] + slack * 1000:
            found.violations.append("a code was accepted after its life")
        found.demand(row["checks"] <= row["max_checks"], "more guesses than allowed")


def _answers(history: History, found: Judgement) -> None:
    unclear = Counter(a.status for a in history.answers if a.status not in CLEAR)
    found.demand(not unclear, f"answers that are no clear refusal: {dict(unclear)}")


def _recovered(history: History, fault_ends: Sequence[tuple[str, float]], found: Judgement) -> None:
    """From a fault's end until a delivery is handed over again, under a load that goes on."""
    calls = sorted(at for _, at in history.calls)
    waits = [
        (next(at for at in calls if at >= end) - end, what)
        for what, end in fault_ends
        if calls and calls[-1] >= end
    ]
    if not waits:
        return
    found.recovery, what = max(waits)
    found.demand(
        found.recovery < RECOVERY_SECONDS,
        f"{found.recovery:.1f} s passed after {what} until a delivery was handed over",
    )
