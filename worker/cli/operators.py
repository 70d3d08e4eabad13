"""The operators of the console."""

import sys
from typing import Any

import click

from worker.cli.acting import me
from worker.cli.base import Group, json_option, main, output, parts, with_times
from worker.operators import Operator, Role
from worker.wiring import Sendcode

FIRST = "admin"  # the name of the one whose link `sendcode up` prints


@main.group("operators", cls=Group)
def operators() -> None:
    """Who may use the console, and as what."""


def _shown(operator: Operator) -> dict[str, Any]:
    return with_times(
        {
            "name": operator.name,
            "role": operator.role.value,
            "password": operator.has_password,
            "second_factor": operator.has_totp,
            "created_at": operator.created_at,
            "signed_in_at": operator.signed_in_at,
            "disabled_at": operator.disabled_at,
        }
    )


@operators.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option("--link", is_flag=True, help="No password now: print a link for the first sign-in.")
@json_option
def operators_add(name: str, role: str, link: bool) -> None:
    """Make an operator. The password is read from a prompt, or from stdin."""
    ours = parts()
    password = None if link else _password()
    made = ours.operators.add(name, role, password, me())
    url = link_of(ours, made.name) if link else None
    output(_shown(made) | {"link": url}, url or f"{made.name} is {made.role}")


@operators.command("list")
@json_option
def operators_list() -> None:
    """List the operators, disabled ones too."""
    rows = [_shown(one) for one in parts().operators.all()]
    lines = [
        f"{row['name']:<16} {row['role']:<8} last signed in {row['signed_in_at'] or 'never'}"
        + ("" if row["password"] else "  no password")
        + ("" if row["second_factor"] else "  no second factor")
        + (f"  DISABLED {row['disabled_at']}" if row["disabled_at"] else "")
        for row in rows
    ]
    output(rows, "\n".join(lines) or "none: `sendcode operators add NAME --role admin`")


@operators.command("disable")
@click.argument("name")
@json_option
def operators_disable(name: str) -> None:
    """End an operator's sessions and let no new one begin."""
    parts().operators.disable(name, me())
    output({"disabled": True}, "disabled")


@operators.command("enable")
@click.argument("name")
@json_option
def operators_enable(name: str) -> None:
    """Let a disabled operator sign in again."""
    parts().operators.enable(name, me())
    output({"disabled": False}, "enabled")


@operators.command("link")
@click.argument("name")
@json_option
def operators_link(name: str) -> None:
    """Print a link that signs NAME in once, within 15 minutes."""
    url = link_of(parts(), name)
    output({"link": url}, url)


@operators.command("reset")
@click.argument("name")
@json_option
def operators_reset(name: str) -> None:
    """Forget NAME's password, second factor and sessions; then give out a link."""
    parts().operators.reset(name, me())
    output({"reset": True}, "reset: `sendcode operators link` makes a link to sign in")


@operators.command("first-link")
@json_option
def operators_first_link() -> None:
    """Print a link for the first admin while nobody has a password, else the console's address."""
    ours = parts()
    url = f"{ours.settings.base_url}/console/"
    if not ours.operators.anyone_has_password():
        known = {one.name for one in ours.operators.all()}
        if FIRST not in known:
            ours.operators.add(FIRST, Role.ADMIN, by=me())
        url = link_of(ours, FIRST)
    output({"link": url}, url)


def link_of(ours: Sendcode, name: str) -> str:
    return f"{ours.settings.base_url}/console/link?key={ours.operators.make_link(name, me())}"


def _password() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\n")
