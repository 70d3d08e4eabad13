"""Lists: which page is asked for, and Twilio's envelope around it. Pages follow a key, so a
`PageToken` says after (`PA`) or before (`PB`) which one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from fastapi import Request

from api_stub.parameters import Parameters, query
from worker.paging import Slice, Window

T = TypeVar("T")
_PAGING = ("PageSize", "Page", "PageToken")
DEFAULT_SIZE, MAX_SIZE = 50, 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """What a list was asked for: its page, and the filters besides."""

    number: int
    window: Window
    filters: Parameters


def asked(request: Request, *filters: str, refusing_with: int = 60200) -> Asked:
    """
    :param refusing_with: Twilio's code of a refusal
    :raises ApiError: an unknown or repeated parameter, or no such page
    """
    given = query(request).refusing_with(refusing_with)
    given.only(*_PAGING, *filters)
    size = given.integer("PageSize")
    size = DEFAULT_SIZE if size is None else size
    if not 1 <= size <= MAX_SIZE:
        raise given.refusal("PageSize", f"must be from 1 to {MAX_SIZE}")
    token = given.text("PageToken")
    number = given.integer("Page") or 0
    if token is None:
        # As with Twilio a number alone names no page.
        return Asked(0, Window(size), given)
    side, key = token[:2], token[2:]
    if side not in ("PA", "PB") or not key.isascii() or not key.isalnum() or len(key) > 64:
        raise given.refusal("PageToken", "is not one of ours")
    if side == "PA":
        return Asked(number, Window(size, after=key), given)
    return Asked(number, Window(size, before=key), given)


def envelope(
    name: str,
    found: Slice[T],
    request: Asked,
    *,
    url: str,
    shape: Callable[[T], Mapping[str, Any]],
    key: Callable[[T], str],
) -> dict[str, Any]:
    """Twilio's list envelope. Its URLs are absolute: the SDKs follow them as they are."""
    size, number, items = request.window.size, request.number, found.items
    kept = {k: v for k, v in request.filters.items() if k not in _PAGING}

    def link(page: int, token: str = "") -> str:
        values = {**kept, "PageSize": size, "Page": page}
        return f"{url}?{urlencode(values | ({'PageToken': token} if token else {}))}"

    window = request.window
    own = f"PA{window.after}" if window.after else f"PB{window.before}" if window.before else ""
    earlier = link(max(0, number - 1), f"PB{key(items[0])}") if items and found.earlier else None
    later = link(number + 1, f"PA{key(items[-1])}") if items and found.later else None
    return {
        name: [dict(shape(one)) for one in items],
        "meta": {
            "page": number,
            "page_size": size,
            "first_page_url": link(0),
            "previous_page_url": earlier,
            "url": link(number, own),
            "next_page_url": later,
            "key": name,
        },
    }
