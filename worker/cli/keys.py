"""Secret keys and credentials."""

import base64
import secrets
from datetime import UTC, datetime

import click
from sqlalchemy import Table, func, select

from worker.cli.base import Group, json_option, main, output, parts
from worker.door_tables import authy_users, event_hooks, safe_numbers
from worker.models import factors, verifications
from worker.sign_in_tables import operators
from worker.wiring import Sendcode

SEALED = {
    "verifications": verifications,
    "factors": factors,
    "authy_users": authy_users,
    "operators": operators,
    "event_hooks": event_hooks,
    "safe_numbers": safe_numbers,
}
_WORDS = {
    "authy_users": "Authy users",
    "operators": "operators' second factors",
    "event_hooks": "event hooks",
    "safe_numbers": "safe numbers",
}


@main.group(cls=Group)
def keys() -> None:
    """Secret keys and credentials."""


@keys.command("generate")
@click.option("--kid", default=None, help="Name of the key; else today's date.")
@json_option
def keys_generate(kid: str | None) -> None:
    """Print a new entry for SENDCODE_SECRET_KEYS. Put it first to write with it."""
    kid = kid or f"k{datetime.now(UTC):%Y%m%d}"
    entry = f"{kid}:{base64.b64encode(secrets.token_bytes(32)).decode()}"
    output({"kid": kid, "entry": entry}, entry)


@keys.command("account")
@json_option
def keys_account() -> None:
    """Print new values for SENDCODE_ACCOUNT_SID and SENDCODE_AUTH_TOKEN."""
    sid, token = f"AC{secrets.token_hex(16)}", secrets.token_hex(16)
    output(
        {"account_sid": sid, "auth_token": token},
        f"SENDCODE_ACCOUNT_SID={sid}\nSENDCODE_AUTH_TOKEN={token}",
    )


@keys.command("list")
@json_option
def keys_list() -> None:
    """List the configured keys and how many rows still need each."""
    ours = parts()
    counts = {name: _used(ours, table) for name, table in SEALED.items()}
    kids = [*ours.keyring.kids]
    kids += sorted({kid for used in counts.values() for kid in used} - set(kids))
    rows = [
        {"kid": kid, "writes": kid == ours.keyring.kid}
        | {name: used.get(kid, 0) for name, used in counts.items()}
        | ({} if kid in ours.keyring.kids else {"missing": True})
        for kid in kids
    ]
    output(
        rows,
        "\n".join(
            f"{row['kid']:<16} "
            + ", ".join(f"{row[name]} {_WORDS.get(name, name)}" for name in SEALED)
            + (", writes" if row["writes"] else "")
            + (", NOT CONFIGURED: what it sealed cannot be read" if row.get("missing") else "")
            for row in rows
        ),
    )


@keys.command("reseal")
@json_option
def keys_reseal() -> None:
    """Encrypt with the first key all that an older one did, but for verifications, which go."""
    ours = parts()
    done = {
        "factors": ours.factors.reseal(),
        "authy_users": ours.authy_users.reseal(),
        "operators": ours.operators.reseal(),
        "event_hooks": ours.hooks.reseal(),
        "safe_numbers": ours.safelist.reseal(),
    }
    shown = ", ".join(f"{count} {_WORDS.get(name, name)}" for name, count in done.items())
    output({"resealed": done}, f"resealed: {shown}")


def _used(ours: Sendcode, table: Table) -> dict[str, int]:
    sealed = table.c.key_id.is_not(None)
    statement = select(table.c.key_id, func.count()).where(sealed).group_by(table.c.key_id)
    with ours.db.statement() as connection:
        return dict(connection.execute(statement).all())
