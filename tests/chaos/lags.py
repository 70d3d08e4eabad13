"""A provider that answers nothing and lists late, so that it cannot always be asked."""

import time
from collections import Counter

from tests.chaos.client import Answer
from tests.chaos.report import Outcome
from tests.chaos.rig import Rig
from tests.chaos.rows import LONG, Size, conclude, row
from tests.chaos.settings import SHORT
from tests.chaos.world import World

MOST_DOUBLED = 0.005  # of the unknown outcomes
UNKNOWN = 0.25  # of the starts; more would open the sender's circuit now and then
UNANSWERED: tuple[dict[str, object], ...] = (
    {"fail": "drop"},
    {"fail": "500", "accept": True},
    {"fail": "503", "accept": True},
)
SOON = 0.8  # seconds, within the settling second
RATE = 10  # starts a second: a burst makes hand-overs slow, and slow ones are unknown, too
SLOW = 60  # seconds, which no start waits for its turn
NEVER = 600  # seconds, a code's life


@row("provider-list-lags", "provider does not answer and lists late, a few never", forms=LONG)
def lists_lag(rig: Rig, size: Size, made: Outcome) -> None:
    """What is listed in the settling time comes once. What is not comes twice, with one code."""
    with World(rig, "provider-list-lags", workers=2, settings=SHORT) as world:
        numbers = [next(rig.numbers) for _ in range(size.of(2000, 900))]
        unknown = world.random.sample(numbers, int(len(numbers) * UNKNOWN))
        hidden = unknown[: size.of(2, 1)]
        for number in unknown:
            # Callbacks would tell the outcome before the question does.
            lag = NEVER if number in hidden else world.random.uniform(0.1, SOON)
            fault = world.random.choice(UNANSWERED)
            world.sandbox.order(number, times=1, callbacks="none", list_late=lag, **fault)
        client = world.client()
        begun = time.monotonic()
        for at, number in enumerate(numbers):
            world.until(lambda due=begun + at / RATE: time.monotonic() >= due, SLOW)
            world.told.append(client.start(number))
        world.injected += len(unknown)
        found = conclude(world, made, may_double=MOST_DOUBLED)
        made.note = f"{found.doubled} of {found.unknown} unknown outcomes came twice"
        made.fail(*wrong(_twice(world), hidden, found.unknown, len(unknown)))
        made.fail(*_refused(world, hidden))


def _twice(world: World) -> set[str]:
    times = Counter(message.number for message in world.sandbox.messages())
    return {number for number, count in times.items() if count > 1}


def wrong(twice: set[str], hidden: list[str], seen: int, ordered: int) -> list[str]:
    """
    :param twice: numbers that got two messages
    :param hidden: numbers whose message no list shows
    :param seen: unknown outcomes, of those that were `ordered`
    """
    found = []
    if more := twice - set(hidden):
        found.append(f"{len(more)} came twice although the provider listed them in time")
    if fewer := set(hidden) - twice:
        found.append(f"{len(fewer)} that no list showed came once, so nothing was tried")
    if seen < ordered:
        found.append(f"only {seen} of {ordered} outcomes were unknown")
    return found


def _refused(world: World, hidden: list[str]) -> list[str]:
    """Whoever got two messages has one code, and it is the right one."""
    found = []
    started: dict[str, Answer] = {answer.number: answer for answer in world.told}
    for number in hidden:
        code = world.sandbox.code_of(number) or ""
        word = world.client().check(number, started[number].verification, code, True).word
        if word != "approved":
            found.append(f"the code of a doubled message was answered {word or 'nothing'}")
    return found
