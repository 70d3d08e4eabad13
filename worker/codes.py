"""Secrets at work: codes derived and digested, numbers sealed and indexed, all keyed by kid."""

import base64
import hashlib
import hmac
import secrets
import struct
from collections.abc import Iterable, Sequence

import pyotp
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from worker.errors import KeyMissingError
from worker.settings import SecretKey

_CHUNK = 6  # digits drawn from one HOTP value; 2**31 holds them 2,147 times over


class _Keys:
    """The purposes of one secret key, each with a key of its own (HMAC-SHA256 of its label)."""

    def __init__(self, secret: bytes) -> None:
        def purpose(label: bytes) -> bytes:
            return hmac.digest(secret, b"sendcode " + label, "sha256")

        self.code = purpose(b"code v1")
        self.digest = purpose(b"digest v1")
        self.index = purpose(b"number index v1")
        self.seal = AESGCM(purpose(b"number seal v1"))
        self.factor_seal = AESGCM(purpose(b"factor seal v1"))


class Keyring:
    """Writes with the first key, reads with all of them."""

    def __init__(self, keys: Iterable[SecretKey]) -> None:
        self._keys = {key.kid: _Keys(key.secret) for key in keys}
        self.kid = next(iter(self._keys))

    @property
    def kids(self) -> tuple[str, ...]:
        return tuple(self._keys)

    def _key(self, kid: str) -> _Keys:
        try:
            return self._keys[kid]
        except KeyError:
            raise KeyMissingError(kid) from None

    def derive_code(self, kid: str, salt: bytes, length: int) -> str:
        """The digits of one verification: any process derives the same ones, none stores them.

        HOTP (RFC 4226) over a key of this salt. A value above the last whole multiple of
        10**digits is drawn again, so every code of every length is equally likely.
        """
        seed = hmac.digest(self._key(kid).code, salt, "sha256")
        hotp = pyotp.HOTP(base64.b32encode(seed).decode(), digits=10, digest=hashlib.sha256)
        counter, digits = 0, ""
        while len(digits) < length:
            wanted = min(_CHUNK, length - len(digits))
            value = int(hotp.at(counter))
            counter += 1
            if value < 2**31 // 10**wanted * 10**wanted:
                digits += f"{value % 10**wanted:0{wanted}d}"
        return digits

    def digest(
        self,
        kid: str,
        *,
        salt: bytes,
        verification: str,
        service: str,
        number: str,
        code: str,
        bound: Sequence[str] = (),
    ) -> bytes:
        """32 bytes that stand for the code of this verification, service and number alone.

        :param bound: what else a check must repeat
        """
        texts = (verification, service, number, code, *bound)
        parts = (kid.encode(), salt, *(s.encode() for s in texts))
        message = b"".join(struct.pack(">I", len(part)) + part for part in parts)
        return hmac.digest(self._key(kid).digest, message, "sha256")

    def number_index(self, number: str, kid: str | None = None) -> bytes:
        """32 bytes that find a number without holding it."""
        return hmac.digest(self._key(kid or self.kid).index, number.encode(), "sha256")

    def number_indexes(self, number: str) -> list[bytes]:
        """The index under every key, the writing one first: for look-ups during a rotation."""
        return [self.number_index(number, kid) for kid in self._keys]

    def seal_number(self, number: str, owner: str) -> bytes:
        """AES-256-GCM of the number, bound to the sid that owns it; 12 bytes of nonce first."""
        return self.seal(self.kid, number, owner)

    def open_number(self, kid: str, sealed: bytes, owner: str) -> str:
        """
        :raises KeyMissingError: the key `kid` is no longer configured
        :raises cryptography.exceptions.InvalidTag: the bytes belong to another row
        """
        return self.open(kid, sealed, owner)

    def seal(self, kid: str, value: str, owner: str) -> bytes:
        """AES-256-GCM of a text, bound to what owns it; 12 bytes of nonce first."""
        nonce = secrets.token_bytes(12)
        return nonce + self._key(kid).seal.encrypt(nonce, value.encode(), owner.encode())

    def open(self, kid: str, sealed: bytes, owner: str) -> str:
        """Undo `seal`; raises like `open_number`."""
        return self._key(kid).seal.decrypt(sealed[:12], sealed[12:], owner.encode()).decode()

    def seal_secret(self, secret: bytes, owner: str) -> bytes:
        """AES-256-GCM of an authenticator's secret, bound to the factor's sid; nonce first."""
        nonce = secrets.token_bytes(12)
        return nonce + self._keys[self.kid].factor_seal.encrypt(nonce, secret, owner.encode())

    def open_secret(self, kid: str, sealed: bytes, owner: str) -> bytes:
        """
        :raises KeyMissingError: the key `kid` is no longer configured
        :raises cryptography.exceptions.InvalidTag: the bytes belong to another row
        """
        return self._key(kid).factor_seal.decrypt(sealed[:12], sealed[12:], owner.encode())


def new_salt() -> bytes:
    return secrets.token_bytes(16)
