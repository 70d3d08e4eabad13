"""Reads a TwiML document: what is said, which keys are asked for, and where the call goes on."""

import re
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree import ElementTree

DEPTH = 6  # documents one call may go through
GATHER_SECONDS = 5.0  # Twilio's own, where a `<Gather>` says nothing
LONGEST = 60.0


class TwimlError(Exception):
    """The document is not TwiML."""


class Line(NamedTuple):
    """What a `<Say>` speaks; `language` as in TwiML, such as `de-DE`, or empty."""

    words: str
    language: str

    @property
    def seconds(self) -> float:
        """About how long a voice takes to say it."""
        return 1 + 0.45 * len(self.words.split())


class Ask(NamedTuple):
    """A `<Gather>` with an action: so many keys (0: until `finish`), each within `seconds`."""

    url: str
    keys: int
    seconds: float
    finish: str


class Go(NamedTuple):
    """A `<Redirect>`."""

    url: str


def parse(text: str) -> ElementTree.Element:
    """:raises TwimlError: not well-formed, with a DTD, or the root is not `<Response>`"""
    if "<!" in text.replace("<!--", "").replace("<![CDATA[", ""):
        raise TwimlError("a document type is not allowed")  # no entities, so no expansion
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - no DTD gets here
    except (ElementTree.ParseError, ValueError):
        raise TwimlError("it is not well-formed") from None
    if root.tag != "Response":
        raise TwimlError("the root element is not <Response>")
    return root


def steps(root: ElementTree.Element) -> Iterator[Line | Ask | Go]:
    """The document's verbs in order, until it hangs up."""
    for verb in root:
        if verb.tag == "Say" and _text(verb):
            yield _line(verb)
        elif verb.tag == "Gather":
            yield from (_line(child) for child in verb if child.tag == "Say" and _text(child))
            if action := verb.get("action", ""):
                yield _ask(verb, action)
        elif verb.tag == "Redirect":
            yield Go(_text(verb))
        elif verb.tag in ("Hangup", "Reject"):
            return


def _text(element: ElementTree.Element) -> str:
    return re.sub(r"\s+", " ", "".join(element.itertext())).strip()


def _line(say: ElementTree.Element) -> Line:
    return Line(_text(say), say.get("language", ""))


def _ask(gather: ElementTree.Element, action: str) -> Ask:
    keys, seconds = gather.get("numDigits", ""), gather.get("timeout", "")
    return Ask(
        action,
        int(keys[:3]) if keys.isascii() and keys.isdigit() else 0,
        min(float(seconds[:3]), LONGEST)
        if seconds.isascii() and seconds.isdigit()
        else GATHER_SECONDS,
        gather.get("finishOnKey", "#"),
    )
