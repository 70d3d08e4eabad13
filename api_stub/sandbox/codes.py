"""Finds the code in a text, as a person reading or listening would."""

import re
from typing import NamedTuple

WRITTEN = re.compile(r"(?<![0-9+])[0-9]{4,10}(?![0-9])")
SPOKEN = re.compile(r"(?<![0-9])[0-9](?: ?[,،、] ?[0-9]| [0-9]){3,9}(?![0-9])")
BOUND = re.compile(r"@\S+ #([0-9]{4,10})\s*$")  # the last line that browsers read


class Found(NamedTuple):
    code: str
    start: int
    end: int


def find(text: str, channel: str) -> Found | None:
    """The code and where it stands; spoken digits ("1, 2, 3") count in a call."""
    if channel == "sms" and (bound := BOUND.search(text)):
        start = text.find(bound[1])
        return Found(bound[1], start, start + len(bound[1]))
    match = (channel == "call" and SPOKEN.search(text)) or WRITTEN.search(text)
    if not match:
        return None
    return Found(re.sub(r"[^0-9]", "", match[0]), match.start(), match.end())
