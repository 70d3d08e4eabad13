"""The operators of the console."""

import sys
from typing import Any

import click

from worker.cli.acting import action, me, told
from worker.cli.base import Group, json_option, main, output, parts, with_times
from worker.operators import Operator, Role
from worker.operators.words import shown_session
from worker.wiring import Sendcode

_FIRST = "first sign-in"
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


_ROLES = click.Choice([role.value for role in Role])


@operators.command("add")
@click.argument("name")
@click.option("--role", type=_ROLES, required=True)
@click.option("--link", is_flag=True, help="No password now: print a link for the first sign-in.")
@action
def operators_add(name: str, role: str, link: bool, reason: str, dry_run: bool) -> None:
    """Make an operator. The password is read from a prompt, or from stdin."""
    ours = parts()
    password = None if link or dry_run else _password()
    act = ours.operations.people
    made = act.add(me(), name, role, reason, password=password, link=link, dry_run=dry_run)
    told(made, _url(ours, made.link))


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
    output(rows, "\n".join(lines) or "none: `sendcode operators add NAME --role admin --reason …`")


@operators.command("role")
@click.argument("name")
@click.argument("role", type=_ROLES)
@action
def operators_role(name: str, role: str, reason: str, dry_run: bool) -> None:
    """Give NAME another role."""
    act = parts().operations.people
    told(act.set_role(me(), name, role, reason, dry_run=dry_run))


@operators.command("disable")
@click.argument("name")
@action
def operators_disable(name: str, reason: str, dry_run: bool) -> None:
    """End an operator's sessions and let no new one begin."""
    act = parts().operations.people
    told(act.disable(me(), name, reason, dry_run=dry_run))


@operators.command("enable")
@click.argument("name")
@action
def operators_enable(name: str, reason: str, dry_run: bool) -> None:
    """Let a disabled operator sign in again."""
    act = parts().operations.people
    told(act.enable(me(), name, reason, dry_run=dry_run))


@operators.command("link")
@click.argument("name")
@action
def operators_link(name: str, reason: str, dry_run: bool) -> None:
    """Print a link that signs NAME in once, within 15 minutes."""
    ours = parts()
    made = ours.operations.people.link(me(), name, reason, dry_run=dry_run)
    told(made, _url(ours, made.link))


@operators.command("reset")
@click.argument("name")
@action
def operators_reset(name: str, reason: str, dry_run: bool) -> None:
    """Forget NAME's password, second factor and sessions; then give out a link."""
    act = parts().operations.people
    told(act.reset(me(), name, reason, dry_run=dry_run))


@operators.command("sessions")
@json_option
def operators_sessions() -> None:
    """List who is signed in to the console, the newest first."""
    rows = [with_times(shown_session(one)) for one in parts().operators.sessions()]
    lines = [
        f"{row['sid']}  {row['operator']:<16} {row['address']:<16} since {row['created_at']}"
        f"  last used {row['seen_at']}  {row['browser'][:40]}"
        for row in rows
    ]
    output(rows, "\n".join(lines) or "nobody is signed in")


@operators.command("end-session")
@click.argument("sid")
@action
def operators_end_session(sid: str, reason: str, dry_run: bool) -> None:
    """End one sign-in; `sendcode operators sessions` shows their SIDs."""
    act = parts().operations.people
    told(act.end_session(me(), sid, reason, dry_run=dry_run))


@operators.command("first-link")
@json_option
def operators_first_link() -> None:
    """Print a link for the first admin while nobody has a password, else the console's address."""
    ours = parts()
    url = f"{ours.settings.base_url}/console/"
    if not ours.operators.anyone_has_password():
        known = {one.name for one in ours.operators.all()}
        if FIRST not in known:
            ours.operators.add(FIRST, Role.ADMIN, by=me(), reason=_FIRST)
        url = _url(ours, ours.operators.make_link(FIRST, me(), _FIRST)) or url
    output({"link": url}, url)


def _url(ours: Sendcode, key: str | None) -> str | None:
    return key and f"{ours.settings.base_url}/console/link?key={key}"


def _password() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\n")
