"""Ends a connection as a failing network would: no status line, only a reset."""

import asyncio
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

CYCLE = "sandbox.cycle"
KEPT = "sandbox.kept"


class SeverableApp(FastAPI):
    """Keeps uvicorn's request cycle at hand: `send` is a method of it; it has the transport."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[CYCLE] = cycle = getattr(send, "__self__", None)
        scope[KEPT] = getattr(cycle, "keep_alive", False)
        await super().__call__(scope, receive, send)


def sever(request: Request) -> Response:
    """Abort the connection. The response returned goes nowhere.

    :raises RuntimeError: the server is not uvicorn, so that nothing can be cut
    """
    transport: Any = getattr(request.scope.get(CYCLE), "transport", None)
    if transport is None:
        raise RuntimeError("only uvicorn lets the sandbox cut a connection")
    transport.abort()
    return Response(status_code=500)


async def wait_or_gone(request: Request, seconds: float) -> None:
    """Return after `seconds`, or sooner when the caller has gone."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end and not closing(request) and not await request.is_disconnected():
        await asyncio.sleep(min(0.05, seconds))


def closing(request: Request) -> bool:
    """Whether the server shuts down: uvicorn then forbids keep-alive on what is under way."""
    return bool(request.scope.get(KEPT)) and not request.scope[CYCLE].keep_alive
