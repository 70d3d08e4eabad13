"""The way in and out. These pages are open; everything else asks for a session."""

from functools import partial
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response

from api_stub.console import guard
from api_stub.console.guard import Enrolling, Fields, parts_of
from api_stub.console.pages import BASE, THEME_COOKIE, THEMES, link, page
from worker.errors import SignInRefusedError

router = APIRouter()
MOST_WAITING = 50  # sign-ins
WAIT = 5  # seconds, for those beyond


@router.get("/sign-in")
def ask(request: Request) -> Response:
    """The form: name, password and the code of the authenticator app."""
    return _form(request, "sign_in.html", next=request.query_params.get("next", ""), refused=None)


@router.post("/sign-in")
async def sign_in(request: Request, fields: Fields) -> Response:
    guard.require_open_form(request, fields)
    given = (fields.get("name", ""), fields.get("password", ""), fields.get("code", ""))
    whence = (guard.address_of(request), guard.browser_of(request))
    after = fields.get("next", "")
    try:
        token = await _by_password(request, *given, *whence)
    except SignInRefusedError as error:
        given_back = {"next": after, "refused": error}
        return await run_in_threadpool(_form, request, "sign_in.html", 401, **given_back)
    return _in(token, guard.own_path(after))


async def _by_password(request: Request, *given: str) -> str:
    """A password takes time on purpose, two at once. Those that wait for their turn keep no thread
    from pages and codes.
    """
    turns: CapacityLimiter = request.app.state.sign_ins
    if turns.statistics().tasks_waiting >= MOST_WAITING:
        raise SignInRefusedError(WAIT)
    return await to_thread.run_sync(
        partial(parts_of(request).operators.sign_in, *given), limiter=turns
    )


@router.get("/link")
def ask_link(request: Request) -> Response:
    """A page with a button: opening a link must not use it up, as previews of links do."""
    return _form(request, "link.html", key=request.query_params.get("key", ""), refused=None)


@router.post("/link")
def use_link(request: Request, fields: Fields) -> Response:
    guard.require_open_form(request, fields)
    whence = (guard.address_of(request), guard.browser_of(request))
    try:
        token = parts_of(request).operators.use_link(fields.get("key", ""), *whence)
    except SignInRefusedError as error:
        return _form(request, "link.html", 401, key="", refused=error)
    return _in(token, f"{BASE}/")


@router.post("/sign-out")
async def sign_out(request: Request, session: Enrolling) -> Response:
    await run_in_threadpool(parts_of(request).operators.end_session, session.sid)
    answer = RedirectResponse(link("/sign-in"), 303)
    guard.forget(answer)
    return answer


@router.post("/theme")
async def theme(request: Request, fields: Fields, session: Enrolling) -> Response:
    """Light, dark, or as the device is."""
    answer = RedirectResponse(guard.own_path(fields.get("here", "")), 303)
    chosen = fields.get("theme", "auto")
    if chosen in THEMES:
        answer.set_cookie(
            THEME_COOKIE, chosen, max_age=31_536_000, path="/", secure=True, samesite="lax"
        )
    return answer


def _form(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    token = guard.open_form(request)
    answer = page(request, template, status, **{**values, "csrf": token})
    guard.keep_form(answer, token)
    return answer


def _in(token: str, target: str) -> Response:
    answer = RedirectResponse(target, 303)
    guard.keep(answer, token)
    return answer
