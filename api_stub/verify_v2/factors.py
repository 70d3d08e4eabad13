"""Factors: create, verify, fetch, list and delete, and the QR code while one is enrolled."""

import io
from typing import Any

import segno
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.auth import may_administer
from api_stub.errors import ApiError
from api_stub.parameters import Parameters
from api_stub.verify_v2 import factor_shapes, paging
from api_stub.verify_v2.common import Admin, Checker, Reader, ServiceSid, Starter, base_of
from api_stub.verify_v2.factor_words import (
    INVALID,
    NO_STORE,
    FactorSid,
    Given,
    Identity,
    change,
    room,
    strings,
)
from api_stub.verify_v2.openapi import FACTOR, FACTOR_CHANGE, form, listing
from worker.factors import Change, Factors

router = APIRouter(
    prefix="/v2/Services/{service_sid}/Entities/{identity}/Factors", tags=["Factors"]
)

_NOT_ENABLED = {"push": "Push", "passkeys": "Passkeys"}
_PICTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "svg": ("image/svg+xml", {"scale": 4, "light": "#fff"}),
    "png": ("image/png", {"scale": 6}),
}


def _refuse_other_types(given: Parameters) -> None:
    kind = given.required("FactorType").lower()
    if kind in _NOT_ENABLED:
        message = f"Service does not support this feature: {_NOT_ENABLED[kind]}"
        raise ApiError(403, 60204, message)
    if kind != "totp":
        raise given.refusal("FactorType", "must be totp")


@router.post(
    "", status_code=201, openapi_extra=form(FACTOR, required=["FriendlyName", "FactorType"])
)
async def create(
    request: Request, account: Starter, service_sid: ServiceSid, identity: Identity, given: Given
) -> JSONResponse:
    """The answer alone has the secret."""
    given.only(*FACTOR)
    _refuse_other_types(given)
    given.required("FriendlyName")
    made = await run_in_threadpool(
        room(request).create_factor,
        account,
        service_sid,
        identity,
        change(given),
        secret=given.text("Binding.Secret"),
        metadata=strings(given, "Metadata"),
    )
    return JSONResponse(factor_shapes.new_factor(made, base_of(request)), 201, NO_STORE)


@router.get("", openapi_extra=listing())
async def page(
    request: Request, account: Reader, service_sid: ServiceSid, identity: Identity
) -> JSONResponse:
    asked, base = paging.asked(request, refusing_with=INVALID), base_of(request)
    found = await run_in_threadpool(
        room(request).list_factors, account, service_sid, identity, asked.window
    )
    body = paging.envelope(
        "factors",
        found,
        asked,
        url=f"{base}/v2/Services/{service_sid}/Entities/{identity}/Factors",
        shape=lambda one: factor_shapes.factor(one, base),
        key=lambda one: one.sid,
    )
    return JSONResponse(body)


@router.get("/{sid}")
async def fetch(
    request: Request, account: Reader, service_sid: ServiceSid, identity: Identity, sid: FactorSid
) -> JSONResponse:
    found = await run_in_threadpool(room(request).fetch_factor, account, service_sid, identity, sid)
    return JSONResponse(factor_shapes.factor(found, base_of(request)))


@router.post("/{sid}", openapi_extra=form(FACTOR_CHANGE))
async def update(
    request: Request,
    account: Checker,
    service_sid: ServiceSid,
    identity: Identity,
    sid: FactorSid,
    given: Given,
) -> JSONResponse:
    """A wrong `AuthPayload` answers 200 too, and the factor stays `unverified`. What else is given
    is a change, which takes the scope `admin`.
    """
    given.only(*FACTOR_CHANGE)
    wanted = change(given)
    if wanted != Change():
        await may_administer(request)
    found = await run_in_threadpool(
        room(request).update_factor,
        account,
        service_sid,
        identity,
        sid,
        wanted,
        given.text("AuthPayload"),
    )
    return JSONResponse(factor_shapes.factor(found, base_of(request)))


@router.delete("/{sid}", status_code=204)
async def delete(
    request: Request, account: Admin, service_sid: ServiceSid, identity: Identity, sid: FactorSid
) -> Response:
    await run_in_threadpool(room(request).delete_factor, account, service_sid, identity, sid)
    return Response(status_code=204)


@router.get("/{sid}/QrCode.svg", response_class=Response)
async def svg(
    request: Request, account: Starter, service_sid: ServiceSid, identity: Identity, sid: FactorSid
) -> Response:
    """The otpauth URI as a picture, while the factor is unverified. Ours, not Twilio's."""
    return await run_in_threadpool(
        _picture, room(request), "svg", account, service_sid, identity, sid
    )


@router.get("/{sid}/QrCode.png", response_class=Response)
async def png(
    request: Request, account: Starter, service_sid: ServiceSid, identity: Identity, sid: FactorSid
) -> Response:
    """The otpauth URI as a picture, while the factor is unverified. Ours, not Twilio's."""
    return await run_in_threadpool(
        _picture, room(request), "png", account, service_sid, identity, sid
    )


def _picture(factors: Factors, kind: str, *where: str) -> Response:
    enrolment = factors.enrolment(*where)
    media_type, options = _PICTURES[kind]
    out = io.BytesIO()
    # Level L holds the longest URI; segno takes a higher one where the size stays the same.
    segno.make(enrolment.uri, error="l", micro=False).save(out, kind=kind, **options)
    return Response(out.getvalue(), media_type=media_type, headers=NO_STORE)
