"""Names and addresses that operators give to things: shown to people, never sent to a phone."""

import unicodedata
from urllib.parse import urlsplit

from worker.errors import InvalidParameterError

MAX_LABEL = 64
MAX_URL = 2048


def is_hidden(char: str) -> bool:
    """Whether a character is not seen, or begins another line wherever it is shown."""
    category = unicodedata.category(char)
    return category[0] == "C" or category in ("Zl", "Zp")


def check_label(field: str, given: str, most: int = MAX_LABEL) -> str:
    """A name of one line that can be seen.

    :raises InvalidParameterError: empty, too long, or with a control or hidden character
    """
    label = given.strip(" ")
    if not 1 <= len(label) <= most or any(map(is_hidden, label)):
        raise InvalidParameterError(field, f"must have 1 to {most} visible characters")
    return label


def check_url(field: str, given: str, schemes: tuple[str, ...] = ("https", "http")) -> str:
    """An address of a server: no credentials, no fragment, plain ASCII.

    :raises InvalidParameterError: says what it must be
    """
    try:
        parts = urlsplit(given)
        _ = parts.port  # raises when it is none
    except ValueError:
        raise InvalidParameterError(field, "is not a URL") from None
    plain = given.isascii() and given.isprintable() and not any(c in given for c in ' \\"<>')
    if not plain or len(given) > MAX_URL or parts.scheme not in schemes or not parts.hostname:
        raise InvalidParameterError(field, f"must be a URL that begins with {schemes[0]}://")
    if parts.username is not None or parts.password is not None or "#" in given:
        raise InvalidParameterError(field, "must have no user name and no fragment")
    return given
