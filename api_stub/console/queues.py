"""What waits where, for how long, and how fast it goes."""

from fastapi import APIRouter, Request, Response

from api_stub.console.guard import Viewer
from api_stub.console.pages import page

router = APIRouter()


@router.get("/queues")
def show(request: Request, session: Viewer) -> Response:
    return page(request, "queues.html", fresh=True, current="queues")
