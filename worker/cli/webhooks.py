"""Event hooks: where a backend is told what becomes of its verifications."""

from typing import Any

import click

from worker.cli.acting import action, me, told
from worker.cli.base import Group, json_option, main, output, parts, the_service, with_times
from worker.hooks import Hook
from worker.outbox import Event
from worker.paging import Window

MOST_SHOWN = 1000


@main.group(cls=Group)
def webhooks() -> None:
    """Where backends are told what becomes of verifications."""


_service = click.option("--service", default=None, help="Where there are several.")


def _shown(hook: Hook) -> dict[str, Any]:
    return with_times(
        {
            "sid": hook.sid,
            "service_sid": hook.service_sid,
            "url": hook.url,
            "events": [event.value for event in hook.events],
            "enabled": hook.enabled,
            "failures": hook.failures,
            "created_at": hook.created_at,
            "updated_at": hook.updated_at,
        }
    )


@webhooks.command("create")
@click.argument("url")
@_service
@click.option(
    "--event",
    "wanted",
    multiple=True,
    type=click.Choice([event.value for event in Event]),
    help="What it is told of; several times for several, all without it.",
)
@json_option
def webhooks_create(url: str, service: str | None, wanted: tuple[str, ...]) -> None:
    """Make a hook for URL and print the secret that signs, which is shown this once."""
    ours = parts()
    made, secret = ours.hooks.create(
        ours.settings.account_sid, the_service(ours, service), url, wanted or ("*",), me()
    )
    output(_shown(made) | {"secret": secret}, f"{made.sid}  {secret}")


@webhooks.command("list")
@_service
@json_option
def webhooks_list(service: str | None) -> None:
    """List a service's hooks."""
    ours = parts()
    sid = the_service(ours, service)
    rows = [
        _shown(hook)
        for hook in ours.hooks.page(ours.settings.account_sid, sid, Window(MOST_SHOWN)).items
    ]
    output(
        rows,
        "\n".join(
            f"{row['sid']}  {row['url']}  {','.join(row['events'])}"
            + ("" if row["enabled"] else "  DISABLED")
            + (f"  {row['failures']} failures in a row" if row["failures"] else "")
            for row in rows
        )
        or "none: `sendcode webhooks create URL` makes one",
    )


@webhooks.command("delete")
@click.argument("sid")
@_service
@json_option
def webhooks_delete(sid: str, service: str | None) -> None:
    """Remove a hook, and what it was still to be told."""
    ours = parts()
    ours.hooks.delete(ours.settings.account_sid, the_service(ours, service), sid, me())
    output({"deleted": True}, "deleted")


@webhooks.command("replay")
@click.argument("sid", required=False)
@click.option("--hook", help="EH…: this one alone.")
@action
def webhooks_replay(sid: str | None, hook: str | None, reason: str, dry_run: bool) -> None:
    """Tell once more what became of SID (VE…, VL…), or all that --hook did not take."""
    act = parts().operations.replaying
    told(act.replay(me(), reason, sid=sid, hook=hook, dry_run=dry_run))
