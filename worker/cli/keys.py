"""Secret keys and credentials."""

import base64
import secrets
from datetime import UTC, datetime

import click
from sqlalchemy import func, select

from worker.cli.base import Group, json_option, main, output, parts
from worker.models import verifications


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
    with ours.db.statement() as connection:
        used: dict[str, int] = dict(
            connection.execute(
                select(verifications.c.key_id, func.count()).group_by(verifications.c.key_id)
            )
            .tuples()
            .all()
        )
    rows = [
        {"kid": kid, "writes": kid == ours.keyring.kid, "verifications": used.pop(kid, 0)}
        for kid in ours.keyring.kids
    ]
    rows += [
        {"kid": kid, "writes": False, "verifications": n, "missing": True}
        for kid, n in used.items()
    ]
    output(
        rows,
        "\n".join(
            f"{row['kid']:<16} {row['verifications']} verifications"
            + (", writes" if row["writes"] else "")
            + (", NOT CONFIGURED: its numbers cannot be read" if row.get("missing") else "")
            for row in rows
        ),
    )
