"""Where codes go that do not come back, by how their numbers begin."""

from fastapi import APIRouter, Request, Response

from api_stub.console.guard import Viewer, parts_of
from api_stub.console.pages import page

router = APIRouter()
SPANS = {"15m": 900, "1h": 3600, "6h": 21_600, "24h": 86_400}
USUAL = "1h"


@router.get("/countries/prefixes")
def show(request: Request, session: Viewer, since: str = USUAL, country: str = "") -> Response:
    span = since if since in SPANS else USUAL
    found = parts_of(request).prefixes.look(SPANS[span], country)
    return page(
        request, "prefixes.html", current="countries", found=found, span=span, spans=list(SPANS),
        country_filter=country.upper(),
    )  # fmt: skip
