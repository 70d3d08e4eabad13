"""Users: new, status, removal, and the secret of their authenticator app as a QR code."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import segno
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.authy_v1 import shapes
from api_stub.authy_v1.access import Caller, parts_of
from api_stub.authy_v1.errors import USER_NOT_VALID, AuthyError
from api_stub.authy_v1.reading import Given, Parameters
from worker import phone
from worker.authy import AuthyApp, AuthyUser, check_email, international
from worker.errors import InvalidParameterError, NotFoundError
from worker.factors import Change, Factor
from worker.factors.totp import MAX_NAME
from worker.factors.words import MAX_FACTORS, UNVERIFIED, VERIFIED
from worker.paging import Window
from worker.states import Channel
from worker.wiring import Sendcode

router = APIRouter(prefix="/protected/json/users", include_in_schema=False)

ACTIVITIES = ("password_reset", "banned", "unbanned", "cookie_login")
QR_SIZES = range(64, 1025)
QR_SIZE = 300
NO_STORE = {"Cache-Control": "no-store"}
USUAL_COUNTRY = "1"  # Authy's
_FIELDS = {"To": "cellphone", "Email": "email"}


@router.post("/new")
async def create(request: Request, app: Caller, given: Given) -> JSONResponse:
    """The same number is the same user."""
    made = await run_in_threadpool(_register, parts_of(request), app, given)
    return JSONResponse(shapes.user_created(made))


def _register(parts: Sendcode, app: AuthyApp, given: Parameters) -> int:
    given = given.refusing_with(USER_NOT_VALID)
    email = given.text("user[email]") or ""
    country = given.number("user[country_code]") or USUAL_COUNTRY
    cellphone = given.number("user[cellphone]") or ""
    faults = _faults(lambda: phone.parse(international(country, cellphone), Channel.CALL))
    faults |= _faults(lambda: check_email(email))
    if faults:
        raise AuthyError(400, USER_NOT_VALID, "User was not valid", errors=faults)
    number = international(country, cellphone)
    return parts.authy_users.register(app.account_sid, app.service_sid, number, email)


def _faults(check: Callable[[], object]) -> dict[str, str]:
    """What Authy says of the field that does not pass."""
    try:
        check()
    except InvalidParameterError as error:
        return {_FIELDS.get(error.field, error.field): "is invalid"}
    return {}


@router.get("/{authy_id}/status")
async def status(request: Request, app: Caller, authy_id: str) -> JSONResponse:
    def look(parts: Sendcode) -> dict[str, Any]:
        user = parts.authy_users.find(app.service_sid, authy_id)
        return shapes.user_status(user, bool(apps_of(parts, app, user)))

    return JSONResponse(await run_in_threadpool(look, parts_of(request)))


@router.post("/{authy_id}/delete")
@router.post("/{authy_id}/remove")
@router.post("/delete/{authy_id}")
async def remove(request: Request, app: Caller, authy_id: str) -> JSONResponse:
    """Each of the three paths is some client's."""

    def act(parts: Sendcode) -> None:
        user = parts.authy_users.find(app.service_sid, authy_id)
        parts.factors.delete_entity(app.account_sid, app.service_sid, user.identity)

    await run_in_threadpool(act, parts_of(request))
    return JSONResponse({"message": "User removed from application", "success": True})


@router.post("/{authy_id}/register_activity")
async def activity(request: Request, app: Caller, authy_id: str, given: Given) -> JSONResponse:
    """Checked, answered and forgotten: nothing here is decided by what a user did elsewhere."""
    await run_in_threadpool(parts_of(request).authy_users.find, app.service_sid, authy_id)
    if given.required("type") not in ACTIVITIES:
        raise given.refusal("type", f"must be one of {', '.join(ACTIVITIES)}")
    return JSONResponse({"message": "Activity was created.", "success": True})


@router.post("/{authy_id}/secret")
async def secret(request: Request, app: Caller, authy_id: str, given: Given) -> JSONResponse:
    """A new secret for the user's app. It takes the old one's place with its first right token."""
    body = await run_in_threadpool(_enrol, parts_of(request), app, authy_id, given)
    return JSONResponse(body, headers=NO_STORE)


def _enrol(parts: Sendcode, app: AuthyApp, authy_id: str, given: Parameters) -> dict[str, Any]:
    size = given.integer("qr_size", QR_SIZES) or QR_SIZE
    user = parts.authy_users.find(app.service_sid, authy_id)
    where = (app.account_sid, app.service_sid, user.identity)
    name = given.text("label") or _account(user) or app.name
    before = apps_of(parts, app, user, UNVERIFIED)
    enrolment = parts.factors.create_factor(*where, Change(friendly_name=name))
    for earlier in before:  # not before there is another: a refused request ends none
        with suppress(NotFoundError):
            parts.factors.delete_factor(*where, earlier.sid, only=UNVERIFIED)
    return {
        "label": enrolment.factor.friendly_name,
        "issuer": parse_qs(urlsplit(enrolment.uri).query)["issuer"][0],
        "qr_code": _picture(enrolment.uri, size),
        "success": True,
    }


def _account(user: AuthyUser) -> str:
    """What the app shows the user, where it can."""
    return user.email if len(user.email) <= MAX_NAME and ":" not in user.email else ""


def _picture(uri: str, size: int) -> str:
    """A PNG, as a URL that holds it: no address shows a secret to whoever knows it."""
    code = segno.make(uri, error="l", micro=False)
    return code.png_data_uri(scale=max(1, size // code.symbol_size()[0]))


def apps_of(
    parts: Sendcode, app: AuthyApp, user: AuthyUser, status: str = VERIFIED
) -> list[Factor]:
    """The user's authenticator apps in this status, oldest first."""
    where = (app.account_sid, app.service_sid, user.identity)
    found = parts.factors.list_factors(*where, Window(MAX_FACTORS))
    return [factor for factor in found.items if factor.status == status]
