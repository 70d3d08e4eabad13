"""The HTTP doors' application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from anyio import to_thread
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles

from api_stub import (
    callbacks,
    console,
    document,
    errors,
    health,
    metrics,
    operator_v1,
    sandbox_door,
)
from api_stub.authy_v1 import application, phones, tokens, users
from api_stub.authy_v1 import errors as authy_errors
from api_stub.direct import Direct
from api_stub.parameters import BodyLimit
from api_stub.verify_v2 import (
    api_keys,
    attempts,
    backup_codes,
    challenges,
    entities,
    event_hooks,
    factors,
    messaging,
    ratelimits,
    safelist,
    services,
    templates,
    verifications,
    webhooks,
)
from worker import __version__, logs, tracing
from worker import settings as settings_module
from worker.settings import Settings
from worker.wiring import Sendcode

STATIC = Path(__file__).parent / "static"


def create_app(settings: Settings | None = None) -> FastAPI:
    """The doors over one process's parts; settings come from the environment by default."""
    settings = settings or settings_module.current()
    logs.configure(settings)
    tracing.configure(settings.otlp_endpoint, __version__)
    app = FastAPI(
        title="sendcode",
        version=__version__,
        description="One-time codes by SMS and voice call, in Twilio Verify v2's wire shape."
        " Authy's v1 is answered too, under /protected/json.",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        redirect_slashes=False,
    )
    app.state.settings = settings
    app.state.parts = Sendcode(settings)
    daily = [route for route in verifications.direct.routes if isinstance(route, APIRoute)]
    app.add_middleware(Direct, routes=daily, faces=authy_errors.FACES)
    app.add_middleware(BodyLimit, faces=authy_errors.FACES)  # around the one before
    errors.install(app, authy_errors.FACES)
    app.include_router(verifications.direct)
    app.include_router(health.router)
    app.include_router(metrics.router)
    app.include_router(services.router)
    app.include_router(verifications.router)
    for door in (entities, factors, challenges, backup_codes):
        app.include_router(door.router)
    for resource in (
        api_keys,
        attempts,
        event_hooks,
        messaging,
        ratelimits,
        safelist,
        templates,
        webhooks,
    ):
        app.include_router(resource.router)
    for authy in (users, tokens, phones, application):
        app.include_router(authy.router)
    for router in operator_v1.ROUTERS:
        app.include_router(router)
    app.include_router(callbacks.router)
    if settings.provider == "sandbox":
        app.include_router(sandbox_door.router)
    if settings.console != "off":
        app.add_api_route(console.BASE, to_console, include_in_schema=False)
        app.mount(console.BASE, console.create(app), name="console")
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_api_route("/docs", docs, include_in_schema=False, response_class=HTMLResponse)
    return app


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = document.build(app)
        prices = app.state.settings.price_list()
        if prices.micros:
            operator_v1.describe_money(app.openapi_schema, prices.currency)
    return app.openapi_schema


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    # A request waits for the database in a thread; more threads than connections only queue.
    to_thread.current_default_thread_limiter().total_tokens = (
        app.state.settings.database_pool_size * 2
    )
    parts: Sendcode = app.state.parts
    logs.told_settings(parts.settings, "api")
    _ = parts.celery, parts.verifications, parts.services, parts.receipts, parts.dispatch
    _ = parts.factors
    yield
    parts.db.close()
    tracing.close()
    await sandbox_door.close(app)


async def to_console() -> RedirectResponse:
    return RedirectResponse(f"{console.BASE}/", 303)


async def docs() -> HTMLResponse:
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="sendcode API",
        swagger_js_url="/static/swagger-ui/swagger-ui-bundle.js",
        swagger_css_url="/static/swagger-ui/swagger-ui.css",
        swagger_favicon_url="/static/favicon.svg",
    )
