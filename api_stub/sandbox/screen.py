"""What the phone shows of a message or call: its text in parts, and how far it came."""

from typing import Any, NamedTuple

from api_stub.sandbox import standing
from api_stub.sandbox.codes import BOUND, find
from api_stub.sandbox.lifecycle import RINGS, rings_until
from api_stub.sandbox.store import Item, Store
from api_stub.sandbox.wire import encoding, iso, segments

STEPS = {
    "sms": ("queued", "sent", "delivered"),
    "call": ("queued", "ringing", "in-progress", "completed"),
}
BAD = ("undelivered", "failed", "busy", "no-answer", "canceled")
RECEIPTS = {
    "none": "receipts are lost",
    "twice": "receipts come twice",
    "reversed": "receipts come out of order",
}


class Part(NamedTuple):
    """A text around its code; `code` may be empty."""

    before: str
    code: str
    after: str
    language: str = ""


class Chip(NamedTuple):
    """A status, and whether it was reached: `done`, `open` or `bad`."""

    word: str
    state: str


def entry(store: Store, item: Item) -> dict[str, Any]:
    """What the template needs to know of one item."""
    found = find(item.body, item.channel)
    at = standing.of_call(store, item) if item.channel == "call" else standing.Standing()
    rings = item.channel == "call" and item.status in RINGS
    return {
        "item": item,
        "at": iso(item.created),
        "day": iso(item.created)[:10],
        "text": part(item.body, item.channel),
        "code": found.code if found else "",
        "chips": chips(item),
        "receipts": RECEIPTS.get(item.callbacks or "", ""),
        "encoding": encoding(item.body),
        "segments": segments(item.body),
        "origin": origin(item.body) if item.channel == "sms" else None,
        "rings": rings,
        "until": iso(rings_until(item)) if rings and item.status == "ringing" else "",
        "ignored": at.ignored,
        "asks": iso(at.asks) if at.asks and item.status == "in-progress" else "",
        "lines": spoken(item, at.languages),
    }


def part(text: str, channel: str, language: str = "") -> Part:
    found = find(text, channel)
    start, end = (found.start, found.end) if found else (len(text), len(text))
    return Part(text[:start], text[start:end], text[end:], language)


def spoken(item: Item, languages: tuple[str, ...]) -> list[Part]:
    """A call's transcript, line by line, each with the language it was said in."""
    lines = item.body.split("\n") if item.channel == "call" and item.body else []
    known = (*languages, *("" for _ in lines))
    return [part(line, "call", known[i]) for i, line in enumerate(lines)]


def chips(item: Item) -> list[Chip]:
    """The way of an item so far, and where it ends or will end."""
    way = STEPS[item.channel]
    if item.status in BAD:
        word = f"{item.status} {item.error_code or ''}".strip()
        passed = way[:2] if item.begun else way[:1]
        return [*(Chip(one, "done") for one in passed), Chip(word, "bad")]
    reached = way.index(item.status)
    return [Chip(one, "done" if i <= reached else "open") for i, one in enumerate(way)]


def origin(text: str) -> tuple[bool, str]:
    """What a browser makes of the text's last line, and whether it is well-formed."""
    last = text.rstrip().rpartition("\n")[2]
    if not last.startswith("@"):
        return False, "no origin line: browsers do not offer this code"
    if not (bound := BOUND.search(text)):
        return False, "the last line is not “@domain #code”: browsers ignore it"
    if text.count(bound[1]) < 2:
        return False, "the origin line has another code than the text"
    return True, f"browsers offer it on {last[1:].partition(' ')[0]} alone"
