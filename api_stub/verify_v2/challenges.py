"""Challenges: create, answer, fetch and list."""

import re

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.parameters import Parameters
from api_stub.verify_v2 import factor_shapes, paging
from api_stub.verify_v2.common import Checker, Reader, ServiceSid, base_of
from api_stub.verify_v2.factor_words import (
    INVALID,
    ChallengeSid,
    Given,
    Identity,
    details,
    moment,
    room,
    strings,
)
from api_stub.verify_v2.openapi import ANSWER, CHALLENGE, CHALLENGES, form, listing
from worker.factors import CHALLENGE_STATUSES, Asked

router = APIRouter(
    prefix="/v2/Services/{service_sid}/Entities/{identity}/Challenges", tags=["Challenges"]
)

_FACTOR_SID = re.compile(r"YF[0-9a-f]{32}", re.ASCII)


def _factor_sid(given: Parameters, sid: str) -> str:
    if not _FACTOR_SID.fullmatch(sid):
        raise given.refusal("FactorSid", "must be the sid of a factor")
    return sid


@router.post("", status_code=201, openapi_extra=form(CHALLENGE, required=["FactorSid"]))
async def create(
    request: Request, account: Checker, service_sid: ServiceSid, identity: Identity, given: Given
) -> JSONResponse:
    """A wrong `AuthPayload` answers 201 too, and the challenge stays `pending`."""
    given.only(*CHALLENGE)
    asked = Asked(
        factor_sid=_factor_sid(given, given.required("FactorSid")),
        expires_at=moment(given, "ExpirationDate"),
        details=details(given),
        hidden_details=strings(given, "HiddenDetails"),
    )
    made = await run_in_threadpool(
        room(request).create_challenge,
        account,
        service_sid,
        identity,
        asked,
        given.text("AuthPayload"),
    )
    return JSONResponse(factor_shapes.challenge(made, base_of(request)), 201)


@router.get("", openapi_extra=listing(CHALLENGES))
async def page(
    request: Request, account: Reader, service_sid: ServiceSid, identity: Identity
) -> JSONResponse:
    asked, base = paging.asked(request, *CHALLENGES, refusing_with=INVALID), base_of(request)
    factor_sid, status, order = (asked.filters.text(name) for name in CHALLENGES)
    if factor_sid is not None:
        _factor_sid(asked.filters, factor_sid)
    if status is not None and status not in CHALLENGE_STATUSES:
        raise asked.filters.refusal("Status", "must be pending, expired, approved or denied")
    if order not in (None, "asc", "desc"):
        raise asked.filters.refusal("Order", "must be asc or desc")
    found = await run_in_threadpool(
        room(request).list_challenges,
        account,
        service_sid,
        identity,
        asked.window,
        factor_sid=factor_sid,
        status=status,
        newest_first=order == "desc",
    )
    body = paging.envelope(
        "challenges",
        found,
        asked,
        url=f"{base}/v2/Services/{service_sid}/Entities/{identity}/Challenges",
        shape=lambda one: factor_shapes.challenge(one, base),
        key=lambda one: one.sid,
    )
    return JSONResponse(body)


@router.get("/{sid}")
async def fetch(
    request: Request,
    account: Reader,
    service_sid: ServiceSid,
    identity: Identity,
    sid: ChallengeSid,
) -> JSONResponse:
    found = await run_in_threadpool(
        room(request).fetch_challenge, account, service_sid, identity, sid
    )
    return JSONResponse(factor_shapes.challenge(found, base_of(request)))


@router.post("/{sid}", openapi_extra=form(ANSWER))
async def answer(
    request: Request,
    account: Checker,
    service_sid: ServiceSid,
    identity: Identity,
    sid: ChallengeSid,
    given: Given,
) -> JSONResponse:
    """A wrong `AuthPayload` answers 200 too, and the challenge stays `pending`."""
    given.only(*ANSWER)
    found = await run_in_threadpool(
        room(request).answer_challenge,
        account,
        service_sid,
        identity,
        sid,
        given.text("AuthPayload"),
        strings(given, "Metadata"),
    )
    return JSONResponse(factor_shapes.challenge(found, base_of(request)))
