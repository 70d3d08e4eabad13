"""What a caller hands to the factors and gets back, and the numbers that bound them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SECRET_BYTES = 20  # RFC 4226 recommends 160 bits
LEAST_SECRET_BYTES = 14  # NIST SP 800-63B-4 3.1.4.1: 112 bits
MOST_SECRET_BYTES = 128
UNVERIFIED_LIFE = 86_400  # seconds; Twilio's are from 1 to 24 hours
MAX_TRIES = 5  # guesses per challenge, and per verification of a factor
MAX_FACTORS = 100  # per entity
MAX_FACTORS_MADE = 100  # per entity in 24 hours: deleted ones and sets of backup codes too
CHALLENGE_LIFE = 300  # seconds
MAX_CHALLENGE_LIFE = 3600

PERIODS = range(20, 61)
DIGITS = range(3, 9)
SKEWS = range(3)
ALGORITHMS = ("sha1", "sha256", "sha512")

UNVERIFIED, VERIFIED = "unverified", "verified"
PENDING, APPROVED, EXPIRED, DENIED = "pending", "approved", "expired", "denied"
CHALLENGE_STATUSES = (PENDING, APPROVED, EXPIRED, DENIED)


@dataclass(frozen=True, slots=True)
class Config:
    """How an authenticator app makes its codes (RFC 6238).

    :param period: seconds a code is shown
    :param skew: steps before and after the present one whose codes are accepted too
    """

    algorithm: str = "sha1"
    digits: int = 6
    period: int = 30
    skew: int = 1


@dataclass(frozen=True, slots=True)
class Change:
    """What to change of a factor or ask for in a new one; None leaves it as it is."""

    friendly_name: str | None = None
    algorithm: str | None = None
    digits: int | None = None
    period: int | None = None
    skew: int | None = None


@dataclass(frozen=True, slots=True)
class Entity:
    """A backend's user, under the backend's own name. Times are ms since 1970 UTC."""

    sid: str
    account_sid: str
    service_sid: str
    identity: str
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class Factor:
    """An authenticator app of an entity. Times are ms since 1970 UTC."""

    sid: str
    entity: Entity
    friendly_name: str
    status: str
    config: Config
    metadata: Mapping[str, str] | None
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What the user's app has to learn. Shown while the factor is unverified, never logged.

    :param secret: Base32 without padding
    :param uri: `otpauth://totp/…`, the same secret in it
    """

    factor: Factor
    secret: str = field(repr=False)
    uri: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a backend asks of a new challenge.

    :param expires_at: ms since 1970 UTC; None is five minutes from now
    """

    factor_sid: str
    expires_at: int | None = None
    details: Mapping[str, Any] | None = None
    hidden_details: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Challenge:
    """One question to one factor. Times are ms since 1970 UTC."""

    sid: str
    entity: Entity
    factor_sid: str
    status: str
    details: Mapping[str, Any] | None
    hidden_details: Mapping[str, str] | None
    metadata: Mapping[str, str] | None
    created_at: int
    updated_at: int
    expires_at: int
    responded_at: int | None


@dataclass(frozen=True, slots=True)
class BackupCodes:
    """A set of backup codes; the codes themselves only where it was just made.

    :param remaining: how many are unused
    :param accepted: whether the code that was just checked was right
    """

    entity: Entity
    remaining: int
    created_at: int
    codes: tuple[str, ...] = field(default=(), repr=False)
    accepted: bool | None = None
