"""Send, check and status."""

import sys
import time
from typing import Any

import click
from sqlalchemy import func, select

from worker import celery_app, queues
from worker.cli.base import REFUSED, json_option, main, output, parts, shown, the_service
from worker.models import deliveries, verifications
from worker.states import Channel, VerificationStatus
from worker.verifications import Start
from worker.wiring import Sendcode


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
    now = time.time_ns() // 1_000_000
    with ours.db.statement() as connection:
        states: dict[str, int] = dict(
            connection.execute(
                select(deliveries.c.state, func.count()).group_by(deliveries.c.state)
            )
            .tuples()
            .all()
        )
        alive = connection.execute(
            select(func.count())
            .select_from(verifications)
            .where(verifications.c.status == VerificationStatus.PENDING)
        ).scalar_one()
    waiting = {name: queues.depth(ours.redis, name) for name in celery_app.QUEUES}
    oldest = {name: queues.oldest_waiting(ours.redis, name) for name in celery_app.QUEUES}
    ages = {name: (now - at) / 1000 if at else None for name, at in oldest.items()}
    beat: Any = ours.redis.get("sendcode:heartbeat")
    silent = (now - int(beat)) / 1000 if beat else None
    lines = [
        f"{name:<6} {waiting[name]} waiting"
        + (f", oldest {ages[name]:.1f} s" if ages[name] is not None else "")
        for name in celery_app.QUEUES
    ]
    lines.append(f"deliveries {' '.join(f'{k}={v}' for k, v in sorted(states.items())) or 'none'}")
    lines.append(f"verifications pending={alive}")
    lines.append(
        f"worker last heard {silent:.1f} s ago"
        if silent is not None
        else "worker not heard of in the last hour"
    )
    output(
        {
            "waiting": waiting,
            "oldest_seconds": ages,
            "deliveries": states,
            "verifications_pending": alive,
            "worker_silent_seconds": silent,
        },
        "\n".join(lines),
    )
