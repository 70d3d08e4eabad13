"""The verbs of the actions' pages: what each needs, says, and does. `worker.operations` acts."""

from collections.abc import Mapping
from typing import Any

from api_stub.console.countries import name_of
from api_stub.console.people_verbs import PEOPLE
from api_stub.console.verb import Given, Verb
from worker.audit import Operator
from worker.errors import InvalidParameterError
from worker.filters import Filters
from worker.holds import PauseKind
from worker.operations import Operations, Outcome
from worker.operations.blocks import is_prefix
from worker.operations.forcing import HOUR
from worker.operators import Role
from worker.spends import ALL

ENDED = "ended"  # the choice of no end
# The first is chosen where nobody chooses: what was stopped at night must not stay so unseen.
PAUSED_FOR = {"1800": "30 minutes", "7200": "2 hours", ENDED: "until somebody ends it"}
FORCED_FOR = {"3600": "1 hour", "900": "15 minutes", "14400": "4 hours", "86400": "a day"}
BUDGET_FOR = {ENDED: "until somebody changes it", **FORCED_FOR}
BLOCKED_FOR = {ENDED: "until somebody ends it", **FORCED_FOR}
FILTERS = ("state", "channel", "country", "error_code", "service", "sender")


def what_is_paused(given: Given) -> str:
    kind, name = given.get("kind", ""), given.get("name", "")
    return f"{kind} {name_of(name) if kind == PauseKind.COUNTRY else name}"


def scope_of(given: Given) -> str:
    """The scope of a budget, in words."""
    scope = given.get("scope", "")
    if scope == ALL:
        return "everything"
    return name_of(scope.upper()) if len(scope) == 2 else scope


def _until(given: Given, choices: Mapping[str, str]) -> int | None:
    chosen = given.get("until") or next(iter(choices))
    if chosen not in choices:
        raise InvalidParameterError("Until", "is none of the choices")
    return None if chosen == ENDED else int(chosen)


def _overrides(given: Given) -> bool:
    return given.get("override") == "1"


def _pause(ops: Operations, by: Operator, given: Given, rest: dict[str, Any]) -> Outcome:
    return ops.pauses.pause(
        by, given["kind"], given["name"], until=_until(given, PAUSED_FOR), **rest
    )


def _bulk(ops: Operations, by: Operator, given: Given, rest: dict[str, Any]) -> Outcome:
    wanted = {name: given.get(name) or None for name in FILTERS}
    within = given.get("within", "")
    seconds = int(within[:8]) if within.isascii() and within.isdigit() else 86_400
    chosen = given.get("requests", "").split() or None
    filters = Filters(**wanted, within=seconds, sids=chosen)
    channel, override = given.get("by") or None, _overrides(given)
    return ops.bulk.start(
        by, given["verb"], filters, channel=channel, override_limits=override, **rest
    )


def _block_prefix(ops: Operations, by: Operator, given: Given, rest: dict[str, Any]) -> Outcome:
    if not is_prefix(given["prefix"]):
        raise InvalidParameterError("Prefix", "is + and up to seven digits, and no whole number")
    return ops.blocks.block(by, given["prefix"], until=_until(given, BLOCKED_FOR), **rest)


def _title_of_bulk(given: Given) -> str:
    which = "those chosen" if given.get("requests") else "all that match"
    return f"{_BULK_WORDS.get(given.get('verb', ''), 'Do')} {which}"


_BULK_WORDS = {"retry": "Send again", "resend": "Send by the other channel", "cancel": "End"}
OF_CHOSEN = {
    "retry": {"verb": "retry"}, "resend": {"verb": "resend", "by": "call"},
    "cancel": {"verb": "cancel"},
}  # fmt: skip
_WHICH = {"expired": "the expired", "all": "all of it"}
_OF_BULK = ("by", *FILTERS, "within", "requests")

VERBS: dict[str, Verb] = {
    "pause": Verb(
        lambda given: f"Stop sending: {what_is_paused(given)}",
        "Codes to it are kept unsent, by every worker, within two seconds. They go out when it is"
        " resumed, if they still live. Starts are refused where it is a country or a channel.",
        _pause,
        takes=("kind", "name"), until=PAUSED_FOR, danger=True, button="Stop sending",
    ),
    "resume": Verb(
        lambda given: f"Send again: {what_is_paused(given)}",
        "What was kept and still lives goes out now.",
        lambda ops, by, given, rest: ops.pauses.resume(by, given["kind"], given["name"], **rest),
        takes=("kind", "name"), button="Send again",
    ),
    "circuit": Verb(
        lambda given: f"Circuit of {given['sender']} for {given['channel']}: {given['state']}",
        "Open: the sender is not used. Closed: it is, whatever its failures. Auto: as its calls"
        " come out. By hand it holds for an hour, unless you choose another time.",
        lambda ops, by, given, rest: ops.circuits.set(
            by, given["sender"], given["channel"], given["state"],
            until=_until(given, FORCED_FOR) or HOUR, **rest),
        takes=("sender", "channel", "state"), until=FORCED_FOR, danger=True, back="/senders",
    ),
    "retry": Verb(
        lambda given: "Send the code again",
        "The same code, by the same channel. Nothing is sent where one is under way or arrived.",
        lambda ops, by, given, rest: ops.sending.retry(
            by, given["sid"], override_limits=_overrides(given), **rest),
        takes=("sid",), override=True, back="/requests/{sid}", button="Send it again",
    ),
    "resend": Verb(
        lambda given: f"Send the code by {given.get('channel')}",
        "The same code, by the other channel, under the number's limits.",
        lambda ops, by, given, rest: ops.sending.resend(
            by, given["sid"], given["channel"], override_limits=_overrides(given), **rest),
        takes=("sid", "channel"), override=True, back="/requests/{sid}", button="Send it",
    ),
    "cancel": Verb(
        lambda given: "End the verification",
        "Its code can no longer be checked or sent.",
        lambda ops, by, given, rest: ops.sending.cancel(by, given["sid"], **rest),
        takes=("sid",), danger=True, back="/requests/{sid}", button="End it",
    ),
    "discard": Verb(
        lambda given: "Drop the message unsent",
        "It waits, and is not sent: it fails as discarded. Its code can still be checked, and be"
        " sent again. What a worker holds is not dropped.",
        lambda ops, by, given, rest: ops.discarding.one(by, given["sid"], **rest),
        takes=("sid",), danger=True, back="/requests/{sid}", button="Drop it",
    ),
    "discard-queue": Verb(
        lambda given: f"Drop what waits in {given.get('queue')}: {_WHICH.get(given['which'], '?')}",
        "It is not sent, now or later. What a worker holds, and what may have been sent, is left.",
        lambda ops, by, given, rest: ops.discarding.queue(
            by, given["queue"], given["which"], **rest),
        takes=("queue", "which"), danger=True, back="/queues", button="Drop it",
    ),
    "reveal": Verb(
        lambda given: "Show the whole number",
        "Once, on the next page. That you looked, and why, stays in the audit log.",
        lambda ops, by, given, rest: ops.numbers.reveal(by, given["sid"], **rest),
        takes=("sid",), back="/requests/{sid}", button="Show it",
    ),
    "test-send": Verb(
        lambda given: f"Send a test by {given['sender']}, channel {given['channel']}",
        "A real code, by this sender alone, through the queue and the limits that every code takes."
        " The next page says what came of it.",
        lambda ops, by, given, rest: ops.testing.send(
            by, given["sender"], given["channel"], given.get("what", ""),
            service=given.get("service") or None, **rest),
        takes=("sender", "channel"), typed="Number to send to", of_service=True, role=Role.ADMIN,
        back="/senders", button="Send it",
    ),
    "check-sender": Verb(
        lambda given: f"Check the credentials of {given['sender']}",
        "Asks the provider for the account's newest message. Nothing is sent or changed.",
        lambda ops, by, given, rest: ops.testing.check(by, given["sender"], **rest),
        takes=("sender",), back="/senders", button="Ask",
    ),
    "replay": Verb(
        lambda given: f"Tell again what became of {given['sid'][:14]}…",
        "Every enabled hook that wants it is told at once, also one that was told before.",
        lambda ops, by, given, rest: ops.replaying.replay(by, sid=given["sid"], **rest),
        takes=("sid",), back="/requests/{sid}", button="Tell them",
    ),
    "replay-failed": Verb(
        lambda given: "Send a hook what it has not taken",
        "All that it failed to take is sent again now, and not when its next try is due.",
        lambda ops, by, given, rest: ops.replaying.replay(by, hook=given["hook"], **rest),
        takes=("hook",), back="/webhooks", button="Send them",
    ),
    "block": Verb(
        lambda given: "Block a number or a prefix",
        "Starts to it are refused, and what waits for it fails.",
        lambda ops, by, given, rest: ops.blocks.block(
            by, given.get("what", ""), until=_until(given, BLOCKED_FOR), **rest),
        typed="Number, or a prefix such as +8835", until=BLOCKED_FOR, danger=True, back="/blocks",
        button="Block it",
    ),
    "block-prefix": Verb(
        lambda given: f"Block {given['prefix'] if is_prefix(given['prefix']) else 'a prefix'}",
        "Starts to each number that begins so are refused, and what waits for one fails. Numbers on"
        " the safe list pass.",
        _block_prefix,
        takes=("prefix",), until=BLOCKED_FOR, danger=True, back="/countries/prefixes",
        button="Block it",
    ),
    "unblock": Verb(
        lambda given: "Unblock",
        "It can be sent to again.",
        lambda ops, by, given, rest: ops.blocks.unblock(by, given["sid"], **rest),
        takes=("sid",), back="/blocks", button="Unblock it",
    ),
    "set-budget": Verb(
        lambda given: f"Budget of {given['amount']} {given['unit']} a day: {scope_of(given)}",
        "When it is used up, starts there are refused until the day (UTC) ends. What was spent"
        " today counts. With a time it stands in for the budget that is there.",
        lambda ops, by, given, rest: ops.budgets.set(
            by, given["scope"].strip(), given["amount"].strip(), given["unit"],
            until=_until(given, BUDGET_FOR), **rest),
        takes=("scope", "amount", "unit"), mend={"scope": "Of", "amount": "A day", "unit": "In"},
        until=BUDGET_FOR, danger=True, role=Role.ADMIN,
        back="/limits", button="Set it",
    ),
    "clear-budget": Verb(
        lambda given: f"Remove the budget: {scope_of(given)}",
        "Nothing limits there what a day costs.",
        lambda ops, by, given, rest: ops.budgets.clear(by, given["scope"], **rest),
        takes=("scope",), danger=True, role=Role.ADMIN, back="/limits", button="Remove it",
    ),
    "reset-limits": Verb(
        lambda given: "Give a number its sends back",
        "What was counted against it, in every service, is forgotten.",
        lambda ops, by, given, rest: ops.numbers.reset_limits(by, given.get("what", ""), **rest),
        typed="Number", back="/limits", button="Reset",
    ),
    **PEOPLE,
    "quiet-worker": Verb(
        lambda given: f"Let {given['name']} take nothing more",
        "Within seconds it takes no code any more and finishes what it has; the others go on. It"
        " works again when it is told to, or started anew.",
        lambda ops, by, given, rest: ops.crew.quiet(by, given["name"], **rest),
        takes=("name",), danger=True, back="/workers", button="Quiet it",
    ),
    "wake-worker": Verb(
        lambda given: f"Let {given['name']} work again",
        "It takes codes again, within seconds.",
        lambda ops, by, given, rest: ops.crew.work(by, given["name"], **rest),
        takes=("name",), back="/workers", button="Let it work",
    ),
    "stop-worker": Verb(
        lambda given: f"Stop {given['name']}",
        "It finishes what it has and ends, as on SIGTERM. What supervises it may start it anew.",
        lambda ops, by, given, rest: ops.crew.stop(by, given["name"], **rest),
        takes=("name",), danger=True, back="/workers", button="Stop it",
    ),
    "bulk": Verb(
        _title_of_bulk,
        "In the background, one after another, by the rules that hold for one. It can be stopped.",
        _bulk,
        takes=("verb", *_OF_BULK), override=True, danger=True, back="/bulk",
        button="Begin",
    ),
    "stop": Verb(
        lambda given: "Stop the bulk job",
        "What it has done stays done.",
        lambda ops, by, given, rest: ops.bulk.stop(by, given["sid"], **rest),
        takes=("sid",), back="/bulk/{sid}", button="Stop it",
    ),
}  # fmt: skip


def values_of(verb: Verb, given: Given) -> dict[str, str]:
    """The values that a verb takes, all of them where it needs them.

    :raises InvalidParameterError: one is missing
    """
    optional = set(_OF_BULK) if "verb" in verb.takes else set()
    found = {name: given.get(name, "") for name in verb.takes}
    for name, value in found.items():
        if not value and name not in optional:
            raise InvalidParameterError(name, "is missing")
    return found
