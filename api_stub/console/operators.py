"""Operators and who is signed in: for admins."""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from api_stub.console import guard
from api_stub.console.guard import Admin, Viewer, parts_of
from api_stub.console.pages import link, page
from worker.operators import Role

router = APIRouter()


@router.get("/operators")
def show(request: Request, session: Viewer) -> Response:
    room = parts_of(request).operators
    return page(
        request, "operators.html", current="operators", every=room.all(),
        sessions=room.sessions(), roles=list(Role),
    )  # fmt: skip


@router.post("/sessions/{sid}/end")
async def end(request: Request, session: Admin, sid: str) -> Response:
    by = guard.by(request, session)
    await run_in_threadpool(parts_of(request).operators.end_session, sid, by)
    return RedirectResponse(link("/operators"), 303)
