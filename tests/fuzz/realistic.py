"""Bodies that are accepted, where a walk from answer to answer would else end at its first step."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import pyotp

JSON = "application/json"
USERS = (f"user-{number:08}" for number in itertools.count())
# 555-0100 to 0199 are fictional in every area.
NUMBERS = (f"+1{area}555{line:04}" for line in range(100, 200) for area in (303, 360, 415, 617))
FRESH: dict[str, Iterator[str]] = {"To": NUMBERS, "PhoneNumber": NUMBERS, "Identity": USERS}
LONG = 16  # as short as what names something: sids, backup codes


class Realistic:
    """Three of four bodies are the document's example, with what a link put into them."""

    def __init__(self) -> None:
        self._turns = itertools.count()
        self._seen: set[str] = set()
        self._secrets: dict[str, str] = {}

    def body(self, operation: Mapping[str, Any], path: Mapping[str, Any], drawn: Any) -> Any:
        """The body to send in place of the one that was drawn."""
        taken = operation.get("requestBody", {}).get("content", {}).get(JSON, {})
        if "example" not in taken or not isinstance(drawn, dict) or next(self._turns) % 4 == 3:
            return drawn
        linked = {n: v for n, v in drawn.items() if isinstance(v, str) and v in self._seen}
        body = {name: self._value(name, value) for name, value in taken["example"].items()} | linked
        if "VerificationSid" in linked:
            body.pop("To", None)
        if "AuthPayload" in body and path.get("sid") in self._secrets:
            body["AuthPayload"] = pyotp.TOTP(self._secrets[path["sid"]]).now()
        return body

    def _value(self, name: str, value: Any) -> Any:
        return next(FRESH[name], value) if name in FRESH else value

    def remember(self, answer: Any) -> None:
        """What later requests may name, and how to answer for a factor."""
        if isinstance(answer, dict):
            for value in answer.values():
                self.remember(value)
            if isinstance(answer.get("binding"), dict):
                self._secrets[answer["sid"]] = answer["binding"]["secret"]
        elif isinstance(answer, list):
            for value in answer:
                self.remember(value)
        elif isinstance(answer, str) and len(answer) >= LONG:
            self._seen.add(answer)
