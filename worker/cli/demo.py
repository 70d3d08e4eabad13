"""`sendcode demo`: sample codes through the sandbox, and a table of what became of each."""

import sys
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.table import Table

from worker.cli.base import FAILED, json_option, main, output, parts
from worker.cli.drawing import drawn
from worker.cli.samples import MOST, NOT_SENT, STEPS, Row, samples, summary
from worker.cli.sandbox import Sandbox
from worker.cli.show import Show
from worker.errors import NotFoundError, SettingsError
from worker.settings import Settings
from worker.states import Channel
from worker.wiring import Sendcode

_PURPOSE = "demo sends to the sandbox's phones"


@main.command()
@click.option(
    "--count",
    type=click.IntRange(1, MOST),
    default=20,
    show_default=True,
    help="How many codes.",
)
@click.option(
    "--failure-rate",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help="Share of them that the sandbox is ordered not to deliver.",
)
@click.option(
    "--channel",
    type=click.Choice([channel.value for channel in Channel]),
    help="That one alone; else every fifth is a call.",
)
@click.option("--service", help="VA…; the oldest otherwise.")
@click.option(
    "--wait",
    type=click.IntRange(1, 600),
    default=30,
    show_default=True,
    help="Seconds to wait for a worker, and then for what is on its way.",
)
@json_option
def demo(
    count: int, failure_rate: float, channel: str | None, service: str | None, wait: int
) -> None:
    """Send sample codes to pretend phones and show what became of each.

    The numbers are kept for fiction. About every second code that arrives is checked; the rest
    is canceled at the end. Exit code 1 where one did not end as ordered.
    """
    ours = parts()
    sandbox = _only_sandbox(ours.settings)
    taken = {order["to"] for order in sandbox.orders()}
    wanted = samples(count, failure_rate, _channels(ours.settings, channel), taken)
    rows = [Row(one) for one in wanted]
    Show(ours, sandbox, service or _oldest(ours), rows, wait).run()
    seen, counts = [row.shown() for row in rows if row.state != NOT_SENT], summary(rows)
    output({"deliveries": seen, "summary": counts}, drawn(_page(seen, counts)))
    if counts["unexpected"]:
        sys.exit(FAILED)


def _only_sandbox(settings: Settings) -> Sandbox:
    """
    :raises SettingsError: codes go somewhere else
    """
    sandbox = Sandbox(settings, _PURPOSE)
    if settings.twilio_base_url.rstrip("/") not in ("", sandbox.url.rstrip("/")):
        raise SettingsError(
            f"{_PURPOSE}, and SENDCODE_TWILIO_BASE_URL is not SENDCODE_SANDBOX_URL: empty it"
        )
    return sandbox


def _channels(settings: Settings, alone: str | None) -> Sequence[Channel]:
    if alone:
        return (Channel(alone),)
    calls = settings.limit_daily_calls and any(
        Channel.CALL in sender.channels for sender in settings.all_senders()
    )
    return (Channel.SMS, Channel.CALL) if calls else (Channel.SMS,)


def _oldest(ours: Sendcode) -> str:
    found = ours.services.page(ours.settings.account_sid, limit=1)
    if not found:
        raise NotFoundError("service")
    return found[0].sid


def _page(seen: Sequence[dict[str, Any]], counts: dict[str, Any]) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))  # for 80 columns
    table.add_column("number", no_wrap=True)
    for name in ("channel", "state", "code", "checked"):
        table.add_column(name)
    for step in STEPS:
        table.add_column(step, justify="right")
    table.add_column("as ordered")
    for one in seen:
        table.add_row(
            *(one["number"], one["channel"], one["state"]),
            one["error_code"] or one["refused"] or "",
            "approved" if one["approved"] else "",
            *(_ms(one[f"{step}_ms"]) for step in STEPS),
            "yes" if one["as_ordered"] else "NO",
            style="" if one["as_ordered"] else "red",
        )
    return Group(table, *_lines(counts))


def _ms(value: int | None) -> str:
    return "-" if value is None else f"{value} ms"


def _lines(counts: dict[str, Any]) -> list[str]:
    spreads = (
        f"{step} p50 {_ms(found['p50'])}, p95 {_ms(found['p95'])}"
        for step in STEPS
        for found in (counts[f"{step}_ms"],)
    )
    return [
        f"{counts['sent']} of {counts['wanted']} sent, {counts['delivered']} delivered,"
        f" {counts['approved']} approved, {counts['failed_as_ordered']} failed as ordered,"
        f" {counts['unexpected']} unexpected",
        "; ".join(spreads),
    ]
