"""Plans: what follows a text that does not arrive, written `call:30` or `sms:20,call:40`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.errors import InvalidParameterError
from worker.states import Channel

MOST_STEPS = 3
WAITS = range(5, 3601)  # seconds


@dataclass(frozen=True, slots=True)
class Step:
    """A delivery over `channel`, as soon as the one before it is known not to arrive.

    :param after: seconds from the start of the one before, after which it follows in any case
        unless that one was delivered; None: only when it is known not to arrive
    """

    channel: Channel
    after: int | None


def read_plan(text: str) -> list[dict[str, Any]]:
    """The plan as rows keep it; `none` is a plan without steps.

    :raises InvalidParameterError: it cannot be read
    """
    words = [word.strip() for word in text.split(",")] if text.strip() != "none" else []
    if len(words) > MOST_STEPS:
        raise _refused(f"has at most {MOST_STEPS} steps")
    return [_step(word) for word in words]


def write_plan(kept: Sequence[Mapping[str, Any]]) -> str:
    """The plan as it is written."""
    steps = (
        step["channel"] + (f":{step['after']}" if step["after"] is not None else "")
        for step in kept
    )
    return ",".join(steps) or "none"


def step_of(kept: Sequence[Mapping[str, Any]], number: int) -> Step | None:
    """Step `number` of a plan, counted from 1; None behind its end."""
    if not 1 <= number <= len(kept):
        return None
    step = kept[number - 1]
    return Step(Channel(step["channel"]), step["after"])


def follow_in(kept: Sequence[Mapping[str, Any]], number: int) -> int | None:
    """Milliseconds from the start of delivery `number` of a plan until the next one follows."""
    following = step_of(kept, number + 1)
    return following.after * 1000 if following and following.after is not None else None


def _step(word: str) -> dict[str, Any]:
    channel, colon, after = word.partition(":")
    if channel not in (Channel.SMS, Channel.CALL):
        raise _refused("has steps `sms` and `call`, such as `call:30`")
    if not colon:
        return {"channel": channel, "after": None}
    if not (after.isascii() and after.isdigit() and len(after) < 6 and int(after) in WAITS):
        raise _refused(f"waits {WAITS[0]} to {WAITS[-1]} seconds, such as `call:30`")
    return {"channel": channel, "after": int(after)}


def _refused(reason: str) -> InvalidParameterError:
    return InvalidParameterError("Fallback", reason)
