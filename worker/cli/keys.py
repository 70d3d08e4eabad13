"""Secret keys and credentials."""

import base64
import secrets
from datetime import UTC, datetime

import click
from sqlalchemy import Table, func, select

from worker.cli.base import Group, json_option, main, output, parts
from worker.door_tables import authy_users
from worker.models import factors, verifications
from worker.wiring import Sendcode


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
    tables = {"verifications": verifications, "factors": factors, "authy_users": authy_users}
    counts = {name: _used(ours, table) for name, table in tables.items()}
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
            f"{row['kid']:<16} {row['verifications']} verifications, {row['factors']} factors,"
            f" {row['authy_users']} Authy users"
            + (", writes" if row["writes"] else "")
            + (", NOT CONFIGURED: what it sealed cannot be read" if row.get("missing") else "")
            for row in rows
        ),
    )


def _used(ours: Sendcode, table: Table) -> dict[str, int]:
    statement = select(table.c.key_id, func.count()).group_by(table.c.key_id)
    with ours.db.statement() as connection:
        return dict(connection.execute(statement).all())
