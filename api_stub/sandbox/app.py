"""The sandbox process: `uvicorn api_stub.sandbox.app:create_app --factory --no-access-log`.

`SENDCODE_SANDBOX_DB` names its SQLite file (`.sendcode/sandbox.db`).
`SENDCODE_SANDBOX_CALLBACK_URL` is where callbacks for `SENDCODE_PUBLIC_URL` go instead, when
that address cannot be reached from here.
"""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from api_stub.sandbox import errors, phone, programs, twilio_rest
from api_stub.sandbox.callbacks import Callbacks
from api_stub.sandbox.context import Sandbox
from api_stub.sandbox.lifecycle import Lifecycle
from api_stub.sandbox.severing import SeverableApp
from api_stub.sandbox.store import Store
from worker import logs
from worker.errors import SettingsError
from worker.settings import Settings, load

DATABASE = ".sendcode/sandbox.db"


def _quiet() -> None:
    """Keep request lines out of the logs: they carry numbers and the phone link's key."""
    logging.getLogger("uvicorn.access").disabled = True
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    store = Store(Path(os.environ.get("SENDCODE_SANDBOX_DB") or DATABASE))
    target = os.environ.get("SENDCODE_SANDBOX_CALLBACK_URL", "")
    callbacks = Callbacks(store, settings, target)
    sender = settings.first_sender
    lifecycle = Lifecycle(store, callbacks, sender.account_sid, sender.number)
    app.state.sandbox = Sandbox(settings, store, lifecycle)
    lifecycle.resume()
    logs.told_settings(settings, "sandbox")
    yield
    await lifecycle.stop()
    store.close()


async def livez() -> dict[str, str]:
    return {"status": "ok"}


def create_app() -> FastAPI:
    """The sandbox's app.

    :raises SettingsError: the provider is not the sandbox, or credentials are missing
    """
    settings = load()
    if settings.provider != "sandbox":
        raise SettingsError("SENDCODE_PROVIDER must be sandbox to start the sandbox")
    logs.configure(settings)
    _quiet()
    app = SeverableApp(lifespan=_lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.settings = settings
    errors.install(app)
    app.add_api_route("/sandbox/livez", livez)
    for router in (twilio_rest.router, programs.router, phone.open_router, phone.router):
        app.include_router(router)
    app.mount("/sandbox/static", StaticFiles(directory=phone.HERE / "static"), name="static")
    return app
