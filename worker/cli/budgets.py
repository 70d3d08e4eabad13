"""Budgets: what may be spent in a day of UTC, and what was."""

from dataclasses import asdict

import click

from worker.cli.acting import action, me, told, until
from worker.cli.base import Group, json_option, main, output, parts, with_times
from worker.cli.lines import left
from worker.operations import BudgetStanding
from worker.operations.budgets import amount_of
from worker.operations.scopes import target_of


@main.group("budgets", cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def budgets(context: click.Context) -> None:
    """Show each budget with what is used of today; set and clear change them."""
    if context.invoked_subcommand is not None:
        return
    found = parts().operations.budgets.all()
    lines = "\n".join(map(_line, found))
    values = [with_times(asdict(one)) | {"ratio": one.ratio} for one in found]
    output(values, lines or "there is no budget")


@budgets.command("set")
@click.argument("scope")
@click.argument("amount")
@click.argument("unit")
@until
@action
def budgets_set(
    scope: str, amount: str, unit: str, until: int | None, reason: str, dry_run: bool
) -> None:
    """Let no more than AMOUNT UNIT (5000 messages, 250.00 USD) be spent in a day of UTC by SCOPE:
    all, a country (GB) or a service (VA…). With --until it stands in for the one that is there."""
    act = parts().operations.budgets
    told(act.set(me(), scope, amount, unit, reason, until, dry_run=dry_run))


@budgets.command("clear")
@click.argument("scope")
@action
def budgets_clear(scope: str, reason: str, dry_run: bool) -> None:
    """Limit nothing for SCOPE any more."""
    told(parts().operations.budgets.clear(me(), scope, reason, dry_run=dry_run))


def _line(one: BudgetStanding) -> str:
    used, most = (amount_of(value, one.unit) for value in (one.used, one.most))
    line = f"{target_of(one.scope)}  {one.ratio:.0%}  {used} of {most} {one.unit}"
    if not one.countable:
        line += "  CANNOT BE COUNTED: SENDCODE_PRICES has no prices in it, so nothing is sent"
    if one.until is not None:
        then = "no budget" if one.then is None else amount_of(one.then, one.unit)
        line += f"  for {left(one.until)}, then {then}"
    return f"{line}  by {one.set_by}: {one.reason}"
