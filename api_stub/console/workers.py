"""Who works, and the senders with their circuits."""

from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from api_stub.console.guard import Actor, Viewer, parts_of
from api_stub.console.pages import page
from api_stub.sandbox.access import phone_key
from worker.errors import NotFoundError

router = APIRouter()


@router.get("/workers")
def workers(request: Request, session: Viewer) -> Response:
    return page(request, "workers.html", fresh=True, current="workers")


@router.get("/phone")
def phone(request: Request, session: Actor) -> Response:
    """On to the sandbox's phone, where codes can be seen: they are pretend ones."""
    settings = parts_of(request).settings
    if settings.provider != "sandbox":
        raise NotFoundError("sandbox")
    key = phone_key(settings.auth_token.get_secret_value())
    return RedirectResponse(f"/sandbox/phone?{urlencode({'key': key})}", 303)


@router.get("/senders")
def senders(request: Request, session: Viewer) -> Response:
    every = parts_of(request).settings.all_senders()
    return page(request, "senders.html", fresh=True, current="senders", senders=every)
