"""The processes, the migrations and the settings in force."""

import ipaddress
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import click

from worker import logs, metrics, migrations
from worker import settings as settings_module
from worker.cli.base import json_option, load_settings, main, output, parts
from worker.errors import SettingsError
from worker.settings import Settings
from worker.states import QUEUES
from worker.wiring import Sendcode

# Seconds that a connection may rest: longer than proxies and the pools of backends keep one (Caddy
# 120, others 60), or it would be closed under a request of theirs, and a POST is not repeated.
KEPT_OPEN = 130


@main.command()
@click.option("--down", is_flag=True, help="Undo everything: drops all tables.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def migrate(down: bool, yes: bool) -> None:
    """Bring the database to this version."""
    ours = parts(quiet=False)
    if down:
        if not yes:
            click.confirm("This drops every table. Go on?", abort=True)
        migrations.downgrade(ours.db)
    else:
        migrations.upgrade(ours.db)
    revision = migrations.applied(ours.db)
    output({"revision": revision}, f"database at revision {revision or 'none'}")


@main.command()
@json_option
def config() -> None:
    """Show the settings in force, secrets masked."""
    values = {
        f"{settings_module.PREFIX}{name.upper()}": settings_module.masked(name, value)
        for name, value in load_settings()
    }
    output(values, "\n".join(f"{name}={value}" for name, value in values.items()))


def _ready() -> None:
    path = os.environ.get("SENDCODE_READY_FILE")
    if path:
        Path(path).touch(mode=0o600)


def _require_migrated(ours: Sendcode) -> None:
    if migrations.applied(ours.db) != migrations.head():
        raise SettingsError("the database is not at this version: run `sendcode migrate`")


@main.command()
@click.option("--queues", default=",".join(QUEUES), show_default=True)
@click.option("--slots", type=int, help="Deliveries in flight; else SENDCODE_WORKER_SLOTS.")
@click.option("--name", default=None, help="Name of the worker, else made from host and pid.")
def worker(queues: str, slots: int | None, name: str | None) -> None:
    """Run a worker: take jobs from the broker and deliver them."""
    from worker.process import run_worker

    settings = load_settings()
    if slots:
        settings = settings.model_copy(update={"worker_slots": slots})
    _require_migrated(Sendcode(settings))
    sys.exit(run_worker(settings, queues.split(","), name, _ready))


@main.command()
def relay() -> None:
    """Run the relay: re-publish due deliveries, recover, expire and purge."""
    from worker.relay import Relay

    ours = parts(quiet=False)
    _require_migrated(ours)
    logs.told_settings(ours.settings, "relay")
    _ = ours.celery
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    # None of them may keep codes waiting.
    telling = (ours.webhooks.run, ours.factor_telling.run)
    for beside in (*telling, ours.operations.bulk.run, ours.rollup.run, ours.purging.run):
        threading.Thread(target=beside, args=(stop,), daemon=True).start()
    metrics.serve(ours.settings.metrics_host, ours.settings.metrics_port)
    _ready()
    Relay(
        *(ours.db, ours.redis, ours.settings, ours.publish, ours.fallback, ours.ask_about),
        holds=ours.holds,
        operations=ours.operations,
    ).run(stop)


def _require_password(ours: Sendcode, host: str) -> None:
    """A console that others can reach opens to nobody before somebody has a password."""
    if ours.settings.console == "off" or _is_loopback(host) or ours.operators.anyone_has_password():
        return
    raise SettingsError(
        f"the console would listen on {host} and no operator has a password: make one with"
        " `sendcode operators add NAME --role admin --reason …`, or set SENDCODE_CONSOLE=off"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def behind(settings: Settings) -> dict[str, Any]:
    """What uvicorn is told of the proxies before it: of itself it believes its own machine."""
    proxies = settings.proxies()
    return {"proxy_headers": bool(proxies), "forwarded_allow_ips": proxies}


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8080, show_default=True)
@click.option("--processes", default=1, show_default=True)
def api(host: str, port: int, processes: int) -> None:
    """Run the HTTP doors."""
    ours = parts(quiet=False)
    _require_migrated(ours)
    _require_password(ours, host)
    import uvicorn

    with metrics.counting_together(processes):
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
            timeout_keep_alive=KEPT_OPEN,
            limit_concurrency=2000,
            **behind(ours.settings),
        )


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def up(arguments: tuple[str, ...]) -> None:
    """Run everything on this machine with a sandbox in Twilio's place."""
    from worker.embedded.up import main as run_up

    sys.exit(run_up(list(arguments)))
