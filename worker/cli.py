"""`sendcode`: results on stdout, messages on stderr.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 refused (limit, wrong code, expired),
5 broker or database unreachable.
"""

import base64
import json
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click
import redis
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from worker import __version__, celery_app, logs, migrations, queues
from worker import settings as settings_module
from worker.errors import (
    ChecksSpentError,
    InvalidParameterError,
    LimitReachedError,
    LimitsUnavailableError,
    NotFoundError,
    NumberDisabledError,
    RequestConflictError,
    SettingsError,
)
from worker.models import deliveries, verifications
from worker.settings import Settings
from worker.states import Channel, VerificationStatus
from worker.verifications import Start, Verification
from worker.wiring import Sendcode

FAILED, USAGE, NOT_FOUND, REFUSED, UNREACHABLE = 1, 2, 3, 4, 5
_EXIT_CODES: dict[type[Exception], int] = {
    SettingsError: USAGE,
    InvalidParameterError: USAGE,
    NotFoundError: NOT_FOUND,
    LimitReachedError: REFUSED,
    ChecksSpentError: REFUSED,
    NumberDisabledError: REFUSED,
    RequestConflictError: REFUSED,
    LimitsUnavailableError: UNREACHABLE,
    redis.RedisError: UNREACHABLE,
    SQLAlchemyError: UNREACHABLE,
}


def _fails_clearly(command: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except tuple(_EXIT_CODES) as error:
            code = next(c for kind, c in _EXIT_CODES.items() if isinstance(error, kind))
            text = str(error)
            if isinstance(error, SQLAlchemyError):
                text = (
                    f"database: {type(error).__name__}; is it up, and was `sendcode migrate` run?"
                )
            elif isinstance(error, redis.RedisError | LimitsUnavailableError):
                text = f"broker does not answer ({text.split(chr(10))[0]})"
            click.echo(f"sendcode: {text}", err=True)
            sys.exit(code)

    return run


class _Group(click.Group):
    """Wraps every command so that its errors become one line and an exit code."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        if cmd.callback is not None and not isinstance(cmd, click.Group):
            cmd.callback = _fails_clearly(cmd.callback)
        super().add_command(cmd, name)


@click.group(
    cls=_Group,
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 refused, 5 unreachable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print results as JSON.")
@click.version_option(__version__, prog_name="sendcode")
@click.pass_context
def main(context: click.Context, as_json: bool) -> None:
    """Self-hosted one-time codes by SMS and voice call."""
    context.obj = as_json


def _settings() -> Settings:
    settings = settings_module.current()
    logs.configure(settings)
    return settings


def _parts() -> Sendcode:
    return Sendcode(_settings())


def _json_wanted() -> bool:
    return bool(click.get_current_context().find_root().obj)


def _print(value: Any, plain: str) -> None:
    click.echo(json.dumps(value) if _json_wanted() else plain)


_json_option = click.option(
    "--json",
    "json_here",
    is_flag=True,
    expose_value=False,
    help="Print the result as JSON.",
    callback=lambda context, _, value: _wants_json(context, value),
)


def _wants_json(context: click.Context, value: bool) -> None:
    if value:
        context.find_root().obj = True


def _time(ms: int | None) -> str | None:
    if ms is None:
        return None
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shown(verification: Verification) -> dict[str, Any]:
    """Everything but the number."""
    values = asdict(verification)
    del values["to"]
    return _with_times(values)


def _with_times(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _time(value)
        if key.endswith("_at")
        else [_with_times(one) for one in value]
        if key == "deliveries"
        else value
        for key, value in values.items()
    }


def _the_service(parts: Sendcode, sid: str | None) -> str:
    if sid:
        return sid
    found = parts.services.page(parts.settings.account_sid, limit=2)
    if len(found) == 1:
        return found[0].sid
    raise InvalidParameterError("--service", "name one, `sendcode services list` shows them")


@main.command()
@click.argument("number")
@click.option("--channel", type=click.Choice([c.value for c in Channel]), default="sms")
@click.option("--service", help="VA…; may be left out where there is one.")
@click.option("--locale", help="Language of the text; else the number's country decides.")
@click.option("--request-id", help="The same one twice is one verification.")
@_json_option
def send(
    number: str, channel: str, service: str | None, locale: str | None, request_id: str | None
) -> None:
    """Send a code to NUMBER."""
    parts = _parts()
    wanted = Start(
        service_sid=_the_service(parts, service),
        to=number,
        channel=Channel(channel),
        locale=locale,
        request_id=request_id,
    )
    started = parts.verifications.start(parts.settings.account_sid, wanted)
    _print(_shown(started), started.sid)


@main.command()
@click.argument("verification")
@click.option("--service", help="VA…; may be left out where there is one.")
@_json_option
def check(verification: str, service: str | None) -> None:
    """Check a code against VERIFICATION (VE…). The code is read from a prompt or stdin."""
    code = (
        click.prompt("Code", hide_input=True)
        if sys.stdin.isatty()
        else sys.stdin.readline().strip()
    )
    parts = _parts()
    checked = parts.verifications.check(
        parts.settings.account_sid, _the_service(parts, service), code, sid=verification
    )
    approved = checked.status is VerificationStatus.APPROVED
    left = max(0, checked.max_checks - checked.checks)
    _print(_shown(checked), "approved" if approved else f"wrong ({left} tries left)")
    if not approved:
        sys.exit(REFUSED)


@main.command()
@click.argument("verification", required=False)
@_json_option
def status(verification: str | None) -> None:
    """Show VERIFICATION's timeline, or without one the queues and what waits in them."""
    parts = _parts()
    if verification:
        _show_verification(parts, verification)
    else:
        _show_queues(parts)


def _show_verification(parts: Sendcode, sid: str) -> None:
    found = parts.verifications.fetch(parts.settings.account_sid, sid=sid)
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
    _print(_shown(found), "\n".join(lines))


def _show_queues(parts: Sendcode) -> None:
    now = time.time_ns() // 1_000_000
    with parts.db.statement() as connection:
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
    waiting = {name: queues.depth(parts.redis, name) for name in celery_app.QUEUES}
    oldest = {name: queues.oldest_waiting(parts.redis, name) for name in celery_app.QUEUES}
    ages = {name: (now - at) / 1000 if at else None for name, at in oldest.items()}
    beat: Any = parts.redis.get("sendcode:heartbeat")
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
    _print(
        {
            "waiting": waiting,
            "oldest_seconds": ages,
            "deliveries": states,
            "verifications_pending": alive,
            "worker_silent_seconds": silent,
        },
        "\n".join(lines),
    )


@main.group(cls=_Group)
def services() -> None:
    """Create, list and change services."""


_service_options = [
    click.option("--code-length", type=int, help="4 to 10 digits"),
    click.option("--code-life", type=int, help="60 to 86400 seconds"),
    click.option("--press-key/--no-press-key", default=None, help="Calls ask for a key first."),
    click.option("--spoken-name", help="How calls say the name."),
    click.option("--do-not-share/--no-do-not-share", default=None, help="Add the warning."),
    click.option(
        "--call-fallback/--no-call-fallback",
        default=None,
        help="Follow an undelivered SMS by a call.",
    ),
    click.option("--web-origin", help="Host of the origin-bound last line."),
]


def _with_service_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_service_options):
        command = option(command)
    return command


def _print_service(service: Any) -> None:
    values = _with_times(asdict(service))
    _print(values, f"{service.sid}  {service.friendly_name}")


@services.command("create")
@click.argument("name")
@_with_service_options
@_json_option
def services_create(name: str, **options: Any) -> None:
    """Create a service; NAME is the brand in its texts."""
    parts = _parts()
    given = {key: value for key, value in options.items() if value is not None}
    _print_service(parts.services.create(parts.settings.account_sid, name, **given))


@services.command("update")
@click.argument("sid")
@click.option("--name", "friendly_name")
@_with_service_options
@_json_option
def services_update(sid: str, **options: Any) -> None:
    """Change a service."""
    parts = _parts()
    given = {key: value for key, value in options.items() if value is not None}
    _print_service(parts.services.update(parts.settings.account_sid, sid, **given))


@services.command("list")
@_json_option
def services_list() -> None:
    """List the services."""
    parts = _parts()
    found = parts.services.page(parts.settings.account_sid, limit=1000)
    _print(
        [_with_times(asdict(s)) for s in found],
        "\n".join(f"{s.sid}  {s.friendly_name}" for s in found),
    )


@services.command("enable-number")
@click.argument("sid")
@click.argument("number")
@_json_option
def services_enable_number(sid: str, number: str) -> None:
    """Let NUMBER, disabled after too many wrong codes, try again in service SID."""
    parts = _parts()
    parts.verifications.enable_number(parts.settings.account_sid, sid, number)
    _print({"enabled": True}, "enabled")


@main.group(cls=_Group)
def keys() -> None:
    """Secret keys and credentials."""


@keys.command("generate")
@click.option("--kid", default=None, help="Name of the key; else today's date.")
@_json_option
def keys_generate(kid: str | None) -> None:
    """Print a new entry for SENDCODE_SECRET_KEYS. Put it first to write with it."""
    kid = kid or f"k{datetime.now(UTC):%Y%m%d}"
    entry = f"{kid}:{base64.b64encode(secrets.token_bytes(32)).decode()}"
    _print({"kid": kid, "entry": entry}, entry)


@keys.command("account")
@_json_option
def keys_account() -> None:
    """Print new values for SENDCODE_ACCOUNT_SID and SENDCODE_AUTH_TOKEN."""
    sid, token = f"AC{secrets.token_hex(16)}", secrets.token_hex(16)
    _print(
        {"account_sid": sid, "auth_token": token},
        f"SENDCODE_ACCOUNT_SID={sid}\nSENDCODE_AUTH_TOKEN={token}",
    )


@keys.command("list")
@_json_option
def keys_list() -> None:
    """List the configured keys and how many rows still need each."""
    parts = _parts()
    with parts.db.statement() as connection:
        used: dict[str, int] = dict(
            connection.execute(
                select(verifications.c.key_id, func.count()).group_by(verifications.c.key_id)
            )
            .tuples()
            .all()
        )
    rows = [
        {"kid": kid, "writes": kid == parts.keyring.kid, "verifications": used.pop(kid, 0)}
        for kid in parts.keyring.kids
    ]
    rows += [
        {"kid": kid, "writes": False, "verifications": n, "missing": True}
        for kid, n in used.items()
    ]
    _print(
        rows,
        "\n".join(
            f"{row['kid']:<16} {row['verifications']} verifications"
            + (", writes" if row["writes"] else "")
            + (", NOT CONFIGURED: its numbers cannot be read" if row.get("missing") else "")
            for row in rows
        ),
    )


@main.command()
@click.option("--down", is_flag=True, help="Undo everything: drops all tables.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_json_option
def migrate(down: bool, yes: bool) -> None:
    """Bring the database to this version."""
    parts = _parts()
    if down:
        if not yes:
            click.confirm("This drops every table. Go on?", abort=True)
        migrations.downgrade(parts.db)
    else:
        migrations.upgrade(parts.db)
    revision = migrations.applied(parts.db)
    _print({"revision": revision}, f"database at revision {revision or 'none'}")


@main.command()
@_json_option
def config() -> None:
    """Show the settings in force, secrets masked."""
    values = {
        f"{settings_module.PREFIX}{name.upper()}": _masked(name, value)
        for name, value in _settings()
    }
    _print(values, "\n".join(f"{name}={value}" for name, value in values.items()))


def _masked(name: str, value: Any) -> Any:
    if hasattr(value, "get_secret_value"):
        return "(set)" if value.get_secret_value() else ""
    if name == "database_url":
        from sqlalchemy.engine import make_url

        return make_url(value).render_as_string(hide_password=True)
    return value


def _ready() -> None:
    path = os.environ.get("SENDCODE_READY_FILE")
    if path:
        Path(path).touch(mode=0o600)


def _require_migrated(parts: Sendcode) -> None:
    if migrations.applied(parts.db) != migrations.head():
        raise SettingsError("the database is not at this version: run `sendcode migrate`")


@main.command()
@click.option("--queues", default=",".join(celery_app.QUEUES), show_default=True)
@click.option("--slots", type=int, help="Deliveries in flight; else SENDCODE_WORKER_SLOTS.")
@click.option("--name", default=None, help="Name of the worker, else made from host and pid.")
def worker(queues: str, slots: int | None, name: str | None) -> None:
    """Run a worker: take jobs from the broker and deliver them."""
    from worker.process import run_worker

    settings = _settings()
    if slots:
        settings = settings.model_copy(update={"worker_slots": slots})
    _require_migrated(Sendcode(settings))
    sys.exit(run_worker(settings, queues.split(","), name, _ready))


@main.command()
def relay() -> None:
    """Run the relay: re-publish due deliveries, recover, expire and purge."""
    from worker.relay import Relay

    parts = _parts()
    _require_migrated(parts)
    _ = parts.celery
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    _ready()
    Relay(parts.db, parts.redis, parts.settings, parts.publish).run(stop)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8080, show_default=True)
@click.option("--processes", default=1, show_default=True)
def api(host: str, port: int, processes: int) -> None:
    """Run the HTTP doors."""
    _require_migrated(_parts())
    import uvicorn

    uvicorn.run(
        "api_stub.app:create_app",
        factory=True,
        host=host,
        port=port,
        workers=processes,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=8,
        limit_concurrency=2000,
    )


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def up(arguments: tuple[str, ...]) -> None:
    """Run everything on this machine with a sandbox in Twilio's place."""
    from worker.embedded.up import main as run_up

    sys.exit(run_up(list(arguments)))


if __name__ == "__main__":
    main()
