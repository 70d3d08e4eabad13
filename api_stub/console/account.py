"""An operator's own page: password, second factor and sessions."""

import base64
import io

import segno
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from api_stub.console.guard import Enrolling, Fields, by, parts_of
from api_stub.console.pages import link, page
from worker.errors import InvalidParameterError, SignInRefusedError
from worker.operators import Session

router = APIRouter()


@router.get("/account")
def show(request: Request, session: Enrolling) -> Response:
    return _page(request, session)


@router.post("/account/password")
def set_password(request: Request, session: Enrolling, fields: Fields) -> Response:
    """A new password; the other sessions end."""
    new, room = fields.get("password", ""), parts_of(request).operators
    if new != fields.get("again", ""):
        return _page(request, session, wrong="The two passwords differ.")
    given = (session.operator, new, fields.get("current", ""), session.sid, by(request, session))
    try:
        room.set_password(*given)
    except InvalidParameterError as error:
        return _page(request, session, wrong=f"The {error.field} password {error.reason}."
                     if error.field == "current" else f"The password {error.reason}.")  # fmt: skip
    except SignInRefusedError as error:
        return _page(request, session, wrong=_too_often(error))
    return RedirectResponse(link("/account"), 303)


@router.post("/account/factor")
def offer_factor(request: Request, session: Enrolling) -> Response:
    """Show the QR code of a new second factor."""
    uri, offer = parts_of(request).operators.offer_totp(session.operator)
    return _factor(request, uri, offer)


@router.post("/account/factor/accept")
def accept_factor(request: Request, session: Enrolling, fields: Fields) -> Response:
    """Put the offered second factor in force by its first code."""
    room, offer = parts_of(request).operators, fields.get("offer", "")
    try:
        uri = room.offered_uri(session.operator, offer)
    except InvalidParameterError:
        return RedirectResponse(link("/account"), 303)
    try:
        given = (session.operator, offer, fields.get("code", ""), session.sid, by(request, session))
        room.accept_totp(*given, fields.get("current", ""))
    except InvalidParameterError as error:
        what = "password" if error.field == "current" else "code"
        return _factor(request, uri, offer, f"The {what} {error.reason}.")
    except SignInRefusedError as error:
        return _factor(request, uri, offer, _too_often(error))
    return RedirectResponse(link("/account"), 303)


def _too_often(error: SignInRefusedError) -> str:
    return f"The present password was tried too often: wait {error.retry_after} s."


def _page(request: Request, session: Session, wrong: str = "") -> Response:
    every = parts_of(request).operators.sessions()
    own = [one for one in every if one.operator.sid == session.operator.sid]
    status = 400 if wrong else 200
    return page(request, "account.html", status, back="/account", sessions=own, wrong=wrong)


def _factor(request: Request, uri: str, offer: str, wrong: str = "") -> Response:
    picture = io.BytesIO()
    segno.make(uri, error="m", micro=False).save(picture, kind="png", scale=5, border=4)
    encoded = base64.b64encode(picture.getvalue()).decode()
    secret = uri.partition("secret=")[2].partition("&")[0]
    return page(
        request, "factor.html", 400 if wrong else 200, back="/account", picture=encoded,
        offer=offer, wrong=wrong,
        secret=" ".join(secret[i : i + 4] for i in range(0, len(secret), 4)),
    )  # fmt: skip
