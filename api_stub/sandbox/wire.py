"""Twilio's resources as they go over the wire: every key of its OpenAPI, dates as RFC 2822."""

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from api_stub.sandbox.store import Item

API = "2010-04-01"
_GSM = re.compile(
    r"^[A-Za-z0-9 \r\n@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ!\"#¤%&'()*+,\-./:;<=>?¡ÄÖÑÜ§¿äöñüà"
    r"\f^{}\\\[~\]|€]*$"
)
_LONG = re.compile(r"[\f^{}\\\[~\]|€]")  # two places each in the GSM alphabet
_BILLED = ("sent", "delivered", "undelivered", "completed")
_SEGMENT, _CALL = 8_300, 14_000  # millionths of a dollar
_MESSAGE_PARTS = ("media", "feedback")
_CALL_PARTS = (
    *("notifications", "recordings", "payments", "events", "siprec", "streams"),
    *("transcriptions", "user_defined_message_subscriptions", "user_defined_messages"),
)


def iso(moment: float) -> str:
    """ISO 8601 in UTC with milliseconds."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def rfc2822(moment: float | None) -> str | None:
    return None if moment is None else format_datetime(datetime.fromtimestamp(moment, UTC))


def encoding(body: str) -> str:
    """`GSM-7`, or `UCS-2` when a character is not in that alphabet."""
    return "GSM-7" if _GSM.match(body) else "UCS-2"


def segments(body: str) -> int:
    """SMS parts: 160/153 places in the GSM alphabet, 70/67 UTF-16 units outside it."""
    if encoding(body) == "GSM-7":
        single, joined, places = 160, 153, len(body) + len(_LONG.findall(body))
    else:
        single, joined, places = 70, 67, len(body.encode("utf-16-le")) // 2
    return 1 if places <= single else -(-places // joined)


def _camel(name: str) -> str:
    return "".join(part.title() for part in name.split("_"))


def _parts(base: str, names: tuple[str, ...]) -> dict[str, str]:
    return {name: f"{base}/{_camel(name)}.json" for name in names}


def collection(account: str, channel: str) -> str:
    return f"/{API}/Accounts/{account}/{'Messages' if channel == 'sms' else 'Calls'}"


def resource(item: Item, account: str) -> dict[str, Any]:
    base = f"{collection(account, item.channel)}/{item.sid}"
    shared = {
        "sid": item.sid,
        "account_sid": account,
        "api_version": API,
        "date_created": rfc2822(item.created),
        "date_updated": rfc2822(item.updated),
        "to": item.recipient,
        "from": item.sender or None,
        "status": item.status,
        "direction": "outbound-api",
        "price": _price(item),
        "price_unit": "USD",
        "uri": f"{base}.json",
    }
    return shared | (_message(item, base) if item.channel == "sms" else _call(item, base))


def _price(item: Item) -> str | None:
    """As Twilio tells it: negative, and not before the message or call went out."""
    if item.status not in _BILLED:
        return None
    micros = _SEGMENT * segments(item.body) if item.channel == "sms" else _CALL
    return f"-0.{micros:06}"


def _message(item: Item, base: str) -> dict[str, Any]:
    return {
        "body": item.body,
        "date_sent": rfc2822(item.begun),
        "error_code": item.error_code,
        "error_message": "Sandbox: not delivered" if item.error_code else None,
        "messaging_service_sid": item.param("MessagingServiceSid") or None,
        "num_media": "0",
        "num_segments": str(segments(item.body)),
        "subresource_uris": _parts(base, _MESSAGE_PARTS),
    }


def _call(item: Item, base: str) -> dict[str, Any]:
    return {
        "to_formatted": item.recipient,
        "from_formatted": item.sender,
        "start_time": rfc2822(item.begun),
        "end_time": rfc2822(item.ended),
        "duration": str(duration(item)) if item.ended else None,
        "answered_by": "human" if item.body and item.param("MachineDetection") else None,
        "queue_time": "0",
        "subresource_uris": _parts(base, _CALL_PARTS),
        **dict.fromkeys(
            (
                *("parent_call_sid", "phone_number_sid", "forwarded_from"),
                *("group_sid", "caller_name", "trunk_sid"),
            )
        ),
    }


def duration(item: Item) -> int:
    """Whole seconds of talk; 0 for a call that nobody answered."""
    if item.status != "completed" or item.begun is None or item.ended is None:
        return 0
    return max(1, round(item.ended - item.begun))
