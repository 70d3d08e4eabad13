"""Workers: what each does, and what an operator wants of it."""

from dataclasses import asdict

import click

from worker.cli.acting import action, me, told
from worker.cli.base import Group, json_option, main, output, parts, with_times
from worker.cli.lines import ago
from worker.presence import Worker


@main.group("workers", cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def workers(context: click.Context) -> None:
    """Show each worker with its slots, jobs and last error; quiet, work and stop tell it what to
    do."""
    if context.invoked_subcommand is not None:
        return
    found = parts().standing.workers()
    lines = "\n".join(map(_line, found))
    output([with_times(asdict(one)) for one in found], lines or "none is up")


def _line(one: Worker) -> str:
    facts = [f"{one.busy} of {one.slots} slots busy", f"version {one.version or '?'}"]
    facts += [f"heard {ago(one.heard_at)}"] if one.heard_at else []
    facts += [f"up since {ago(one.started_at)}"] if one.started_at else []
    facts += [f"last error {one.error} {ago(one.error_at)}"] if one.error and one.error_at else []
    jobs = [f"\n    {job['task']} {job['sid'] or ''} {ago(job['since'])}" for job in one.jobs]
    return f"{one.name}  {one.state}  {', '.join(facts)}{''.join(jobs)}"


@workers.command("quiet")
@click.argument("name")
@action
def workers_quiet(name: str, reason: str, dry_run: bool) -> None:
    """Let worker NAME take nothing more and finish what it has."""
    told(parts().operations.crew.quiet(me(), name, reason, dry_run=dry_run))


@workers.command("work")
@click.argument("name")
@action
def workers_work(name: str, reason: str, dry_run: bool) -> None:
    """Let a quiet worker NAME take messages again."""
    told(parts().operations.crew.work(me(), name, reason, dry_run=dry_run))


@workers.command("stop")
@click.argument("name")
@action
def workers_stop(name: str, reason: str, dry_run: bool) -> None:
    """Let worker NAME finish what it has and end."""
    told(parts().operations.crew.stop(me(), name, reason, dry_run=dry_run))
