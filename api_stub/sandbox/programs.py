"""`/sandbox/v1`: what programs ask, so that a test can read a code and order a fault."""

import asyncio
import json
from typing import Any, get_args

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError

from api_stub.sandbox import access, faults, ledger, standing
from api_stub.sandbox.codes import find
from api_stub.sandbox.context import of
from api_stub.sandbox.conversation import KEYS
from api_stub.sandbox.errors import SandboxError
from api_stub.sandbox.lifecycle import WORDS
from api_stub.sandbox.severing import closing
from api_stub.sandbox.store import Item
from api_stub.sandbox.validation import LIMIT, number, possible
from api_stub.sandbox.wire import iso

router = APIRouter(prefix="/sandbox/v1", dependencies=[Depends(access.programs)])
ANSWERS = get_args(faults.Answer)
INBOX = "arrived DESC"


def view(item: Item) -> dict[str, Any]:
    found = find(item.body, item.channel)
    return {
        "id": item.arrived,
        "sid": item.sid,
        "to": item.recipient,
        "channel": item.channel,
        "body": item.body,
        "code": found.code if found else None,
        "status": item.status,
        "created_at": iso(item.created),
    }


def _whole(request: Request, name: str, default: int, low: int, high: int) -> int:
    text = request.query_params.get(name) or str(default)
    value = int(text[:18]) if text.isascii() and text.isdigit() else -1
    if not low <= value <= high:
        raise SandboxError(400, f"{name} must be a whole number from {low} to {high}")
    return value


def _to(text: str, needed: bool = True) -> str:
    to = number(text)
    if (to or needed) and not possible(to):
        raise SandboxError(400, "to must be an E.164 number, such as +12025550100")
    return to


async def _json(request: Request) -> dict[str, Any]:
    body = await request.body()
    try:
        value = json.loads(body) if len(body) <= LIMIT else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise SandboxError(400, "the body must be a JSON object of at most 64 KiB")
    return value


@router.get("/messages")
async def messages(request: Request) -> Response:
    to = _to(request.query_params.get("to", ""), needed=False)
    limit = _whole(request, "limit", 50, 1, 1000)
    items = of(request).store.some(
        "arrived IS NOT NULL AND (? = '' OR recipient = ?)", to, to, order=INBOX, limit=limit
    )
    return JSONResponse({"messages": [view(item) for item in items]})


@router.get("/messages/wait")
async def wait(request: Request) -> Response:
    """The first message after `after` that reached the number, or 408 when time is out."""
    sandbox, loop = of(request), asyncio.get_running_loop()
    to = _to(request.query_params.get("to", ""))
    after = _whole(request, "after", 0, 0, 2**53)
    end = loop.time() + _whole(request, "timeout", 30, 0, 60)
    while True:
        item = sandbox.store.some(
            "recipient = ? AND arrived > ? AND status != 'undelivered'",
            *(to, after),
            order="arrived",
            limit=1,
        )
        if item:
            return JSONResponse(view(item[0]))
        left = end - loop.time()
        if left <= 0 or closing(request) or await request.is_disconnected():
            raise SandboxError(408, "no such message arrived in time")
        await sandbox.lifecycle.arrival(min(left, 0.5))


@router.get("/requests")
async def requests(request: Request) -> Response:
    to = _to(request.query_params.get("to", ""), needed=False)
    limit = _whole(request, "limit", 1000, 1, 100_000)
    return JSONResponse({"requests": ledger.entries(of(request).store, to, limit)})


@router.post("/faults")
async def order_fault(request: Request) -> Response:
    values = await _json(request)
    if isinstance(values.get("to"), str):
        values["to"] = number(values["to"])
    try:
        fault = faults.Fault.model_validate(values)
    except ValidationError as error:
        raise SandboxError(400, "; ".join(_fault(f) for f in error.errors())) from None
    store = of(request).store
    return JSONResponse({"id": faults.add(store, fault), **fault.model_dump()}, 201)


def _fault(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


@router.get("/faults")
async def list_faults(request: Request) -> Response:
    return JSONResponse({"faults": faults.listed(of(request).store)})


@router.delete("/faults")
async def clear_faults(request: Request) -> Response:
    to = request.query_params.get("to", "")
    to = to if faults.PREFIX.match(to) else _to(to, needed=False)
    return JSONResponse({"cleared": faults.clear(of(request).store, to)})


@router.post("/numbers/{to}")
async def set_number(request: Request, to: str) -> Response:
    to, answer = _to(to), (await _json(request)).get("answer")
    if not isinstance(answer, str) or answer not in ANSWERS:
        raise SandboxError(400, f"answer must be one of {', '.join(ANSWERS)}")
    faults.set_answer(of(request).store, to, answer)
    return JSONResponse({"to": to, "answer": answer})


@router.post("/calls/{sid}/press")
async def press(request: Request, sid: str) -> Response:
    """Press a key in a call that asks for one."""
    key = (await _json(request)).get("key")
    if not isinstance(key, str) or len(key) != 1 or key not in KEYS:
        raise SandboxError(400, f"key must be one of {KEYS}")
    item = _call(request, sid)
    if standing.of_call(of(request).store, item).asks is None:
        raise SandboxError(409, f"the call asks for no key: it is {item.status}")
    of(request).lifecycle.signal(sid, key)
    return JSONResponse({"sid": sid, "told": key})


@router.post("/calls/{sid}/{word}")
async def callee(request: Request, sid: str, word: str) -> Response:
    """Answer, ignore or decline a call that rings, or hang up in one that was answered."""
    if word not in WORDS:
        raise SandboxError(404, f"a call can be told {', '.join(WORDS)} or press")
    item = _call(request, sid)
    if item.status not in WORDS[word] or not of(request).lifecycle.signal(sid, word):
        raise SandboxError(409, f"{word} does not fit: the call is {item.status}")
    return JSONResponse({"sid": sid, "told": word})


def _call(request: Request, sid: str) -> Item:
    item = of(request).store.one("sid = ? AND channel = 'call'", sid)
    if item is None:
        raise SandboxError(404, "no such call")
    return item
