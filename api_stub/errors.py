"""Errors on the wire: Twilio's envelope, its codes, and never a number or a code in a message."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Mount

from api_stub import refusals
from api_stub.factor_refusals import FACTOR_FIELDS, FACTOR_REFUSALS
from worker.db import UNAVAILABLE
from worker.errors import (
    ActionRefusedError,
    BlockedError,
    BudgetExceededError,
    BusyError,
    ChecksSpentError,
    ConflictError,
    FactorParameterError,
    FactorRefusedError,
    FeatureOffError,
    InUseError,
    InvalidParameterError,
    KeyMissingError,
    LandlineError,
    LimitReachedError,
    LimitsUnavailableError,
    NotFoundError,
    NumberBusyError,
    NumberDisabledError,
    OverloadedError,
    PausedError,
    PaymentError,
    RateLimitedError,
    RequestConflictError,
    RequestRunningError,
    SendcodeError,
    TooManyError,
)

# What a path may hold that an answer may repeat: resource names and sids, never a number.
_HARMLESS = re.compile(r"|[A-Za-z_]{1,40}|v[12]|[A-Z]{2}[0-9a-f]{32}", re.ASCII)

_NAME = re.compile(r"[A-Za-z][A-Za-z._-]{0,63}", re.ASCII)  # a caller's own may hold anything
_CONFLICTS = {
    "messaging configuration": (60213, "A messaging configuration exists for this country"),
    "rate limit": (60208, "A rate limit with this UniqueName exists in the service"),
    "bucket": (60211, "The rate limit has a bucket with this Interval"),
    "safe-listed number": (60411, "The phone number is on the safe list already"),
}

_TOO_MANY = {
    "rate limit": (60207, "The service has as many rate limits as it may"),
    "event hook": (60207, "The service has as many event hooks as it may"),
    "webhook": (60207, "The service has as many webhooks as it may"),
    "bucket": (60210, "The rate limit has as many buckets as it may"),
}

_METHODS = ("GET", "POST", "PUT", "DELETE")

log = structlog.get_logger()


class ApiError(Exception):
    """An answer in Twilio's envelope.

    :param details: further facts for programs, or None
    :param field: the parameter that cannot be used, where it is one
    """

    def __init__(
        self,
        status: int,
        code: int,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.field = field
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        body: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }
        if self.details:
            body["details"] = self.details
        return JSONResponse(body, self.status, self.headers)


class AuthenticationError(ApiError):
    def __init__(self) -> None:
        super().__init__(
            401,
            20003,
            "Authentication Error - invalid username or password",
            headers={"WWW-Authenticate": 'Basic realm="sendcode"'},
        )


class ScopeMissingError(ApiError):
    def __init__(self, scope: str) -> None:
        super().__init__(
            403, 20003, f"Permission denied - the API key does not have the scope `{scope}`"
        )


def not_found(request: Request, details: Mapping[str, Any] | None = None) -> ApiError:
    parts = request.url.path.removeprefix("/v2").split("/")
    resource = "/".join(part if _HARMLESS.fullmatch(part) else "-" for part in parts[:8])
    return ApiError(404, 20404, f"The requested resource {resource} was not found", details=details)


def invalid(field: str, reason: str, code: int = 60200, status: int = 400) -> ApiError:
    name = field if _NAME.fullmatch(field) else "-"
    return ApiError(status, code, f"Invalid parameter `{name}`: {reason}", field=name)


def translate(request: Request, error: Exception) -> ApiError:
    """Our errors as Twilio says them."""
    match error:
        case ApiError():
            return error
        case FactorParameterError():
            return invalid(error.field, error.reason, FACTOR_FIELDS.get(error.field, 60300))
        case FactorRefusedError():
            return _factor_refused(error)
        case LandlineError():
            return ApiError(403, 60205, "SMS is not supported by landline phone number")
        case InvalidParameterError():
            return invalid(error.field, error.reason)
        case FeatureOffError():
            return ApiError(403, 60204, f"Service does not support this feature: {error.feature}")
        case PaymentError(by_call=True):
            return ApiError(400, 60214, "Call channel is not supported with PSD2")
        case PaymentError():
            return ApiError(400, 60206, "Amount and Payee are required")
        case NotFoundError():
            return not_found(request)
        case RateLimitedError():
            return ApiError(
                429,
                20429,
                f"Too many requests: rate limit {error.limit} is reached",
                details={"rate_limit": error.limit, "retry_after": error.retry_after},
                headers={"Retry-After": str(error.retry_after)},
            )
        case BudgetExceededError():
            return ApiError(
                429,
                20429,
                "Too many requests: the day's budget is used up",
                details={
                    "limit": error.limit,
                    "scope": error.scope,
                    "retry_after": error.retry_after,
                },
                headers={"Retry-After": str(error.retry_after)},
            )
        case LimitReachedError(limit="range" | "country"):
            return ApiError(
                403,
                60410,
                "Verification delivery attempt blocked: too many to this range or country",
                details={"limit": error.limit, "retry_after": error.retry_after},
                headers={"Retry-After": str(error.retry_after)},
            )
        case LimitReachedError():
            return ApiError(
                429,
                60203,
                "Max send attempts reached",
                details={"limit": error.limit, "retry_after": error.retry_after},
                headers={"Retry-After": str(error.retry_after)},
            )
        case ChecksSpentError():
            return ApiError(
                429,
                60202,
                "Max check attempts reached",
                details={"retry_after": error.retry_after, "attempts_remaining": 0},
                headers={"Retry-After": str(error.retry_after)},
            )
        case NumberBusyError():
            return ApiError(
                429,
                60212,
                "Too many concurrent requests for phone number",
                headers={"Retry-After": str(error.retry_after)},
            )
        case NumberDisabledError():
            return ApiError(
                403, 60238, "The number is disabled after too many wrong codes in a row"
            )
        case BlockedError():
            return ApiError(403, 60410, "Verification delivery attempt blocked")
        case PausedError():
            return _paused(error)
        case ActionRefusedError():
            return ApiError(409, 20409, str(error), details={"reason": error.reason})
        case BusyError():
            return _overloaded(error, "Too many requests as dear as this one are being answered")
        case OverloadedError():
            return _overloaded(
                error, "Too many codes wait to be sent, a new one would come too late"
            )
        case RequestRunningError():
            return ApiError(
                409,
                20409,
                "A request with this Idempotency-Key is being answered",
                headers={"Retry-After": "1"},
            )
        case ConflictError(kind="operator"):
            return ApiError(409, 20409, "An operator of this name exists already")
        case ConflictError():
            code, message = _CONFLICTS[error.kind]
            return ApiError(400, code, message)
        case TooManyError():
            code, message = _TOO_MANY[error.kind]
            return ApiError(400, code, f"{message}: {error.most}")
        case InUseError():
            return invalid("Sid", str(error))
        case RequestConflictError():
            return ApiError(422, 20422, "The Idempotency-Key was used for another request")
        case _ if isinstance(error, (LimitsUnavailableError, KeyMissingError, *UNAVAILABLE)):
            log.error("request.unavailable", error_class=type(error).__name__)
            return ApiError(
                503,
                20503,
                "Service temporarily unavailable, nothing was accepted",
                headers={"Retry-After": "2"},
            )
        case ClientDisconnect():
            return ApiError(400, 20001, "The request's body did not come whole")
        case HTTPException(status_code=405):
            return ApiError(405, 20004, "Method not allowed", headers=_allowed(request, error))
        case HTTPException(status_code=404) | RequestValidationError():
            return not_found(request)
        case HTTPException():
            return ApiError(error.status_code, 20001, str(error.detail))
    door = request.url.path.split("/")[1]
    log.error("request.crashed", error_class=type(error).__name__, path=door)
    return ApiError(500, 20500, "Internal server error")


def _allowed(request: Request, error: HTTPException) -> Mapping[str, str] | None:
    """`Allow` with the methods of every route of the path, where Starlette names one route's."""
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]
    found = [
        method
        for method in _METHODS
        for scope in ({**request.scope, "method": method},)
        if any(route.matches(scope)[0] is Match.FULL for route in routes)
    ]
    return {"Allow": ", ".join(found)} if found else error.headers


def _paused(error: PausedError) -> ApiError:
    """As Twilio answers where a country or a channel is switched off."""
    wait = error.retry_after
    details = {"paused": error.kind} | ({} if wait is None else {"retry_after": wait})
    headers = {} if wait is None else {"Retry-After": str(wait)}
    if error.kind == "country":
        text = "Verification delivery to this country is paused"
        return ApiError(403, 60605, text, details=details, headers=headers)
    text = f"Delivery channel disabled: {error.name.upper()}"
    return ApiError(400, 60223, text, details=details, headers=headers)


def _factor_refused(error: FactorRefusedError) -> ApiError:
    status, code, message = FACTOR_REFUSALS[error.refusal]
    wait = error.retry_after
    return ApiError(
        status,
        code,
        message,
        details=None if wait is None else {"retry_after": wait},
        headers=None if wait is None else {"Retry-After": str(wait)},
    )


Faces = Mapping[str, Callable[[Request, Exception], JSONResponse]]
"""By the beginning of their paths, the doors whose errors do not have Twilio's envelope."""


def answer(faces: Faces, request: Request, error: Exception) -> JSONResponse:
    """An error as the door says it that the request came to."""
    path = request.url.path
    face = next((face for prefix, face in faces.items() if path.startswith(prefix)), _as_twilio)
    told = face(request, error)
    refusals.tell(request, error, told.status_code)
    return told


def _overloaded(error: OverloadedError, message: str) -> ApiError:
    return ApiError(
        429,
        20429,
        message,
        details={"retry_after": error.retry_after},
        headers={"Retry-After": str(error.retry_after)},
    )


def _as_twilio(request: Request, error: Exception) -> JSONResponse:
    return translate(request, error).response()


def install(app: FastAPI, faces: Faces) -> None:
    """Answer every error in its door's envelope."""

    async def answered(request: Request, error: Exception) -> JSONResponse:
        return answer(faces, request, error)

    for kind in (
        ApiError,
        SendcodeError,
        *UNAVAILABLE,
        ClientDisconnect,
        HTTPException,
        RequestValidationError,
        Exception,
    ):
        app.add_exception_handler(kind, answered)
