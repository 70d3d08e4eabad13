"""Why codes do not arrive: failures in groups, each with its cause and what helps."""

import contextlib

from fastapi import APIRouter, Request, Response

from api_stub.console.guard import Viewer, parts_of
from api_stub.console.pages import page
from worker.errors import NotFoundError
from worker.failures import Group

router = APIRouter()
SPANS = {"15m": 900, "1h": 3600, "6h": 21_600, "24h": 86_400, "7d": 604_800}
USUAL = "24h"


@router.get("/failures")
def show(
    request: Request, session: Viewer, since: str = USUAL, country: str = "", channel: str = ""
) -> Response:
    span = since if since in SPANS else USUAL
    found = request.app.state.looks.failures(SPANS[span], country, channel)
    return page(
        request, "failures.html", current="failures", found=found, span=span, spans=list(SPANS),
        country_filter=country, channel_filter=channel,
    )  # fmt: skip


@router.get("/failures/group")
def group(
    request: Request, session: Viewer, code: str, channel: str, country: str, since: str = USUAL
) -> Response:
    """One group: why, since when, examples, and what can be done about it."""
    span = since if since in SPANS else USUAL
    there = request.app.state.looks.failures(SPANS[span], country, channel).groups
    found = _find(there, code, channel, country)
    return page(
        request, "group.html", current="failures", group=found, span=span, seconds=SPANS[span],
        traces=_traces(request, found.samples),
    )  # fmt: skip


def _traces(request: Request, samples: tuple[str, ...]) -> dict[str, str]:
    """Where the trace of each is shown, by its sid; nothing where none is."""
    ours = parts_of(request)
    if not ours.settings.trace_url:
        return {}
    found = {}
    for sid in samples:
        with contextlib.suppress(NotFoundError):  # purged since
            found[sid] = ours.settings.trace_of(ours.records.find(sid))
    return found


def _find(groups: list[Group], code: str, channel: str, country: str) -> Group:
    for one in groups:
        if (one.code, one.channel, one.country) == (code, channel, country):
            return one
    raise NotFoundError("group of failures")
