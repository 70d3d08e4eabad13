"""Files that commands write."""

import os
from collections.abc import Iterable
from contextlib import suppress

from worker.errors import InvalidParameterError


def write_new(path: str, lines: Iterable[str]) -> int:
    """Write lines to a new file that only its owner can read; how many. Nothing is left of it
    where the lines break off.

    :raises InvalidParameterError: the file is there, or cannot be made
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise InvalidParameterError("FILE", f"cannot be made: {error.strerror}") from None
    written = 0
    try:
        with open(handle, "w", encoding="utf-8", newline="") as out:
            os.fchmod(handle, 0o600)  # whatever the umask took away
            for line in lines:
                out.write(line)
                written += 1
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise
    return written
