"""Twilio's REST API, as far as sending needs it: Messages and Calls of 2010-04-01."""

import asyncio
import re
import secrets

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from api_stub.sandbox import faults, ledger, validation
from api_stub.sandbox.context import Sandbox
from api_stub.sandbox.errors import TwilioError
from api_stub.sandbox.exchange import noted, suffer, taken
from api_stub.sandbox.listing import page
from api_stub.sandbox.store import Channel, Item, Params
from api_stub.sandbox.wire import collection, resource
from worker.phone import mask

log = structlog.get_logger()
_DELIVERY = re.compile(r"VL[0-9a-f]{32}$", re.ASCII)
router = APIRouter(prefix="/2010-04-01/Accounts/{account}")


def _accept(sandbox: Sandbox, channel: Channel, params: Params, fault: faults.Fault | None) -> Item:
    item = sandbox.store.add(
        sid=("SM" if channel == "sms" else "CA") + secrets.token_hex(16),
        channel=channel,
        recipient=params["To"][0],
        sender=params.get("From", [""])[0],
        body=params["Body"][0] if channel == "sms" else "",
        status="queued",
        params=params,
        undelivered=fault.code if fault and fault.fail == "undelivered" else None,
        callbacks=fault.callbacks if fault else None,
    )
    if fault and fault.list_late:
        sandbox.store.hide(item, fault.list_late)
    if fault and fault.late:
        sandbox.store.delay(item, fault.late)
    log.info(
        "sandbox.message",
        channel=channel,
        provider_sid=item.sid,
        delivery=_delivery_of(params),
        number_masked=mask(item.recipient),
        fault=fault.fail if fault else None,
    )
    sandbox.lifecycle.start(item)
    return item


def _delivery_of(params: Params) -> str | None:
    """Whom the sender reports it to: our callback's address ends with the delivery's sid."""
    found = _DELIVERY.search(params.get("StatusCallback", [""])[0])
    return found[0] if found else None


async def _create(request: Request, account: str, channel: Channel) -> Response:
    async def work(sandbox: Sandbox, params: Params, entry: int) -> Response:
        (validation.message if channel == "sms" else validation.call)(params)
        sender = (params.get("From") or params.get("MessagingServiceSid") or [""])[0]
        fault = faults.take(sandbox.store, params["To"][0], channel, "send", sender)
        item = _accept(sandbox, channel, params, fault) if taken(fault) else None
        if item:
            ledger.accepted(sandbox.store, entry, item.sid)
        await suffer(request, fault)
        assert item
        return JSONResponse(resource(item, account), 201)

    return await noted(request, account, f"{channel}.create", work)


async def _list(request: Request, account: str, channel: Channel) -> Response:
    async def work(sandbox: Sandbox, params: Params, entry: int) -> Response:
        to = params.get("To", ["*"])[0]
        await suffer(request, faults.take(sandbox.store, to, channel, "lookup"))
        base = f"{collection(account, channel)}.json"
        return JSONResponse(page(sandbox.store, params, account, channel, base))

    return await noted(request, account, f"{channel}.list", work)


def _found(request: Request, sandbox: Sandbox, channel: Channel, sid: str) -> Item:
    item = sandbox.store.one("sid = ? AND channel = ?", sid, channel)
    if item is None:
        path = request.url.path.removeprefix("/2010-04-01")
        raise TwilioError(404, 20404, f"The requested resource {path} was not found")
    return item


async def _fetch(request: Request, account: str, channel: Channel, sid: str) -> Response:
    async def work(sandbox: Sandbox, params: Params, entry: int) -> Response:
        item = _found(request, sandbox, channel, sid)
        await suffer(request, faults.take(sandbox.store, item.recipient, channel, "lookup"))
        return JSONResponse(resource(item, account))

    return await noted(request, account, f"{channel}.fetch", work)


@router.post("/Messages.json")
async def create_message(request: Request, account: str) -> Response:
    return await _create(request, account, "sms")


@router.get("/Messages.json")
async def list_messages(request: Request, account: str) -> Response:
    return await _list(request, account, "sms")


@router.get("/Messages/{sid}.json")
async def fetch_message(request: Request, account: str, sid: str) -> Response:
    return await _fetch(request, account, "sms", sid)


@router.post("/Calls.json")
async def create_call(request: Request, account: str) -> Response:
    return await _create(request, account, "call")


@router.get("/Calls.json")
async def list_calls(request: Request, account: str) -> Response:
    return await _list(request, account, "call")


@router.get("/Calls/{sid}.json")
async def fetch_call(request: Request, account: str, sid: str) -> Response:
    return await _fetch(request, account, "call", sid)


@router.post("/Calls/{sid}.json")
async def change_call(request: Request, account: str, sid: str) -> Response:
    """End a call: `Status` is `completed`, or `canceled` for one that still rings."""

    async def work(sandbox: Sandbox, params: Params, entry: int) -> Response:
        item = _found(request, sandbox, "call", sid)
        status = params.get("Status", [""])[0]
        if status not in ("completed", "canceled"):
            raise TwilioError(400, 20001, "Status must be completed or canceled")
        if item.status == "in-progress" and status == "canceled":
            raise TwilioError(400, 21220, "Invalid call state: it was answered")
        if not sandbox.lifecycle.signal(sid, "end"):
            raise TwilioError(400, 21220, "Invalid call state: it has ended")
        while not item.final:
            await asyncio.sleep(0.01)
            item = _found(request, sandbox, "call", sid)
        return JSONResponse(resource(item, account))

    return await noted(request, account, "call.change", work)
