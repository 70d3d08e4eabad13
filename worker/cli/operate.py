"""What operators do: to one verification or number, to a queue, channel, country or sender."""

from dataclasses import asdict

import click

from worker.cli.acting import action, me, override, told, until
from worker.cli.base import Group, json_option, main, output, parts, with_times
from worker.cli.lines import ago, left, pause_line, refused_line
from worker.errors import InvalidParameterError
from worker.holds import PauseKind
from worker.operations.forcing import AUTO, HOUR
from worker.states import DELIVERY_QUEUES, Channel

_KINDS = click.Choice([kind.value for kind in PauseKind])
_CHANNELS = click.Choice([channel.value for channel in Channel])


@main.command()
@click.argument("sid")
@override
@action
def retry(sid: str, override_limits: bool, reason: str, dry_run: bool) -> None:
    """Send the code of SID (VE…, VL… or Twilio's) again, as it went before."""
    act = parts().operations.sending
    told(act.retry(me(), sid, reason, override_limits=override_limits, dry_run=dry_run))


@main.command()
@click.argument("sid")
@click.option("--by", "channel", type=_CHANNELS, required=True, help="The channel to use.")
@override
@action
def resend(sid: str, channel: str, override_limits: bool, reason: str, dry_run: bool) -> None:
    """Send the code of SID by another channel."""
    act = parts().operations.sending
    told(act.resend(me(), sid, channel, reason, override_limits=override_limits, dry_run=dry_run))


@main.command()
@click.argument("sid")
@action
def cancel(sid: str, reason: str, dry_run: bool) -> None:
    """End the verification of SID: its code can no longer be checked or sent."""
    told(parts().operations.sending.cancel(me(), sid, reason, dry_run=dry_run))


@main.command()
@click.argument("what")
@click.option("--expired", "which", flag_value="expired", help="Of a queue what is dead anyway.")
@click.option("--all", "which", flag_value="all", help="Of a queue all that waits.")
@action
def discard(what: str, which: str | None, reason: str, dry_run: bool) -> None:
    """Drop WHAT unsent: a delivery that waits (VL…), or what waits in a queue such as sms."""
    act, is_queue = parts().operations.discarding, what in DELIVERY_QUEUES
    if is_queue != (which is not None):
        raise InvalidParameterError("--expired or --all", "goes with a queue, and with it alone")
    if is_queue:
        told(act.queue(me(), what, which or "", reason, dry_run=dry_run))
    else:
        told(act.one(me(), what, reason, dry_run=dry_run))


@main.command()
@click.argument("kind", type=_KINDS)
@click.argument("name")
@until
@action
def pause(kind: str, name: str, until: int | None, reason: str, dry_run: bool) -> None:
    """Send nothing of queue, by channel, to country (GB) or by sender NAME; keep what waits."""
    told(parts().operations.pauses.pause(me(), kind, name, reason, until, dry_run=dry_run))


@main.command()
@click.argument("kind", type=_KINDS)
@click.argument("name")
@action
def resume(kind: str, name: str, reason: str, dry_run: bool) -> None:
    """Send again what was paused, and what was kept if it still lives."""
    told(parts().operations.pauses.resume(me(), kind, name, reason, dry_run=dry_run))


@main.command()
@json_option
def pauses() -> None:
    """List what is paused."""
    found = parts().operations.pauses.all()
    lines = "\n".join(pause_line(one) for one in found)
    output([with_times(asdict(one)) for one in found], lines or "nothing is paused")


@main.command()
@click.argument("what")
@until
@action
def block(what: str, until: int | None, reason: str, dry_run: bool) -> None:
    """Send nothing to WHAT: a number, or a prefix of up to seven digits such as +8835."""
    told(parts().operations.blocks.block(me(), what, reason, until, dry_run=dry_run))


@main.command()
@click.argument("what")
@action
def unblock(what: str, reason: str, dry_run: bool) -> None:
    """Send to WHAT again: a number, a prefix, or the sid of a block (BK…)."""
    told(parts().operations.blocks.unblock(me(), what, reason, dry_run=dry_run))


@main.command()
@json_option
def blocks() -> None:
    """List the blocked numbers, masked, and prefixes."""
    found = parts().operations.blocks.all()
    lines = [
        f"{one.sid}  {one.kind} {one.name}  since {ago(one.since)}"
        + ("" if one.until is None else f", ends in {left(one.until)}")
        + f"  by {one.blocked_by}: {one.reason}"
        for one in found
    ]
    output([with_times(asdict(one)) for one in found], "\n".join(lines) or "nothing is blocked")


@main.command()
@click.argument("sender")
@click.argument("channel", type=_CHANNELS)
@click.argument("state", type=click.Choice(["open", "closed", AUTO]))
@until
@action
def circuit(
    sender: str, channel: str, state: str, until: int | None, reason: str, dry_run: bool
) -> None:
    """Keep a sender's circuit open or closed, for an hour without --until, or let it go."""
    act = parts().operations.circuits
    told(act.set(me(), sender, channel, state, reason, until or HOUR, dry_run=dry_run))


@main.group(cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def limits(context: click.Context) -> None:
    """Show whom the limits refused most in the last hour; reset gives a number its sends back."""
    if context.invoked_subcommand is not None:
        return
    found = parts().most_refused.look()
    lines = [refused_line(kind, one) for kind, some in found.items() for one in some]
    shown = ("what", "count", "limits", "sid")
    values = {
        kind.value: [{name: getattr(one, name) for name in shown} for one in some]
        for kind, some in found.items()
    }
    output(values, "\n".join(lines) or "no limit has refused anybody in the last hour")


@limits.command("reset")
@click.argument("number")
@action
def limits_reset(number: str, reason: str, dry_run: bool) -> None:
    """Give NUMBER back the sends that were counted against it."""
    told(parts().operations.numbers.reset_limits(me(), number, reason, dry_run=dry_run))


@main.command()
@click.argument("sid")
@action
def reveal(sid: str, reason: str, dry_run: bool) -> None:
    """Show the whole number behind SID. Who asked and why is in the audit log."""
    outcome = parts().operations.numbers.reveal(me(), sid, reason, dry_run=dry_run)
    if outcome.number is None:
        told(outcome)
        return
    values = {name: value for name, value in asdict(outcome).items() if name != "link"}
    output(values, outcome.number)


@main.command()
@click.option("--action", "wanted", help="Only these, such as pause.set.")
@click.option("--who", help="Only of this operator.")
@click.option("--target", help="Only about this, such as `country GB` or a sid.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--before", help="Where the page before ended: the sid of its last line.")
@json_option
def audit(
    wanted: str | None, who: str | None, target: str | None, limit: int, before: str | None
) -> None:
    """Show who did what and why, the newest first."""
    log = parts().operations.audit
    found = log.page(limit, before, action=wanted, who=who, target=target)
    lines = [
        f"{one.sid}  {ago(one.at):>8}  {one.who} from {one.address}  {one.action} {one.target}:"
        f" {one.reason}"
        for one in found
    ]
    output([with_times(asdict(one)) for one in found], "\n".join(lines) or "none")
