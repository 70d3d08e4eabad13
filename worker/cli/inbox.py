"""What reached the sandbox's pretend phones, for whoever tries sendcode out or writes a test."""

import json
from base64 import b64encode
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlencode, urlsplit

import click

from worker.cli.base import json_option, load_settings, main, output
from worker.errors import InvalidParameterError, NotFoundError, SettingsError
from worker.posting import UnreachableError
from worker.settings import Settings

ANSWERS_WITHIN = 5  # seconds


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
    sandbox = _Sandbox(load_settings(quiet=True))
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


class _Sandbox:
    def __init__(self, settings: Settings) -> None:
        """
        :raises SettingsError: codes go out by Twilio
        """
        if settings.provider != "sandbox":
            raise SettingsError(
                f"inbox shows the sandbox's phones, and SENDCODE_PROVIDER is {settings.provider}"
            )
        self._url = settings.sandbox_url
        pair = f"{settings.account_sid}:{settings.auth_token.get_secret_value()}"
        self._headers = {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}

    def messages(self, number: str | None, after: int, limit: int) -> list[dict[str, Any]]:
        """What came after `after`, the newest first."""
        found = self._get("", ANSWERS_WITHIN, {"to": number or "", "limit": limit})
        return [one for one in found["messages"] if one["id"] > after]

    def next(self, number: str, after: int, wait: int) -> list[dict[str, Any]]:
        """The message that comes within `wait` seconds.

        :raises NotFoundError: none did
        """
        query = {"to": number, "after": after, "timeout": wait}
        return [self._get("/wait", ANSWERS_WITHIN + wait, query)]

    def _get(self, path: str, within: int, query: dict[str, Any]) -> dict[str, Any]:
        where = urlsplit(self._url)
        connection = HTTPConnection(where.netloc, timeout=within)
        target = f"{where.path}/sandbox/v1/messages{path}?{urlencode(query)}"
        try:
            connection.request("GET", target, headers=self._headers)
            answer = connection.getresponse()
            status, body = answer.status, answer.read()
        except (OSError, HTTPException) as error:
            raise UnreachableError(
                f"the sandbox does not answer at {self._url} ({type(error).__name__})"
            ) from None
        finally:
            connection.close()
        if status == HTTPStatus.BAD_REQUEST:
            raise InvalidParameterError("NUMBER", "must be in E.164, such as +12025550100")
        if status == HTTPStatus.REQUEST_TIMEOUT:
            raise NotFoundError("message")
        if status != HTTPStatus.OK:
            raise UnreachableError(f"the sandbox at {self._url} answers {status}")
        return dict(json.loads(body))


def _line(one: dict[str, Any]) -> str:
    text = " ".join(one["body"].split())
    return f"{one['id']:>6}  {one['created_at']}  {one['to']}  {one['channel']:<4}  {text}"
