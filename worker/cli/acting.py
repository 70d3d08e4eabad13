"""What the operators' commands share: who acts, why, whether it is a dry run, what came of it."""

import getpass
import socket
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from worker.audit import Operator
from worker.cli.base import json_option, output, with_times
from worker.cli.filters import Span
from worker.operations import Outcome, Result

_WORDS = {Result.DONE: "done", Result.UNCHANGED: "nothing to do", Result.WOULD: "would be done"}
_dry = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
_reason = click.option("--reason", required=True, help="Why; it is kept in the audit log.")
until = click.option("--until", type=Span(), help="It ends by itself then, such as 30m.")
override = click.option(
    "--override-limits", is_flag=True, help="Do not ask the limits, nor count it."
)


def action(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that each action has."""
    return _reason(_dry(json_option(command)))


def me() -> Operator:
    """Who runs the command line; whoever can read the settings may do all."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # no such user, as in a container
        name = "unknown"
    return Operator(name, f"cli@{socket.gethostname()}"[:64], admin=True)


def told(outcome: Outcome, link: str | None = None) -> None:
    """Print what came of an action, without the number of `reveal`.

    :param link: the address of a link that was made
    """
    values = asdict(outcome)
    for side in ("before", "after"):
        values[side] = values[side] and with_times(values[side])
    del values["number"], values["link"]
    if link is not None:
        output(values | {"link": link}, link)
        return
    facts = values["after"] or values["before"] or {}
    shown = [f"{name} {value}" for name, value in facts.items() if value not in (None, "")]
    line = f"{outcome.action} {outcome.target}: {_WORDS[outcome.result]}"
    output(values, line + (f" ({', '.join(shown)})" if shown else ""))
