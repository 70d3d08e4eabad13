"""Compares what the provider saw, what the database holds and what the client was told."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.chaos.history import History
from tests.chaos.records import SETTLED

CLEAR = (0, 200, 201, 404, 429, 503)  # 0: the connection broke; anything else is no clear answer
RECOVERY_SECONDS = 35.0
ARRIVED = ("delivered", "undelivered")


@dataclass
class Judgement:
    """What one row came to. `violations` are sentences; none means that it held.

    :param unknown: deliveries of which once nobody knew whether the provider had them
    """

    accepted: int = 0
    unknown: int = 0
    lost: int = 0
    doubled: int = 0
    late: int = 0
    recovery: float | None = None
    slowest: float = 0.0
    violations: list[str] = field(default_factory=list)

    def demand(self, held: bool, otherwise: str) -> None:
        if not held:
            self.violations.append(otherwise)


def judge(
    history: History,
    fault_ends: Sequence[tuple[str, float]],
    *,
    may_double: float = 0.0,
    slack: float = 0.0,
) -> Judgement:
    """
    :param fault_ends: what was broken, and when that was over (s since 1970)
    :param may_double: greatest share of the unknown outcomes that may have reached the phone twice
    :param slack: seconds after its life in which a code may still have been accepted
    """
    found = Judgement()
    _kept(history, found)
    _true(history, found)
    _once(history, found, may_double)
    _in_time(history, found)
    _checks(history, found, slack)
    _answers(history, found)
    _recovered(history, fault_ends, found)
    return found


def _kept(history: History, found: Judgement) -> None:
    """Every start that was answered 201 is on record, and everything on record has ended."""
    accepted = [a for a in history.answers if a.kind == "start" and a.status == 201]
    found.accepted = len(accepted)
    missing = [a for a in accepted if a.delivery not in history.deliveries]
    stuck = [row for row in history.deliveries.values() if row["state"] not in SETTLED]
    found.lost = len(missing) + len(stuck)
    states = Counter(row["state"] for row in stuck)
    found.demand(not missing, f"{len(missing)} accepted starts are not in the database")
    found.demand(not stuck, f"{len(stuck)} deliveries have no end state: {dict(states)}")


def _true(history: History, found: Judgement) -> None:
    """What is on record is what happened: no message without a row, no arrival without a message,
    no failure without a reason."""
    sent, rows = {sid for sid, _ in history.messages}, history.deliveries
    ghosts = sent - set(rows)
    made_up = [sid for sid, row in rows.items() if row["state"] in ARRIVED and sid not in sent]
    mute = [sid for sid, row in rows.items() if row["state"] == "failed" and not row["error_code"]]
    found.demand(not ghosts, f"messages of {len(ghosts)} deliveries that do not exist were sent")
    found.demand(not made_up, f"{len(made_up)} deliveries have ended at a phone and were not sent")
    found.demand(not mute, f"{len(mute)} deliveries failed without a reason")


def _once(history: History, found: Judgement, may_double: float) -> None:
    """A delivery is one message; a repeat of an unknown outcome is the same code, once."""
    times = Counter(sid for sid, _ in history.messages)
    codes = defaultdict(set)
    for sid, code in history.messages:
        row = history.deliveries.get(sid)
        codes[row["verification_sid"] if row else sid].add(code)
    unknown = {sid for sid, row in history.deliveries.items() if row["doubts"]}
    twice = {sid for sid, count in times.items() if count > 1}
    found.unknown, found.doubled = len(unknown), len(twice)
    found.demand(
        found.doubled <= may_double * found.unknown,
        f"{found.doubled} of {len(times)} deliveries reached the phone more than once,"
        f" {found.unknown} outcomes were unknown",
    )
    found.demand(not twice - unknown, "a delivery was repeated although its outcome was known")
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
    for what, end in fault_ends:
        again = next((at for at in calls if at >= end), None)
        if again is None:
            found.violations.append(f"nothing was handed over after {what}")
            return
        wait = again - end
        found.recovery = max(found.recovery or 0.0, wait)
        found.demand(
            wait < RECOVERY_SECONDS,
            f"{wait:.1f} s passed after {what} until a delivery was handed over",
        )
