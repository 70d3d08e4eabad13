"""What operators do to queues, senders, webhooks and workers."""

from dataclasses import asdict

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.operator_v1.common import body, done, operations, router_of_operators
from api_stub.verify_v2.common import Admin, Given, Reader, parts_of
from api_stub.verify_v2.examples import EXAMPLES

router = router_of_operators()


@router.post("/queues/discard", openapi_extra=body("queue", "which"))
async def discard_queue(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Drop what waits in a queue: what is `expired`, or `all`."""
    act = operations(request).discarding
    name, which = given.required("queue"), given.required("which")
    return await done(
        *(request, given, ("queue", "which")),
        lambda by, **rest: act.queue(by, name, which, **rest),
    )


@router.post("/senders/test", openapi_extra=body("sender", "channel", "to", optional=("service",)))
async def test_sender(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Send a real code to a number by one sender alone, under its limits, and tell within five
    seconds what came of it.
    """
    act, service = operations(request).testing, given.text("service")
    sender, channel, to = (given.required(name) for name in ("sender", "channel", "to"))
    return await done(
        *(request, given, ("sender", "channel", "to", "service")),
        lambda by, **rest: act.send(by, sender, channel, to, service=service, **rest),
    )


@router.post("/senders/check", openapi_extra=body("sender"))
async def check_sender(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Ask the provider whether a sender's credentials hold."""
    act, sender = operations(request).testing, given.required("sender")
    return await done(request, given, ("sender",), lambda by, **rest: act.check(by, sender, **rest))


@router.post(
    "/webhooks/replay",
    openapi_extra=body(optional=("sid", "hook"), shown_as={"sid": EXAMPLES["sid"]}),
)
async def replay_webhook(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Tell hooks once more what became of a verification or delivery (`sid`), or a `hook` all that
    it has failed to take; with both, that hook alone.
    """
    act, sid, hook = operations(request).replaying, given.text("sid"), given.text("hook")
    return await done(
        *(request, given, ("sid", "hook")),
        lambda by, **rest: act.replay(by, sid=sid, hook=hook, **rest),
    )


@router.get("/webhooks")
async def webhooks(request: Request, account: Reader) -> JSONResponse:
    """Every event hook with what it is still to be told, addresses without their query."""
    found = await run_in_threadpool(operations(request).replaying.hooks)
    return JSONResponse({"hooks": [asdict(one) for one in found]})


@router.get("/workers")
async def workers(request: Request, account: Reader) -> JSONResponse:
    """The workers that are up, with what they do now."""
    found = await run_in_threadpool(parts_of(request).standing.workers)
    return JSONResponse({"workers": [asdict(one) for one in found]})


@router.post("/workers/quiet", openapi_extra=body("worker"))
async def quiet_worker(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Have a worker take nothing more and finish what it has."""
    act, name = operations(request).crew, given.required("worker")
    return await done(request, given, ("worker",), lambda by, **rest: act.quiet(by, name, **rest))


@router.post("/workers/work", openapi_extra=body("worker"))
async def work_worker(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Have a quiet worker take messages again."""
    act, name = operations(request).crew, given.required("worker")
    return await done(request, given, ("worker",), lambda by, **rest: act.work(by, name, **rest))


@router.post("/workers/stop", openapi_extra=body("worker"))
async def stop_worker(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Have a worker finish what it has and end."""
    act, name = operations(request).crew, given.required("worker")
    return await done(request, given, ("worker",), lambda by, **rest: act.stop(by, name, **rest))
