"""What a page that acts needs to know of its verb."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.audit import Operator
from worker.operations import Operations, Outcome
from worker.operators import Role

Given = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Verb:
    """
    :param title: what is about to be done, of the values that came
    :param means: what it does to whom, in a sentence or two
    :param takes: names of the values that stand in the address of its page
    :param mend: labels of those `takes` that were typed: what is refused can be written anew
    :param of_service: the oldest service's, unless another one is chosen
    :param until: for how long it may hold, in seconds, the one that is chosen already first
    :param typed: the label of the value `what`, which is typed in, since it may be a number
    """

    title: Callable[[Given], str]
    means: str
    act: Callable[[Operations, Operator, Given, dict[str, Any]], Outcome]
    takes: tuple[str, ...] = ()
    typed: str = ""
    mend: Mapping[str, str] = field(default_factory=dict)
    of_service: bool = False
    until: Mapping[str, str] = field(default_factory=dict)
    danger: bool = False
    override: bool = False
    role: Role = Role.OPERATOR
    back: str = "/"
    button: str = "Do it"
