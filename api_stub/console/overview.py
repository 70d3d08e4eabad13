"""The first page: how old the oldest waiting code is, and what needs attention."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from api_stub.console.guard import Viewer, parts_of
from api_stub.console.pages import page
from worker.minutes import Minute

router = APIRouter()
MINUTES = 60
SPANS = {60: "last hour", 360: "last 6 hours", 1440: "last 24 hours"}


@router.get("/")
def show(request: Request, session: Viewer, minutes: int = MINUTES) -> Response:
    span = minutes if minutes in SPANS else MINUTES
    room = parts_of(request).minutes
    channels = {channel: room.series(span, channel) for channel in ("sms", "call")}
    series = room.series(span)
    return page(
        request, "overview.html", fresh=True, current="overview", spans=SPANS, span=span,
        table=series[:-16:-1],
        funnel={name: _sum(rows) for name, rows in channels.items()},
    )  # fmt: skip


@router.get("/series.json")
def series(
    request: Request, session: Viewer, minutes: int = MINUTES, country: str = "", channel: str = ""
) -> Response:
    """What the charts draw: times in seconds since 1970 UTC, and a list for each line."""
    span = minutes if minutes in SPANS else MINUTES
    rows = parts_of(request).minutes.series(span, channel or None, country or None)
    counts = [row.counts for row in rows]
    return JSONResponse(
        {
            "at": [row.at // 1000 for row in rows],
            "lines": {
                "codes": [one.codes for one in counts],
                "accepted": [one.accepted for one in counts],
                "delivered": [one.delivered for one in counts],
                "approved": [one.approved for one in counts],
                "failed": [one.failed for one in counts],
                "p50": [one.wait(0.5) for one in counts],
                "p95": [one.wait(0.95) for one in counts],
            },
        }
    )


def _sum(rows: list[Minute]) -> dict[str, Any]:
    names = ("codes", "deliveries", "accepted", "delivered", "approved", "failed")
    return {name: sum(getattr(row.counts, name) for row in rows) for name in names}
