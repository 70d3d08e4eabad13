"""A sealed number opened for what an operator does."""

from cryptography.exceptions import InvalidTag

from worker.codes import Keyring
from worker.errors import ActionRefusedError, KeyMissingError


def open_number(keyring: Keyring, kid: str, sealed: bytes, verification_sid: str) -> str:
    """
    :raises ActionRefusedError: `key_missing`, it was sealed with a key that is gone; `unreadable`
    """
    try:
        return keyring.open_number(kid, sealed, verification_sid)
    except KeyMissingError as error:
        raise ActionRefusedError("key_missing", str(error)) from None
    except InvalidTag:
        raise ActionRefusedError("unreadable", "the number belongs to another row") from None
