"""Services: create, fetch, list, update and delete."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.auth import acting
from api_stub.errors import invalid
from api_stub.parameters import Parameters
from api_stub.verify_v2 import paging, shapes
from api_stub.verify_v2.common import Admin, Given, Reader, ServiceSid, base_of, parts_of
from api_stub.verify_v2.openapi import SERVICE, form, listing
from worker.errors import FactorParameterError
from worker.factors import totp
from worker.plan import read_plan

router = APIRouter(prefix="/v2", tags=["Services"])

_FLAGS = {
    "CustomCodeEnabled": "custom_code_enabled",
    "LookupEnabled": "lookup_enabled",
    "Psd2Enabled": "psd2_enabled",
    "SkipSmsToLandlines": "skip_sms_to_landlines",
}
_TAKEN_AWAY = {  # by an empty value
    "DefaultTemplateSid": "default_template_sid",
    "SendLimit": "send_limit",
    "CheckLimit": "check_limit",
}
_TOTP = {
    "Totp.TimeStep": ("totp_time_step", range(20, 61)),
    "Totp.CodeLength": ("totp_code_length", range(3, 9)),
    "Totp.Skew": ("totp_skew", range(3)),
}


def _settings(given: Parameters) -> dict[str, Any]:
    """The service's settings under our names, those that were given."""
    found: dict[str, Any] = {
        "code_length": given.integer("CodeLength"),
        "press_key": given.boolean("DtmfInputRequired"),
        "spoken_name": given.text("TtsName"),
        "default_template_sid": given.text("DefaultTemplateSid"),
        "do_not_share": given.boolean("DoNotShareWarningEnabled"),
        # Ours, beside Twilio's names.
        "code_life": given.integer("CodeLife"),
        "send_limit": given.integer("SendLimit"),
        "check_limit": given.integer("CheckLimit"),
        "web_origin": given.text("WebOrigin"),
    }
    if given.given("Fallback"):
        found["plan"] = read_plan(given.text("Fallback") or "")
    return {key: value for key, value in found.items() if value is not None}


def _twilio_only(given: Parameters) -> dict[str, Any]:
    kept: dict[str, Any] = {name: given.boolean(flag) for flag, name in _FLAGS.items()}
    kept["totp_issuer"] = _issuer(given.text("Totp.Issuer"))
    for field, (name, allowed) in _TOTP.items():
        kept[name] = given.integer(field)
        if kept[name] is not None and kept[name] not in allowed:
            raise invalid(field, f"must be from {allowed[0]} to {allowed[-1]}")
    return {key: value for key, value in kept.items() if value is not None}


def _issuer(name: str | None) -> str | None:
    try:
        return name and totp.check_name(name, "Totp.Issuer")
    except FactorParameterError as error:
        raise invalid(error.field, error.reason) from None


@router.post("/Services", status_code=201, openapi_extra=form(SERVICE, required=["FriendlyName"]))
async def create(request: Request, account: Admin, given: Given) -> JSONResponse:
    given.only(*SERVICE)
    name = given.required("FriendlyName")
    made = await run_in_threadpool(
        parts_of(request).services.create,
        account,
        name,
        by=acting(request),
        twilio_only=_twilio_only(given),
        **_settings(given),
    )
    return JSONResponse(shapes.service(made, base_of(request)), 201)


@router.get("/Services", openapi_extra=listing())
async def page(request: Request, account: Reader) -> JSONResponse:
    asked, base = paging.asked(request), base_of(request)
    found = await run_in_threadpool(parts_of(request).services.slice, account, asked.window)
    body = paging.envelope(
        "services",
        found,
        asked,
        url=f"{base}/v2/Services",
        shape=lambda one: shapes.service(one, base),
        key=lambda one: one.sid,
    )
    return JSONResponse(body)


@router.get("/Services/{sid}")
async def fetch(request: Request, account: Reader, sid: ServiceSid) -> JSONResponse:
    found = await run_in_threadpool(parts_of(request).services.fetch, account, sid)
    return JSONResponse(shapes.service(found, base_of(request)))


@router.post("/Services/{sid}", openapi_extra=form(SERVICE))
async def update(request: Request, account: Admin, sid: ServiceSid, given: Given) -> JSONResponse:
    given.only(*SERVICE)
    settings = _settings(given)
    if given.given("FriendlyName"):
        settings["friendly_name"] = given.required("FriendlyName")
    settings |= {key: None for name, key in _TAKEN_AWAY.items() if given.emptied(name)}
    if kept := _twilio_only(given):
        settings["twilio_only"] = kept
    services = parts_of(request).services
    found = await run_in_threadpool(services.update, account, sid, by=acting(request), **settings)
    return JSONResponse(shapes.service(found, base_of(request)))


@router.delete("/Services/{sid}", status_code=204)
async def delete(request: Request, account: Admin, sid: ServiceSid) -> Response:
    await run_in_threadpool(parts_of(request).services.delete, account, sid, acting(request))
    return Response(status_code=204)
