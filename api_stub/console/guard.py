"""Who may come in: the session behind the cookie, its role, and forms that are our own pages'."""

import hmac
import secrets
from dataclasses import replace
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool

from worker import audit
from worker.operators import Role, Session
from worker.operators.words import SESSION_LIFE
from worker.wiring import Sendcode

# `__Host-`: set by this host over TLS for all its paths, so that no neighbour can set it.
# Browsers take it over plain HTTP from 127.0.0.1 and localhost.
COOKIE = "__Host-sendcode"
FORM_COOKIE = "__Host-sendcode-form"
CSRF = "csrf"
READ_ONLY = "read-only"
POLLING = "job"  # the part of a page that asks again and again
_SITES = ("same-origin", "none")


class SignInNeededError(Exception):
    """No session, or it has ended."""


class ForbiddenError(Exception):
    """The session may not do this. The message is for the operator."""


def parts_of(request: Request) -> Sendcode:
    found: Sendcode = request.app.state.doors.state.parts
    return found


def address_of(request: Request) -> str:
    return request.client.host if request.client else ""


def browser_of(request: Request) -> str:
    return request.headers.get("user-agent", "")


def by(request: Request, session: Session) -> audit.Operator:
    """Who acts, for the audit log."""
    operator = session.operator
    return audit.Operator(
        operator.name, address_of(request), admin=operator.role.allows(Role.ADMIN)
    )


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, each once; the boxes that are ticked under one name, by spaces."""
    if request.method != "POST":
        return {}
    found: dict[str, str] = {}
    for name, value in (await request.form()).multi_items():
        if isinstance(value, str):
            found[name] = f"{found[name]} {value}" if name in found else value
    return found


Fields = Annotated[dict[str, str], Depends(form_of)]


class Needs:
    """The session of an operator who has this role or one that includes it.

    :param enrolling: also one that has yet to set up its second factor
    :param by_itself: pages ask for this without a person, which keeps no session from ending
    :raises SignInNeededError: nobody is signed in
    :raises ForbiddenError: the role does not do, or a form comes from elsewhere
    """

    def __init__(self, role: Role, enrolling: bool = False, by_itself: bool = False) -> None:
        self.role = role
        self.enrolling = enrolling
        self.by_itself = by_itself

    async def __call__(self, request: Request, fields: Fields) -> Session:
        token = request.cookies.get(COOKIE, "")
        if not token:
            raise SignInNeededError
        used = not self.by_itself and request.headers.get("hx-trigger") != POLLING
        found = await run_in_threadpool(parts_of(request).operators.session, token, used)
        if found is None:
            raise SignInNeededError
        request.state.session = found
        request.state.csrf = csrf_of(token)
        if request.method != "GET":
            require_own_form(request, fields, request.state.csrf)
        if found.only_enrols and not self.enrolling:
            raise ForbiddenError("Set up your second factor first: see Account.")
        if is_read_only(request):
            found = request.state.session = looking(found)
        require_role(request, found, self.role)
        return found


def is_read_only(request: Request) -> bool:
    """Whether this console lets nobody act, whatever their role."""
    return parts_of(request).settings.console == READ_ONLY


def looking(session: Session) -> Session:
    """The session of one who may look and nothing else."""
    return replace(session, operator=replace(session.operator, role=Role.VIEWER))


def require_role(request: Request, session: Session, role: Role) -> None:
    """
    :raises ForbiddenError: the session's operator has no role that includes it
    """
    if session.operator.role.allows(role):
        return
    if is_read_only(request):
        raise ForbiddenError("This console is for looking alone: act in another, or by `sendcode`.")
    raise ForbiddenError(f"This needs the role {role}; yours is {session.operator.role}.")


may_view = Needs(Role.VIEWER)
may_watch = Needs(Role.VIEWER, by_itself=True)
may_operate = Needs(Role.OPERATOR)
may_administer = Needs(Role.ADMIN)
may_enrol = Needs(Role.VIEWER, enrolling=True)
Viewer = Annotated[Session, Depends(may_view)]
Watcher = Annotated[Session, Depends(may_watch)]
Actor = Annotated[Session, Depends(may_operate)]
Admin = Annotated[Session, Depends(may_administer)]
Enrolling = Annotated[Session, Depends(may_enrol)]


def csrf_of(token: str) -> str:
    """The token of a session's forms: who does not have the cookie cannot make it."""
    return hmac.digest(token.encode(), b"sendcode console form", "sha256").hex()


def require_own_form(request: Request, fields: dict[str, str], expected: str) -> None:
    """
    :raises ForbiddenError: the form has another token, or another site sent it
    """
    given = fields.get(CSRF, "")
    site = request.headers.get("sec-fetch-site", "none")
    if site not in _SITES or not hmac.compare_digest(given.encode(), expected.encode()):
        raise ForbiddenError("This form is out of date or was sent by another site: open it anew.")


def open_form(request: Request) -> str:
    """The token of a form for those who are not signed in; it goes into `FORM_COOKIE` too."""
    return request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(24)


def require_open_form(request: Request, fields: dict[str, str]) -> None:
    """
    :raises ForbiddenError: the form does not come from our own page
    """
    require_own_form(request, fields, request.cookies.get(FORM_COOKIE) or secrets.token_hex())


def keep(answer: Response, token: str) -> None:
    """Put a session into the browser."""
    answer.set_cookie(
        COOKIE, token, max_age=SESSION_LIFE // 1000, path="/", secure=True, httponly=True,
        samesite="lax",
    )  # fmt: skip


def keep_form(answer: Response, token: str) -> None:
    answer.set_cookie(FORM_COOKIE, token, path="/", secure=True, httponly=True, samesite="lax")


def forget(answer: Response) -> None:
    """Take the session out of the browser."""
    answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")


def own_path(given: str) -> str:
    """A page of the console to go on to; the overview where it is none."""
    parts = urlsplit(given)
    own = given.startswith("/console/") and not parts.netloc and not parts.scheme
    return given if own and "\\" not in given and given.isprintable() else "/console/"
