"""Texts that an account writes itself, with places for the code and the brand."""

import re
import unicodedata

from worker.errors import InvalidParameterError
from worker.labels import is_hidden
from worker.messages.checks import MAX_BRAND, has_link
from worker.messages.segments import segments

MAX_PATTERN = 160
MAX_PARTS = 2  # of a text in UCS-2; one in GSM-7 must fit in one
_PLACE = re.compile(r"{{ *([a-z_]+) *}}", re.ASCII)
_PLACES = ("code", "friendly_name")
_LONGEST = {"code": "0" * 10, "friendly_name": "B" * MAX_BRAND}
_ALONE = re.compile(r"(?<![0-9A-Za-z}]){{code}}(?![0-9A-Za-z{])", re.ASCII)
# With a name such as `Ex.c`, a letter or dot beside it makes a host name.
_NAMED_HOST = re.compile(r"[0-9A-Za-z.]{{friendly_name}}|{{friendly_name}}[0-9A-Za-z]", re.ASCII)


def check_pattern(given: str) -> str:
    """One line that holds `{{code}}` once, on its own, and `{{friendly_name}}` once or not.

    With the longest code and name it takes one part in GSM-7, or two in UCS-2.

    :raises InvalidParameterError: says why not
    """
    pattern = _PLACE.sub(lambda place: f"{{{{{place[1]}}}}}", unicodedata.normalize("NFC", given))
    if any(map(is_hidden, pattern)) or pattern != pattern.strip():
        raise _text("must be one line, without hidden characters and spaces around it")
    if len(pattern) > MAX_PATTERN:
        raise _text(f"must have {MAX_PATTERN} characters at most")
    places = _PLACE.findall(pattern)
    if places.count("code") != 1 or not _ALONE.search(pattern):
        raise _text("must hold {{code}} once, with no letter or digit beside it")
    if len(places) != len(set(places)) or not set(places) <= set(_PLACES):
        raise _text("may hold {{code}} and {{friendly_name}} only, each once")
    rest = _PLACE.sub("", pattern)
    if any(char in rest for char in "{}<>@#"):
        raise _text("may not hold { } < > @ #")
    filled = fill_pattern(pattern, **_LONGEST)
    if has_link(filled) or _NAMED_HOST.search(pattern):
        raise _text("must not hold a link, nor a letter beside {{friendly_name}} that may make one")
    if re.search(r"[0-9]{4}", unicodedata.normalize("NFKC", rest)):
        raise _text("must not hold digits that look like a code")
    counted = segments(filled)
    most = 1 if counted.encoding == "GSM-7" else MAX_PARTS
    if counted.parts > most:
        raise _text(
            f"with the longest code and name it takes {counted.parts} parts in {counted.encoding},"
            f" and {most} at most may be sent"
        )
    return pattern


def fill_pattern(pattern: str, *, code: str, friendly_name: str) -> str:
    """Put the values in their places, once: braces in a value stay what they are."""
    values = {"code": code, "friendly_name": friendly_name}
    return _PLACE.sub(lambda place: values[place[1]], pattern)


def _text(reason: str) -> InvalidParameterError:
    return InvalidParameterError("Text", reason)
