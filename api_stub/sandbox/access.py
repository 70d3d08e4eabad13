"""Who may come in: the provider's credentials, the doors' credentials, or the phone link's key."""

import base64
import binascii
import hashlib
import hmac

from fastapi import Request

from api_stub.sandbox.errors import SandboxError, TwilioError
from worker.settings import Settings

COOKIE = "sandbox_phone"


def phone_key(auth_token: str) -> str:
    """The key of the phone page's link, 32 hex digits: `/sandbox/phone?key=…`."""
    return hmac.new(auth_token.encode(), b"sandbox-phone", hashlib.sha256).hexdigest()[:32]


def _basic(request: Request) -> tuple[bytes, bytes]:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return b"", b""
    try:
        user, _, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return b"", b""
    return user, password


def _matches(request: Request, user: str, password: str) -> bool:
    if not user or not password:
        return False
    given_user, given_password = _basic(request)
    same_user = hmac.compare_digest(given_user, user.encode())
    return hmac.compare_digest(given_password, password.encode()) and same_user


def provider(request: Request, settings: Settings, account: str) -> None:
    """Let in who has the provider account's credentials and asks for that account.

    :raises TwilioError: 401 with 20003, or 404 with 20404 for another account
    """
    own = settings.first_sender
    if not _matches(request, own.account_sid, own.auth_token):
        raise TwilioError(401, 20003, "Authenticate")
    if account != own.account_sid:
        path = request.url.path.removeprefix("/2010-04-01")
        raise TwilioError(404, 20404, f"The requested resource {path} was not found")


def _doors(request: Request, settings: Settings) -> bool:
    return _matches(request, settings.account_sid, settings.auth_token.get_secret_value())


def programs(request: Request) -> None:
    """Let in who has the doors' credentials.

    :raises SandboxError: 401
    """
    if not _doors(request, request.app.state.sandbox.settings):
        raise SandboxError(401, "authenticate with SENDCODE_ACCOUNT_SID and SENDCODE_AUTH_TOKEN")


def key_fits(settings: Settings, key: str) -> bool:
    expected = phone_key(settings.auth_token.get_secret_value())
    return hmac.compare_digest(key.encode(), expected.encode())


def phone(request: Request) -> None:
    """Let in who has the doors' credentials or came by the phone link; never from another site.

    :raises SandboxError: 401, or 403 for a form that another site sent
    """
    settings: Settings = request.app.state.sandbox.settings
    if not key_fits(settings, request.cookies.get(COOKIE, "")) and not _doors(request, settings):
        raise SandboxError(401, "open the phone by its link, or with the account sid and token")
    site = request.headers.get("sec-fetch-site", "none")
    if request.method == "POST" and site not in ("same-origin", "none"):
        raise SandboxError(403, "this form was sent by another site")
