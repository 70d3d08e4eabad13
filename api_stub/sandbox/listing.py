"""Twilio's v2010 lists: filters, pages and their envelope, newest first."""

import re
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from api_stub.sandbox.errors import TwilioError
from api_stub.sandbox.store import Params, Store
from api_stub.sandbox.wire import resource

TIME_FILTER = {"sms": "DateSent", "call": "StartTime"}
MOMENT = "CAST(coalesce(begun, created) AS INTEGER)"  # whole seconds, as callers write them
EQUAL = {"To": "recipient", "From": "sender"}
DAY = timedelta(days=1)
_LISTED = "NOT EXISTS (SELECT 1 FROM unlisted WHERE item = items.id AND until > ?)"


def _span(text: str) -> tuple[float, float]:
    """First moment and end of the day or the second that the text names."""
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            start = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
            return start.timestamp(), (start + DAY).timestamp()
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise TwilioError(400, 20001, "Dates are YYYY-MM-DD or ISO 8601") from None
    start = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    second = start.replace(microsecond=0).timestamp()
    return second, second + 1


def _conditions(params: Params, channel: str) -> tuple[list[str], list[Any]]:
    wheres = ["channel = ?", _LISTED]
    values: list[Any] = [channel, time.time()]
    columns = EQUAL | ({"Status": "status"} if channel == "call" else {})
    for name, column in columns.items():
        if given := params.get(name):
            wheres.append(f"{column} = ?")
            values.append(given[0])
    name = TIME_FILTER[channel]
    for key, tests in (
        (f"{name}>", ((">=", 0),)),
        (f"{name}<", (("<=", 0),)),
        (name, ((">=", 0), ("<", 1))),
    ):
        if given := params.get(key):
            span = _span(given[0])
            for test, end in tests:
                wheres.append(f"{MOMENT} {test} ?")
                values.append(span[end])
    return wheres, values


def _whole(params: Params, name: str, default: int, low: int, high: int) -> int:
    text = params.get(name, [""])[0]
    if not text:
        return default
    if not text.isascii() or not text.isdigit():
        raise TwilioError(400, 20001, f"{name} must be a whole number")
    return max(low, min(high, int(text[:9])))


def _bound(store: Store, params: Params) -> int:
    """The newest item the first page could show: later ones do not shift the pages."""
    token = params.get("PageToken", [""])[0]
    return int(token[2:]) if re.fullmatch(r"PA[0-9]{1,15}", token) else store.last_id()


def page(store: Store, params: Params, account: str, channel: str, base: str) -> dict[str, Any]:
    """One page in the v2010 envelope.

    :param base: the list's path
    :raises TwilioError: 400 for a date or a number that cannot be read
    """
    size = _whole(params, "PageSize", 50, 1, 1000)
    number = _whole(params, "Page", 0, 0, 10_000_000)
    bound = _bound(store, params)
    wheres, values = _conditions(params, channel)
    where = " AND ".join([*wheres, "id <= ?"])
    items = store.some(where, *values, bound, limit=size + 1, offset=number * size)
    shown = items[:size]

    def uri(at: int, first: bool = False) -> str:
        kept = [
            (key, value)
            for key, given in params.items()
            if key not in ("PageSize", "Page", "PageToken")
            for value in given
        ]
        token = [] if first else [("PageToken", f"PA{bound}")]
        return f"{base}?{urlencode([*kept, ('PageSize', size), ('Page', at), *token])}"

    return {
        "messages" if channel == "sms" else "calls": [resource(item, account) for item in shown],
        "page": number,
        "page_size": size,
        "start": number * size,
        "end": number * size + max(len(shown) - 1, 0),
        "uri": uri(number, first=number == 0),
        "first_page_uri": uri(0, first=True),
        "next_page_uri": uri(number + 1) if len(items) > size else None,
        "previous_page_uri": uri(number - 1) if number else None,
    }
