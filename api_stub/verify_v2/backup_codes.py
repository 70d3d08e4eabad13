"""Backup codes: make, count and check. Ours: Twilio Verify has none."""

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.verify_v2 import factor_shapes
from api_stub.verify_v2.common import Checker, Reader, ServiceSid, Starter, base_of
from api_stub.verify_v2.factor_words import NO_STORE, Given, Identity, room
from api_stub.verify_v2.openapi import BACKUP_CHECK, form

router = APIRouter(
    prefix="/v2/Services/{service_sid}/Entities/{identity}/BackupCodes", tags=["Backup codes"]
)


@router.post("", status_code=201)
async def create(
    request: Request, account: Starter, service_sid: ServiceSid, identity: Identity
) -> JSONResponse:
    """Ten new codes in place of the old ones. The answer alone has them."""
    made = await run_in_threadpool(room(request).make_backup_codes, account, service_sid, identity)
    return JSONResponse(factor_shapes.new_backup_codes(made, base_of(request)), 201, NO_STORE)


@router.get("")
async def fetch(
    request: Request, account: Reader, service_sid: ServiceSid, identity: Identity
) -> JSONResponse:
    """How many are left, never the codes."""
    found = await run_in_threadpool(
        room(request).fetch_backup_codes, account, service_sid, identity
    )
    return JSONResponse(factor_shapes.backup_codes(found, base_of(request)))


@router.post("/Check", openapi_extra=form(BACKUP_CHECK, required=["Code"]))
async def check(
    request: Request, account: Checker, service_sid: ServiceSid, identity: Identity, given: Given
) -> JSONResponse:
    """A wrong code answers 200 too: `valid` is false and `status` is `pending`."""
    given.only(*BACKUP_CHECK)
    checked = await run_in_threadpool(
        room(request).check_backup_code, account, service_sid, identity, given.required("Code")
    )
    return JSONResponse(factor_shapes.backup_check(checked, base_of(request)))
