"""Entities: create, fetch, list and delete."""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.parameters import page_asked, query
from api_stub.verify_v2 import factor_shapes, shapes
from api_stub.verify_v2.common import Admin, Reader, ServiceSid, Starter, base_of
from api_stub.verify_v2.factor_words import INVALID, Given, Identity, room
from api_stub.verify_v2.openapi import ENTITY, form

router = APIRouter(prefix="/v2/Services/{service_sid}/Entities", tags=["Entities"])


@router.post("", status_code=201, openapi_extra=form(ENTITY, required=["Identity"]))
async def create(
    request: Request, account: Starter, service_sid: ServiceSid, given: Given
) -> JSONResponse:
    identity = given.required("Identity")
    made = await run_in_threadpool(room(request).create_entity, account, service_sid, identity)
    return JSONResponse(factor_shapes.entity(made, base_of(request)), 201)


@router.get("")
async def page(request: Request, account: Reader, service_sid: ServiceSid) -> JSONResponse:
    size, number = page_asked(query(request).refusing_with(INVALID))
    found = await run_in_threadpool(
        room(request).list_entities, account, service_sid, limit=size + 1, offset=number * size
    )
    base_url = base_of(request)
    body = shapes.page(
        "entities",
        [factor_shapes.entity(one, base_url) for one in found[:size]],
        url=f"{base_url}/v2/Services/{service_sid}/Entities",
        number=number,
        size=size,
        more=len(found) > size,
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
