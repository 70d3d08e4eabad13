"""The forms Twilio posts: a message's status, a call's status, and a call that asks for TwiML."""

import time

from api_stub.sandbox.store import Item
from api_stub.sandbox.wire import API, duration, rfc2822


def message_event(item: Item, account: str) -> dict[str, str]:
    params = {
        "AccountSid": account,
        "ApiVersion": API,
        "From": item.sender,
        "To": item.recipient,
        "MessageSid": item.sid,
        "MessageStatus": item.status,
        "SmsSid": item.sid,
        "SmsStatus": item.status,
    }
    if service := item.param("MessagingServiceSid"):
        params["MessagingServiceSid"] = service
    if item.error_code:
        params["ErrorCode"] = str(item.error_code)
    return params


def _call(item: Item, account: str) -> dict[str, str]:
    return {
        "AccountSid": account,
        "ApiVersion": API,
        "CallSid": item.sid,
        "CallStatus": "initiated" if item.status == "queued" else item.status,
        "Called": item.recipient,
        "Caller": item.sender,
        "Direction": "outbound-api",
        "From": item.sender,
        "To": item.recipient,
    }


def call_event(item: Item, account: str, number: int) -> dict[str, str]:
    params = _call(item, account) | {
        "CallbackSource": "call-progress-events",
        "SequenceNumber": str(number),
        "Timestamp": rfc2822(time.time()) or "",
    }
    if item.final:
        seconds = duration(item)
        params |= {"CallDuration": str(seconds), "Duration": str(-(-seconds // 60))}
    if item.status == "completed" and item.param("MachineDetection"):
        params["AnsweredBy"] = "human"
    if item.error_code:
        params["ErrorCode"] = str(item.error_code)
    return params


def heard_params(item: Item, account: str, digits: str) -> dict[str, str]:
    """What goes with a request for the next TwiML, and the keys that led there."""
    params = _call(item, account)
    return params | {"Digits": digits, "msg": "Gather End"} if digits else params
