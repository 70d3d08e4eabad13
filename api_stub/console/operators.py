"""Operators and who is signed in: for admins."""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from api_stub.console import guard
from api_stub.console.guard import Admin, Fields, ForbiddenError, Viewer, parts_of
from api_stub.console.pages import link, page
from worker.errors import ConflictError, InvalidParameterError
from worker.operators import Role

router = APIRouter()
_CHANGES = ("disable", "enable", "reset")


@router.get("/operators")
def show(request: Request, session: Viewer) -> Response:
    return _page(request)


@router.post("/operators")
async def add(request: Request, session: Admin, fields: Fields) -> Response:
    """Make an operator; the page shows the link of the first sign-in, once."""
    room, by = parts_of(request).operators, guard.by(request, session)
    try:
        made = await run_in_threadpool(
            room.add, fields.get("name", ""), fields.get("role", ""), by=by
        )
    except (InvalidParameterError, ConflictError) as error:
        return _page(request, wrong=str(error))
    key = await run_in_threadpool(room.make_link, made.name, by)
    return _page(request, made=made.name, url=_url(request, key))


@router.post("/operators/{name}/link")
async def make_link(request: Request, session: Admin, name: str) -> Response:
    key = await run_in_threadpool(
        parts_of(request).operators.make_link, name, guard.by(request, session)
    )
    return _page(request, made=name, url=_url(request, key))


@router.post("/operators/{name}/{change}")
async def change(request: Request, session: Admin, name: str, change: str) -> Response:
    if change not in _CHANGES:
        raise ForbiddenError("There is no such change.")
    if name.strip().lower() == session.operator.name:
        raise ForbiddenError("Another admin has to do this to you, or the command line.")
    await run_in_threadpool(
        getattr(parts_of(request).operators, change), name, guard.by(request, session)
    )
    return RedirectResponse(link("/operators"), 303)


@router.post("/sessions/{sid}/end")
async def end(request: Request, session: Admin, sid: str) -> Response:
    by = guard.by(request, session)
    await run_in_threadpool(parts_of(request).operators.end_session, sid, by)
    return RedirectResponse(link("/operators"), 303)


def _url(request: Request, key: str) -> str:
    return f"{parts_of(request).settings.base_url}{link('/link', key=key)}"


def _page(request: Request, wrong: str = "", made: str = "", url: str = "") -> Response:
    room = parts_of(request).operators
    return page(
        request, "operators.html", 400 if wrong else 200, current="operators", every=room.all(),
        sessions=room.sessions(), roles=list(Role), wrong=wrong, made=made, url=url,
    )  # fmt: skip
