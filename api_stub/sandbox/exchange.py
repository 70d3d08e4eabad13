"""One exchange with a provider's client: noted, authenticated, met by a fault, answered."""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.responses import Response

from api_stub.sandbox import access, faults, ledger, validation
from api_stub.sandbox.context import Sandbox, of
from api_stub.sandbox.errors import TwilioError
from api_stub.sandbox.severing import sever, wait_or_gone
from api_stub.sandbox.store import Params

Work = Callable[[Sandbox, Params, int], Awaitable[Response]]

REFUSALS = {
    "429": (429, 20429, "Too Many Requests"),
    "500": (500, 20500, "Internal Server Error"),
    "503": (503, 20503, "Service Unavailable"),
}


class Unanswered(Exception):  # noqa: N818 - not an error, a connection to cut
    """The connection ends without an answer."""


async def noted(request: Request, account: str, kind: str, work: Work) -> Response:
    """Read, note, authenticate, do the work, note the answer."""
    sandbox = of(request)
    unread: TwilioError | None = None
    try:
        if request.method == "POST":
            params = await validation.form(request)
        else:
            query = request.scope["query_string"].decode("latin-1")
            params = validation.group(parse_qsl(query, keep_blank_values=True))
    except TwilioError as error:
        params, unread = {}, error
    entry = ledger.opened(sandbox.store, kind, params)
    try:
        access.provider(request, sandbox.settings, account)
        if unread:
            raise unread
        response = await work(sandbox, params, entry)
    except TwilioError as error:
        response = error.response()
    except Unanswered:
        ledger.answered(sandbox.store, entry, None)
        return sever(request)
    ledger.answered(sandbox.store, entry, response.status_code)
    return response


async def suffer(request: Request, fault: faults.Fault | None) -> None:
    """Go through what the fault orders for the answer.

    :raises TwilioError: the refusal
    :raises Unanswered: the connection is to be cut
    """
    if fault is None:
        return
    await asyncio.sleep(fault.delay_ms / 1000)
    if fault.fail == "hang":
        await wait_or_gone(request, fault.seconds)
    if fault.fail in ("hang", "drop"):
        raise Unanswered
    if fault.fail == "reject":
        raise TwilioError(400, fault.code or 20001, "Sandbox: refused as ordered")
    if fault.fail in REFUSALS:
        status, code, message = REFUSALS[fault.fail]
        pause = fault.retry_after if fault.retry_after is not None else 1
        raise TwilioError(status, code, message, retry_after=pause if status == 429 else None)


def taken(fault: faults.Fault | None) -> bool:
    if fault is None or fault.fail in (None, "drop", "hang", "undelivered"):
        return True
    return fault.accept and fault.fail in ("500", "503")
