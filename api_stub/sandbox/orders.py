"""What the phone page orders of the carrier and of Twilio: choices in words, each one fault."""

from typing import Any, NamedTuple

from pydantic import ValidationError

from api_stub.sandbox import faults
from api_stub.sandbox.store import Store


class Order(NamedTuple):
    """
    :param asks: what its value is, empty when it needs none
    :param usual: the value when none is given
    """

    words: str
    fault: dict[str, Any]
    field: str = ""
    asks: str = ""
    usual: int = 0


DELIVER = "deliver"
CODE, SECONDS = "error code", "seconds"
ORDERS = {
    DELIVER: Order("Deliver as usual", {}),
    "late": Order("Deliver or ring late", {}, "late", SECONDS, 10),
    "undelivered": Order(
        "Take it, then fail to deliver", {"fail": "undelivered"}, "code", CODE, 30003
    ),
    "reject": Order("Refuse it", {"fail": "reject"}, "code", CODE, 21211),
    "429": Order("Answer 429, too many requests", {"fail": "429"}, "retry_after", SECONDS, 1),
    "503": Order("Answer 503", {"fail": "503"}),
    "slow": Order("Answer late", {}, "delay_ms", SECONDS, 5),
    "hang": Order("Take it and never answer (time-out)", {"fail": "hang"}, "seconds", SECONDS, 30),
    "drop": Order("Take it and cut the connection", {"fail": "drop"}),
    "twice": Order("Send each receipt twice", {"callbacks": "twice"}),
    "reversed": Order("Send receipts out of order", {"callbacks": "reversed"}),
    "none": Order("Lose the receipts", {"callbacks": "none"}),
}
CHANNELS = {"": "Messages and calls", "sms": "Messages", "call": "Calls"}
TIMES = {"": "Until it is taken back", "1": "The next one", "3": "The next three"}


class OrderError(Exception):
    """The form cannot be used; the message says why."""


def place(store: Store, given: dict[str, str]) -> None:
    """Carry out the form: `to`, `what`, `value`, `channel` and `times`.

    :raises OrderError: nothing was changed
    """
    what, to = given.get("what", ""), given.get("to", "").replace(" ", "")
    if what not in ORDERS or given.get("channel", "") not in CHANNELS:
        raise OrderError("choose what happens, and to what")
    if what == DELIVER:
        _fault(to, {"callbacks": "none"})
        faults.clear(store, to)
        return
    order = ORDERS[what]
    values: dict[str, Any] = dict(order.fault)
    if order.field:
        value = _whole(given.get("value", ""), order)
        values[order.field] = value * 1000 if order.field == "delay_ms" else value
    times = given.get("times", "")
    values |= {"channel": given.get("channel") or None}
    values |= {"times": int(times) if times in TIMES and times else None}
    faults.add(store, _fault(to, values))


def _whole(text: str, order: Order) -> int:
    text = text.strip() or str(order.usual)
    if not (text.isascii() and text.isdigit() and len(text) < 9):
        raise OrderError(f"“{order.words}” needs a whole number: {order.asks}")
    return int(text)


def _fault(to: str, values: dict[str, Any]) -> faults.Fault:
    try:
        return faults.Fault.model_validate({"to": to, **values})
    except ValidationError as error:
        words = [str(one["msg"]).removeprefix("Value error, ") for one in error.errors()]
        raise OrderError("; ".join(words)) from None


def in_words(fault: dict[str, Any]) -> str:
    """What a fault does, for the list of those in force."""
    for name, order in ORDERS.items():
        same = all(fault[key] == value for key, value in order.fault.items())
        if name == DELIVER or not same or not (order.fault or fault[order.field]):
            continue
        value = fault[order.field] if order.field else None
        if value and order.field == "delay_ms":
            value = value / 1000
        return order.words + (f", {order.asks} {value:g}" if value else "")
    return fault["fail"] or "a fault by program"
