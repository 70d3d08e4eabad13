"""Send, check and status."""

import sys
from dataclasses import asdict

import click

from worker.cli.base import (
    REFUSED,
    json_option,
    main,
    output,
    parts,
    shown,
    the_service,
    with_times,
)
from worker.cli.lines import circuit_line, queue_line, worker_line
from worker.states import Channel, VerificationStatus
from worker.verifications import Start
from worker.wiring import Sendcode

RECENT = 3600  # seconds whose deliveries `status` counts


@main.command()
@click.argument("number")
@click.option("--channel", type=click.Choice([c.value for c in Channel]), default="sms")
@click.option("--service", help="VA…; may be left out where there is one.")
@click.option("--locale", help="Language of the text; else the number's country decides.")
@click.option("--request-id", help="The same one twice is one verification.")
@json_option
def send(
    number: str, channel: str, service: str | None, locale: str | None, request_id: str | None
) -> None:
    """Send a code to NUMBER."""
    ours = parts()
    wanted = Start(
        service_sid=the_service(ours, service),
        to=number,
        channel=Channel(channel),
        locale=locale,
        request_id=request_id,
    )
    started = ours.verifications.start(ours.settings.account_sid, wanted)
    output(shown(started), started.sid)


@main.command()
@click.argument("verification")
@json_option
def check(verification: str) -> None:
    """Check a code against VERIFICATION (VE…). The code is read from a prompt or stdin."""
    code = (
        click.prompt("Code", hide_input=True)
        if sys.stdin.isatty()
        else sys.stdin.readline().strip()
    )
    ours = parts()
    checked = ours.verifications.check(ours.settings.account_sid, None, code, sid=verification)
    approved = checked.status is VerificationStatus.APPROVED
    left = max(0, checked.max_checks - checked.checks)
    output(shown(checked), "approved" if approved else f"wrong ({left} tries left)")
    if not approved:
        sys.exit(REFUSED)


@main.command()
@click.argument("verification", required=False)
@json_option
def status(verification: str | None) -> None:
    """Show VERIFICATION's timeline, or without one the queues and what waits in them."""
    ours = parts()
    if verification:
        _show_verification(ours, verification)
    else:
        _show_queues(ours)


def _show_verification(ours: Sendcode, sid: str) -> None:
    found = ours.verifications.fetch(ours.settings.account_sid, sid=sid)
    lines = [f"{found.sid}  {found.status}  checks {found.checks}/{found.max_checks}"]
    for delivery in found.deliveries:
        lines.append(
            f"  {delivery.sid}  {delivery.channel}  {delivery.state}"
            + (f"  ({delivery.error_code})" if delivery.error_code else "")
        )
        for step in ("created_at", "published_at", "taken_at", "accepted_at", "delivered_at"):
            at = getattr(delivery, step)
            if at is not None:
                lines.append(f"    {step[:-3]:<10} +{at - delivery.created_at} ms")
    output(shown(found), "\n".join(lines))


def _show_queues(ours: Sendcode) -> None:
    standing = ours.standing
    found, circuits, workers = standing.queues(), standing.circuits(), standing.workers()
    states, alive = standing.states(RECENT), standing.pending()
    silent, beats = standing.silent_seconds(), standing.beats()
    lines = [queue_line(queue) for queue in found]
    counts = " ".join(f"{state}={n}" for state, n in sorted(states.items())) or "none"
    lines.append(f"deliveries of the last hour {counts}")
    lines.append(f"verifications pending={alive}")
    lines += [circuit_line(circuit) for circuit in circuits]
    lines.append(worker_line(workers, silent, beats))
    output(
        {
            "waiting": {queue.name: queue.waiting for queue in found},
            "later": {queue.name: queue.later for queue in found},
            "in_flight": {queue.name: queue.in_flight for queue in found},
            "oldest_seconds": {queue.name: queue.oldest_age for queue in found},
            "deliveries": states,
            "verifications_pending": alive,
            "circuits": [with_times(asdict(circuit)) for circuit in circuits],
            "workers": [with_times(asdict(worker)) for worker in workers],
            "worker_silent_seconds": silent,
        },
        "\n".join(lines),
    )
