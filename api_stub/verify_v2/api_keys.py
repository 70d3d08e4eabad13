"""API keys. Ours, not Verify's: Twilio keeps its keys in another API."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.auth import acting
from api_stub.verify_v2 import paging
from api_stub.verify_v2.common import Admin, Given, base_of, parts_of
from api_stub.verify_v2.openapi import API_KEY, form, listing
from api_stub.verify_v2.shapes import date
from worker.api_keys import ApiKey, Scope

router = APIRouter(prefix="/v2", tags=["API keys"])
KeySid = Annotated[str, Path(pattern=r"^SK[0-9a-f]{32}$")]


def _shape(key: ApiKey, base_url: str) -> dict[str, Any]:
    return {
        "sid": key.sid,
        "account_sid": key.account_sid,
        "friendly_name": key.friendly_name,
        "scopes": [scope.value for scope in Scope if scope in key.scopes],
        "date_created": date(key.created_at),
        "date_last_used": date(key.last_used_at) if key.last_used_at else None,
        "date_revoked": date(key.revoked_at) if key.revoked_at else None,
        "url": f"{base_url}/v2/ApiKeys/{key.sid}",
    }


@router.post(
    "/ApiKeys",
    status_code=201,
    openapi_extra=form(API_KEY, required=["FriendlyName", "Scopes"]),
)
async def create(request: Request, account: Admin, given: Given) -> JSONResponse:
    """Make a key. Its secret is in this answer and in no other."""
    given.only("FriendlyName", "Scopes")
    parts = parts_of(request)
    name, scopes = given.required("FriendlyName"), given.required("Scopes")
    key, secret = await run_in_threadpool(
        parts.api_keys.create,
        *(account, name, re.split(r"[ ,]+", scopes.strip(" ,")), acting(request)),
    )
    body = _shape(key, base_of(request)) | {"secret": secret}
    return JSONResponse(body, 201, {"Cache-Control": "no-store"})


@router.get("/ApiKeys", openapi_extra=listing())
async def page(request: Request, account: Admin) -> JSONResponse:
    parts = parts_of(request)
    asked = paging.asked(request)
    found = await run_in_threadpool(parts.api_keys.page, account, asked.window)
    base = base_of(request)
    body = paging.envelope(
        "api_keys",
        found,
        asked,
        url=f"{base}/v2/ApiKeys",
        shape=lambda key: _shape(key, base),
        key=lambda key: key.sid,
    )
    return JSONResponse(body)


@router.get("/ApiKeys/{sid}")
async def fetch(request: Request, account: Admin, sid: KeySid) -> JSONResponse:
    parts = parts_of(request)
    found = await run_in_threadpool(parts.api_keys.fetch, account, sid)
    return JSONResponse(_shape(found, base_of(request)))


@router.delete("/ApiKeys/{sid}", status_code=204)
async def revoke(request: Request, account: Admin, sid: KeySid) -> Response:
    parts = parts_of(request)
    await run_in_threadpool(parts.api_keys.revoke, account, sid, acting(request))
    return Response(status_code=204)
