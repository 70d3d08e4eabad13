"""Why codes do not arrive: failures in groups, each with its cause and what helps."""

import contextlib
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from api_stub.console.filters import whose
from api_stub.console.guard import Viewer, parts_of
from api_stub.console.pages import page
from worker.errors import NotFoundError
from worker.failures import Found, Group

router = APIRouter()
SPANS = {"15m": 900, "1h": 3600, "6h": 21_600, "24h": 86_400, "7d": 604_800}
USUAL = "24h"


class Asked:
    """The filters in an address: of which failures."""

    def __init__(
        self, country: str = "", channel: str = "", service: str = "", sender: str = ""
    ) -> None:
        self.country, self.channel = country.upper(), channel
        self.service, self.sender = service, sender

    def found(self, request: Request, within: int) -> Found:
        found: Found = request.app.state.looks.failures(within, **vars(self))
        return found


@router.get("/failures")
def show(
    request: Request, session: Viewer, asked: Annotated[Asked, Depends()], since: str = USUAL
) -> Response:
    span = since if since in SPANS else USUAL
    return page(
        request, "failures.html", current="failures", found=asked.found(request, SPANS[span]),
        span=span, spans=list(SPANS), asked=vars(asked), **whose(request),
    )  # fmt: skip


@router.get("/failures/group")
def group(
    request: Request,
    session: Viewer,
    asked: Annotated[Asked, Depends()],
    code: str,
    since: str = USUAL,
) -> Response:
    """One group: why, since when, examples, and what can be done about it."""
    span = since if since in SPANS else USUAL
    found = _find(asked.found(request, SPANS[span]).groups, code, asked)
    return page(
        request, "group.html", current="failures", group=found, span=span, seconds=SPANS[span],
        traces=_traces(request, found.samples), asked=vars(asked),
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


def _find(groups: list[Group], code: str, asked: Asked) -> Group:
    for one in groups:
        if (one.code, one.channel, one.country) == (code, asked.channel, asked.country):
            return one
    raise NotFoundError("group of failures")
