"""What operators look at: queues, failures, requests, and one of them."""

from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from itertools import chain
from typing import Any

import click
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from worker import failures as rooms
from worker.cli.base import json_option, main, output, parts, with_times
from worker.cli.files import write_new
from worker.cli.filters import CHANNELS, Span, filtered, of_sender, of_service
from worker.cli.lines import ago, circuit_line, pause_line, queue_line, worker_line
from worker.filters import Filters
from worker.money import shown

_STEPS = ("published_at", "taken_at", "accepted_at", "delivered_at", "ended_at")


_since = click.option(
    "--since", type=Span(), default="24h", show_default=True, help="How far back, such as 15m."
)


@main.command()
@json_option
def queues() -> None:
    """Show what is paused, waits, comes later and is in flight, workers and circuits."""
    ours = parts()
    standing, paused = ours.standing, ours.operations.pauses.all()
    found, circuits, workers = standing.queues(), standing.circuits(), standing.workers()
    silent, beats = standing.silent_seconds(), standing.beats()
    lines = [pause_line(pause) for pause in paused] + [queue_line(queue) for queue in found]
    lines += [circuit_line(circuit) for circuit in circuits]
    lines += [f"worker {w.name} {w.busy} of {w.slots} slots busy" for w in workers]
    lines.append(worker_line(workers, silent, beats))
    output(
        {
            "pauses": [with_times(asdict(pause)) for pause in paused],
            "queues": [asdict(queue) for queue in found],
            "circuits": [with_times(asdict(circuit)) for circuit in circuits],
            "workers": [with_times(asdict(worker)) for worker in workers],
            "worker_silent_seconds": silent,
        },
        "\n".join(lines),
    )


@main.command()
@click.option("--country", default="", help="Of that one alone: an ISO code, such as GB.")
@click.option("--channel", type=CHANNELS)
@of_service
@of_sender
@_since
@json_option
def failures(
    since: int, country: str, channel: str | None, service: str | None, sender: str | None
) -> None:
    """Show what failed, grouped by code, channel and country, with the cause and what to do."""
    where = (country.upper(), channel or "", service or "", sender or "")
    found = parts().failures.look(since, *where)
    lines = []
    for group in found.groups:
        lines.append(
            f"{group.count:>6} {group.share:>5.0%}  {group.code:<17} {group.channel:<4}"
            f" {group.country}  first {ago(group.first_at)}, last {ago(group.last_at)}"
        )
        lines.append(f"{'':14}{group.cause}; {group.next_step}")
        lines.append(f"{'':14}newest: sendcode show {group.sample}")
    if found.at_least:
        lines.append(f"only the newest {found.looked_at} failures were looked at")
    groups = [with_times(asdict(group)) for group in found.groups]
    output(asdict(found) | {"groups": groups}, "\n".join(lines) or "no failures")


def _filtered(command: Callable[..., Any]) -> Callable[..., Any]:
    """Passes the options that say which deliveries are meant on as `wanted`."""

    @filtered
    @click.option("--number", help="Look a number up; it is not repeated.")
    @_since
    @wraps(command)
    def run(
        *args: Any, filters: dict[str, Any], number: str | None, since: int, **rest: Any
    ) -> Any:
        return command(*args, wanted=Filters(**filters, number=number, within=since), **rest)

    return run


@main.command()
@_filtered
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--before", help="Where the page before ended; see its last line.")
@json_option
def requests(wanted: Filters, limit: int, before: str | None) -> None:
    """List deliveries, the newest first, numbers masked."""
    page = parts().records.page(wanted, before, limit)
    lines = [
        f"{one['sid']}  {ago(one['created_at']):>8}  {one['channel']:<4} {one['country']}"
        f"  {one['number'] or 'key missing':<16} {one['state']:<11} {one['status']:<9}"
        f" {one['error_code'] or ''}".rstrip()
        for one in page.records
    ]
    lines += [f"more: --before {page.next}"] if page.next else []
    records = [with_times(one) for one in page.records]
    output({"records": records, "next": page.next}, "\n".join(lines) or "none")


@main.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@_filtered
@json_option
def export(wanted: Filters, file: str) -> None:
    """Write all deliveries that match as CSV to FILE, a new one, or to stdout as `-`. Numbers are
    masked; the newest come first.
    """
    lines = chain.from_iterable(parts().records.export(wanted))
    if file == "-":
        for line in lines:
            click.echo(line, nl=False)
        return
    console = Console(stderr=True)
    with Progress(
        *(TextColumn("exported"), MofNCompleteColumn(), TimeElapsedColumn()),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        written = write_new(file, bar.track(lines, total=None)) - 1
    output({"exported": written}, f"{written} exported")


@main.command()
@click.argument("sid")
@json_option
def show(sid: str) -> None:
    """Show all that happened to SID: a verification (VE…), a delivery (VL…), or Twilio's."""
    records = parts().records
    found = records.timeline(records.find(sid))
    lines = [
        f"{found['sid']}  {found['status']}  {found['number'] or 'key missing'}"
        f"  {found['country']}  checks {found['checks']}/{found['max_checks']}"
    ]
    for one in found["deliveries"]:
        lines += _delivery_lines(one)
        if one["error_code"]:
            one["cause"] = rooms.cause(one["error_code"])
            one["next_step"] = rooms.next_step(one["error_code"])
            lines.append(f"    {one['error_code']}: {one['cause']}; {one['next_step']}")
    if found["approved_at"]:
        lines.append(f"  approved +{found['approved_at'] - found['created_at']} ms")
    output(_with_all_times(found), "\n".join(lines))


def _delivery_lines(one: dict[str, Any]) -> list[str]:
    began = one["created_at"]
    lines = [
        f"  {one['sid']}  {one['channel']} by {one['sender'] or '-'}  {one['state']}"
        f"  tries {one['tries']}, doubts {one['doubts']}  {one['provider_sid'] or ''}".rstrip()
    ]
    if facts := _costs(one):
        lines.append(f"    {facts}")
    happened = [(one[step], step[:-3]) for step in _STEPS if one[step] is not None]
    for word in one["receipts"]:
        told = " ".join(filter(None, ("receipt", word["status"], word["error_code"])))
        happened.append((word["received_at"], told))
    if one["state"] == "queued":
        happened.append((one["next_try_at"], "next try"))
    return lines + [f"    +{at - began:>7} ms  {what}" for at, what in sorted(happened)]


def _costs(one: dict[str, Any]) -> str:
    """Segments and price of a delivery, as far as they are known."""
    facts = [f"segments {one['segments']} {one['encoding']}"] if one["segments"] else []
    if one["price_micros"] is not None:
        how = "told by the provider" if one["price_told"] else "estimated"
        facts.append(f"{shown(one['price_micros'])} {one['price_currency']} {how}")
    return ", ".join(facts)


def _with_all_times(found: dict[str, Any]) -> dict[str, Any]:
    shown = with_times(found)
    for one in shown["deliveries"]:
        one["receipts"] = [with_times(word) for word in one["receipts"]]
    return shown
