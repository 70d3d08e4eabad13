"""The first page: how old the oldest waiting code is, and what needs attention."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from api_stub.console.guard import Viewer, Watcher, parts_of
from api_stub.console.pages import page
from worker.minutes import MINUTE, Minute

router = APIRouter()
MINUTES = 60
LATELY = 15  # minutes in the table
COUNTED = ("codes", "accepted", "delivered", "approved", "failed")
SPANS = {60: "last hour", 360: "last 6 hours", 1440: "last 24 hours"}


@router.get("/")
def show(request: Request, session: Viewer, minutes: int = MINUTES) -> Response:
    span = minutes if minutes in SPANS else MINUTES
    room = parts_of(request).minutes
    return page(
        request, "overview.html", fresh=True, current="overview", spans=SPANS, span=span,
        table=room.series(LATELY)[::-1], funnel=room.channels(span),
    )  # fmt: skip


@router.get("/series.json")
def series(
    request: Request, session: Watcher, minutes: int = MINUTES, country: str = "", channel: str = ""
) -> Response:
    """What the charts draw: times in seconds since 1970 UTC, and a list for each line."""
    span = minutes if minutes in SPANS else MINUTES
    room = parts_of(request).minutes
    counted_at = room.counted_at()
    rows = room.series(span, channel or None, country or None, last=counted_at)
    return JSONResponse(_lines(rows, counted_at, span))


def _lines(rows: list[Minute], counted_at: int | None, span: int) -> dict[str, Any]:
    """Every minute up to the last one that was counted: without codes it is 0, not a gap."""
    if counted_at is None:
        return {"at": [], "lines": {}}
    last = counted_at // MINUTE
    known = {row.at // MINUTE: row.counts for row in rows}
    every = [known.get(minute) for minute in range(last - span + 1, last + 1)]
    lines = {name: [getattr(one, name) if one else 0 for one in every] for name in COUNTED}
    for name, share in (("p50", 0.5), ("p95", 0.95)):
        lines[name] = [one.wait(share) if one else None for one in every]
    return {"at": [minute * 60 for minute in range(last - span + 1, last + 1)], "lines": lines}
