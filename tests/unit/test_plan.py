"""Plans as operators write them."""

import pytest

from worker.errors import InvalidParameterError
from worker.plan import Step, follow_in, read_plan, step_of, write_plan
from worker.states import Channel


@pytest.mark.parametrize(
    "text", ["none", "call", "call:30", "sms:20,call:40", "sms,sms:5,call:3600"]
)
def test_a_plan_is_read_as_it_is_written(text: str) -> None:
    """What is kept of a plan says the same as what was written."""
    assert write_plan(read_plan(text)) == text


def test_steps_are_counted_from_one() -> None:
    """Each step names its channel and how long it waits for the one before it."""
    plan = read_plan("sms:20,call")
    assert step_of(plan, 1) == Step(Channel.SMS, 20)
    assert step_of(plan, 2) == Step(Channel.CALL, None)
    assert (step_of(plan, 3), step_of(plan, 0)) == (None, None)
    assert (follow_in(plan, 0), follow_in(plan, 1), follow_in(plan, 2)) == (20_000, None, None)


@pytest.mark.parametrize(
    "text",
    [
        *("", "voice", "call:", "call:4", "call:3601", "call:-5", "call:５", "call:1e1"),
        *("sms,,call", "call,call,call,call", "call:30:30", "CALL"),
        *("call:00030" + "9" * 20, "call:300000", "call:" + "9" * 5000),
    ],
)
def test_what_is_no_plan_is_refused(text: str) -> None:
    """A channel that is none, a wait out of range or a fourth step is refused by name."""
    with pytest.raises(InvalidParameterError) as refusal:
        read_plan(text)
    assert refusal.value.field == "Fallback"
