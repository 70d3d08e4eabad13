"""Who calls: an API key in the header, in the query, or in the path where Authy has it there."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool

from api_stub.authy_v1.errors import KeyInvalidError
from worker.authy import AuthyApp
from worker.wiring import Sendcode

HEADER = "x-authy-api-key"
IN_QUERY = "api_key"


class Application:
    """The application whose key the caller has.

    :raises KeyInvalidError: no key, an unknown one or a revoked one
    """

    async def __call__(self, request: Request) -> AuthyApp:
        parts: Sendcode = request.app.state.parts
        key = (
            request.headers.get(HEADER)
            or request.query_params.get(IN_QUERY)
            or request.path_params.get(IN_QUERY)
            or ""
        )
        app = await run_in_threadpool(parts.authy_keys.prove, key)
        if app is None:
            raise KeyInvalidError
        return app


Caller = Annotated[AuthyApp, Depends(Application())]


def parts_of(request: Request) -> Sendcode:
    parts: Sendcode = request.app.state.parts
    return parts
