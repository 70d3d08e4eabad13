"""Operators and who is signed in: for admins."""

from fastapi import APIRouter, Request, Response

from api_stub.console.guard import Viewer, parts_of
from api_stub.console.pages import page
from worker.operators import Role

router = APIRouter()


@router.get("/operators")
def show(request: Request, session: Viewer) -> Response:
    room = parts_of(request).operators
    return page(
        request, "operators.html", current="operators", every=room.all(),
        sessions=room.sessions(), roles=list(Role),
    )  # fmt: skip
