"""Webhooks as Verify has them: they tell of factors and challenges."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.errors import invalid
from api_stub.parameters import Parameters
from api_stub.verify_v2 import paging
from api_stub.verify_v2.common import Admin, Given, Reader, ServiceSid, base_of, parts_of
from api_stub.verify_v2.openapi import WEBHOOK, form, listing
from api_stub.verify_v2.shapes import date
from worker.factor_webhooks import FactorWebhook

router = APIRouter(prefix="/v2/Services/{service_sid}", tags=["Webhooks"])
WebhookSid = Annotated[str, Path(pattern=r"^YW[0-9a-f]{32}$")]
_REQUIRED = ("FriendlyName", "EventTypes", "WebhookUrl")
_TEXTS = {
    "FriendlyName": "friendly_name",
    "WebhookUrl": "webhook_url",
    "Status": "status",
    "Version": "version",
}


def _values(given: Parameters) -> dict[str, Any]:
    given.only(*WEBHOOK)
    found: dict[str, Any] = {name: given.text(field) for field, name in _TEXTS.items()}
    found["event_types"] = given.texts("EventTypes") or None
    return {name: value for name, value in found.items() if value is not None}


def _url(service_sid: str, base_url: str) -> str:
    return f"{base_url}/v2/Services/{service_sid}/Webhooks"


def _shape(found: FactorWebhook, base_url: str) -> dict[str, Any]:
    return {
        "sid": found.sid,
        "service_sid": found.service_sid,
        "account_sid": found.account_sid,
        "friendly_name": found.friendly_name,
        "event_types": list(found.event_types),
        "status": found.status,
        "version": found.version,
        "webhook_url": found.webhook_url,
        "webhook_method": "POST",
        "date_created": date(found.created_at),
        "date_updated": date(found.updated_at),
        "url": f"{_url(found.service_sid, base_url)}/{found.sid}",
    }


@router.post("/Webhooks", status_code=201, openapi_extra=form(WEBHOOK, required=_REQUIRED))
async def create(
    request: Request, account: Admin, service_sid: ServiceSid, given: Given
) -> JSONResponse:
    values = _values(given)
    for name in _REQUIRED:
        if not (given.texts(name) if name == "EventTypes" else given.given(name)):
            raise invalid(name, "is required")
    hooks = parts_of(request).factor_webhooks
    made = await run_in_threadpool(hooks.create, account, service_sid, **values)
    return JSONResponse(_shape(made, base_of(request)), 201)


@router.get("/Webhooks", openapi_extra=listing())
async def page(request: Request, account: Reader, service_sid: ServiceSid) -> JSONResponse:
    asked, base = paging.asked(request), base_of(request)
    hooks = parts_of(request).factor_webhooks
    found = await run_in_threadpool(hooks.page, account, service_sid, asked.window)
    body = paging.envelope(
        "webhooks",
        found,
        asked,
        url=_url(service_sid, base),
        shape=lambda one: _shape(one, base),
        key=lambda one: one.sid,
    )
    return JSONResponse(body)


@router.get("/Webhooks/{sid}")
async def fetch(
    request: Request, account: Reader, service_sid: ServiceSid, sid: WebhookSid
) -> JSONResponse:
    hooks = parts_of(request).factor_webhooks
    found = await run_in_threadpool(hooks.fetch, account, service_sid, sid)
    return JSONResponse(_shape(found, base_of(request)))


@router.post("/Webhooks/{sid}", openapi_extra=form(WEBHOOK))
async def update(
    request: Request, account: Admin, service_sid: ServiceSid, sid: WebhookSid, given: Given
) -> JSONResponse:
    hooks = parts_of(request).factor_webhooks
    found = await run_in_threadpool(hooks.update, account, service_sid, sid, **_values(given))
    return JSONResponse(_shape(found, base_of(request)))


@router.delete("/Webhooks/{sid}", status_code=204)
async def delete(
    request: Request, account: Admin, service_sid: ServiceSid, sid: WebhookSid
) -> Response:
    hooks = parts_of(request).factor_webhooks
    await run_in_threadpool(hooks.delete, account, service_sid, sid)
    return Response(status_code=204)
