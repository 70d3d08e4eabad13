"""Deliveries on record: a table by filters in the address, a search, and one with its timeline."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from api_stub.console.failures import SPANS, USUAL
from api_stub.console.filters import whose
from api_stub.console.guard import Fields, Viewer, parts_of
from api_stub.console.pages import link, page
from worker import failures
from worker.errors import InvalidParameterError
from worker.filters import STATES, Filters
from worker.money import Money
from worker.outbox import OF_STATE, OF_STATUS
from worker.states import Channel, DeliveryState

router = APIRouter()
PAGE = 50
EXPORTED = 10_000  # lines of CSV at most
SPANS_HERE = {**SPANS, "30d": 2_592_000}
_SID = re.compile(r"(VE|VL|SM|MM|CA)[0-9a-f]{32}", re.ASCII)
_INDEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
_STEPS = {
    "created_at": "asked for",
    "published_at": "told to the workers",
    "taken_at": "taken by a worker",
    "accepted_at": "accepted by the provider",
    "delivered_at": "delivered",
    "ended_at": "ended",
}


class Asked:
    """The filters in an address: which deliveries are meant."""

    def __init__(
        self,
        state: str = "",
        channel: str = "",
        country: str = "",
        error: str = "",
        since: str = USUAL,
        service: str = "",
        sender: str = "",
    ) -> None:
        self.state, self.channel = state, channel
        self.country, self.error = country.upper(), error
        self.service, self.sender = service, sender
        self.since = since if since in SPANS_HERE else USUAL

    def filters(self) -> Filters:
        return Filters(
            state=self.state or None,
            channel=self.channel or None,
            country=self.country or None,
            error_code=self.error or None,
            within=SPANS_HERE[self.since],
            service=self.service or None,
            sender=self.sender or None,
        )


@router.get("/requests")
def show(
    request: Request,
    session: Viewer,
    asked: Annotated[Asked, Depends()],
    who: str = "",
    before: str = "",
) -> Response:
    beyond = before if _SID.fullmatch(before) else None
    found = parts_of(request).records.page(asked.filters(), beyond, PAGE, _indexes(who))
    return page(
        request, "requests.html", current="requests", found=found, asked=vars(asked), who=who,
        before=before, spans=list(SPANS_HERE), states=STATES,
        channels=[c.value for c in Channel], seconds=SPANS_HERE[asked.since], most=EXPORTED,
        **whose(request),
    )  # fmt: skip


@router.get("/requests.csv")
def download(
    request: Request, session: Viewer, asked: Annotated[Asked, Depends()], who: str = ""
) -> Response:
    """What `show` lists, up to `EXPORTED` of it, for a spreadsheet or a ticket at the provider."""
    lines = parts_of(request).records.export(asked.filters(), _indexes(who), EXPORTED)
    name = {"Content-Disposition": 'attachment; filename="requests.csv"'}
    # Between two pages others have their turn, and whoever has gone away is noticed.
    blocks = ("".join(page) for page in lines)
    return StreamingResponse(blocks, media_type="text/csv", headers=name)


@router.post("/search")
def search(request: Request, session: Viewer, fields: Fields) -> Response:
    """A sid leads to its timeline, a number to its requests. A form, since an address that held a
    number would stand in histories and logs.
    """
    wanted = fields.get("q", "").strip()
    records = parts_of(request).records
    if _SID.fullmatch(wanted):
        return RedirectResponse(link(f"/requests/{records.find(wanted)}"), 303)
    try:
        indexes = records.indexes(wanted)
    except InvalidParameterError:
        text = (
            "Search takes a sid (VE…, VL…), one of Twilio's (SM…, CA…), or a number with its"
            " country code, such as +44 7400 123456."
        )
        return page(request, "problem.html", 400, title="Nothing found", text=text)
    who = ".".join(index.hex() for index in indexes)
    return RedirectResponse(link("/requests", who=who, since="30d"), 303)


@router.get("/requests/{sid}")
def one(request: Request, session: Viewer, sid: str) -> Response:
    """All that happened to a verification, with the milliseconds between the steps."""
    records = parts_of(request).records
    found = records.timeline(records.find(sid))
    for delivery in found["deliveries"]:
        delivery["steps"] = _steps(delivery)
        micros, currency = delivery["price_micros"], delivery["price_currency"]
        delivery["price"] = None if micros is None else Money(micros, currency)
        if code := delivery["error_code"]:
            delivery["cause"], delivery["next_step"] = (
                failures.cause(code),
                failures.next_step(code),
            )
    who = records.index_of(found["sid"]).hex()
    told = _told(request, found)
    return page(request, "request.html", current="requests", found=found, who=who, told=told)


def _told(request: Request, found: dict[str, Any]) -> set[str]:
    """The sids of whose end a hook may have been told."""
    if not parts_of(request).operations.replaying.is_hooked(found["service_sid"]):
        return set()
    told = {found["sid"]} if found["status"] in OF_STATUS else set()
    return told | {one["sid"] for one in found["deliveries"] if one["state"] in OF_STATE}


def _steps(delivery: dict[str, Any]) -> list[dict[str, Any]]:
    """What happened, in order: when, how long after the start and after the step before."""
    happened = [(delivery[name], text, "") for name, text in _STEPS.items() if delivery[name]]
    happened += [
        (word["received_at"], f"receipt: {word['status']}", word["error_code"] or "")
        for word in delivery["receipts"]
    ]
    if delivery["state"] == DeliveryState.QUEUED:
        happened.append((delivery["next_try_at"], "next try", ""))
    began = last = delivery["created_at"]
    steps = []
    # Workers' clocks and the database's differ by milliseconds: nothing is before its start.
    for at, text, code in sorted((max(at, began), *rest) for at, *rest in happened):
        steps.append({"at": at, "text": text, "code": code, "since": at - began, "gap": at - last})
        last = at
    return steps


def _indexes(who: str) -> tuple[bytes, ...]:
    found = [one for one in who.split(".") if _INDEX.fullmatch(one)]
    return tuple(bytes.fromhex(one) for one in found[:10])
