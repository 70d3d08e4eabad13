"""Reads a TwiML document: what is said, and where the call goes on."""

import re
from typing import NamedTuple
from xml.etree import ElementTree

DEPTH = 6  # documents one call may go through


class TwimlError(Exception):
    """The document is not TwiML."""


class Heard(NamedTuple):
    """What one document says, and the URL that goes on; `pressed` when a key leads there."""

    said: list[str]
    url: str
    pressed: bool


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


def _text(element: ElementTree.Element) -> str:
    return re.sub(r"\s+", " ", "".join(element.itertext())).strip()


def _says(parent: ElementTree.Element) -> list[str]:
    return [_text(child) for child in parent if child.tag == "Say" and _text(child)]


def hear(root: ElementTree.Element) -> Heard:
    """Play the document to a callee who presses 1 as soon as a `<Gather>` with an action asks."""
    said: list[str] = []
    for verb in root:
        if verb.tag == "Say" and _text(verb):
            said.append(_text(verb))
        elif verb.tag == "Gather":
            said += _says(verb)
            if action := verb.get("action", ""):
                return Heard(said, action, True)
        elif verb.tag == "Redirect":
            return Heard(said, _text(verb), False)
        elif verb.tag in ("Hangup", "Reject"):
            break
    return Heard(said, "", False)
