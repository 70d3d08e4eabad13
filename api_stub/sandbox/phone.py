"""The phone: pages that show what reached each number, and answer its calls."""

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import phonenumbers
from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api_stub.sandbox import access, faults
from api_stub.sandbox.codes import find
from api_stub.sandbox.context import Sandbox, of
from api_stub.sandbox.errors import SandboxError
from api_stub.sandbox.store import Item
from api_stub.sandbox.validation import number, possible
from api_stub.sandbox.wire import iso

HERE = Path(__file__).parent
PAGE = "/sandbox/phone"
SHOWN = 60  # items of one number
LISTED = 100  # numbers
ANSWERS = {
    "auto": "Answers by itself",
    "manual": "Rings until I answer",
    "busy": "Is busy",
    "no-answer": "Is not answered",
    "decline": "Declines",
}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
open_router = APIRouter()
router = APIRouter(dependencies=[Depends(access.phone)])
templates = Environment(
    loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined
)


def spelled(to: str) -> str:
    """The number with its country's spaces."""
    try:
        parsed = phonenumbers.parse(to)
    except phonenumbers.NumberParseException:
        return to
    return str(
        phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    ).replace("-", " ")


def _entry(item: Item) -> dict[str, Any]:
    found = find(item.body, item.channel)
    start, end = (found.start, found.end) if found else (len(item.body), len(item.body))
    return {
        "item": item,
        "at": iso(item.created),
        "before": item.body[:start],
        "code": item.body[start:end],
        "after": item.body[end:],
        "rings": item.channel == "call" and item.status in ("queued", "ringing"),
        "day": iso(item.created)[:10],
    }


def _numbers(sandbox: Sandbox, current: str) -> list[dict[str, Any]]:
    latest = sandbox.store.some(
        "id IN (SELECT max(id) FROM items GROUP BY recipient)", limit=LISTED
    )
    known = [{"to": i.recipient, "spelled": spelled(i.recipient), **_entry(i)} for i in latest]
    if current and current not in {n["to"] for n in known}:
        known.insert(0, {"to": current, "spelled": spelled(current), "item": None})
    return known


def _render(sandbox: Sandbox, to: str) -> str:
    numbers = _numbers(sandbox, to)
    to = to or (numbers[0]["to"] if numbers else "")
    items = sandbox.store.some("recipient = ?", to, limit=SHOWN)
    return templates.get_template("phone.html").render(
        numbers=numbers,
        to=to,
        spelled=spelled(to),
        entries=[_entry(item) for item in reversed(items)],
        answer=faults.answer_of(sandbox.store, to) if to else "auto",
        answers=ANSWERS,
        magic=faults.MAGIC,
        here=f"{PAGE}?{urlencode({'to': to})}",
    )


@open_router.get(PAGE, name="enter")
async def enter(request: Request) -> Response:
    """The page, or the way in: a good key becomes a cookie and leaves the address bar."""
    to = number(request.query_params.get("to", ""))
    key = request.query_params.get("key")
    if key is not None and access.key_fits(of(request).settings, key):
        answer = RedirectResponse(_page(to), 303, HEADERS)
        answer.set_cookie(access.COOKIE, key, httponly=True, samesite="lax", path="/sandbox")
        return answer
    access.phone(request)
    if to and not possible(to):
        raise SandboxError(400, "to must be an E.164 number, such as +12025550100")
    html = _render(of(request), to).encode()
    tag = f'"{hashlib.sha256(html).hexdigest()[:32]}"'
    headers = HEADERS | {"ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(html, media_type="text/html; charset=utf-8", headers=headers)


def _page(to: str) -> str:
    return f"{PAGE}?{urlencode({'to': to})}" if to else PAGE


@router.post(PAGE + "/calls/{sid}/{word}")
async def callee(request: Request, sid: str, word: str) -> Response:
    item = of(request).store.one("sid = ? AND channel = 'call'", sid)
    if item is None or word not in ("answer", "decline"):
        raise SandboxError(404, "no such call")
    if item.status in ("queued", "ringing"):
        of(request).lifecycle.signal(sid, word)
    return RedirectResponse(_page(item.recipient), 303, HEADERS)


@router.post(PAGE + "/answer")
async def set_answer(request: Request) -> Response:
    """Set how the number answers calls."""
    body = (await request.body())[:2000].decode("latin-1")
    given = {name: values[0] for name, values in parse_qs(body).items()}
    to, answer = number(given.get("to", "")), given.get("answer", "")
    if not possible(to) or answer not in ANSWERS:
        raise SandboxError(400, "to must be an E.164 number and answer one of the choices")
    faults.set_answer(of(request).store, to, answer)
    return RedirectResponse(_page(to), 303, HEADERS)
