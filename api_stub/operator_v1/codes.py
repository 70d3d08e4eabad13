"""What operators do to one code, and to many."""

from dataclasses import asdict
from typing import Annotated

from fastapi import Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.operator_v1.common import (
    FILTERS,
    body,
    done,
    filters_of,
    operations,
    router_of_operators,
)
from api_stub.parameters import Parameters
from api_stub.verify_v2.common import Admin, Given, Reader

router = router_of_operators()
JobSid = Annotated[str, Path(pattern=r"^OJ[0-9a-f]{32}$")]


@router.post("/retry", openapi_extra=body("sid", optional=("override_limits",)))
async def retry(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Send a code again, as it went before."""
    act, sid = operations(request).sending, given.required("sid")
    override = bool(given.boolean("override_limits"))
    return await done(
        *(request, given, ("sid", "override_limits")),
        lambda by, **rest: act.retry(by, sid, override_limits=override, **rest),
    )


@router.post("/resend", openapi_extra=body("sid", "channel", optional=("override_limits",)))
async def resend(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Send a code by another channel."""
    act, sid, channel = operations(request).sending, given.required("sid"), _channel(given)
    override = bool(given.boolean("override_limits"))
    return await done(
        *(request, given, ("sid", "channel", "override_limits")),
        lambda by, **rest: act.resend(by, sid, channel, override_limits=override, **rest),
    )


@router.post("/cancel", openapi_extra=body("sid"))
async def cancel(request: Request, account: Admin, given: Given) -> JSONResponse:
    """End a verification."""
    act, sid = operations(request).sending, given.required("sid")
    return await done(request, given, ("sid",), lambda by, **rest: act.cancel(by, sid, **rest))


@router.post("/discard", openapi_extra=body("sid"))
async def discard(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Drop a delivery that waits."""
    act, sid = operations(request).discarding, given.required("sid")
    return await done(request, given, ("sid",), lambda by, **rest: act.one(by, sid, **rest))


@router.post("/reveal", openapi_extra=body("sid"))
async def reveal(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Show the whole number behind a sid."""
    act, sid = operations(request).numbers, given.required("sid")
    return await done(request, given, ("sid",), lambda by, **rest: act.reveal(by, sid, **rest))


@router.post(
    "/bulk",
    openapi_extra=body("verb", optional=(*FILTERS, "requests", "by", "override_limits")),
)
async def bulk(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Do `retry`, `resend` (`by` a channel) or `cancel` to all deliveries that match, in the
    background; `within` is in seconds before now, and `error_code` may be `none`. With `requests`,
    a list of sids of deliveries, to those and without filters.
    """
    act, verb, by_channel = operations(request).bulk, given.required("verb"), given.text("by")
    override = bool(given.boolean("override_limits"))
    chosen = given.texts("requests") if given.given("requests") else None
    filters = filters_of(given, chosen)
    return await done(
        *(request, given, ("verb", "by", "override_limits", "requests", *FILTERS)),
        lambda by, **rest: act.start(
            by, verb, filters, channel=by_channel, override_limits=override, **rest
        ),
    )


@router.get("/bulk")
async def bulk_jobs(request: Request, account: Reader) -> JSONResponse:
    """The newest 50 bulk jobs with their progress."""
    found = await run_in_threadpool(operations(request).bulk.all)
    return JSONResponse({"jobs": [asdict(job) for job in found]})


@router.get("/bulk/{sid}")
async def bulk_job(request: Request, account: Reader, sid: JobSid) -> JSONResponse:
    return JSONResponse(asdict(await run_in_threadpool(operations(request).bulk.fetch, sid)))


@router.post("/bulk/{sid}/stop", openapi_extra=body())
async def bulk_stop(request: Request, account: Admin, given: Given, sid: JobSid) -> JSONResponse:
    """Let a job end where it is."""
    act = operations(request).bulk
    return await done(request, given, (), lambda by, **rest: act.stop(by, sid, **rest))


def _channel(given: Parameters) -> str:
    channel = given.required("channel")
    if channel not in ("sms", "call"):
        raise given.refusal("channel", "must be sms or call")
    return channel
