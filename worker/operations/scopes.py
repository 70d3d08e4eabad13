"""The scope of a budget: all, a country or a service."""

import re

from worker import phone
from worker.errors import InvalidParameterError
from worker.spends import ALL

SERVICE = re.compile(r"VA[0-9a-f]{32}", re.ASCII)


def shaped(scope: str) -> str:
    """A scope in its one spelling; that of a service which is gone too.

    :raises InvalidParameterError: it is none
    """
    if country := phone.region(scope):
        return country
    if scope == ALL or SERVICE.fullmatch(scope):
        return scope
    raise InvalidParameterError(
        "Scope", "must be all, a country such as GB, or the sid of a service (VA…)"
    )


def target_of(scope: str) -> str:
    """A scope as the audit log names it."""
    return scope if scope == ALL else f"{'service' if len(scope) > 3 else 'country'} {scope}"
