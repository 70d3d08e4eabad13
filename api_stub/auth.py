"""Who calls: HTTP Basic with the account's sid and auth token, as Twilio's SDKs send it."""

import base64
import binascii
import hmac

from fastapi import Request

from api_stub.errors import AuthenticationError
from worker.settings import Settings


def account_of(request: Request) -> str:
    """The account the caller proved to be.

    :raises AuthenticationError: no credentials, malformed ones, or wrong ones
    """
    settings: Settings = request.app.state.settings
    if not is_account(settings, request.headers.get("authorization")):
        raise AuthenticationError
    return settings.account_sid


def is_account(settings: Settings, authorization: str | None) -> bool:
    """Whether an `Authorization` header carries the account's credentials."""
    user, password = _basic(authorization)
    token = settings.auth_token.get_secret_value()
    if not settings.account_sid or not token:
        return False
    right_user = hmac.compare_digest(user, settings.account_sid.encode())
    right_password = hmac.compare_digest(password, token.encode())
    return right_user and right_password


def _basic(header: str | None) -> tuple[bytes, bytes]:
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return b"", b""
    try:
        user, _, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return b"", b""
    return user, password
