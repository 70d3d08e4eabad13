"""Puts the console together: its routers, its error pages, and the headers of every answer."""

from pathlib import Path
from typing import Any

import structlog
from anyio import CapacityLimiter
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import DataError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from api_stub.console import (
    account,
    actions,
    countries_page,
    failures,
    limits,
    lists,
    live,
    operators,
    overview,
    prefixes_page,
    queues,
    requests,
    settings,
    sign_in,
    webhooks,
    workers,
)
from api_stub.console.guard import ForbiddenError, SignInNeededError
from api_stub.console.live import Live
from api_stub.console.looks import Looks
from api_stub.console.pages import BASE, link, page
from worker.db import UNAVAILABLE
from worker.errors import (
    ActionRefusedError,
    BlockedError,
    BusyError,
    ConflictError,
    InvalidParameterError,
    LimitsUnavailableError,
    NotFoundError,
)

log = structlog.get_logger()
STATIC = Path(__file__).parent / "static"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none';"
    " base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
ROUTERS = (
    sign_in.router,
    account.router,
    overview.router,
    queues.router,
    failures.router,
    requests.router,
    countries_page.router,
    prefixes_page.router,
    workers.router,
    limits.router,
    settings.router,
    operators.router,
    actions.router,
    lists.router,
    webhooks.router,
    live.router,
)


def create(doors: FastAPI) -> FastAPI:
    """The console over the parts of the doors' application."""
    app = Console(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.doors = doors
    app.state.looks = Looks(lambda: doors.state.parts)
    app.state.live = Live(app.state.looks)
    app.state.sign_ins = CapacityLimiter(2)
    for router in ROUTERS:
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    for kind, answer in _ANSWERS.items():
        app.add_exception_handler(kind, answer)
    return app


class Console(FastAPI):
    def build_middleware_stack(self) -> ASGIApp:
        """Starlette's, within `Headers`: the page of a crash comes from outside all middleware."""
        return Headers(super().build_middleware_stack())


class Headers:
    """Puts `HEADERS` on every answer; what is no static file is kept by nobody."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        static = scope.get("path", "").startswith(f"{BASE}/static/")

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers["Cache-Control"] = "no-cache" if static else "no-store"
            await send(message)

        await self._app(scope, receive, sending)


# Made in threads, as Starlette does with what is no coroutine: a page looks at everything first.
def _to_sign_in(request: Request, error: Exception) -> Response:
    """Off to the sign-in, and back again after it."""
    if request.headers.get("accept") == "text/event-stream":
        return PlainTextResponse("signed out", 401)
    here = str(request.url.path) + (f"?{request.url.query}" if request.url.query else "")
    back = here if request.method == "GET" else f"{BASE}/"
    target = link("/sign-in", next=back if back != f"{BASE}/" else None)
    if request.headers.get("hx-request"):
        return Response(status_code=401, headers={"HX-Redirect": target})
    return RedirectResponse(target, 303)


def _forbidden(request: Request, error: Exception) -> Response:
    session = getattr(request.state, "session", None)
    if session is not None and session.only_enrols and request.method == "GET":
        return RedirectResponse(link("/account"), 303)
    return _problem(request, 403, "Not allowed", str(error))


def _not_found(request: Request, error: Exception) -> Response:
    what = f"{error.kind} not found".capitalize() if isinstance(error, NotFoundError) else ""
    return _problem(request, 404, "Not found", what or "There is no such page.")


def _unusable(request: Request, error: Exception) -> Response:
    return _problem(request, 400, "That does not fit", str(error))


def _unusable_query(request: Request, error: Exception) -> Response:
    return _problem(
        request, 400, "That does not fit", "A value in the address or the form cannot be used."
    )


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _not_found(request, error)
    return _problem(request, error.status_code, "That did not work", str(error.detail))


def _away(request: Request, error: Exception) -> Response:
    log.error("console.unavailable", error_class=type(error).__name__)
    broker = isinstance(error, LimitsUnavailableError)
    what = "The broker does not answer" if broker else "The database does not answer"
    return _bare(request, 503, what, "This page needs it: look at it first, then open this anew.")


def _busy(request: Request, error: Exception) -> Response:
    return _problem(request, 429, "Others look at this", "Open it anew in some seconds.")


def _crashed(request: Request, error: Exception) -> Response:
    page = request.url.path.split("/")[2:3]
    log.error("console.crashed", error_class=type(error).__name__, page=page)
    return _bare(request, 500, "This page failed", "The log of the api says where.")


def _bare(request: Request, status: int, title: str, text: str) -> Response:
    """A page that reads nothing, for when nothing can be read."""
    request.state.session = None
    return _problem(request, status, title, text)


def _problem(request: Request, status: int, title: str, text: str) -> Response:
    return page(request, "problem.html", status, title=title, text=text)


_ANSWERS: dict[type[Exception], Any] = {
    SignInNeededError: _to_sign_in,
    ForbiddenError: _forbidden,
    NotFoundError: _not_found,
    InvalidParameterError: _unusable,
    ConflictError: _unusable,
    ActionRefusedError: _unusable,
    BlockedError: _unusable,
    RequestValidationError: _unusable_query,
    DataError: _unusable_query,  # such as a zero byte, which PostgreSQL has no text for
    HTTPException: _http,
    Exception: _crashed,
    LimitsUnavailableError: _away,
    BusyError: _busy,
    **dict.fromkeys(UNAVAILABLE, _away),
}
