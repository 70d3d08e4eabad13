"""Tokens: sent by SMS or call, and verified. A token is the code just sent, or the app's."""

import re
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.authy_v1 import shapes
from api_stub.authy_v1.access import Caller, parts_of
from api_stub.authy_v1.errors import token_invalid
from api_stub.authy_v1.reading import Given, Parameters
from api_stub.authy_v1.users import apps_of
from worker import phone
from worker.authy import AuthyApp, AuthyUser
from worker.errors import (
    ChecksSpentError,
    FactorParameterError,
    FactorRefusedError,
    InvalidParameterError,
    NotFoundError,
    NumberDisabledError,
    PaymentError,
    SendcodeError,
)
from worker.factors import Asked, Change
from worker.factors.words import APPROVED, UNVERIFIED, VERIFIED
from worker.states import Channel, VerificationStatus
from worker.verifications import Start
from worker.wiring import Sendcode

router = APIRouter(prefix="/protected/json", include_in_schema=False)

# They bind a token to one action, which a code of ours cannot be: refused, never dropped.
NOT_OFFERED = ("action", "action_message")
_TOKEN = re.compile(r"[0-9]{4,12}", re.ASCII)


@router.get("/sms/{authy_id}")
async def sms(request: Request, app: Caller, authy_id: str, given: Given) -> JSONResponse:
    body = await run_in_threadpool(
        _send, parts_of(request), app, authy_id, Channel.SMS, given, request_id(request, app)
    )
    return JSONResponse(body)


@router.get("/call/{authy_id}")
async def call(request: Request, app: Caller, authy_id: str, given: Given) -> JSONResponse:
    body = await run_in_threadpool(
        _send, parts_of(request), app, authy_id, Channel.CALL, given, request_id(request, app)
    )
    return JSONResponse(body)


def request_id(request: Request, app: AuthyApp) -> str | None:
    """Ours: the same `Idempotency-Key` twice is one message."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        raise InvalidParameterError(
            "Idempotency-Key", "must be 1 to 255 printable ASCII characters"
        )
    return f"authy {app.service_sid} {key}"


def _send(
    parts: Sendcode,
    app: AuthyApp,
    authy_id: str,
    channel: Channel,
    given: Parameters,
    request_id: str | None,
) -> dict[str, Any]:
    """Nothing goes out to a user who has an app, unless `force` says so."""
    given.refuse(*NOT_OFFERED)
    user = parts.authy_users.find(app.service_sid, authy_id)
    if not given.flag("force") and apps_of(parts, app, user):
        return shapes.token_ignored(user, channel)
    phone.parse(user.number, channel)  # says of a landline that it is one
    wanted = Start(
        service_sid=app.service_sid,
        to=user.number,
        channel=channel,
        locale=given.text("locale"),
        request_id=request_id,
    )
    parts.verifications.start(app.account_sid, wanted)
    return shapes.token_sent(user, channel)


@router.get("/verify/{token}/{authy_id}")
async def verify(
    request: Request, app: Caller, token: str, authy_id: str, given: Given
) -> JSONResponse:
    """`force` makes no difference: Authy let any token pass for a new user, here none does."""
    given.refuse(*NOT_OFFERED)
    await run_in_threadpool(_verify, parts_of(request), app, token, authy_id)
    return JSONResponse(shapes.token_valid())


def _verify(parts: Sendcode, app: AuthyApp, token: str, authy_id: str) -> None:
    user = parts.authy_users.find(app.service_sid, authy_id)
    if not _TOKEN.fullmatch(token):
        raise token_invalid()
    wrong, refused = [], list[SendcodeError]()
    for way in (_was_sent, _is_of_app, _is_of_new_app):
        try:
            right = way(parts, app, user, token)
        except (ChecksSpentError, NumberDisabledError, FactorRefusedError) as error:
            refused.append(error)
            continue
        except (NotFoundError, FactorParameterError) as error:
            if isinstance(error, NotFoundError) and error.kind == "entity":
                raise  # the user was removed at this moment
            continue  # the app was: another token has just verified it, or its successor
        if right:
            parts.authy_users.confirm(user)
            if _was_sent in wrong:
                parts.verifications.take_back_failure(app.service_sid, user.number)
            return
        if right is False:
            wrong.append(way)
    # Why a way was closed is said only where no other was open.
    raise refused[0] if refused and not wrong else token_invalid()


def _was_sent(parts: Sendcode, app: AuthyApp, user: AuthyUser, token: str) -> bool | None:
    """Whether it is the code last sent to the user's number, which takes a guess; None where none
    is alive, or none of this length.
    """
    try:
        checked = parts.verifications.check(app.account_sid, app.service_sid, token, to=user.number)
    except (NotFoundError, InvalidParameterError, PaymentError):
        return None
    return checked.status is VerificationStatus.APPROVED


def _is_of_app(parts: Sendcode, app: AuthyApp, user: AuthyUser, token: str) -> bool | None:
    """Whether it is that of one of the apps, each of which takes a guess; None where none is of
    this length.

    :raises FactorRefusedError: none could be asked
    """
    where = (app.account_sid, app.service_sid, user.identity)
    wrong, refused = list[str](), list[FactorRefusedError]()
    for factor in apps_of(parts, app, user):
        if len(token) != factor.config.digits:
            continue
        asked = Asked(factor_sid=factor.sid)
        try:
            right = parts.factors.create_challenge(*where, asked, token).status == APPROVED
        except FactorRefusedError as error:
            refused.append(error)
            continue
        if right:
            parts.factors.take_back_failure(wrong)
            return True
        wrong.append(factor.sid)
    if refused and not wrong:
        raise refused[0]
    return False if wrong else None


def _is_of_new_app(parts: Sendcode, app: AuthyApp, user: AuthyUser, token: str) -> bool | None:
    """Whether it is the first right one of an app being enrolled, which then replaces the old."""
    where = (app.account_sid, app.service_sid, user.identity)
    for factor in apps_of(parts, app, user, UNVERIFIED)[-1:]:
        if len(token) != factor.config.digits:
            return None
        old = apps_of(parts, app, user)
        if parts.factors.update_factor(*where, factor.sid, Change(), token).status != VERIFIED:
            return False
        for one in old:
            with suppress(NotFoundError):
                parts.factors.delete_factor(*where, one.sid)
        return True
    return None
