"""Who calls: HTTP Basic with the account's sid and auth token, as Twilio's SDKs send it, or with
an API key's sid and secret.
"""

import base64
import binascii
import hmac

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from api_stub.errors import AuthenticationError, ScopeMissingError
from worker.api_keys import Scope
from worker.audit import Operator
from worker.settings import Settings
from worker.wiring import Sendcode


class Caller:
    """The account that the caller proved to act for, with a key only where it has the scope.

    :raises AuthenticationError: no credentials, malformed ones, or wrong ones
    :raises ScopeMissingError: a key without this scope
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> str:
        parts: Sendcode = request.app.state.parts
        authorization = request.headers.get("authorization")
        if is_account(parts.settings, authorization):
            return parts.settings.account_sid
        user, secret = _basic(authorization)
        if not user.startswith(b"SK"):
            raise AuthenticationError
        sid = user.decode("ascii", "replace")
        key = await run_in_threadpool(parts.api_keys.prove, sid, secret)
        if key is None:
            raise AuthenticationError
        if not key.allows(self.scope):
            raise ScopeMissingError(self.scope)
        return key.account_sid


may_start = Caller(Scope.START)
may_check = Caller(Scope.CHECK)
may_read = Caller(Scope.READ)
may_administer = Caller(Scope.ADMIN)


def user_of(request: Request) -> str:
    """The sid of the key or account that a request came in by, once `Caller` has let it pass."""
    return _basic(request.headers.get("authorization"))[0].decode("ascii", "replace")


def acting(request: Request) -> Operator:
    """The caller as the audit log names one, once `Caller` has let it pass."""
    address = request.client.host if request.client else "unknown"
    return Operator(user_of(request), address, admin=True)


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
