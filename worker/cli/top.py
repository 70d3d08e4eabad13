"""`sendcode top`: the standing on one screen, live."""

import time
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from worker.cli.base import json_option, main, output, parts, with_times
from worker.cli.lines import ago, circuit_line, pause_line, worker_line
from worker.wiring import Sendcode

RECENT = 60  # seconds whose deliveries are counted
FAILING = 3600  # seconds whose failures are grouped
GROUPS = 5


@main.command()
@click.option("--interval", type=click.FloatRange(0.5, 60), default=1.0, show_default=True)
@click.option("--once", is_flag=True, help="Print it once and end.")
@json_option
def top(interval: float, once: bool) -> None:
    """Show queues, workers, circuits and failures, live, until Ctrl-C."""
    ours = parts()
    if once or not Console().is_terminal or click.get_current_context().find_root().obj:
        seen = look(ours)
        console = Console(width=None if Console().is_terminal else 100)
        with console.capture() as text:
            console.print(screen(seen))
        output(_plain(seen), text.get().rstrip())
        return
    with Live(screen(look(ours)), screen=True, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(interval)
                live.update(screen(look(ours)), refresh=True)
        except KeyboardInterrupt:
            return


def look(ours: Sendcode) -> dict[str, Any]:
    """Everything on the screen; a few bounded statements and broker commands."""
    standing = ours.standing
    return {
        "pauses": ours.operations.pauses.all(),
        "queues": standing.queues(),
        "deliveries": standing.states(RECENT),
        "workers": standing.workers(),
        "worker_silent_seconds": standing.silent_seconds(),
        "heartbeats_waiting": standing.beats(),
        "circuits": standing.circuits(),
        "failures": ours.failures.groups(FAILING)[:GROUPS],
    }


def screen(seen: dict[str, Any]) -> RenderableType:
    queues = Table("queue", *("waiting", "due later", "in flight", "oldest"), title="sendcode")
    for queue in seen["queues"]:
        age = "" if queue.oldest_age is None else f"{queue.oldest_age:.1f} s"
        style = "red" if (queue.oldest_age or 0) > 15 else ""
        counts = (str(n) for n in (queue.waiting, queue.later, queue.in_flight))
        queues.add_row(queue.name, *counts, age, style=style)
    failures = Table("failures of the last hour", "channel", "country", "count", "last", "cause")
    for group in seen["failures"]:
        failures.add_row(
            *(group.code, group.channel, group.country, str(group.count)),
            *(ago(group.last_at), group.cause),
        )
    states = "  ".join(f"{state} {n}" for state, n in sorted(seen["deliveries"].items()))
    return Group(
        *(Text(pause_line(pause), style="bold red") for pause in seen["pauses"]),
        queues,
        f"last minute: {states or 'no deliveries'}",
        worker_line(seen["workers"], seen["worker_silent_seconds"], seen["heartbeats_waiting"]),
        *(circuit_line(circuit) for circuit in seen["circuits"]),
        failures if seen["failures"] else "no failures in the last hour",
    )


def _plain(seen: dict[str, Any]) -> dict[str, Any]:
    return {
        name: [with_times(asdict(one)) for one in value] if isinstance(value, list) else value
        for name, value in seen.items()
    }
