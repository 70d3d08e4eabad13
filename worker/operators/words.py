"""The words about operators: roles, what is shown of them and of their sessions."""

import re
import unicodedata
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from worker.errors import InvalidParameterError

LEAST_PASSWORD, MOST_PASSWORD = 12, 256  # characters
SESSION_LIFE = 12 * 3_600_000  # ms
IDLE_LIFE = 30 * 60_000  # ms
LINK_LIFE = 15 * 60_000  # ms
SEEN_STEP = 60_000  # ms: how exact `seen_at` is
_NAME = re.compile(r"[a-z][a-z0-9._-]{0,31}", re.ASCII)


class Role(StrEnum):
    """Each may do what those before it may."""

    VIEWER = "viewer"  # sees everything but whole numbers
    OPERATOR = "operator"  # pauses, blocks, retries, and may look at a number
    ADMIN = "admin"  # also overrides limits and manages operators

    def allows(self, needed: "Role") -> bool:
        every = list(Role)
        return every.index(self) >= every.index(needed)


@dataclass(frozen=True, slots=True)
class Operator:
    """Times are ms since 1970 UTC."""

    sid: str
    name: str
    role: Role
    has_password: bool
    has_totp: bool
    created_at: int
    signed_in_at: int | None
    disabled_at: int | None


@dataclass(frozen=True, slots=True)
class Change:
    """What was changed of an operator.

    :param changed: False where it was so already
    """

    before: dict[str, Any]
    after: dict[str, Any]
    changed: bool


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in that lasts. `only_enrols`: the password alone was shown, so nothing but the second
    factor may be set up.
    """

    sid: str
    operator: Operator
    address: str
    browser: str
    created_at: int
    seen_at: int
    expires_at: int

    @property
    def only_enrols(self) -> bool:
        return self.operator.has_password and not self.operator.has_totp


def shown_session(session: Session) -> dict[str, Any]:
    """A session for API and command line: its operator by name."""
    values = asdict(session)
    return {**values, "operator": session.operator.name}


def one_spelling(name: str) -> str:
    """An operator's name as it is kept and looked for."""
    return name.strip().lower()


def check_name(given: str) -> str:
    """
    :raises InvalidParameterError: says what a name is made of
    """
    name = one_spelling(given)
    if not _NAME.fullmatch(name):
        raise InvalidParameterError(
            "name", "a letter, then up to 31 letters, digits, dots, dashes or underscores"
        )
    return name


def check_role(given: str) -> Role:
    """
    :raises InvalidParameterError: no such role
    """
    if given not in list(Role):
        raise InvalidParameterError("role", f"one of {', '.join(Role)}")
    return Role(given)


def check_password(given: str, name: str) -> str:
    """A password as it is hashed: long enough, and not the name.

    :raises InvalidParameterError: says what is wrong, and not the password
    """
    password = unicodedata.normalize("NFC", given)
    if not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD:
        raise InvalidParameterError(
            "password", f"must have {LEAST_PASSWORD} to {MOST_PASSWORD} characters"
        )
    if len(set(password)) < 4 or (name in password.lower() and len(password) < len(name) + 8):
        raise InvalidParameterError("password", "is too easy to guess")
    return password
