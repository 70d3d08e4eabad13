"""What operators look at: queues, circuits, failures, requests, countries and prefixes."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.operator_v1.common import FILTERS, KINDS, filters_of, router_of_operators
from api_stub.parameters import Parameters, query
from api_stub.verify_v2.common import Given, Reader, parts_of
from api_stub.verify_v2.openapi import TEXT, asking, form
from worker import failures as rooms
from worker import phone
from worker.filters import SENDER, STATES
from worker.minutes import Place
from worker.money import Money, shown
from worker.wiring import Sendcode

router = router_of_operators()
AnySid = Annotated[str, Path(pattern=r"^(VE|VL|SM|MM|CA)[0-9a-f]{32}$")]
MOST = 1000  # requests in one answer
_CURSOR = re.compile(r"VL[0-9a-f]{32}", re.ASCII)
_WHERE = ("country", "channel", "service", "sender")
_PAGE: dict[str, Any] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": MOST},
    "before": {"type": "string", "pattern": "^VL[0-9a-f]{32}$"},
}
LONGEST = 44_640  # minutes
HOUR = 3600  # seconds
_OF_PREFIXES = {
    "country": {"type": "string", "pattern": f"^({'|'.join(sorted(phone.regions()))})$"},
    "within": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
}


def _asked(*names: str) -> dict[str, Any]:
    kinds = KINDS | {
        "state": {"type": "string", "enum": list(STATES)},
        "country": {"type": "string", "pattern": "^[A-Za-z]{2}$"},
        "sender": {"type": "string", "pattern": f"^{SENDER}$"},
    }
    return {name: kinds.get(name, TEXT) for name in names}


_BACK = asking({"minutes": {"type": "integer", "minimum": 1, "maximum": LONGEST}})
_SEARCH = form(_asked("number", *FILTERS) | _PAGE, ("number",))


@router.get("/queues")
async def queues(request: Request, account: Reader) -> JSONResponse:
    """Every queue: what waits, since when, and what came and was taken in the last minute; seconds
    since a heartbeat came through.
    """
    return JSONResponse(await run_in_threadpool(_queues, parts_of(request)))


def _queues(ours: Sendcode) -> dict[str, Any]:
    standing, flows = ours.standing, ours.standing.flows()
    return {
        "queues": [
            {**asdict(one), "flow": asdict(flows[one.name]) if one.name in flows else None}
            for one in standing.queues()
        ],
        "worker_silent_seconds": standing.silent_seconds(),
    }


@router.get("/circuits")
async def circuits(request: Request, account: Reader) -> JSONResponse:
    """The circuit of every sender and channel."""
    found = await run_in_threadpool(parts_of(request).standing.circuits)
    return JSONResponse({"circuits": [asdict(one) for one in found]})


@router.get("/failures", openapi_extra=asking(_asked(*_WHERE, "within")))
async def failures(request: Request, account: Reader) -> JSONResponse:
    """What failed in the last `within` seconds, a day by default, in groups of code, channel and
    country, each with its cause and what helps.
    """
    asked = query(request)
    asked.only(*_WHERE, "within")
    wanted, look = filters_of(asked), parts_of(request).failures.look
    where = {name: getattr(wanted, name) or "" for name in _WHERE}
    found = await run_in_threadpool(lambda: look(wanted.within, **where))
    return JSONResponse(asdict(found))


@router.get("/requests", openapi_extra=asking(_asked(*FILTERS) | _PAGE))
async def requests(request: Request, account: Reader) -> JSONResponse:
    """Deliveries that match, the newest first, numbers masked; `next` is the `before` of the next
    page.
    """
    asked = query(request)
    asked.only(*FILTERS, *_PAGE)
    return await _page(request, asked)


@router.post("/search", openapi_extra=_SEARCH)
async def search(request: Request, account: Reader, given: Given) -> JSONResponse:
    """The deliveries to a number, as `requests` lists them. A body, since an address that held a
    number would stand in logs.
    """
    given.only("number", *FILTERS, *_PAGE)
    number = given.required("number")
    indexes = await run_in_threadpool(parts_of(request).records.indexes, number)
    return await _page(request, given, indexes)


async def _page(
    request: Request, given: Parameters, indexes: tuple[bytes, ...] = ()
) -> JSONResponse:
    limit, before = given.integer("limit"), given.text("before")
    limit = 50 if limit is None else limit
    if not 1 <= limit <= MOST:
        raise given.refusal("limit", f"must be from 1 to {MOST}")
    if before is not None and not _CURSOR.fullmatch(before):
        raise given.refusal("before", "must be the `next` of the page before")
    records, filters = parts_of(request).records, filters_of(given)
    found = await run_in_threadpool(records.page, filters, before, limit, indexes)
    return JSONResponse({"requests": found.records, "next": found.next})


@router.get("/requests/{sid}")
async def one(request: Request, account: Reader, sid: AnySid) -> JSONResponse:
    """All that happened to a verification: its own sid, a delivery's, or the provider's."""
    return JSONResponse(await run_in_threadpool(_timeline, parts_of(request), sid))


def _timeline(ours: Sendcode, sid: str) -> dict[str, Any]:
    found = ours.records.timeline(ours.records.find(sid))
    return found | {"deliveries": [_explained(one) for one in found["deliveries"]]}


def _explained(delivery: Mapping[str, Any]) -> dict[str, Any]:
    code = delivery["error_code"]
    words = {"cause": rooms.cause(code), "next_step": rooms.next_step(code)} if code else {}
    return {**delivery, **words}


@router.get("/countries", openapi_extra=_BACK)
async def countries(request: Request, account: Reader) -> JSONResponse:
    """What became of the codes of the last `minutes`, a day by default, by channel and country:
    counts, shares, milliseconds until the provider took them, and cost.
    """
    asked = query(request)
    asked.only("minutes")
    minutes = asked.integer("minutes")
    minutes = 1440 if minutes is None else minutes
    if not 1 <= minutes <= LONGEST:
        raise asked.refusal("minutes", f"must be from 1 to {LONGEST}")
    return JSONResponse({"countries": await run_in_threadpool(_places, parts_of(request), minutes)})


def _places(ours: Sendcode, minutes: int) -> list[dict[str, Any]]:
    costs = ours.minutes.costs(minutes)
    return [
        _place(place, costs.get((place.channel, place.country), []))
        for place in ours.minutes.places(minutes)
    ]


def _place(place: Place, costs: list[Money]) -> dict[str, Any]:
    counts = asdict(place.counts)
    del counts["waits"]
    return {
        "channel": place.channel,
        "country": place.country,
        **counts,
        "conversion": place.counts.conversion,
        "arrival": place.counts.arrival,
        "p50": place.counts.wait(0.5),
        "p95": place.counts.wait(0.95),
        "costs": [{"amount": shown(cost.micros), "currency": cost.currency} for cost in costs],
    }


@router.get("/prefixes", openapi_extra=asking(_OF_PREFIXES))
async def prefixes(request: Request, account: Reader) -> JSONResponse:
    """Prefixes of the last `within` seconds, an hour by default, the most suspicious first: codes
    that were asked for, and of those older than five minutes, how many came back.
    """
    asked = query(request)
    asked.only(*_OF_PREFIXES)
    within, country = asked.integer("within"), asked.text("country") or ""
    within = HOUR if within is None else within
    if not within:
        raise asked.refusal("within", "must be at least 1")
    found = await run_in_threadpool(parts_of(request).prefixes.look, within, country)
    rows = [asdict(one) | {"conversion": one.conversion} for one in found.prefixes]
    return JSONResponse(asdict(found) | {"prefixes": rows})
