"""What an operator's action comes to, counted and told to the log."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import structlog

from worker import metrics
from worker.audit import Operator
from worker.errors import ActionRefusedError, InvalidParameterError, SendcodeError

log = structlog.get_logger()
P = ParamSpec("P")
S = TypeVar("S")
LONGEST = 30 * 86_400  # seconds that a pause or a block may be set for


class Result(StrEnum):
    DONE = "done"
    UNCHANGED = "unchanged"  # it was so already: nothing had to be done
    WOULD = "would"  # a dry run of what would be done


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    :param target: what was acted on; a number masked
    :param before: what was so before, without a number, a code or a key
    :param after: what is so now, or would be
    :param number: of `reveal` alone
    :param link: the key of a link that signs in, of what makes one
    """

    action: str
    target: str
    result: Result
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    number: str | None = field(default=None, repr=False)
    link: str | None = field(default=None, repr=False)


def acting(
    action: str,
) -> Callable[
    [Callable[Concatenate[S, Operator, P], Outcome]],
    Callable[Concatenate[S, Operator, P], Outcome],
]:
    """Has a method of an operator counted and logged, its refusals too.

    :param action: what it is counted as, whatever came of it
    """

    def wrap(
        act: Callable[Concatenate[S, Operator, P], Outcome],
    ) -> Callable[Concatenate[S, Operator, P], Outcome]:
        @wraps(act)
        def counted(room: S, by: Operator, /, *args: P.args, **kwargs: P.kwargs) -> Outcome:
            try:
                outcome = act(room, by, *args, **kwargs)
            except Exception as error:
                refused = isinstance(error, SendcodeError)
                result = "refused" if refused else "failed"
                metrics.acted(action, result)
                log.warning(
                    "operator.action",
                    action=action,
                    result=result,
                    error_class=type(error).__name__,
                    by=by.name,
                )
                raise
            metrics.acted(action, outcome.result)
            log.info(
                "operator.action",
                action=outcome.action,
                target=outcome.target,
                result=outcome.result,
                by=by.name,
            )
            return outcome

        return counted

    return wrap


def done_or_would(dry_run: bool) -> Result:
    return Result.WOULD if dry_run else Result.DONE


def check_span(seconds: int | None) -> None:
    """
    :raises InvalidParameterError: no span that a pause or a block may be set for
    """
    if seconds is not None and not 1 <= seconds <= LONGEST:
        raise InvalidParameterError("Until", f"must be from 1 to {LONGEST} seconds")


def require_admin(by: Operator, what: str) -> None:
    """
    :raises ActionRefusedError: the operator is no administrator
    """
    if not by.admin:
        raise ActionRefusedError("not_allowed", f"only an administrator may {what}")
