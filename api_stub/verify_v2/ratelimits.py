"""Rate limits and their buckets: what a start's `RateLimits` are counted by."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.errors import invalid
from api_stub.parameters import Parameters
from api_stub.verify_v2 import paging
from api_stub.verify_v2.common import Admin, Given, Reader, ServiceSid, base_of, parts_of
from api_stub.verify_v2.openapi import BUCKET, RATE_LIMIT, form, listing
from api_stub.verify_v2.shapes import date
from worker.errors import InvalidParameterError
from worker.ratelimits import Bucket, RateLimit

router = APIRouter(prefix="/v2/Services/{service_sid}", tags=["Rate limits"])
LimitSid = Annotated[str, Path(pattern=r"^RK[0-9a-f]{32}$")]
BucketSid = Annotated[str, Path(pattern=r"^BL[0-9a-f]{32}$")]
_DESCRIPTION = {"Description": RATE_LIMIT["Description"]}
_BUCKETS = "/RateLimits/{limit_sid}/Buckets"


def _url(service_sid: str, base_url: str) -> str:
    return f"{base_url}/v2/Services/{service_sid}/RateLimits"


def _shape(found: RateLimit, base_url: str) -> dict[str, Any]:
    url = f"{_url(found.service_sid, base_url)}/{found.sid}"
    return {
        "sid": found.sid,
        "service_sid": found.service_sid,
        "account_sid": found.account_sid,
        "unique_name": found.unique_name,
        "description": found.description,
        "date_created": date(found.created_at),
        "date_updated": date(found.updated_at),
        "url": url,
        "links": {"buckets": f"{url}/Buckets"},
    }


def _bucket(found: Bucket, base_url: str) -> dict[str, Any]:
    url = f"{_url(found.service_sid, base_url)}/{found.rate_limit_sid}/Buckets/{found.sid}"
    return {
        "sid": found.sid,
        "rate_limit_sid": found.rate_limit_sid,
        "service_sid": found.service_sid,
        "account_sid": found.account_sid,
        "max": found.most,
        "interval": found.seconds,
        "date_created": date(found.created_at),
        "date_updated": date(found.updated_at),
        "url": url,
    }


def _values(given: Parameters) -> dict[str, int]:
    given.only(*BUCKET)
    found = {"most": given.integer("Max"), "seconds": given.integer("Interval")}
    return {name: value for name, value in found.items() if value is not None}


@router.post(
    "/RateLimits",
    status_code=201,
    openapi_extra=form(RATE_LIMIT, required=["UniqueName"]),
)
async def create(
    request: Request, account: Admin, service_sid: ServiceSid, given: Given
) -> JSONResponse:
    given.only(*RATE_LIMIT)
    name, description = given.required("UniqueName"), given.text("Description")
    limits = parts_of(request).ratelimits
    try:
        made = await run_in_threadpool(limits.create, account, service_sid, name, description)
    except InvalidParameterError as error:
        code = 60209 if error.field == "UniqueName" else 60200
        raise invalid(error.field, error.reason, code) from None
    return JSONResponse(_shape(made, base_of(request)), 201)


@router.get("/RateLimits", openapi_extra=listing())
async def page(request: Request, account: Reader, service_sid: ServiceSid) -> JSONResponse:
    asked, base = paging.asked(request), base_of(request)
    limits = parts_of(request).ratelimits
    found = await run_in_threadpool(limits.page, account, service_sid, asked.window)
    body = paging.envelope(
        "rate_limits",
        found,
        asked,
        url=_url(service_sid, base),
        shape=lambda one: _shape(one, base),
        key=lambda one: one.sid,
    )
    return JSONResponse(body)


@router.get("/RateLimits/{sid}")
async def fetch(
    request: Request, account: Reader, service_sid: ServiceSid, sid: LimitSid
) -> JSONResponse:
    limits = parts_of(request).ratelimits
    found = await run_in_threadpool(limits.fetch, account, service_sid, sid)
    return JSONResponse(_shape(found, base_of(request)))


@router.post("/RateLimits/{sid}", openapi_extra=form(_DESCRIPTION))
async def update(
    request: Request, account: Admin, service_sid: ServiceSid, sid: LimitSid, given: Given
) -> JSONResponse:
    given.only(*_DESCRIPTION)
    limits = parts_of(request).ratelimits
    description = given.text("Description")
    if description is None and not given.emptied("Description"):
        found = await run_in_threadpool(limits.fetch, account, service_sid, sid)
    else:
        found = await run_in_threadpool(limits.describe, account, service_sid, sid, description)
    return JSONResponse(_shape(found, base_of(request)))


@router.delete("/RateLimits/{sid}", status_code=204)
async def delete(
    request: Request, account: Admin, service_sid: ServiceSid, sid: LimitSid
) -> Response:
    await run_in_threadpool(parts_of(request).ratelimits.delete, account, service_sid, sid)
    return Response(status_code=204)


@router.post(_BUCKETS, status_code=201, openapi_extra=form(BUCKET, required=list(BUCKET)))
async def add_bucket(
    request: Request, account: Admin, service_sid: ServiceSid, limit_sid: LimitSid, given: Given
) -> JSONResponse:
    values = _values(given)
    for name in BUCKET:
        given.required_integer(name)
    limits = parts_of(request).ratelimits
    made = await run_in_threadpool(limits.add_bucket, account, service_sid, limit_sid, **values)
    return JSONResponse(_bucket(made, base_of(request)), 201)


@router.get(_BUCKETS, openapi_extra=listing())
async def list_buckets(
    request: Request, account: Reader, service_sid: ServiceSid, limit_sid: LimitSid
) -> JSONResponse:
    asked, base = paging.asked(request), base_of(request)
    limits = parts_of(request).ratelimits
    found = await run_in_threadpool(limits.buckets, account, service_sid, limit_sid, asked.window)
    body = paging.envelope(
        "buckets",
        found,
        asked,
        url=f"{_url(service_sid, base)}/{limit_sid}/Buckets",
        shape=lambda one: _bucket(one, base),
        key=lambda one: one.sid,
    )
    return JSONResponse(body)


@router.get(f"{_BUCKETS}/{{sid}}")
async def fetch_bucket(
    request: Request,
    account: Reader,
    service_sid: ServiceSid,
    limit_sid: LimitSid,
    sid: BucketSid,
) -> JSONResponse:
    limits = parts_of(request).ratelimits
    found = await run_in_threadpool(limits.bucket, account, service_sid, limit_sid, sid)
    return JSONResponse(_bucket(found, base_of(request)))


@router.post(f"{_BUCKETS}/{{sid}}", openapi_extra=form(BUCKET))
async def change_bucket(
    request: Request,
    account: Admin,
    service_sid: ServiceSid,
    limit_sid: LimitSid,
    sid: BucketSid,
    given: Given,
) -> JSONResponse:
    limits, values = parts_of(request).ratelimits, _values(given)
    found = await run_in_threadpool(
        limits.change_bucket, account, service_sid, limit_sid, sid, **values
    )
    return JSONResponse(_bucket(found, base_of(request)))


@router.delete(f"{_BUCKETS}/{{sid}}", status_code=204)
async def delete_bucket(
    request: Request, account: Admin, service_sid: ServiceSid, limit_sid: LimitSid, sid: BucketSid
) -> Response:
    limits = parts_of(request).ratelimits
    await run_in_threadpool(limits.delete_bucket, account, service_sid, limit_sid, sid)
    return Response(status_code=204)
