"""`sendcode top`: the standing on one screen, live."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from worker import failures
from worker.cli.base import json_option, main, output, parts, with_times
from worker.cli.drawing import drawn
from worker.cli.lines import ago, circuit_line, counts_of, pause_line, worker_line
from worker.gauges import AWAY
from worker.standing import QueueStanding
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
        output(_plain(seen), drawn(screen(seen)))
        return
    with Live(_screen_now(ours), screen=True, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(interval)
                live.update(_screen_now(ours), refresh=True)
        except KeyboardInterrupt:
            return


def _screen_now(ours: Sendcode) -> RenderableType:
    try:
        return screen(look(ours))
    except AWAY:
        return Text("neither broker nor database answers; looking again", style="red")


def look(ours: Sendcode) -> dict[str, Any]:
    """Everything on the screen; a few bounded statements and broker commands. A part that broker or
    database does not answer for is None.

    :raises redis.RedisError: nothing answers
    """
    standing = ours.standing
    reads: dict[str, Callable[[], Any]] = {
        "pauses": ours.operations.pauses.all,
        "queues": standing.queues,
        "deliveries": lambda: standing.states(RECENT),
        "workers": standing.workers,
        "worker_silent_seconds": standing.silent_seconds,
        "heartbeats_waiting": standing.beats,
        "circuits": standing.circuits,
        "failures": lambda: ours.failures.groups(FAILING)[:GROUPS],
    }
    seen: dict[str, Any] = {}
    away: list[Exception] = []
    for name, read in reads.items():
        try:
            seen[name] = read()
        except AWAY as error:
            seen[name] = None
            away.append(error)
    if len(away) == len(reads):
        raise away[-1]
    return seen


def screen(seen: dict[str, Any]) -> RenderableType:
    states = seen["deliveries"]
    counts = "  ".join(f"{state} {n}" for state, n in sorted((states or {}).items()))
    workers, circuits = seen["workers"], seen["circuits"]
    silent, beats = seen["worker_silent_seconds"], seen["heartbeats_waiting"]
    return Group(
        *_lines("pauses", seen["pauses"], pause_line, "bold red"),
        _no_answer("queues") if seen["queues"] is None else _queues(seen["queues"]),
        _no_answer("last minute")
        if states is None
        else f"last minute: {counts or 'no deliveries'}",
        _no_answer("workers") if None in (workers, beats) else worker_line(workers, silent, beats),
        *_lines("circuits", circuits, circuit_line),
        _failures(seen["failures"]),
    )


def _no_answer(part: str) -> Text:
    return Text(f"{part}: no answer", style="red")


def _lines(
    part: str, found: Sequence[Any] | None, line: Callable[[Any], str], style: str = ""
) -> list[Text]:
    return [_no_answer(part)] if found is None else [Text(line(one), style) for one in found]


def _queues(found: Sequence[QueueStanding]) -> Table:
    table = Table(
        "queue", *("waiting", "due later", "in flight", "held", "oldest"), title="sendcode"
    )
    for queue in found:
        age = "" if queue.oldest_age is None else f"{queue.oldest_age:.1f} s"
        style = "red" if (queue.oldest_age or 0) > 15 else ""
        table.add_row(queue.name, *counts_of(queue), age, style=style)
    return table


def _failures(found: Sequence[failures.Group] | None) -> RenderableType:
    if not found:
        return _no_answer("failures") if found is None else "no failures in the last hour"
    table = Table("failures of the last hour", "channel", "country", "count", "last", "cause")
    for one in found:
        table.add_row(
            *(one.code, one.channel, one.country, str(one.count)), *(ago(one.last_at), one.cause)
        )
    return table


def _plain(seen: dict[str, Any]) -> dict[str, Any]:
    return {
        name: [with_times(asdict(one)) for one in value] if isinstance(value, list) else value
        for name, value in seen.items()
    }
