"""Start and check without the way through the application: Starlette's and FastAPI's layers were
a third of what HTTP cost a check, beside the server's own.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from api_stub.auth import Caller
from api_stub.errors import Faces, answer
from api_stub.parameters import parameters
from api_stub.verify_v2.openapi import SERVICE_SID

Endpoint = Callable[..., Awaitable[Response]]


class Direct:
    """Calls the endpoints of some routes itself, with what they depend on in FastAPI's order.

    What does not fit a route to the letter goes the usual way, and is refused there.

    :param routes: of `POST /v2/Services/{service_sid}/NAME`, whose endpoints take `request`,
        `account`, `service_sid` and `given`
    """

    def __init__(self, app: ASGIApp, routes: list[APIRoute], faces: Faces) -> None:
        self._app = app
        self._faces = faces
        self._routes = {route.path.rpartition("/")[2]: route for route in routes}
        self._endpoints = {name: _endpoint(route) for name, route in self._routes.items()}
        names = "|".join(self._endpoints)
        service = SERVICE_SID.removeprefix("^").removesuffix("$")
        self._path = re.compile(f"/v2/Services/({service})/({names})", re.ASCII)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        found = self._path.fullmatch(scope["path"])
        if found is None:
            await self._app(scope, receive, send)
            return
        service_sid, name = found.groups()
        request = Request({**scope, "route": self._routes[name]}, receive)
        try:
            response = await self._call(request, service_sid, name)
        except Exception as error:
            response = answer(self._faces, request, error)
        await response(scope, receive, send)

    async def _call(self, request: Request, service_sid: str, name: str) -> Response:
        caller, endpoint = self._endpoints[name]
        account = await caller(request)
        given = await parameters(request)
        return await endpoint(request, account=account, service_sid=service_sid, given=given)


def _endpoint(route: APIRoute) -> tuple[Caller, Endpoint]:
    (caller,) = (d.call for d in route.dependant.dependencies if isinstance(d.call, Caller))
    endpoint: Any = route.endpoint
    return caller, endpoint
