"""What of a look needs attention, and what helps."""

import time
from urllib.parse import urlencode

from markupsafe import Markup

from api_stub.console.countries import name_of
from api_stub.console.look import Concern, Look, level_of
from api_stub.console.wording import clock, who
from worker.circuits import Circuit, CircuitState
from worker.holds import PauseKind
from worker.operations import BudgetStanding, Pause
from worker.operations.budgets import NEARLY
from worker.operations.scopes import target_of
from worker.refused_callbacks import MINUTES
from worker.standing import Silent

COUNT_LATE = 180.0  # seconds without a count of the relay
LOW_CONVERSION, LOW_ARRIVAL, ENOUGH = 0.3, 0.8, 30


def concerns(look: Look) -> list[Concern]:
    """What needs attention, the worst first."""
    found = [*_away(look), *_waits(look), *_workers(look), *_circuits(look), *_outcomes(look)]
    found += [*_callbacks(look), *_budgets(look), *_pauses(look)]
    return sorted(found, key=lambda one: one.level)


def _away(look: Look) -> list[Concern]:
    if look.flows is None:
        return [
            Concern(
                "bad", "The database does not answer", "Nothing is accepted or sent.", "/settings"
            )
        ]
    if look.workers is None:
        why = "No new code is accepted; what was accepted goes out when it is back."
        return [Concern("bad", "The broker does not answer", why, "/queues")]
    return []


def _waits(look: Look) -> list[Concern]:
    return [
        Concern(
            level_of(queue.oldest_age),
            f"A code has waited {queue.oldest_age:.0f} s in {queue.name}",
            "Too few workers, or a provider that is slow or down: see queue, workers and senders.",
            "/queues",
        )
        for queue in look.of_codes
        if queue.oldest_age is not None and level_of(queue.oldest_age) != "good"
    ]


def _workers(look: Look) -> list[Concern]:
    if look.workers is None or look.who_is_silent is None:
        return []
    what, why = "No worker has been heard of", "Nobody takes codes from the queues: start a worker."
    if look.workers:
        what = "Workers are up, and none takes messages"
        why = "They are quiet, busy or deaf, or none takes from the queue relay: see their log."
    if look.who_is_silent is Silent.RELAY:
        what = "The relay sends nothing"
        why = "Codes that were put off or that the broker lost do not go out: start the relay."
    return [Concern("bad", what, why, "/workers")]


def _circuits(look: Look) -> list[Concern]:
    return [
        Concern(level, what.format(circuit), why, "/senders")
        for circuit in look.circuits or ()
        for level, what, why in [_of_circuit(circuit)]
        if circuit.forced or circuit.state is not CircuitState.CLOSED
    ]


def _of_circuit(circuit: Circuit) -> tuple[str, str, str]:
    """How bad it is, what it is, and what it means."""
    if not circuit.forced:
        what = "{0.sender} does not work for {0.channel}: its circuit is {0.state}"
        why = "It failed more often than not, so other senders are used, or codes wait for it."
        return "bad", what, why
    if circuit.state is CircuitState.CLOSED:
        what = (
            "{0.sender} is used for {0.channel} whatever fails: its circuit is kept closed by hand"
        )
        return "warn", what, "Its failures open no circuit, so no other sender takes over."
    what = "{0.sender} is not used for {0.channel}: its circuit is kept open by hand"
    return "warn", what, "Other senders are used, or codes wait until it is left to itself."


def _pauses(look: Look) -> list[Concern]:
    return [
        Concern(
            "warn",
            f"Not sending: {one.kind}"
            f" {name_of(one.name) if one.kind == PauseKind.COUNTRY else one.name}",
            _by_whom(one),
            f"/act/resume?{urlencode({'kind': one.kind, 'name': one.name})}",
        )
        for one in look.pauses or ()
    ]


def _by_whom(pause: Pause) -> Markup:
    ends = Markup(", ends {}").format(clock(pause.until)) if pause.until else ""
    text = Markup("By {}, since {}{}: {}")
    return text.format(who(pause.paused_by), clock(pause.since), ends, pause.reason)


def _callbacks(look: Look) -> list[Concern]:
    found = [
        Concern(
            "bad",
            f"{one.sender} has its messages accepted, and no receipt comes",
            f"{one.accepted} in 15 minutes, and no callback on any: the provider does not reach"
            " the public URL, or is refused there.",
            "/senders",
        )
        for one in (look.told or {}).values()
        if one.missing
    ]
    if look.refused and look.refused.too_many:
        what = (
            f"{look.refused.total} callbacks were refused in {MINUTES} minutes:"
            " wrong auth token or public URL"
        )
        why = f"{look.refused.words}. Nothing happened by them."
        found.append(Concern("warn", what, why, "/senders"))
    return found


def _budgets(look: Look) -> list[Concern]:
    return [
        Concern(
            "bad" if one.ratio >= 1 else "warn",
            f"The day's budget is used up: {_scope(one)}"
            if one.ratio >= 1
            else f"{one.ratio:.0%} of the day's budget is used: {_scope(one)}",
            "Starts there are refused until midnight UTC."
            if one.ratio >= 1
            else "When it is used up, starts there are refused until midnight UTC.",
            "/limits",
        )
        for one in look.budgets or ()
        if one.ratio > NEARLY
    ]


def _scope(one: BudgetStanding) -> str:
    return {2: name_of(one.scope), 3: "everything"}.get(len(one.scope), target_of(one.scope))


def _outcomes(look: Look) -> list[Concern]:
    found = []
    decided = look.decided
    if decided and decided.codes >= ENOUGH and (decided.conversion or 0) < LOW_CONVERSION:
        what = f"Only {decided.conversion:.0%} of the codes come back"
        why = "They do not arrive, or somebody has codes sent for nothing: see the countries."
        found.append(Concern("warn", what, why, "/countries"))
    if decided and (arrival := decided.arrival) is not None and arrival < LOW_ARRIVAL:
        what = f"Only {arrival:.0%} of the messages and calls arrive"
        if decided.delivered + decided.failed >= ENOUGH:
            found.append(Concern("warn", what, "See why in the failures.", "/failures"))
    late = look.counted_at is None or time.time() - look.counted_at / 1000 > COUNT_LATE
    if look.flows is not None and late:
        what = "The relay has not counted for a while"
        why = "Charts and shares are old; codes that the broker lost are not found again."
        found.append(Concern("warn", what, why, "/workers"))
    return found
