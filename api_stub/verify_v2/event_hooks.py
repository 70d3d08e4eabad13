"""Event hooks: where a backend wants to be told what becomes of its verifications. Ours."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.auth import acting
from api_stub.errors import invalid
from api_stub.verify_v2 import paging
from api_stub.verify_v2.common import Admin, Given, Reader, ServiceSid, base_of, parts_of
from api_stub.verify_v2.openapi import HOOK, form, listing
from api_stub.verify_v2.shapes import date
from worker.factor_webhooks import STATUSES
from worker.hooks import Hook

router = APIRouter(prefix="/v2/Services/{service_sid}", tags=["Event hooks"])
HookSid = Annotated[str, Path(pattern=r"^EH[0-9a-f]{32}$")]
_NEW = {name: HOOK[name] for name in ("Url", "EventTypes")}


def _url(service_sid: str, base_url: str) -> str:
    return f"{base_url}/v2/Services/{service_sid}/EventHooks"


def _shape(found: Hook, base_url: str) -> dict[str, Any]:
    return {
        "sid": found.sid,
        "account_sid": found.account_sid,
        "service_sid": found.service_sid,
        "hook_url": found.url,
        "event_types": [event.value for event in found.events],
        "status": "enabled" if found.enabled else "disabled",
        "failures": found.failures,
        "date_created": date(found.created_at),
        "date_updated": date(found.updated_at),
        "url": f"{_url(found.service_sid, base_url)}/{found.sid}",
    }


@router.post("/EventHooks", status_code=201, openapi_extra=form(_NEW, required=list(_NEW)))
async def create(
    request: Request, account: Admin, service_sid: ServiceSid, given: Given
) -> JSONResponse:
    """Make a hook. The secret that signs what it is told is in this answer and in no other."""
    given.only(*_NEW)
    url, wanted = given.required("Url"), given.texts("EventTypes")
    if not wanted:
        raise invalid("EventTypes", "is required")
    hooks = parts_of(request).hooks
    made, secret = await run_in_threadpool(
        hooks.create, account, service_sid, url, wanted, acting(request)
    )
    body = _shape(made, base_of(request)) | {"secret": secret}
    return JSONResponse(body, 201, {"Cache-Control": "no-store"})


@router.get("/EventHooks", openapi_extra=listing())
async def page(request: Request, account: Reader, service_sid: ServiceSid) -> JSONResponse:
    asked, base = paging.asked(request), base_of(request)
    found = await run_in_threadpool(
        parts_of(request).hooks.page, account, service_sid, asked.window
    )
    body = paging.envelope(
        "event_hooks",
        found,
        asked,
        url=_url(service_sid, base),
        shape=lambda one: _shape(one, base),
        key=lambda one: one.sid,
    )
    return JSONResponse(body)


@router.get("/EventHooks/{sid}")
async def fetch(
    request: Request, account: Reader, service_sid: ServiceSid, sid: HookSid
) -> JSONResponse:
    found = await run_in_threadpool(parts_of(request).hooks.fetch, account, service_sid, sid)
    return JSONResponse(_shape(found, base_of(request)))


@router.post("/EventHooks/{sid}", openapi_extra=form(HOOK))
async def update(
    request: Request, account: Admin, service_sid: ServiceSid, sid: HookSid, given: Given
) -> JSONResponse:
    given.only(*HOOK)
    status = given.text("Status")
    if status is not None and status not in STATUSES:
        raise invalid("Status", "must be enabled or disabled")
    values = {
        "url": given.text("Url"),
        "events": given.texts("EventTypes") or None,
        "enabled": status and status == "enabled",
    }
    changed = {name: value for name, value in values.items() if value is not None}
    hooks = parts_of(request).hooks
    found = await run_in_threadpool(
        hooks.update, account, service_sid, sid, by=acting(request), **changed
    )
    return JSONResponse(_shape(found, base_of(request)))


@router.delete("/EventHooks/{sid}", status_code=204)
async def delete(
    request: Request, account: Admin, service_sid: ServiceSid, sid: HookSid
) -> Response:
    hooks = parts_of(request).hooks
    await run_in_threadpool(hooks.delete, account, service_sid, sid, acting(request))
    return Response(status_code=204)
