"""Entities: create, fetch, list and delete."""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.verify_v2 import factor_shapes, paging
from api_stub.verify_v2.common import Admin, Reader, ServiceSid, Starter, base_of
from api_stub.verify_v2.factor_words import INVALID, Given, Identity, room
from api_stub.verify_v2.openapi import ENTITY, form, listing

router = APIRouter(prefix="/v2/Services/{service_sid}/Entities", tags=["Entities"])


@router.post("", status_code=201, openapi_extra=form(ENTITY, required=["Identity"]))
async def create(
    request: Request, account: Starter, service_sid: ServiceSid, given: Given
) -> JSONResponse:
    given.only(*ENTITY)
    identity = given.required("Identity")
    made = await run_in_threadpool(room(request).create_entity, account, service_sid, identity)
    return JSONResponse(factor_shapes.entity(made, base_of(request)), 201)


@router.get("", openapi_extra=listing())
async def page(request: Request, account: Reader, service_sid: ServiceSid) -> JSONResponse:
    asked, base = paging.asked(request, refusing_with=INVALID), base_of(request)
    found = await run_in_threadpool(room(request).list_entities, account, service_sid, asked.window)
    body = paging.envelope(
        "entities",
        found,
        asked,
        url=f"{base}/v2/Services/{service_sid}/Entities",
        shape=lambda one: factor_shapes.entity(one, base),
        key=lambda one: one.sid,
    )
    return JSONResponse(body)


@router.get("/{identity}")
async def fetch(
    request: Request, account: Reader, service_sid: ServiceSid, identity: Identity
) -> JSONResponse:
    found = await run_in_threadpool(room(request).fetch_entity, account, service_sid, identity)
    return JSONResponse(factor_shapes.entity(found, base_of(request)))


@router.delete("/{identity}", status_code=204)
async def delete(
    request: Request, account: Admin, service_sid: ServiceSid, identity: Identity
) -> Response:
    await run_in_threadpool(room(request).delete_entity, account, service_sid, identity)
    return Response(status_code=204)
