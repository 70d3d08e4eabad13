"""Where codes go, how many arrive and come back, and how fast."""

from fastapi import APIRouter, Request, Response

from api_stub.console.guard import Viewer, parts_of
from api_stub.console.pages import page

router = APIRouter()
SPANS = {"1h": 60, "6h": 360, "24h": 1440, "7d": 10_080}
USUAL = "24h"


@router.get("/countries")
def show(request: Request, session: Viewer, since: str = USUAL) -> Response:
    span = since if since in SPANS else USUAL
    room = parts_of(request).minutes
    return page(
        request, "countries.html", current="countries", places=room.places(SPANS[span]),
        costs=room.costs(SPANS[span]), span=span, spans=list(SPANS),
    )  # fmt: skip
