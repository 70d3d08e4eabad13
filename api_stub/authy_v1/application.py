"""The application itself: its details, its figures, and feedback on what it sent."""

import re
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.authy_v1 import shapes
from api_stub.authy_v1.access import Caller, parts_of
from api_stub.authy_v1.errors import SMS_NOT_FOUND, AuthyError
from api_stub.authy_v1.reading import Given
from worker.wiring import Sendcode

router = APIRouter(include_in_schema=False)

OUTCOMES = ("received", "not-received")
_SID = re.compile(r"VL[0-9a-f]{32}", re.ASCII)


@router.get("/protected/json/app/details")
async def details(app: Caller) -> JSONResponse:
    return JSONResponse(shapes.application(app))


@router.get("/protected/json/app/stats")
async def stats(request: Request, app: Caller) -> JSONResponse:
    def count(parts: Sendcode) -> dict[str, Any]:
        figures = parts.authy_figures
        months, users = figures.months(app.service_sid), figures.users(app.service_sid)
        return shapes.statistics(app, months, users)

    return JSONResponse(await run_in_threadpool(count, parts_of(request)))


@router.post("/2010-04-01/Accounts/{api_key}/SMS/Messages/{sms_id}/Feedback.json")
async def feedback(request: Request, app: Caller, sms_id: str, given: Given) -> JSONResponse:
    """Taken and forgotten: what arrives is learned from the provider's receipts."""
    outcome = given.required("Outcome").lower()
    if outcome not in OUTCOMES:
        raise given.refusal("Outcome", f"must be {' or '.join(OUTCOMES)}")
    figures = parts_of(request).authy_figures
    known = _SID.fullmatch(sms_id) is not None and await run_in_threadpool(
        figures.sent, app.account_sid, app.service_sid, sms_id
    )
    if not known:
        raise AuthyError(404, SMS_NOT_FOUND, "SMS not found.")
    return JSONResponse(shapes.feedback(sms_id, outcome))
