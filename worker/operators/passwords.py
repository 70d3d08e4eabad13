"""Passwords at rest: Argon2id, a salt each, two hashes at a time in one process."""

import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_TWO_AT_A_TIME = threading.Semaphore(2)  # a hash takes 19 MiB
# OWASP's least for Argon2id, as of backup codes. The hash carries them, so they may be raised.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


def hashed(password: str) -> str:
    with _TWO_AT_A_TIME:
        return _HASHER.hash(password)


NOBODYS = hashed("the password of nobody")
"""What an unknown name is compared with: the same work, never right."""


def matches(stored: str | None, given: str) -> bool:
    """Whether the password is the one behind the hash; without one the same time is spent."""
    password = unicodedata.normalize("NFC", given[:1024])
    with _TWO_AT_A_TIME:
        try:
            return _HASHER.verify(stored or NOBODYS, password) and stored is not None
        except (VerificationError, InvalidHashError):
            return False
