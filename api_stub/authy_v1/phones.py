"""Phone verification v1: start, check and status of a number, and what is known of one."""

import re
import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.authy_v1 import shapes
from api_stub.authy_v1.access import Caller, parts_of
from api_stub.authy_v1.errors import (
    CODE_INCORRECT,
    NOTHING_PENDING,
    VERIFICATION_INVALID,
    AuthyError,
    invalid,
)
from api_stub.authy_v1.reading import Given, Parameters
from api_stub.authy_v1.tokens import request_id
from worker import phone
from worker.authy import AuthyApp, international
from worker.errors import InvalidParameterError, NotFoundError
from worker.states import Channel, VerificationStatus
from worker.verifications import Start
from worker.wiring import Sendcode

router = APIRouter(prefix="/protected/json/phones", include_in_schema=False)

CODE_LENGTHS = range(4, 11)
CODE_LENGTH = 4  # Authy's, where none is asked for
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_CHANNELS = {"sms": Channel.SMS, "call": Channel.CALL}


def _number(given: Parameters) -> str:
    return international(given.required("country_code"), given.required("phone_number"))


@router.post("/verification/start")
async def start(request: Request, app: Caller, given: Given) -> JSONResponse:
    given = given.refusing_with(VERIFICATION_INVALID)
    body = await run_in_threadpool(_start, parts_of(request), app, given, request_id(request, app))
    return JSONResponse(body)


def _start(
    parts: Sendcode, app: AuthyApp, given: Parameters, request_id: str | None
) -> dict[str, Any]:
    given.refuse("custom_message")
    channel = _CHANNELS.get(given.required("via").lower())
    if channel is None:
        raise given.refusal("via", "must be sms or call")
    number = phone.parse(_number(given), channel).e164  # says of a landline that it is one
    custom_code = given.text("custom_code")
    length = given.integer("code_length", CODE_LENGTHS) or CODE_LENGTH
    wanted = Start(
        service_sid=app.service_sid,
        to=number,
        channel=channel,
        locale=given.text("locale"),
        custom_code=custom_code,
        code_length=None if custom_code else length,
        request_id=request_id,
    )
    try:
        started = parts.verifications.start(app.account_sid, wanted)
    except InvalidParameterError as error:
        raise invalid(error, VERIFICATION_INVALID) from None
    return shapes.verification_started(started, custom_code is not None)


@router.get("/verification/check")
async def check(request: Request, app: Caller, given: Given) -> JSONResponse:
    given = given.refusing_with(VERIFICATION_INVALID)
    await run_in_threadpool(_check, parts_of(request), app, given)
    return JSONResponse({"message": "Verification code is correct.", "success": True})


def _check(parts: Sendcode, app: AuthyApp, given: Parameters) -> None:
    code = given.text("verification_code")
    if code is None:
        raise given.refusal("verification_code", "is required")
    number = phone.parse(_number(given), Channel.CALL).e164
    try:
        checked = parts.verifications.check(app.account_sid, app.service_sid, code, to=number)
    except NotFoundError:
        raise _nothing_pending(number) from None
    except InvalidParameterError:
        raise _incorrect() from None  # not as many digits as were sent: no guess is taken
    if checked.status is not VerificationStatus.APPROVED:
        raise _incorrect()


@router.get("/verification/status")
async def status(request: Request, app: Caller, given: Given) -> JSONResponse:
    given = given.refusing_with(VERIFICATION_INVALID)
    return JSONResponse(await run_in_threadpool(_status, parts_of(request), app, given))


def _status(parts: Sendcode, app: AuthyApp, given: Parameters) -> dict[str, Any]:
    uuid, where = given.text("uuid"), (app.account_sid, app.service_sid)
    if uuid is None:
        number = phone.parse(_number(given), Channel.CALL).e164
        try:
            found = parts.verifications.fetch(*where, to=number)
        except NotFoundError:
            raise _nothing_pending(number) from None
    elif _UUID.fullmatch(uuid):
        found = parts.verifications.fetch(*where, sid=shapes.sid_of(uuid))
    else:
        raise given.refusal("uuid", "is not one")
    return shapes.verification_status(found, time.time_ns() // 1_000_000)


@router.get("/info")
async def info(request: Request, app: Caller, given: Given) -> JSONResponse:
    """As far as the numbering plan tells: nobody else is asked."""
    number = phone.parse(_number(given), Channel.CALL).e164
    return JSONResponse(await run_in_threadpool(shapes.phone_info, number))


def _incorrect() -> AuthyError:
    return AuthyError(401, CODE_INCORRECT, "Verification code is incorrect")


def _nothing_pending(number: str) -> AuthyError:
    """Authy repeats the number here; callers log errors, so we do not."""
    code, rest = shapes.masked(number)
    message = f"No pending verifications for +{code} {rest} found."
    return AuthyError(404, NOTHING_PENDING, message)
