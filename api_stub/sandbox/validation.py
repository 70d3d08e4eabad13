"""Checks the parameters of a send as Twilio does, with its error codes."""

import re
from urllib.parse import parse_qsl, urlsplit

import phonenumbers
from fastapi import Request

from api_stub.sandbox.errors import TwilioError
from api_stub.sandbox.store import Params
from api_stub.sandbox.twiml import TwimlError, parse

E164 = re.compile(r"^\+[1-9][0-9]{6,14}$")
SENDER = re.compile(r"^(\+[1-9][0-9]{6,14}|[0-9]{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 +\-_&]{1,11})$")
SERVICE = re.compile(r"^MG[0-9a-f]{32}$")
NUMBERS = ("To", "From")
LIMIT = 65_536


def number(text: str) -> str:
    """A number as callers write it; an unescaped `+` reached us as a space."""
    return f"+{text[1:].strip()}" if re.match(r"^ [0-9]", text) else text.strip()


def possible(text: str) -> bool:
    """An E.164 number of a length its country has."""
    if not E164.match(text):
        return False
    try:
        return bool(phonenumbers.is_possible_number(phonenumbers.parse(text)))
    except phonenumbers.NumberParseException:
        return False


def group(pairs: list[tuple[str, str]]) -> Params:
    params: Params = {}
    for name, value in pairs:
        params.setdefault(name, []).append(number(value) if name in NUMBERS else value)
    return params


async def form(request: Request) -> Params:
    """The form's parameters, repeated ones as lists.

    :raises TwilioError: 400 for a body over 64 KiB or not a form in UTF-8
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LIMIT:
            raise TwilioError(400, 20001, "The request body is too large")
    try:
        return group(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
    except ValueError:
        raise TwilioError(400, 20001, "The request body is not a form in UTF-8") from None


def _refuse(code: int, message: str) -> TwilioError:
    return TwilioError(400, code, message)


def _masked(text: str) -> str:
    return f"{text[:-4]}XXXX" if len(text) > 6 else "XXXX"


def _first(params: Params, name: str) -> str:
    return params.get(name, [""])[0]


def _to(params: Params, missing: int) -> None:
    to = _first(params, "To")
    if not to:
        raise _refuse(missing, "A 'To' phone number is required.")
    if not possible(to):
        raise _refuse(21211, f"Invalid 'To' Phone Number: {_masked(to)}")


def _integer(params: Params, name: str, low: int, high: int, code: int) -> None:
    text = _first(params, name)
    if text and not (text.isascii() and text.isdigit() and low <= int(text[:9]) <= high):
        raise _refuse(code, f"Invalid {name}: a whole number from {low} to {high} is needed")


def _url(params: Params, name: str, code: int) -> None:
    text = _first(params, name)
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise _refuse(code, f"The '{name}' URL is not a valid URL.")


def message(params: Params) -> None:
    """:raises TwilioError: 400, 216xx, for the first fault of a message's parameters"""
    _to(params, 21604)
    sender, service = _first(params, "From"), _first(params, "MessagingServiceSid")
    if not sender and not service:
        raise _refuse(21603, "A 'From' phone number is required.")
    if sender and not SENDER.match(sender):
        raise _refuse(21212, "Invalid 'From' Phone Number")
    if service and not SERVICE.match(service):
        raise _refuse(21701, "The Messaging Service does not exist.")
    body = _first(params, "Body")
    if not body:
        raise _refuse(21602, "Message body is required.")
    if len(body) > 1600:
        raise _refuse(21617, "The concatenated message body exceeds the 1600 character limit.")
    _integer(params, "ValidityPeriod", 1, 36_000, 21624)
    _url(params, "StatusCallback", 21609)


def call(params: Params) -> None:
    """:raises TwilioError: 400 for the first fault of a call's parameters"""
    _to(params, 21201)
    sender = _first(params, "From")
    if not sender:
        raise _refuse(21213, "Caller phone number is required.")
    if not E164.match(sender):
        raise _refuse(21212, "Invalid 'From' Phone Number")
    document, url = _first(params, "Twiml"), _first(params, "Url")
    if not document and not url:
        raise _refuse(21205, "Url parameter is required.")
    _url(params, "Url", 21205)
    if not url:
        _document(document)
    _integer(params, "Timeout", 1, 600, 20001)
    _url(params, "StatusCallback", 21609)


def _document(text: str) -> None:
    if len(text) > 4000:
        raise _refuse(12100, "Twiml exceeds the 4000 character limit")
    try:
        parse(text)
    except TwimlError as error:
        raise _refuse(12100, f"Document parse failure: {error}") from None
