"""What may stand in a text: brands from outside, and the text that is about to leave."""

import re
import unicodedata

from worker.errors import InvalidParameterError
from worker.labels import is_hidden

MAX_BRAND = 30
_PUNCTUATION = frozenset(" .,'’-&_()+!")
# A dot between a character and two letters or marks of any script: phones make that a link.
_LINK = re.compile(r"\bhttps?\b|\bwww\.|\S\.[^\d\s_.,'’&()+!-]{2}", re.IGNORECASE)
# Letters and marks that draw nothing: Unicode's Default_Ignorable_Code_Point within L and M.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_WORD = re.compile(r"[0-9A-Za-z]+", re.ASCII)
_APP_HASH = re.compile(r"[A-Za-z0-9+/]{11}", re.ASCII)
_HOST = re.compile(r"(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}", re.ASCII)
_ORIGIN_LINE = re.compile(r"@(?P<host>[^\s@#]+) #(?P<code>\S+)(?: (?P<rest>.*))?", re.ASCII)
MAX_RETRIEVER_BYTES = 140


class TextRefusedError(ValueError):
    """The final text is not what a phone must get; it is not sent."""


def has_link(text: str) -> bool:
    """Whether phones would make a link of a part of the text."""
    return _LINK.search(text) is not None


def check_brand(name: str, field: str = "FriendlyName") -> str:
    """A name that may stand in a text: one line, no link, at most four digits.

    :param field: what the caller calls it
    :raises InvalidParameterError: says why not
    """
    brand = unicodedata.normalize("NFC", name).strip(" ")
    if not 1 <= len(brand) <= MAX_BRAND:
        raise InvalidParameterError(field, f"must have 1 to {MAX_BRAND} characters")
    if not all(unicodedata.category(c)[0] in "LMN" or c in _PUNCTUATION for c in brand):
        raise InvalidParameterError(
            field, "may hold letters, digits, spaces and . , ' - & _ ( ) + ! only"
        )
    if _INVISIBLE.search(brand) or not any(char.isalnum() for char in brand):
        raise InvalidParameterError(field, "must be visible and hold a letter or a digit")
    if sum(unicodedata.category(c)[0] == "N" for c in brand) > 4:
        raise InvalidParameterError(field, "may hold four digits at most")
    if has_link(brand):
        raise InvalidParameterError(field, "must not look like a link")
    return brand


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

    Without an origin it is one line; with one, that line, a blank one and the origin's.
    Origin-bound line: WICG sms-one-time-codes. App hash: Android SMS Retriever.

    :raises TextRefusedError: what is wrong, without the text
    """
    if not text.isprintable() and any(_hidden(char) for char in text):
        raise TextRefusedError("the text holds a control or hidden character")
    lines = text.split("\n")
    if len(lines) != (1 if origin is None else 3):
        raise TextRefusedError("the text has not the lines of its pattern")
    if code not in _WORD.findall(lines[0]):  # no pattern of the code: `re` would keep it
        raise TextRefusedError("the code does not stand alone in the text")
    if origin is not None:
        _check_origin_line(lines, code, origin)
    if app_hash is not None:
        _check_app_hash(text, app_hash)


def _hidden(char: str) -> bool:
    return char != "\n" and is_hidden(char)


def _check_origin_line(lines: list[str], code: str, origin: str) -> None:
    found = _ORIGIN_LINE.fullmatch(lines[-1])
    if lines[1] or found is None or (found["host"], found["code"]) != (origin, code):
        raise TextRefusedError("the last line does not bind the code to the origin")


def _check_app_hash(text: str, app_hash: str) -> None:
    body = text.removesuffix(f" {app_hash}")
    if not _APP_HASH.fullmatch(app_hash) or body == text or body[-1:].isspace():
        raise TextRefusedError("the text does not end with the app hash")
    if not text.startswith("<#> "):
        raise TextRefusedError("the text does not begin with <#>")
    if len(text.encode()) > MAX_RETRIEVER_BYTES:
        raise TextRefusedError("the text is longer than 140 bytes, which an app hash allows")
