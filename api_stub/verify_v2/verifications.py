"""Verifications: start, fetch, cancel and check."""

import json
import re
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.errors import ApiError, invalid, not_found
from api_stub.parameters import Parameters
from api_stub.verify_v2 import shapes
from api_stub.verify_v2.common import Checker, Given, Reader, ServiceSid, Starter, parts_of
from api_stub.verify_v2.openapi import CHECK, START, STATUS, form
from worker.errors import NotFoundError, TemplateNotFoundError
from worker.ratelimits import MAX_LIMITS
from worker.states import Channel, VerificationStatus
from worker.verifications import Payment, Start

router = APIRouter(prefix="/v2/Services/{service_sid}", tags=["Verifications"])
# Start and check, the doors' daily bread: see `api_stub.direct`.
direct = APIRouter(prefix=router.prefix, tags=["Verifications"])

_SID = re.compile(r"VE[0-9a-f]{32}", re.ASCII)
VerificationKey = Annotated[
    str,
    Path(
        description="the sid, or the number in any international spelling",
        json_schema_extra={"pattern": r"^(VE[0-9a-f]{32}|\+[1-9][0-9]{6,14})$"},
    ),
]
_CHANNELS = {"sms": Channel.SMS, "call": Channel.CALL}
_NOT_OFFERED = ("email", "whatsapp", "sna", "auto", "rcs")
# What changes a start's meaning and is not built: refused, never dropped in silence.
_UNSUPPORTED = {
    "CustomMessage": (400, 60243, "Custom messages are not supported"),
}
MAX_RATE_VALUE = 256
# A header, since the body has Twilio's keys and no other.
REMAINING = "Sendcode-Attempts-Remaining"


def _channel(given: Parameters) -> Channel:
    name = given.required("Channel").lower()
    if name in _NOT_OFFERED:
        raise ApiError(400, 60223, f"Delivery channel disabled: {name.upper()}")
    if name not in _CHANNELS:
        raise invalid("Channel", "must be sms or call")
    return _CHANNELS[name]


def _target(sid: str) -> dict[str, Any]:
    """A path's last part is a verification's sid, or a number."""
    if _SID.fullmatch(sid):
        return {"sid": sid}
    if sid[:1].isalpha() and not sid.lower().startswith("tel:"):
        raise NotFoundError("verification")
    return {"to": sid}


def _payment(given: Parameters) -> Payment | None:
    """Amount and payee, empty where one is missing, or None where neither is given."""
    amount, payee = given.text("Amount"), given.text("Payee")
    if amount is None and payee is None:
        return None
    return Payment(amount or "", payee or "")


def _object(given: Parameters, name: str) -> dict[str, Any]:
    """A parameter that is a JSON object; empty where it is absent."""
    text = given.text(name)
    try:
        found = {} if text is None else json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise invalid(name, "must be a JSON object")
    return found


def _rate_limits(given: Parameters) -> dict[str, str]:
    found = _object(given, "RateLimits")
    if len(found) > MAX_LIMITS or not all(
        isinstance(value, str) and 0 < len(value) <= MAX_RATE_VALUE for value in found.values()
    ):
        raise invalid("RateLimits", f"values must be strings of 1 to {MAX_RATE_VALUE} characters")
    if any(not value.isprintable() for pair in found.items() for value in pair):
        raise invalid("RateLimits", "holds a character that cannot be used")
    return found


def _no_substitutions(given: Parameters) -> None:
    """Our templates have no places but the code's and the name's."""
    if _object(given, "TemplateCustomSubstitutions"):
        raise invalid("TemplateCustomSubstitutions", "the template has no place for any of them")


def _template(given: Parameters, channel: Channel) -> str | None:
    sid = given.text("TemplateSid")
    if sid is None:
        return None
    if not re.fullmatch(r"HJ[0-9a-f]{32}", sid, re.ASCII):
        raise ApiError(404, 60228, "template not found")
    if channel is not Channel.SMS:
        raise ApiError(404, 60227, "The template has no text for this channel")
    return sid


@direct.post(
    "/Verifications",
    status_code=201,
    openapi_extra=form(START, required=["To", "Channel"]),
)
async def start(
    request: Request, account: Starter, service_sid: ServiceSid, given: Given
) -> JSONResponse:
    given.only(*START, *_UNSUPPORTED)
    for name, (status, code, message) in _UNSUPPORTED.items():
        if given.given(name):
            raise ApiError(status, code, message)
    channel = _channel(given)
    _no_substitutions(given)
    app_hash = given.text("AppHash")
    if app_hash and channel is not Channel.SMS:
        raise ApiError(400, 60602, "AppHash is supported with channel SMS only")
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        raise invalid("Idempotency-Key", "must be 1 to 255 printable ASCII characters")
    wanted = Start(
        service_sid=service_sid,
        to=given.required("To"),
        channel=channel,
        locale=given.text("Locale"),
        friendly_name=given.text("CustomFriendlyName"),
        app_hash=app_hash,
        template_sid=_template(given, channel),
        custom_code=given.text("CustomCode"),
        payment=_payment(given),
        send_digits=given.text("SendDigits"),
        rate_limits=_rate_limits(given),
        request_id=f"http {key}" if key else None,
    )
    parts = parts_of(request)
    try:
        started = await run_in_threadpool(parts.verifications.start, account, wanted)
    except TemplateNotFoundError as error:
        raise ApiError(404, 60229 if error.locale else 60228, str(error)) from None
    return JSONResponse(shapes.verification(started, parts.settings.base_url), 201)


@router.get("/Verifications/{sid}")
async def fetch(
    request: Request, account: Reader, service_sid: ServiceSid, sid: VerificationKey
) -> JSONResponse:
    parts = parts_of(request)
    found = await run_in_threadpool(parts.verifications.fetch, account, service_sid, **_target(sid))
    if found.status is not VerificationStatus.PENDING:
        raise not_found(request, {"reason": found.status.value})
    return JSONResponse(shapes.verification(found, parts.settings.base_url))


@router.post("/Verifications/{sid}", openapi_extra=form(STATUS, required=["Status"]))
async def end(
    request: Request, account: Checker, service_sid: ServiceSid, sid: VerificationKey, given: Given
) -> JSONResponse:
    given.only(*STATUS)
    status = given.required("Status").lower()
    if status not in ("canceled", "approved"):
        raise invalid("Status", "must be canceled or approved")
    parts = parts_of(request)
    ended = await run_in_threadpool(
        parts.verifications.cancel,
        account,
        service_sid,
        status=VerificationStatus(status),
        **_target(sid),
    )
    return JSONResponse(shapes.verification(ended, parts.settings.base_url))


@direct.post(
    "/VerificationCheck",
    openapi_extra=form(CHECK, required=["Code"], one_of_these=["To", "VerificationSid"]),
)
async def check(
    request: Request, account: Checker, service_sid: ServiceSid, given: Given
) -> JSONResponse:
    given.only(*CHECK)
    to, sid = given.text("To"), given.text("VerificationSid")
    if not to and not sid:
        raise ApiError(400, 60221, "Name the verification: To or VerificationSid is required")
    code = given.required("Code")
    if sid and not _SID.fullmatch(sid):
        raise not_found(request, {"reason": "unknown", "attempts_remaining": 0})
    parts = parts_of(request)
    try:
        checked = await run_in_threadpool(
            parts.verifications.check,
            account,
            service_sid,
            code,
            sid=sid,
            to=to,
            payment=_payment(given),
        )
    except NotFoundError as error:
        raise not_found(request, {"reason": error.reason, "attempts_remaining": 0}) from None
    left = max(0, checked.max_checks - checked.checks)
    return JSONResponse(shapes.check(checked), headers={REMAINING: str(left)})
