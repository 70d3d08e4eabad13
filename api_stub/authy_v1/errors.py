"""Errors as Authy says them. Its numbers and Verify's overlap in range and are kept apart."""

from collections.abc import Mapping

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api_stub import errors
from api_stub.errors import ApiError
from worker.errors import (
    ChecksSpentError,
    FactorRefusedError,
    FeatureOffError,
    InvalidParameterError,
    LandlineError,
    LimitReachedError,
    NotFoundError,
    NumberBusyError,
    NumberDisabledError,
    OverloadedError,
    PaymentError,
    SendcodeError,
)
from worker.states import FactorRefusal

GENERAL = 60000
KEY_INVALID = 60001
INVALID_REQUEST = 60002
TOO_MANY = 60003
INVALID_ENCODING = 60005
USER_DISABLED = 60018
TOKEN_INVALID = 60020
NOT_STARTED = 60021
CODE_INCORRECT = 60022
NOTHING_PENDING = 60023
USER_NOT_FOUND = 60026
USER_NOT_VALID = 60027
SMS_NOT_FOUND = 60032
NUMBER_INVALID = 60033
VERIFICATION_INVALID = 60042
COUNTRY_INVALID = 60078
LANDLINE = 60082
QR_FAILED = 60122


# Our names of what may be wrong, where Authy has others.
_NAMES = {
    "Locale": "locale",
    "CustomCode": "custom_code",
    "CodeLength": "code_length",
    "FriendlyName": "label",
}


class AuthyError(ApiError):
    """An answer in Authy's envelope.

    :param errors: by field, beside the message
    :param more: further keys of the body
    """

    def __init__(
        self,
        status: int,
        code: int,
        message: str,
        *,
        errors: Mapping[str, str] | None = None,
        more: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, code, message, headers=headers)
        self.errors = dict(errors or {})
        self.more = dict(more or {})

    def response(self) -> JSONResponse:
        body = {
            "message": self.message,
            **self.more,
            "success": False,
            "errors": {**self.errors, "message": self.message},
            "error_code": str(self.code),
        }
        return JSONResponse(body, self.status, self.headers)


class KeyInvalidError(AuthyError):
    def __init__(self) -> None:
        super().__init__(401, KEY_INVALID, "Invalid API key")


def user_not_found() -> AuthyError:
    return AuthyError(404, USER_NOT_FOUND, "User not found.")


def token_invalid() -> AuthyError:
    message = "Token is invalid"
    return AuthyError(401, TOKEN_INVALID, message, more={"token": "is invalid"})


def invalid(error: InvalidParameterError, code: int = GENERAL) -> AuthyError:
    name = _NAMES.get(error.field, error.field)
    return AuthyError(400, code, f"Invalid parameter: {name} {error.reason}")


def translate(request: Request, error: Exception) -> AuthyError:
    """Our errors as Authy says them; those of a kind that every door has keep their words."""
    if isinstance(error, AuthyError):
        return error
    if isinstance(error, SendcodeError):
        found = _ours(error)
        if found is not None:
            return found
    general = errors.translate(request, error)
    if isinstance(error, HTTPException | RequestValidationError) and general.status == 404:
        return AuthyError(404, GENERAL, "Requested URL was not found.")
    return AuthyError(general.status, GENERAL, general.message, headers=general.headers)


def _ours(error: SendcodeError) -> AuthyError | None:
    match error:
        case LandlineError():
            return AuthyError(403, LANDLINE, "Cannot send SMS to landline phone numbers")
        case InvalidParameterError(field="country_code"):
            return AuthyError(403, COUNTRY_INVALID, "Invalid country code")
        case InvalidParameterError(field="To"):
            return AuthyError(400, NUMBER_INVALID, "Phone number is invalid")
        case InvalidParameterError():
            return invalid(error)
        case FeatureOffError() | PaymentError():
            return AuthyError(403, NOT_STARTED, f"Phone verification not started: {error}")
        case NotFoundError(kind="verification"):
            return AuthyError(404, NOTHING_PENDING, "No pending verifications found.")
        case NotFoundError():
            return user_not_found()
        case NumberDisabledError():
            return AuthyError(
                403, USER_DISABLED, "User is disabled: too many wrong tokens in a row"
            )
        case LimitReachedError() | OverloadedError() | ChecksSpentError() | NumberBusyError():
            return _too_many(error.retry_after)
        case FactorRefusedError(refusal=FactorRefusal.DISABLED):
            return AuthyError(
                403, USER_DISABLED, "User is disabled: too many wrong tokens in a row"
            )
        case FactorRefusedError(refusal=FactorRefusal.VERIFICATION_SPENT):
            return token_invalid()  # of an app that was never enrolled: it needs a new secret
        case FactorRefusedError(retry_after=int()):
            return _too_many(error.retry_after or 1)
        case FactorRefusedError():
            return AuthyError(400, QR_FAILED, "QR code generation failed")
    return None


def _too_many(retry_after: int) -> AuthyError:
    headers = {"Retry-After": str(retry_after)}
    return AuthyError(429, TOO_MANY, "Too many requests, try again later", headers=headers)


def answer(request: Request, error: Exception) -> JSONResponse:
    return translate(request, error).response()


# What an Authy client may ask for; everything else on these paths is its 404.
PREFIXES = ("/protected/", "/onetouch/", "/2010-04-01/")
FACES = dict.fromkeys(PREFIXES, answer)
