"""What the log says of a start or a check that is refused: one line each, under its own name."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from worker import logs
from worker.errors import (
    BudgetExceededError,
    ChecksSpentError,
    InvalidParameterError,
    KeyMissingError,
    LimitReachedError,
    LimitsUnavailableError,
    NotFoundError,
    NumberDisabledError,
    OverloadedError,
    RateLimitedError,
    RequestRunningError,
    SendcodeError,
)
from worker.states import VerificationStatus

log = structlog.get_logger()
_NAME = re.compile(r"[A-Za-z][A-Za-z.-]{0,63}", re.ASCII)  # a caller's own may hold anything

_OURS = (OverloadedError, KeyMissingError)  # refusals that the caller is not to blame for


@contextmanager
def telling(act: str, **fields: Any) -> Iterator[None]:
    """Put `fields`, and what is `logs.learned` inside, on the lines of a start or a check.

    :param act: `start` or `check`
    """
    with logs.about(**fields):
        try:
            yield
        except SendcodeError as error:
            _tell(act, error)
            raise


def _tell(act: str, error: SendcodeError) -> None:
    of_service = isinstance(error, RateLimitedError)
    match error:
        case LimitsUnavailableError() | RequestRunningError():
            pass  # nothing was decided; the door says what becomes of it
        case BudgetExceededError(scope=scope, retry_after=wait):
            log.warning("budget.exceeded", scope=scope, retry_after=wait)
        case LimitReachedError(limit="range", retry_after=wait) if not of_service:
            log.warning("fraud.prefix_held", retry_after=wait)
        case LimitReachedError(limit=limit, retry_after=wait):
            log.warning("limit.hit", limit=limit, of_service=of_service, retry_after=wait)
        case ChecksSpentError() | NumberDisabledError() if act == "check":
            disabled = isinstance(error, NumberDisabledError)
            log.warning("code.locked", number_disabled=disabled)
        case NotFoundError(reason=VerificationStatus.EXPIRED.value):
            log.info("code.expired")
        case _:
            level = logging.WARNING if isinstance(error, _OURS) else logging.INFO
            log.log(level, "request.rejected", act=act, **_why(error))


def _why(error: SendcodeError) -> dict[str, str]:
    why = {"error_class": type(error).__name__}
    match error:
        case InvalidParameterError(field=field, reason=reason):
            name = field if _NAME.fullmatch(field) else "-"
            return why | {"field": name, "reason": reason}
        case NotFoundError(kind=kind, reason=reason):
            return why | {"kind": kind, "reason": reason}
    return why
