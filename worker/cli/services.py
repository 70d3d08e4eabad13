"""Services."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from worker.cli.acting import me
from worker.cli.base import Group, json_option, main, output, parts, with_times
from worker.plan import read_plan
from worker.services import Service


@main.group(cls=Group)
def services() -> None:
    """Create, list and change services."""


class _Limit(click.ParamType[Any]):
    """A number, or `default` for the setting of the processes."""

    name = "integer|default"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return _DEFAULT if value == _DEFAULT else click.INT.convert(value, param, ctx)


_DEFAULT = "default"
_LIMITS = ("send_limit", "check_limit")
_service_options = [
    click.option("--code-length", type=int, help="4 to 10 digits"),
    click.option("--code-life", type=int, help="60 to 86400 seconds"),
    click.option(
        "--send-limit",
        type=_Limit(),
        help="Sends to a number in place of SENDCODE_LIMIT_SENDS; `default`: that again.",
    ),
    click.option(
        "--check-limit",
        type=_Limit(),
        help="1 to 10 guesses in place of SENDCODE_MAX_CHECKS; `default`: that again.",
    ),
    click.option("--press-key/--no-press-key", default=None, help="Calls ask for a key first."),
    click.option("--spoken-name", help="How calls say the name."),
    click.option("--do-not-share/--no-do-not-share", default=None, help="Add the warning."),
    click.option(
        "--fallback",
        help="What follows a text that does not arrive: `call`, or `call:30` to wait 30 s at most.",
    ),
    click.option("--web-origin", help="Host of the origin-bound last line."),
]


def _with_service_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_service_options):
        command = option(command)
    return command


def _given(options: dict[str, Any]) -> dict[str, Any]:
    given = {key: value for key, value in options.items() if value is not None}
    if "fallback" in given:
        given["plan"] = read_plan(given.pop("fallback"))
    return {
        key: None if value == _DEFAULT and key in _LIMITS else value for key, value in given.items()
    }


def _print_service(service: Service) -> None:
    values = with_times(asdict(service))
    output(values, f"{service.sid}  {service.friendly_name}")


@services.command("create")
@click.argument("name")
@_with_service_options
@json_option
def services_create(name: str, **options: Any) -> None:
    """Create a service; NAME is the brand in its texts."""
    ours = parts()
    given = _given(options)
    _print_service(ours.services.create(ours.settings.account_sid, name, by=me(), **given))


@services.command("update")
@click.argument("sid")
@click.option("--name", "friendly_name")
@_with_service_options
@json_option
def services_update(sid: str, **options: Any) -> None:
    """Change a service."""
    ours = parts()
    given = _given(options)
    _print_service(ours.services.update(ours.settings.account_sid, sid, by=me(), **given))


@services.command("list")
@json_option
def services_list() -> None:
    """List the services."""
    ours = parts()
    found = ours.services.page(ours.settings.account_sid, limit=1000)
    output(
        [with_times(asdict(s)) for s in found],
        "\n".join(f"{s.sid}  {s.friendly_name}" for s in found),
    )


@services.command("enable-number")
@click.argument("sid")
@click.argument("number")
@json_option
def services_enable_number(sid: str, number: str) -> None:
    """Let NUMBER, disabled after too many wrong codes, try again in service SID."""
    ours = parts()
    ours.verifications.enable_number(ours.settings.account_sid, sid, number, me())
    output({"enabled": True}, "enabled")
