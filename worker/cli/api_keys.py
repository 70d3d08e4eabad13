"""API keys of the HTTP doors."""

from typing import Any

import click

from worker.api_keys import ApiKey, Scope
from worker.cli.acting import me
from worker.cli.base import Group, json_option, main, output, parts, with_times
from worker.cli.lines import key_line
from worker.paging import Window

MOST_SHOWN = 1000


@main.group("api-keys", cls=Group)
def api_keys() -> None:
    """Keys for the HTTP doors, beside the account's token."""


def _shown(key: ApiKey) -> dict[str, Any]:
    return with_times(
        {
            "sid": key.sid,
            "friendly_name": key.friendly_name,
            "scopes": [scope.value for scope in Scope if scope in key.scopes],
            "created_at": key.created_at,
            "last_used_at": key.last_used_at,
            "revoked_at": key.revoked_at,
        }
    )


@api_keys.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="What it may do; several times for several. admin includes the others.",
)
@json_option
def api_keys_create(name: str, scopes: tuple[str, ...]) -> None:
    """Make a key and print its secret, which is shown this once."""
    ours = parts()
    key, secret = ours.api_keys.create(ours.settings.account_sid, name, scopes, me())
    output(_shown(key) | {"secret": secret}, f"{key.sid}:{secret}")


@api_keys.command("list")
@json_option
def api_keys_list() -> None:
    """List the keys, revoked ones too."""
    ours = parts()
    found = ours.api_keys.page(ours.settings.account_sid, Window(MOST_SHOWN)).items
    rows = [_shown(key) for key in found]
    output(
        rows,
        "\n".join(key_line(row, ",".join(row["scopes"])) for row in rows),
    )


@api_keys.command("revoke")
@click.argument("sid")
@json_option
def api_keys_revoke(sid: str) -> None:
    """End a key for good; running processes notice within seconds."""
    ours = parts()
    ours.api_keys.revoke(ours.settings.account_sid, sid, me())
    output({"revoked": True}, "revoked")
