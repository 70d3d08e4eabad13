"""One value of each parameter that is accepted as it stands, for the OpenAPI document."""

from collections.abc import Iterable, Mapping
from typing import Any

_HEX = "0123456789abcdef" * 2
EXAMPLES: dict[str, Any] = {
    "AuthPayload": "123456",
    "Code": "123456",
    "Country": "GB",
    "Description": "per address of the user",
    "FactorSid": f"YF{_HEX}",
    "FriendlyName": "Example",
    "Identity": "user-00042",
    "Interval": 60,
    "Locale": "en",
    "Max": 5,
    "MessagingServiceSid": f"MG{_HEX}",
    "PhoneNumber": "+13605550142",
    "Scopes": "start,check",
    "Text": "{{code}} is your {{friendly_name}} code",
    "To": "+13605550142",
    "UniqueName": "end_user_ip",
    "Url": "https://example.com/hook",
    "WebhookUrl": "https://example.com/hook",
    # Of the operators' API.
    "amount": "1000",
    "name": "ann",
    "number": "+13605550142",
    "reason": "carrier is back",
    "scope": "all",
    "sender": "main",
    "sid": f"VL{_HEX}",
    "state": "open",
    "to": "+13605550142",
    "unit": "messages",
    "worker": "worker-1@host",
}
# Of a change, where nothing is required, what may stand in its example beside what is in the table.
_CHANGED = ("EventTypes", "Status")


def example(properties: Mapping[str, Any], required: Iterable[str]) -> dict[str, Any]:
    """A body with what is required; of a change, where nothing is, with what can be changed.

    A property's own `examples` come before the table, and one of a few words has the first.
    """
    names = list(required) or [n for n in properties if n in EXAMPLES or n in _CHANGED]
    return {name: _value(name, properties[name]) for name in names}


def _value(name: str, kind: Mapping[str, Any]) -> Any:
    if "examples" in kind:
        return kind["examples"][0]
    if "enum" in kind.get("items", {}):
        return [kind["items"]["enum"][-1]]
    return kind["enum"][0] if "enum" in kind else EXAMPLES[name]
