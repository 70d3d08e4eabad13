"""Messaging configurations: which messaging service sends to a country."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.verify_v2 import paging
from api_stub.verify_v2.common import Admin, Given, Reader, ServiceSid, base_of, parts_of
from api_stub.verify_v2.openapi import MESSAGING_CONFIGURATION, form, listing
from api_stub.verify_v2.shapes import date
from worker.messaging import Configuration

router = APIRouter(prefix="/v2/Services/{service_sid}", tags=["Messaging configurations"])
_SENDER = {"MessagingServiceSid": MESSAGING_CONFIGURATION["MessagingServiceSid"]}


def _url(service_sid: str, base_url: str) -> str:
    return f"{base_url}/v2/Services/{service_sid}/MessagingConfigurations"


def _shape(found: Configuration, base_url: str) -> dict[str, Any]:
    return {
        "account_sid": found.account_sid,
        "service_sid": found.service_sid,
        "country": found.country,
        "messaging_service_sid": found.messaging_service_sid,
        "date_created": date(found.created_at),
        "date_updated": date(found.updated_at),
        "url": f"{_url(found.service_sid, base_url)}/{found.country}",
    }


@router.post(
    "/MessagingConfigurations",
    status_code=201,
    openapi_extra=form(MESSAGING_CONFIGURATION, required=list(MESSAGING_CONFIGURATION)),
)
async def create(
    request: Request, account: Admin, service_sid: ServiceSid, given: Given
) -> JSONResponse:
    given.only(*MESSAGING_CONFIGURATION)
    country, sender = given.required("Country"), given.required("MessagingServiceSid")
    made = await run_in_threadpool(
        parts_of(request).messaging.create, account, service_sid, country, sender
    )
    return JSONResponse(_shape(made, base_of(request)), 201)


@router.get("/MessagingConfigurations", openapi_extra=listing())
async def page(request: Request, account: Reader, service_sid: ServiceSid) -> JSONResponse:
    asked, base = paging.asked(request), base_of(request)
    found = await run_in_threadpool(
        parts_of(request).messaging.page, account, service_sid, asked.window
    )
    body = paging.envelope(
        "messaging_configurations",
        found,
        asked,
        url=_url(service_sid, base),
        shape=lambda one: _shape(one, base),
        key=lambda one: one.country,
    )
    return JSONResponse(body)


@router.get("/MessagingConfigurations/{country}")
async def fetch(
    request: Request, account: Reader, service_sid: ServiceSid, country: str
) -> JSONResponse:
    found = await run_in_threadpool(
        parts_of(request).messaging.fetch, account, service_sid, country
    )
    return JSONResponse(_shape(found, base_of(request)))


@router.post(
    "/MessagingConfigurations/{country}",
    openapi_extra=form(_SENDER, required=list(_SENDER)),
)
async def update(
    request: Request, account: Admin, service_sid: ServiceSid, country: str, given: Given
) -> JSONResponse:
    given.only(*_SENDER)
    sender = given.required("MessagingServiceSid")
    found = await run_in_threadpool(
        parts_of(request).messaging.update, account, service_sid, country, sender
    )
    return JSONResponse(_shape(found, base_of(request)))


@router.delete("/MessagingConfigurations/{country}", status_code=204)
async def delete(
    request: Request, account: Admin, service_sid: ServiceSid, country: str
) -> Response:
    await run_in_threadpool(parts_of(request).messaging.delete, account, service_sid, country)
    return Response(status_code=204)
