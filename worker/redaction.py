"""The last look at a log line: what must not be in one is taken out, whoever wrote it there.

Lines are written without numbers, codes and keys to begin with. This is for the one that is not,
and for what libraries write.
"""

import re
from collections.abc import MutableMapping
from typing import Any

GONE = "[redacted]"
_SECRET = {
    *("to", "number", "phone", "phone_number", "code", "digits", "otp", "body", "text", "twiml"),
    *("password", "secret", "token", "auth_token", "authorization", "api_key", "key_secret"),
}
# A number in any spelling after its +, or bare as providers and paths have it: of ten digits or
# more and no part of a sid, an address or a fraction. Codes are short and look like counts: they
# are known by their names alone.
_NUMBER = re.compile(r"(?:\+|%2[Bb])\d(?:[ ().-]{0,2}\d){6,14}|(?<![\w.:-])\d{10,15}(?![\w.:-])")
_SHORTEST = 8  # characters of what the patterns below can find
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_SID = re.compile(r"[A-Z]{2}[0-9a-f]{32}", re.ASCII)
_BASIC = re.compile(r"\b(Basic|Bearer)\s+[\w+/=.~-]{8,}", re.IGNORECASE)


def redact(logger: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take secrets out of a line, by the names of its values and by their looks."""
    for key, value in event.items():
        event[key] = value if key == "ts" else _of(key, value)
    return event


def _of(key: str, value: Any) -> Any:
    if key.lower() in _SECRET and value not in (None, ""):
        return GONE
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, dict):
        return {str(name): _of(str(name), one) for name, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_of("", one) for one in value]
    return value


def _clean(text: str) -> str:
    # Most values are words and sids, and each search costs as much as the rest of a value.
    if len(text) < _SHORTEST or _SID.fullmatch(text):
        return text
    text = _NUMBER.sub(GONE, text)
    if "://" in text:
        text = _CREDENTIALS.sub(GONE, text)
    return _BASIC.sub(rf"\1 {GONE}", text)
