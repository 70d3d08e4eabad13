"""Where backends are told what becomes of their verifications, and what they failed to take."""

from fastapi import APIRouter, Request, Response

from api_stub.console.guard import Viewer, parts_of
from api_stub.console.pages import page

router = APIRouter()


@router.get("/webhooks")
def show(request: Request, session: Viewer) -> Response:
    hooks = parts_of(request).operations.replaying.hooks()
    return page(request, "webhooks.html", current="webhooks", hooks=hooks)
