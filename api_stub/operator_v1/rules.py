"""What operators allow: pauses, blocks, limits, budgets and circuits."""

from dataclasses import asdict

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.operator_v1.common import body, done, operations, router_of_operators
from api_stub.parameters import query
from api_stub.verify_v2.common import Admin, Given, Reader
from worker.operations.forcing import HOUR

router = router_of_operators()
_COUNTRY = {"kind": "country", "name": "GB"}


@router.post("/limits/reset", openapi_extra=body("number"))
async def reset_limits(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Give a number back the sends that were counted against it."""
    act, number = operations(request).numbers, given.required("number")
    return await done(
        request, given, ("number",), lambda by, **rest: act.reset_limits(by, number, **rest)
    )


@router.post("/pause", openapi_extra=body("kind", "name", optional=("until",), shown_as=_COUNTRY))
async def pause(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Pause a queue, channel, country or sender; `until` is in seconds from now."""
    act, until = operations(request).pauses, given.integer("until")
    kind, name = given.required("kind"), given.required("name")
    return await done(
        *(request, given, ("kind", "name", "until")),
        lambda by, **rest: act.pause(by, kind, name, until=until, **rest),
    )


@router.post("/resume", openapi_extra=body("kind", "name", shown_as=_COUNTRY))
async def resume(request: Request, account: Admin, given: Given) -> JSONResponse:
    """End a pause."""
    act = operations(request).pauses
    kind, name = given.required("kind"), given.required("name")
    return await done(
        request, given, ("kind", "name"), lambda by, **rest: act.resume(by, kind, name, **rest)
    )


@router.get("/pauses")
async def pauses(request: Request, account: Reader) -> JSONResponse:
    """What is paused. Times are ms since 1970 UTC, here as everywhere below this path."""
    found = await run_in_threadpool(operations(request).pauses.all)
    return JSONResponse({"pauses": [asdict(one) for one in found]})


@router.post("/block", openapi_extra=body("to", optional=("until",)))
async def block(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Block a number or a prefix; `until` is in seconds from now."""
    act, what, until = operations(request).blocks, given.required("to"), given.integer("until")
    return await done(
        request, given, ("to", "until"), lambda by, **rest: act.block(by, what, until=until, **rest)
    )


@router.post("/unblock", openapi_extra=body("to"))
async def unblock(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Unblock a number, a prefix, or what a block's sid names."""
    act, what = operations(request).blocks, given.required("to")
    return await done(request, given, ("to",), lambda by, **rest: act.unblock(by, what, **rest))


@router.get("/blocks")
async def blocks(request: Request, account: Reader) -> JSONResponse:
    """The newest 1000 blocks, numbers masked; `before` goes on behind a sid."""
    before = query(request).text("before")
    found = await run_in_threadpool(operations(request).blocks.all, 1000, before)
    return JSONResponse({"blocks": [asdict(one) for one in found]})


@router.post("/budget", openapi_extra=body("scope", "amount", "unit", optional=("until",)))
async def budget(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Let no more than `amount` (a text) be spent in a day of UTC: by `all`, in a country, or by a
    service; `unit` is `messages`, or the currency of the prices. For `until` seconds it stands in
    for the budget that is there.
    """
    act, until = operations(request).budgets, given.integer("until")
    scope, amount, unit = (given.required(name) for name in ("scope", "amount", "unit"))
    return await done(
        *(request, given, ("scope", "amount", "unit", "until")),
        lambda by, **rest: act.set(by, scope, amount, unit, until=until, **rest),
    )


@router.post("/budget/remove", openapi_extra=body("scope"))
async def remove_budget(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Limit nothing there any more."""
    act, scope = operations(request).budgets, given.required("scope")
    return await done(request, given, ("scope",), lambda by, **rest: act.clear(by, scope, **rest))


@router.get("/budgets")
async def budgets(request: Request, account: Reader) -> JSONResponse:
    """The budgets with what is used of today, money in millionths; the fullest first."""
    found = await run_in_threadpool(operations(request).budgets.all)
    return JSONResponse({"budgets": [{**asdict(one), "ratio": one.ratio} for one in found]})


@router.post("/circuit", openapi_extra=body("sender", "channel", "state", optional=("until",)))
async def circuit(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Keep a circuit `open` or `closed` for `until` seconds, an hour by default, or `auto`."""
    act, until = operations(request).circuits, given.integer("until")
    sender, channel, state = (given.required(name) for name in ("sender", "channel", "state"))
    span = HOUR if until is None else until
    return await done(
        *(request, given, ("sender", "channel", "state", "until")),
        lambda by, **rest: act.set(by, sender, channel, state, until=span, **rest),
    )
