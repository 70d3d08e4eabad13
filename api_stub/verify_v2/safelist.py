"""The safe list: numbers that the account vouches for."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.auth import acting
from api_stub.verify_v2.common import Admin, Given, Reader, base_of, parts_of
from api_stub.verify_v2.openapi import SAFE_NUMBER, form
from worker.safelist import SafeNumber

router = APIRouter(prefix="/v2/SafeList", tags=["Safe list"])
Number = Annotated[str, Path(json_schema_extra={"pattern": SAFE_NUMBER["PhoneNumber"]["pattern"]})]


def _shape(found: SafeNumber, base_url: str) -> dict[str, Any]:
    return {
        "sid": found.sid,
        "phone_number": found.number,
        "url": f"{base_url}/v2/SafeList/Numbers/{found.number}",
    }


@router.post(
    "/Numbers",
    status_code=201,
    openapi_extra=form(SAFE_NUMBER, required=["PhoneNumber"]),
)
async def add(request: Request, account: Admin, given: Given) -> JSONResponse:
    given.only("PhoneNumber")
    number = given.required("PhoneNumber")
    add = parts_of(request).safelist.add
    made = await run_in_threadpool(add, account, number, acting(request))
    return JSONResponse(_shape(made, base_of(request)), 201)


@router.get("/Numbers/{number}")
async def fetch(request: Request, account: Reader, number: Number) -> JSONResponse:
    found = await run_in_threadpool(parts_of(request).safelist.fetch, account, number)
    return JSONResponse(_shape(found, base_of(request)))


@router.delete("/Numbers/{number}", status_code=204)
async def remove(request: Request, account: Admin, number: Number) -> Response:
    remove = parts_of(request).safelist.remove
    await run_in_threadpool(remove, account, number, acting(request))
    return Response(status_code=204)
