"""The Authy door: keys of its applications, which are services, and users from elsewhere."""

import sys
from collections.abc import Iterable
from typing import Any

import click

from worker.authy import AuthyKey, BadUser, UserRow, read_users
from worker.cli.acting import me
from worker.cli.base import (
    FAILED,
    Group,
    json_option,
    main,
    output,
    parts,
    the_service,
    with_times,
)
from worker.cli.lines import key_line
from worker.errors import InvalidParameterError
from worker.paging import Window

MOST_SHOWN = 1000


@main.group("authy", cls=Group)
def authy() -> None:
    """Keys and users of the Authy door."""


def _shown(key: AuthyKey) -> dict[str, Any]:
    names = (
        *("sid", "service_sid", "friendly_name"),
        *("created_at", "last_used_at", "revoked_at"),
    )
    return with_times({name: getattr(key, name) for name in names})


@authy.command("create")
@click.argument("name")
@click.option("--service", help="VA…; may be left out where there is one.")
@json_option
def authy_create(name: str, service: str | None) -> None:
    """Make a key of a service and print it; it is shown this once."""
    ours = parts()
    made, key = ours.authy_keys.create(
        ours.settings.account_sid, the_service(ours, service), name, me()
    )
    output(_shown(made) | {"key": key}, key)


@authy.command("list")
@json_option
def authy_list() -> None:
    """List the keys, revoked ones too."""
    ours = parts()
    found = ours.authy_keys.page(ours.settings.account_sid, Window(MOST_SHOWN)).items
    rows = [_shown(key) for key in found]
    output(
        rows,
        "\n".join(key_line(row, row["service_sid"]) for row in rows),
    )


@authy.command("revoke")
@click.argument("sid")
@json_option
def authy_revoke(sid: str) -> None:
    """End a key for good, at once."""
    ours = parts()
    ours.authy_keys.revoke(ours.settings.account_sid, sid, me())
    output({"revoked": True}, "revoked")


@authy.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8-sig"))
@click.option("--service", help="VA…; may be left out where there is one.")
@json_option
def authy_import(file: Iterable[str], service: str | None) -> None:
    """Bring in the users of FILE, or of stdin with -, under the ids they have.

    FILE is CSV with the columns authy_id, country_code, cellphone and, if you have it, email.
    All of it is written, or nothing where a line is bad. The secrets of their apps come by
    `factors import`, with the identity authy-user-ID.
    """
    good, bad = _read(file)
    done = 0
    if good and not bad:
        ours = parts()
        done, bad = ours.authy_users.bring_in(
            ours.settings.account_sid, the_service(ours, service), good
        )
    for row in bad:
        click.echo(f"sendcode: line {row.line}: {row.reason}", err=True)
    output({"imported": done, "bad": len(bad)}, f"{done} imported, {len(bad)} bad")
    if bad:
        sys.exit(FAILED)


def _read(file: Iterable[str]) -> tuple[list[UserRow], list[BadUser]]:
    try:
        found = list(read_users("".join(file)))
    except UnicodeDecodeError:
        raise InvalidParameterError("FILE", "must be UTF-8") from None
    return (
        [row for row in found if isinstance(row, UserRow)],
        [row for row in found if isinstance(row, BadUser)],
    )


@authy.command("reseal")
@json_option
def authy_reseal() -> None:
    """Encrypt the users' numbers and addresses that an older key encrypted with the first one."""
    done = parts().authy_users.reseal()
    output({"resealed": done}, f"{done} resealed")
