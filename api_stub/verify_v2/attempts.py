"""Attempts and their summary: our deliveries in Verify's words."""

import re
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api_stub.errors import invalid
from api_stub.parameters import Parameters, query
from api_stub.verify_v2 import paging
from api_stub.verify_v2.common import Reader, base_of, parts_of
from api_stub.verify_v2.openapi import LISTED, SERVICE_SID, SUMMARIZED, asking, listing
from api_stub.verify_v2.shapes import date
from worker import phone
from worker.attempts import Attempt, Summary, Which
from worker.money import shown
from worker.states import Channel, DeliveryState, VerificationStatus

router = APIRouter(prefix="/v2", tags=["Attempts"])
AttemptSid = Annotated[str, Path(pattern=r"^VL[0-9a-f]{32}$")]
_SUMMARIZED = {
    **SUMMARIZED,
    "DestinationPrefix": {"type": "string", "pattern": r"^\+?[1-9][0-9]{0,2}$"},
}
_CHANNELS = {"sms": Channel.SMS, "call": Channel.CALL}
_NONE_OF_OURS = ("email", "whatsapp", "rbm")
_STATUSES = {"converted": True, "unconverted": False}
_MESSAGE_WORDS = {
    DeliveryState.QUEUED: "queued",
    DeliveryState.SENDING: "sending",
    DeliveryState.ACCEPTED: "accepted",
    DeliveryState.SENT: "sent",
    DeliveryState.DELIVERED: "delivered",
    DeliveryState.UNDELIVERED: "undelivered",
    DeliveryState.FAILED: "failed",
    DeliveryState.EXPIRED: "failed",
    DeliveryState.CANCELED: "canceled",
}
_CALL_WORDS = _MESSAGE_WORDS | {
    DeliveryState.SENDING: "queued",
    DeliveryState.ACCEPTED: "queued",
    DeliveryState.SENT: "ringing",
    DeliveryState.DELIVERED: "completed",
    DeliveryState.UNDELIVERED: "no-answer",
}
_CONFIRMED = {VerificationStatus.APPROVED: "confirmed", VerificationStatus.EXPIRED: "expired"}


def _shape(found: Attempt, base_url: str) -> dict[str, Any]:
    sms, converted = found.channel is Channel.SMS, found.status is VerificationStatus.APPROVED
    words = _MESSAGE_WORDS if sms else _CALL_WORDS
    return {
        "sid": found.sid,
        "account_sid": found.account_sid,
        "service_sid": found.service_sid,
        "verification_sid": found.verification_sid,
        "date_created": date(found.created_at),
        "date_updated": date(found.updated_at),
        "conversion_status": "converted" if converted else "unconverted",
        "channel": found.channel.value,
        "price": {
            "value": shown(found.price.micros) if found.price else None,
            "currency": found.price.currency.lower() if found.price else None,
        },
        "channel_data": {
            "verification_sid": found.verification_sid,
            "to": found.to,
            "status": _CONFIRMED.get(found.status, "unconfirmed"),
            "message_status" if sms else "call_status": words[found.state],
            "error_code": found.error_code,
            "country": found.country,
            "code_length": found.code_length,
            "locale": found.locale,
            "mcc": None,
            "mnc": None,
            "carrier": None,
        },
        "url": f"{base_url}/v2/Attempts/{found.sid}",
    }


def _summary(found: Summary, base_url: str) -> dict[str, Any]:
    rate = Decimal(100 * found.converted) / (found.total or 1)
    return {
        "total_attempts": found.total,
        "total_converted": found.converted,
        "total_unconverted": found.total - found.converted,
        "conversion_rate_percentage": f"{rate.quantize(Decimal('1e-9'), ROUND_DOWN):f}",
        "url": f"{base_url}/v2/Attempts/Summary",
    }


def _which(given: Parameters) -> Which:
    channel, status = given.text("Channel"), given.text("Status")
    if channel and channel not in (*_CHANNELS, *_NONE_OF_OURS):
        raise invalid("Channel", f"must be one of {', '.join((*_CHANNELS, *_NONE_OF_OURS))}")
    if status and status not in _STATUSES:
        raise invalid("Status", "must be converted or unconverted")
    return Which(
        service_sid=_sid(given, "VerifyServiceSid", SERVICE_SID),
        verification_sid=_sid(given, "VerificationSid", r"^VE[0-9a-f]{32}$"),
        to=given.text("ChannelData.To"),
        prefix=given.text("DestinationPrefix"),
        country=_country(given),
        channel=_CHANNELS.get(channel) if channel else None,
        converted=_STATUSES[status] if status else None,
        after=_moment(given, "DateCreatedAfter"),
        before=_moment(given, "DateCreatedBefore"),
        nothing=channel in _NONE_OF_OURS,
    )


def _sid(given: Parameters, name: str, pattern: str) -> str | None:
    sid = given.text(name)
    if sid is not None and not re.fullmatch(pattern, sid, re.ASCII):
        raise invalid(name, "is no sid of that kind")
    return sid


def _country(given: Parameters) -> str | None:
    text = given.text("Country")
    code = text and phone.region(text)
    if text and not code:
        raise invalid("Country", "must be an ISO 3166 code of two letters")
    return code


def _moment(given: Parameters, name: str) -> int | None:
    text = given.text(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise invalid(name, "must be a time as in 2015-07-30T20:00:00Z") from None


@router.get("/Attempts", openapi_extra=listing(LISTED))
async def page(request: Request, account: Reader) -> JSONResponse:
    asked, base = paging.asked(request, *LISTED), base_of(request)
    which = _which(asked.filters)
    found = await run_in_threadpool(parts_of(request).attempts.page, account, which, asked.window)
    body = paging.envelope(
        "attempts",
        found,
        asked,
        url=f"{base}/v2/Attempts",
        shape=lambda one: _shape(one, base),
        key=lambda one: one.sid,
    )
    return JSONResponse(body)


# Before the route of one attempt, which would take `Summary` for a sid.
@router.get("/Attempts/Summary", openapi_extra=asking(_SUMMARIZED))
async def summary(request: Request, account: Reader) -> JSONResponse:
    given = query(request)
    given.only(*_SUMMARIZED)
    found = await run_in_threadpool(parts_of(request).attempts.summary, account, _which(given))
    return JSONResponse(_summary(found, base_of(request)))


@router.get("/Attempts/{sid}")
async def fetch(request: Request, account: Reader, sid: AttemptSid) -> JSONResponse:
    found = await run_in_threadpool(parts_of(request).attempts.fetch, account, sid)
    return JSONResponse(_shape(found, base_of(request)))
