"""What may stand in a text: brands from outside, and the text that is about to leave."""

import re
import unicodedata

from worker.errors import InvalidParameterError

MAX_BRAND = 30
_PUNCTUATION = frozenset(" .,'’-&_()+!")
_DOMAIN = re.compile(r"(?:^|[\s(])(?:https?\b|www\.|\S+\.[a-z]{2,}(?:$|[\s/),.!]))")
_APP_HASH = re.compile(r"[A-Za-z0-9+/]{11}", re.ASCII)
_HOST = re.compile(r"(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}", re.ASCII)
_ORIGIN_LINE = re.compile(r"@(?P<host>[^\s@#]+) #(?P<code>\S+)(?: (?P<rest>.*))?", re.ASCII)
MAX_RETRIEVER_BYTES = 140


class TextRefusedError(ValueError):
    """The final text is not what a phone must get; it is not sent."""


def check_brand(name: str) -> str:
    """A name that may stand in a text: one line, no link, at most four digits.

    :raises InvalidParameterError: says why not
    """
    brand = unicodedata.normalize("NFC", name).strip(" ")
    if not 1 <= len(brand) <= MAX_BRAND:
        raise _brand(f"must have 1 to {MAX_BRAND} characters")
    if not all(unicodedata.category(c)[0] in "LMN" or c in _PUNCTUATION for c in brand):
        raise _brand("may hold letters, digits, spaces and . , ' - & _ ( ) + ! only")
    if sum(unicodedata.category(c)[0] == "N" for c in brand) > 4:
        raise _brand("may hold four digits at most")
    if _DOMAIN.search(brand):
        raise _brand("must not look like a link")
    return brand


def _brand(reason: str) -> InvalidParameterError:
    return InvalidParameterError("FriendlyName", reason)


def check_origin(host: str) -> str:
    """A host for the origin-bound line: lower case, no scheme, port or path.

    :raises InvalidParameterError: says why not
    """
    if not _HOST.fullmatch(host):
        raise InvalidParameterError(
            "WebOrigin", "must be a host name in lower case, without scheme, port or path"
        )
    return host


def check_final(text: str, *, code: str, app_hash: str | None, origin: str | None) -> None:
    """Prove the text that is about to be sent: the code is in it, and machines will find it.

    Origin-bound line: WICG sms-one-time-codes. App hash: Android SMS Retriever.

    :raises TextRefusedError: what is wrong, without the text
    """
    if code not in text:
        raise TextRefusedError("the code is not in the text")
    if any(unicodedata.category(c) in ("Cc", "Zl", "Zp") and c != "\n" for c in text):
        raise TextRefusedError("the text holds a control character")
    lines = text.split("\n")
    if origin is None and len(lines) > 1:
        raise TextRefusedError("the text has more lines than its pattern")
    if origin is not None:
        found = _ORIGIN_LINE.fullmatch(lines[-1])
        if found is None or (found["host"], found["code"]) != (origin, code):
            raise TextRefusedError("the last line does not bind the code to the origin")
    if app_hash is not None:
        if not _APP_HASH.fullmatch(app_hash) or text.split()[-1] != app_hash:
            raise TextRefusedError("the text does not end with the app hash")
        if len(text.encode()) > MAX_RETRIEVER_BYTES:
            raise TextRefusedError("the text is longer than 140 bytes, which an app hash allows")
