"""The provider's callbacks. Without a valid signature over our public URL nothing happens."""

import re
from collections.abc import Mapping

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from api_stub.errors import ApiError
from worker import metrics
from worker.providers.twilio import valid_signature
from worker.providers.twilio_errors import CALL_STATUSES, MESSAGE_STATUSES, may_help
from worker.states import Channel, DeliveryState
from worker.wiring import Sendcode

log = structlog.get_logger()
router = APIRouter(prefix="/callbacks/twilio", include_in_schema=False)

_WORDS: dict[Channel, tuple[str, str, Mapping[str, DeliveryState]]] = {
    Channel.SMS: ("MessageSid", "MessageStatus", MESSAGE_STATUSES),
    Channel.CALL: ("CallSid", "CallStatus", CALL_STATUSES),
}
_SID = re.compile(r"(SM|MM|CA)[0-9a-f]{32}", re.ASCII)
_WORD = re.compile(r"[a-z-]{1,20}", re.ASCII)
_CODE = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_DELIVERY = re.compile(r"VL[0-9a-f]{32}", re.ASCII)


async def _signed_form(request: Request) -> dict[str, str]:
    """The form of a request that Twilio signed, or a refusal before anything is written."""
    parts: Sendcode = request.app.state.parts
    settings = parts.settings
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise await _refuse(parts, "not_a_form")
    items = (await request.form(max_files=0, max_fields=100)).multi_items()
    values = {name: value for name, value in items if isinstance(value, str)}
    if len(values) != len(items):
        raise await _refuse(parts, "repeated_parameter")
    target = request.scope["raw_path"].decode("ascii", "replace")
    query = request.url.query
    url = f"{settings.base_url}{target}" + (f"?{query}" if query else "")
    signature = request.headers.get("x-twilio-signature")
    account = values.get("AccountSid", "")
    token = parts.provider_tokens.get(account)
    if token is None:
        raise await _refuse(parts, "other_account")
    if not valid_signature(token, url, values, signature):
        raise await _refuse(parts, "bad_signature", account)
    metrics.webhook("twilio", "ok")
    return values


async def _refuse(parts: Sendcode, reason: str, account: str = "") -> ApiError:
    """
    :param account: one of ours
    """
    log.warning("webhook.rejected", reason=reason)
    metrics.webhook("twilio", reason)
    await run_in_threadpool(parts.refused_callbacks.note, reason, account)
    return ApiError(403, 20003, "The request is not signed for this URL")


@router.post("/gate/{delivery_sid}")
async def gate(request: Request, delivery_sid: str) -> Response:
    """The callee pressed a key: the words that read the code."""
    await _signed_form(request)
    parts: Sendcode = request.app.state.parts
    twiml = None
    if _DELIVERY.fullmatch(delivery_sid):
        twiml = await run_in_threadpool(parts.dispatch.spoken, delivery_sid)
    if twiml is None:
        twiml = '<?xml version="1.0" encoding="UTF-8"?><Response><Hangup/></Response>'
    return Response(twiml, media_type="application/xml", headers={"Cache-Control": "no-store"})


@router.post("/{channel}/{delivery_sid}")
async def receipt(request: Request, channel: Channel, delivery_sid: str) -> Response:
    """A status callback of a message or a call."""
    values = await _signed_form(request)
    sid_name, status_name, words = _WORDS[channel]
    sid, status = values.get(sid_name, ""), values.get(status_name, "")
    if not (_SID.fullmatch(sid) and _WORD.fullmatch(status)):
        raise ApiError(400, 60200, f"{sid_name} and {status_name} are required")
    code = values.get("ErrorCode", "")
    error_code = code if _CODE.fullmatch(code) else None
    if not _DELIVERY.fullmatch(delivery_sid):
        log.warning("receipt.unmatched", provider="twilio", status=status)
        return Response(status_code=200)
    parts: Sendcode = request.app.state.parts
    await run_in_threadpool(
        parts.receipts.apply,
        delivery_sid,
        provider="twilio",
        provider_sid=sid,
        status=status,
        words=words,
        error_code=error_code,
        hope=may_help(error_code),
    )
    return Response(status_code=200)
