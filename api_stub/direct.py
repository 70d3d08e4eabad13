"""Routes that call their dependencies themselves: FastAPI's resolver was a fifth of a check."""

import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from api_stub.auth import Caller
from api_stub.parameters import parameters
from api_stub.verify_v2.openapi import SERVICE_SID

_SERVICE = re.compile(SERVICE_SID, re.ASCII)


class DirectRoute(APIRoute):
    """For an endpoint of `request`, `account`, `service_sid` and `given`, which are looked at in
    FastAPI's order. It still reads the signature, for the document and for who may call.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        endpoint: Any = self.endpoint
        (caller,) = (d.call for d in self.dependant.dependencies if isinstance(d.call, Caller))

        async def handle(request: Request) -> Response:
            account = await caller(request)
            given = await parameters(request)
            service_sid = request.path_params["service_sid"]
            if not _SERVICE.fullmatch(service_sid):
                raise RequestValidationError([])
            answer: Response = await endpoint(
                request, account=account, service_sid=service_sid, given=given
            )
            return answer

        return handle
