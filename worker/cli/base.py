"""What every command shares: the group, exit codes, printing."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from typing import Any

import click
import redis
from sqlalchemy.exc import SQLAlchemyError

from worker import __version__, logs
from worker import settings as settings_module
from worker.errors import (
    ActionRefusedError,
    BlockedError,
    ChecksSpentError,
    ConflictError,
    FactorRefusedError,
    FeatureOffError,
    InUseError,
    InvalidParameterError,
    KeyMissingError,
    LimitReachedError,
    LimitsUnavailableError,
    NotFoundError,
    NumberBusyError,
    NumberDisabledError,
    OverloadedError,
    PausedError,
    PaymentError,
    RequestConflictError,
    RequestRunningError,
    SendcodeError,
    SettingsError,
    TooManyError,
)
from worker.moments import stamp
from worker.posting import UnreachableError
from worker.settings import Settings
from worker.verifications import Verification
from worker.wiring import Sendcode

FAILED, USAGE, NOT_FOUND, REFUSED, UNREACHABLE = 1, 2, 3, 4, 5
_EXIT_CODES: dict[type[Exception], int] = {
    SettingsError: USAGE,
    KeyMissingError: USAGE,
    InvalidParameterError: USAGE,
    NotFoundError: NOT_FOUND,
    LimitReachedError: REFUSED,
    ChecksSpentError: REFUSED,
    ConflictError: REFUSED,
    FactorRefusedError: REFUSED,
    FeatureOffError: REFUSED,
    PaymentError: REFUSED,
    ActionRefusedError: REFUSED,
    BlockedError: REFUSED,
    PausedError: REFUSED,
    NumberBusyError: REFUSED,
    NumberDisabledError: REFUSED,
    OverloadedError: REFUSED,
    RequestConflictError: REFUSED,
    RequestRunningError: REFUSED,
    TooManyError: REFUSED,
    InUseError: REFUSED,
    LimitsUnavailableError: UNREACHABLE,
    redis.RedisError: UNREACHABLE,
    SQLAlchemyError: UNREACHABLE,
    UnreachableError: UNREACHABLE,
    SendcodeError: FAILED,  # the last: every other is one of these
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


class Group(click.Group):
    """Wraps every command so that its errors become one line and an exit code."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        if cmd.callback is not None:  # that of a group too: some show something by themselves
            cmd.callback = _fails_clearly(cmd.callback)
        super().add_command(cmd, name)


@click.group(
    cls=Group,
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 refused, 5 unreachable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print results as JSON.")
@click.version_option(__version__, prog_name="sendcode")
@click.pass_context
def main(context: click.Context, as_json: bool) -> None:
    """Self-hosted one-time codes by SMS and voice call."""
    context.obj = as_json


def load_settings(quiet: bool = False) -> Settings:
    settings = settings_module.current()
    logs.configure(settings, quiet)
    return settings


def parts(quiet: bool = True) -> Sendcode:
    """
    :param quiet: the command says itself what came of it, and the log does not
    """
    return Sendcode(load_settings(quiet))


def _json_wanted() -> bool:
    return bool(click.get_current_context().find_root().obj)


def output(value: Any, plain: str) -> None:
    click.echo(json.dumps(value) if _json_wanted() else plain)


json_option = click.option(
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


def shown(verification: Verification) -> dict[str, Any]:
    """Everything but the number."""
    values = asdict(verification)
    del values["to"]
    return with_times(values)


_TIMES = ("at", "since", "until")


def with_times(values: dict[str, Any]) -> dict[str, Any]:
    """With moments as people read them."""
    return {key: _readable(key, value) for key, value in values.items()}


def _readable(key: str, value: Any) -> Any:
    if value is None:
        return None
    if key.endswith("_at") or key in _TIMES:
        return stamp(value)
    return [with_times(one) for one in value] if key == "deliveries" else value


def the_service(ours: Sendcode, sid: str | None) -> str:
    if sid:
        return sid
    found = ours.services.page(ours.settings.account_sid, limit=2)
    if len(found) == 1:
        return found[0].sid
    raise InvalidParameterError("--service", "name one, `sendcode services list` shows them")
