"""The phone: pages that show what reached each number, answer its calls and order faults."""

import hashlib
import pathlib
from typing import Annotated, Any
from urllib.parse import parse_qs, urlencode

import phonenumbers
from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api_stub.sandbox import access, faults, ledger, orders, screen
from api_stub.sandbox.context import Sandbox, of
from api_stub.sandbox.conversation import KEYS
from api_stub.sandbox.errors import SandboxError
from api_stub.sandbox.lifecycle import WORDS
from api_stub.sandbox.validation import number, possible

HERE = pathlib.Path(__file__).parent
PAGE = "/sandbox/phone"
SHOWN = 60  # items of one number
LISTED = 100  # numbers
REQUESTS = 6
ANSWERS = {
    "auto": "Answers by itself, presses 1",
    "manual": "Rings until I answer",
    "busy": "Is busy",
    "no-answer": "Is not answered",
    "decline": "Declines",
}
KEYPAD = "123456789*0#"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
open_router = APIRouter()
router = APIRouter(dependencies=[Depends(access.phone)])
templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
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


def _numbers(sandbox: Sandbox, current: str) -> list[dict[str, Any]]:
    latest = sandbox.store.some(
        "id IN (SELECT max(id) FROM items GROUP BY recipient)", limit=LISTED
    )
    known = [
        {"to": i.recipient, "spelled": spelled(i.recipient), **screen.entry(sandbox.store, i)}
        for i in latest
    ]
    if current and current not in {n["to"] for n in known}:
        known.insert(0, {"to": current, "spelled": spelled(current), "item": None})
    return known


def _orders(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [
        {
            "id": fault["id"],
            "to": "every number" if fault["to"] == "*" else fault["to"],
            "words": orders.in_words(fault),
            "channel": orders.CHANNELS[fault["channel"] or ""].lower(),
            "left": fault["remaining"],
        }
        for fault in faults.listed(sandbox.store)
    ]


def _render(sandbox: Sandbox, to: str, problem: str = "") -> str:
    numbers = _numbers(sandbox, to)
    to = to or (numbers[0]["to"] if numbers else "")
    items = sandbox.store.some("recipient = ?", to, limit=SHOWN)
    return templates.get_template("phone.html").render(
        numbers=numbers,
        to=to,
        spelled=spelled(to),
        entries=[screen.entry(sandbox.store, item) for item in reversed(items)],
        answer=faults.answer_of(sandbox.store, to) if to else "auto",
        answers=ANSWERS,
        keypad=KEYPAD,
        magic=faults.MAGIC,
        choices=orders.ORDERS,
        channels=orders.CHANNELS,
        times=orders.TIMES,
        orders=_orders(sandbox),
        requests=ledger.entries(sandbox.store, to, REQUESTS) if to else [],
        problem=problem,
        here=_page(to),
    )


def _page(to: str) -> str:
    return f"{PAGE}?{urlencode({'to': to})}" if to else PAGE


def _html(html: str, status: int = 200, headers: dict[str, str] = HEADERS) -> Response:
    return Response(html, status, headers, media_type="text/html; charset=utf-8")


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
    html = _render(of(request), to)
    tag = f'"{hashlib.sha256(html.encode()).hexdigest()[:32]}"'
    headers = HEADERS | {"ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return _html(html, headers=headers)


async def _form(request: Request) -> dict[str, str]:
    body = (await request.body())[:2000].decode("latin-1")
    return {name: values[0] for name, values in parse_qs(body).items()}


@router.post(PAGE + "/calls/{sid}/{word}")
async def callee(request: Request, sid: str, word: str) -> Response:
    """Answer, ignore or decline a call, hang up, or press the form's `key`."""
    item = of(request).store.one("sid = ? AND channel = 'call'", sid)
    if item is None or word not in (*WORDS, "press"):
        raise SandboxError(404, "no such call")
    key = (await _form(request)).get("key", "") if word == "press" else ""
    if word == "press" and (len(key) != 1 or key not in KEYS):
        raise SandboxError(400, f"key must be one of {KEYS}")
    if item.status in WORDS["end" if key else word]:
        of(request).lifecycle.signal(sid, key or word)
    return RedirectResponse(_page(item.recipient), 303, HEADERS)


@router.post(PAGE + "/answer")
async def set_answer(request: Request) -> Response:
    """Set how the number answers calls."""
    given = await _form(request)
    to, answer = number(given.get("to", "")), given.get("answer", "")
    if not possible(to) or answer not in ANSWERS:
        raise SandboxError(400, "to must be an E.164 number and answer one of the choices")
    faults.set_answer(of(request).store, to, answer)
    return RedirectResponse(_page(to), 303, HEADERS)


@router.post(PAGE + "/orders")
async def order(request: Request) -> Response:
    """Order what goes wrong, for a phone, a prefix or all; `here` is the phone that is shown."""
    given = await _form(request)
    here = number(given.get("here", ""))
    here = here if possible(here) else ""
    try:
        orders.place(of(request).store, given)
    except orders.OrderError as error:
        return _html(_render(of(request), here, str(error)), 400)
    return RedirectResponse(_page(here), 303, HEADERS)


@router.post(PAGE + "/orders/{order_id}/drop")
async def drop(request: Request, order_id: Annotated[int, Path(ge=1, le=2**53)]) -> Response:
    """Take one order back."""
    faults.drop(of(request).store, order_id)
    here = number((await _form(request)).get("here", ""))
    return RedirectResponse(_page(here if possible(here) else ""), 303, HEADERS)
