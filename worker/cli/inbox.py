"""What reached the sandbox's pretend phones, for whoever tries sendcode out or writes a test."""

from typing import Any

import click

from worker.cli.base import json_option, load_settings, main, output
from worker.cli.sandbox import Sandbox
from worker.errors import InvalidParameterError, NotFoundError


@main.command()
@click.argument("number", required=False)
@click.option("--wait", type=click.IntRange(0, 60), default=0, help="Seconds to wait for one.")
@click.option("--after", type=click.IntRange(0), default=0, help="Only what came after this id.")
@click.option("--code-only", is_flag=True, help="Print the code of the newest, and nothing else.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@json_option
def inbox(number: str | None, wait: int, after: int, code_only: bool, limit: int) -> None:
    """Show what reached the sandbox's phones, or that of NUMBER, the newest first."""
    if wait and not number:
        raise InvalidParameterError("--wait", "needs the NUMBER whose phone is waited for")
    sandbox = Sandbox(load_settings(quiet=True), "inbox shows the sandbox's phones")
    found = sandbox.messages(number, after, limit)
    if not found and wait and number:
        found = sandbox.next(number, after, wait)
    if code_only:
        codes = [one["code"] for one in found if one["code"]]
        if not codes:
            raise NotFoundError("code")
        output({"code": codes[0]}, codes[0])
        return
    output(found, "\n".join(map(_line, found)) or "no message")


def _line(one: dict[str, Any]) -> str:
    text = " ".join(one["body"].split())
    return f"{one['id']:>6}  {one['created_at']}  {one['to']}  {one['channel']:<4}  {text}"
