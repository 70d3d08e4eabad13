"""The arithmetic of authenticator apps: secrets, steps, codes and the URI. No I/O.

RFC 4226 (HOTP), RFC 6238 (TOTP); the URI is Google's "Key Uri Format".
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import unicodedata
from typing import Any
from urllib.parse import quote

import pyotp

from worker.errors import FactorParameterError
from worker.factors.words import (
    ALGORITHMS,
    DIGITS,
    LEAST_SECRET_BYTES,
    MOST_SECRET_BYTES,
    PERIODS,
    SECRET_BYTES,
    SKEWS,
    Config,
)
from worker.labels import is_hidden

_DIGESTS = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha512": hashlib.sha512}
_CODE = re.compile(r"[0-9]{3,8}", re.ASCII)
_BASE32 = re.compile(r"[A-Za-z2-7]+={0,6}", re.ASCII)
_IDENTITY = re.compile(r"[A-Za-z0-9-]{8,64}", re.ASCII)
MAX_NAME = 64


def new_secret() -> bytes:
    """160 random bits."""
    return secrets.token_bytes(SECRET_BYTES)


def secret_text(secret: bytes) -> str:
    """The secret in Base32 without padding, as apps take it."""
    return base64.b32encode(secret).decode().rstrip("=")


def read_secret(text: str) -> bytes:
    """A secret from Base32, padded or not.

    :raises FactorParameterError: no Base32, or not of 112 to 1024 bits
    """
    bare = text.rstrip("=").upper()
    try:
        if not _BASE32.fullmatch(text):
            raise ValueError
        secret = base64.b32decode(bare + "=" * (-len(bare) % 8))
    except (ValueError, binascii.Error):
        raise FactorParameterError("Binding.Secret", "must be Base32") from None
    if not LEAST_SECRET_BYTES <= len(secret) <= MOST_SECRET_BYTES:
        raise FactorParameterError("Binding.Secret", "must have 112 to 1024 bits")
    return secret


def read_code(code: str, field: str = "AuthPayload") -> str:
    """A code as the user typed it: ASCII digits and nothing else. PyOTP's own `verify` takes
    full-width digits too, under which one code has many spellings.

    :raises FactorParameterError: not 3 to 8 ASCII digits
    """
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise FactorParameterError(field, "must be 3 to 8 digits, sent as a string")
    return code


def step_at(now: int, period: int) -> int:
    """The time step of a moment in ms since 1970 UTC."""
    return now // 1000 // period


def code_at(secret: bytes, config: Config, step: int) -> str:
    app = pyotp.TOTP(
        secret_text(secret),
        digits=config.digits,
        digest=_DIGESTS[config.algorithm],
        interval=config.period,
    )
    return str(app.generate_otp(step))


def matching_step(secret: bytes, config: Config, code: str, now: int) -> int | None:
    """The step that makes this code, the newest where several do, or None.

    Only the present step and `skew` steps before and after it count.

    :param now: ms since 1970 UTC, the database's clock
    """
    present, found = step_at(now, config.period), None
    for step in range(max(0, present - config.skew), present + config.skew + 1):
        if hmac.compare_digest(code_at(secret, config, step).encode(), code.encode()):
            found = step
    return found


def uri(secret: bytes, config: Config, *, issuer: str, account: str) -> str:
    """The `otpauth://` URI. Label and parameter name the same issuer; a space is `%20`."""
    label = f"{quote(issuer, safe='')}:{quote(account, safe='')}"
    return (
        f"otpauth://totp/{label}?secret={secret_text(secret)}&issuer={quote(issuer, safe='')}"
        f"&algorithm={config.algorithm.upper()}&digits={config.digits}&period={config.period}"
    )


def check_config(config: Config) -> Config:
    """
    :raises FactorParameterError: names the value that is out of range
    """
    if config.algorithm not in ALGORITHMS:
        raise FactorParameterError("Config.Alg", "must be sha1, sha256 or sha512")
    _within("Config.CodeLength", config.digits, DIGITS)
    _within("Config.TimeStep", config.period, PERIODS)
    _within("Config.Skew", config.skew, SKEWS)
    return config


def _within(field: str, value: Any, allowed: range) -> None:
    if value not in allowed:
        raise FactorParameterError(field, f"must be from {allowed[0]} to {allowed[-1]}")


def check_name(name: str, field: str = "FriendlyName") -> str:
    """A name that an app shows and the URI carries: one line, and no colon, which ends the issuer.

    :raises FactorParameterError: says why not
    """
    name = unicodedata.normalize("NFC", name).strip(" ")
    if not 1 <= len(name) <= MAX_NAME:
        raise FactorParameterError(field, f"must have 1 to {MAX_NAME} characters")
    if ":" in name:
        raise FactorParameterError(field, "must not hold a colon")
    if any(map(is_hidden, name)):
        raise FactorParameterError(field, "must not hold control or hidden characters")
    return name


def is_identity(identity: str) -> bool:
    return bool(_IDENTITY.fullmatch(identity))


def check_identity(identity: str) -> str:
    """
    :raises FactorParameterError: not 8 to 64 letters, digits and dashes
    """
    if not is_identity(identity):
        raise FactorParameterError("Identity", "must have 8 to 64 letters, digits or dashes")
    return identity
