"""Users as text, to bring in from elsewhere: CSV. No I/O, and no message repeats a value."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from worker import phone
from worker.errors import InvalidParameterError
from worker.states import Channel

COLUMNS = ("authy_id", "country_code", "cellphone", "email")
MOST_ID = 2**53 - 1  # what JavaScript counts exactly
MAX_EMAIL = 254
_ID = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True, slots=True)
class UserRow:
    """One user of a file.

    :param line: of the file
    :param number: E.164
    :param email: may be empty
    """

    line: int
    authy_id: int
    number: str = field(repr=False)
    email: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class BadUser:
    """A line that cannot be used, and why."""

    line: int
    reason: str


def international(country_code: str, number: str) -> str:
    """A number from its calling code and the rest, each in any spelling: what is no digit goes.

    :raises InvalidParameterError: no calling code; the rest alone may be another country's number
    """
    code, rest = _digits(country_code), _digits(number)
    if not phone.is_calling_code(code):
        raise InvalidParameterError("country_code", "is not a calling code")
    return f"+{code}{rest}"


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isascii() and c.isdigit())


def check_email(email: str) -> str:
    """
    :raises InvalidParameterError: not an address, or of over 254 characters
    """
    if len(email) > MAX_EMAIL or not email.isprintable() or not _EMAIL.fullmatch(email):
        raise InvalidParameterError("Email", "is not an e-mail address")
    return email


def read_users(content: str) -> Iterator[UserRow | BadUser]:
    """The users of a CSV file whose first line names its columns."""
    reader = csv.reader(io.StringIO(content.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        if not set(COLUMNS[:3]) <= set(names) <= set(COLUMNS) or len(set(names)) != len(names):
            yield BadUser(1, f"the columns are {', '.join(COLUMNS)}, the last one if you have it")
            return
        for cells in reader:
            if any(cells):
                yield _user(reader.line_num, names, cells)
    except csv.Error:
        yield BadUser(reader.line_num, "is no CSV from here on")


def _user(line: int, names: list[str], cells: list[str]) -> UserRow | BadUser:
    if len(cells) != len(names):
        return BadUser(line, f"has {len(cells)} cells, not {len(names)}")
    row = dict(zip(names, (cell.strip() for cell in cells), strict=True))
    if not _ID.fullmatch(row["authy_id"]) or int(row["authy_id"]) > MOST_ID:
        return BadUser(line, "authy_id is not a whole number from 1 on")
    try:
        number = phone.parse(international(row["country_code"], row["cellphone"]), Channel.CALL)
        email = row.get("email", "")
        return UserRow(line, int(row["authy_id"]), number.e164, email and check_email(email))
    except InvalidParameterError as error:
        what = {"Email": "email", "To": "cellphone"}.get(error.field, error.field)
        return BadUser(line, f"{what} {error.reason}")
