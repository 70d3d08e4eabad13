"""Bulk jobs: a verb on all that match, done by the relay, watched from here."""

import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NoReturn

import click

from worker.cli.acting import me, override, told
from worker.cli.base import UNREACHABLE, Group, json_option, main, output, parts, with_times
from worker.cli.drawing import bar
from worker.cli.filters import CHANNELS, Span, filtered
from worker.filters import Filters
from worker.operations import BulkJob, Result
from worker.wiring import Sendcode

LOOK_EVERY = 0.5  # seconds
IDLE = 15.0  # seconds without progress after which nobody seems to do the job


@main.group(cls=Group)
def bulk() -> None:
    """Do something to all deliveries that match or are named, in the background."""


_reason = click.option("--reason", required=True, help="Why; it is kept in the audit log.")
_dry = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
_options = (
    filtered,
    click.option("--since", "within", type=Span(), default="24h", show_default=True),
    click.option(
        *("--request", "requests"),
        multiple=True,
        help="One delivery's sid (VL…), several times for several, in place of filters.",
    ),
    click.option("--yes", is_flag=True, help="Do not ask."),
    click.option("--wait/--no-wait", default=True, help="Watch until it ends, or not."),
    _reason,
    _dry,
    json_option,
)


def _job(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_options):
        command = option(command)
    return command


@bulk.command("retry")
@override
@_job
def bulk_retry(override_limits: bool, **options: Any) -> None:
    """Send the codes of all that match again, as they went before."""
    _start("retry", {"override_limits": override_limits}, **options)


@bulk.command("resend")
@click.option("--by", type=CHANNELS, required=True)
@override
@_job
def bulk_resend(by: str, override_limits: bool, **options: Any) -> None:
    """Send the codes of all that match by another channel."""
    _start("resend", {"channel": by, "override_limits": override_limits}, **options)


@bulk.command("cancel")
@_job
def bulk_cancel(**options: Any) -> None:
    """End the verifications of all that match."""
    _start("cancel", {}, **options)


def _start(
    verb: str,
    values: dict[str, Any],
    *,
    yes: bool,
    wait: bool,
    reason: str,
    dry_run: bool,
    requests: tuple[str, ...],
    within: int,
    filters: dict[str, Any],
) -> None:
    ours = parts()
    wanted = Filters(**filters, within=within, sids=requests or None)
    counted = ours.operations.bulk.start(me(), verb, wanted, reason, **values, dry_run=True)
    found = counted.after or {}
    if dry_run or not (found.get("live", found["total"]) or found.get("at_least")):
        told(counted)
        return
    if not yes:
        click.confirm(f"{verb} {_how_many(found)}?", abort=True, err=True)
    made = ours.operations.bulk.start(me(), verb, wanted, reason, **values)
    if wait and made.result is Result.DONE:
        _print(_watch(ours, made.target))
    else:
        told(made)


def _how_many(found: dict[str, Any]) -> str:
    more = "at least " if found.get("at_least") else ""
    if "live" in found:
        return f"{more}{found['live']} deliveries whose codes live, of {found['total']} that match"
    return f"{more}{found['total']} deliveries"


@bulk.command("list")
@json_option
def bulk_list() -> None:
    """List the jobs, the newest first."""
    found = parts().operations.bulk.all()
    output([with_times(asdict(job)) for job in found], "\n".join(map(_line, found)) or "none")


@bulk.command("show")
@click.argument("sid")
@click.option("--wait", is_flag=True, help="Watch until it ends.")
@json_option
def bulk_show(sid: str, wait: bool) -> None:
    """Show how far job SID is."""
    ours = parts()
    _print(_watch(ours, sid) if wait else ours.operations.bulk.fetch(sid))


@bulk.command("stop")
@click.argument("sid")
@_reason
@_dry
@json_option
def bulk_stop(sid: str, reason: str, dry_run: bool) -> None:
    """Let job SID end where it is."""
    told(parts().operations.bulk.stop(me(), sid, reason, dry_run=dry_run))


def _watch(ours: Sendcode, sid: str) -> BulkJob:
    """The job once it has ended; a bar on a terminal meanwhile. Ends the command where nobody goes
    on with it.
    """
    with bar() as shown:
        job = ours.operations.bulk.fetch(sid)
        task = shown.add_task(job.verb, total=job.total)
        moved = time.monotonic()
        while job.state == "running" and time.monotonic() - moved < IDLE:
            shown.update(task, completed=job.done + job.unchanged + job.failed)
            time.sleep(LOOK_EVERY)
            before, job = job, ours.operations.bulk.fetch(sid)
            moved = moved if job == before else time.monotonic()
        if job.state == "running":
            shown.stop()
            _nobody(job)
        shown.update(task, completed=job.total if job.state == "done" else shown.tasks[0].completed)
    return job


def _nobody(job: BulkJob) -> NoReturn:
    click.echo(
        f"sendcode: nobody has gone on with it for {IDLE:.0f} s, at {_line(job)}\n"
        "Jobs are done by the relay: it does not run (`sendcode relay`), waits for broker or"
        " database, or has other jobs first. It goes on by itself then;"
        f" `sendcode bulk show {job.sid} --wait` watches it.",
        err=True,
    )
    sys.exit(UNREACHABLE)


def _print(job: BulkJob) -> None:
    output(with_times(asdict(job)), _line(job))


def _line(job: BulkJob) -> str:
    counts = f"{job.done} done, {job.unchanged} unchanged, {job.failed} refused"
    total = f"{'at least ' if job.options.get('at_least') else ''}{job.total}"
    return f"{job.sid}  {job.verb}  {job.state}  {counts} of {total}  by {job.who}: {job.reason}"
