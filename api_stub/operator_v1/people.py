"""Who may use the console, who does, and what they did."""

from dataclasses import asdict

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.operator_v1.common import body, done, operations, router_of_operators
from api_stub.parameters import query
from api_stub.verify_v2.common import Admin, Given, parts_of
from worker.operators.words import shown_session

router = router_of_operators()


@router.get("/operators")
async def operators(request: Request, account: Admin) -> JSONResponse:
    """Who may use the console, disabled ones too."""
    found = await run_in_threadpool(parts_of(request).operators.all)
    return JSONResponse({"operators": [asdict(one) for one in found]})


@router.post("/operators", openapi_extra=body("name", "role"))
async def add_operator(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Make an operator; `link` of the answer signs it in once, within 15 minutes."""
    act = operations(request).people
    name, role = given.required("name"), given.required("role")
    return await done(
        *(request, given, ("name", "role")),
        lambda by, **rest: act.add(by, name, role, link=True, **rest),
    )


@router.post("/operators/role", openapi_extra=body("name", "role"))
async def set_role(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Give an operator another role."""
    act = operations(request).people
    name, role = given.required("name"), given.required("role")
    return await done(
        *(request, given, ("name", "role")),
        lambda by, **rest: act.set_role(by, name, role, **rest),
    )


@router.post("/operators/disable", openapi_extra=body("name"))
async def disable_operator(request: Request, account: Admin, given: Given) -> JSONResponse:
    """End an operator's sessions and let no new one begin."""
    act, name = operations(request).people, given.required("name")
    return await done(request, given, ("name",), lambda by, **rest: act.disable(by, name, **rest))


@router.post("/operators/enable", openapi_extra=body("name"))
async def enable_operator(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Let a disabled operator sign in again."""
    act, name = operations(request).people, given.required("name")
    return await done(request, given, ("name",), lambda by, **rest: act.enable(by, name, **rest))


@router.post("/operators/reset", openapi_extra=body("name"))
async def reset_operator(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Forget an operator's password, second factor and sessions."""
    act, name = operations(request).people, given.required("name")
    return await done(request, given, ("name",), lambda by, **rest: act.reset(by, name, **rest))


@router.post("/operators/link", openapi_extra=body("name"))
async def link_operator(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Make a link that signs an operator in once; older ones end."""
    act, name = operations(request).people, given.required("name")
    return await done(request, given, ("name",), lambda by, **rest: act.link(by, name, **rest))


@router.get("/sessions")
async def sessions(request: Request, account: Admin) -> JSONResponse:
    """Who is signed in to the console, from where, the newest 200 first."""
    found = await run_in_threadpool(parts_of(request).operators.sessions)
    return JSONResponse({"sessions": [shown_session(one) for one in found]})


@router.post("/sessions/end", openapi_extra=body("sid"))
async def end_session(request: Request, account: Admin, given: Given) -> JSONResponse:
    """End one sign-in of an operator."""
    act, sid = operations(request).people, given.required("sid")
    return await done(request, given, ("sid",), lambda by, **rest: act.end_session(by, sid, **rest))


@router.get("/audit")
async def audit(request: Request, account: Admin) -> JSONResponse:
    """Who did what and why, the newest first; `before` goes on behind a sid."""
    asked = query(request)
    asked.only("limit", "before", "action", "who", "target")
    limit = asked.integer("limit")
    limit = 50 if limit is None else limit
    if not 1 <= limit <= 1000:
        raise asked.refusal("limit", "must be from 1 to 1000")
    only = {name: asked.text(name) for name in ("action", "who", "target")}
    log, before = operations(request).audit, asked.text("before")
    found = await run_in_threadpool(lambda: log.page(limit, before, **only))
    return JSONResponse({"entries": [asdict(entry) for entry in found]})
