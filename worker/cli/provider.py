"""Senders tried out: a test message, and a question that shows whether the credentials hold."""

import sys

import click

from worker.cli.acting import action, me, told
from worker.cli.base import FAILED, Group, main, parts
from worker.states import Channel, DeliveryState

WAIT = 10
_SENT = (DeliveryState.ACCEPTED, DeliveryState.SENT, DeliveryState.DELIVERED)


@main.group(cls=Group)
def provider() -> None:
    """Try a sender out."""


@provider.command("test")
@click.argument("sender")
@click.argument("channel", type=click.Choice([channel.value for channel in Channel]))
@click.argument("number")
@click.option("--service", help="VA…; the oldest otherwise.")
@click.option("--wait", type=click.IntRange(0, 60), default=WAIT, show_default=True)
@action
def provider_test(
    sender: str,
    channel: str,
    number: str,
    service: str | None,
    wait: int,
    reason: str,
    dry_run: bool,
) -> None:
    """Send a real code to NUMBER by SENDER alone and say what came of it. The limits count it.

    Exit code 1 where it was not accepted.
    """
    act = parts().operations.testing
    outcome = act.send(
        *(me(), sender, channel, number, reason), service=service, wait=wait, dry_run=dry_run
    )
    told(outcome)
    if not dry_run and (outcome.after or {})["state"] not in _SENT:
        sys.exit(FAILED)


@provider.command("check")
@click.argument("sender")
@action
def provider_check(sender: str, reason: str, dry_run: bool) -> None:
    """Ask the provider whether the credentials of SENDER hold. Exit code 1 where they do not."""
    outcome = parts().operations.testing.check(me(), sender, reason, dry_run=dry_run)
    told(outcome)
    if not dry_run and (outcome.after or {})["answer"] != "accepted":
        sys.exit(FAILED)
