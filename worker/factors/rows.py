"""Factors as text, to bring in and take out: CSV, or an identity and an otpauth URI a line. No I/O.

No message of this module repeats a secret or a name.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from worker import sheets
from worker.errors import FactorParameterError
from worker.factors import totp
from worker.factors.words import UNVERIFIED, VERIFIED, Config

COLUMNS = (
    *("identity", "friendly_name", "status", "secret"),
    *("algorithm", "digits", "period", "skew", "uri"),
)
_IN_URI = ("secret", "algorithm", "digits", "period")


@dataclass(frozen=True, slots=True)
class FactorRow:
    """One factor of a file.

    :param number: the line of the file it begins on
    """

    number: int
    identity: str
    friendly_name: str
    config: Config
    secret: bytes = field(repr=False)
    verified: bool = True


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used, and why."""

    number: int
    reason: str


def read(content: str) -> Iterator[FactorRow | BadRow]:
    """The rows of a file: CSV where its first line names a column `identity`, else a line each of
    `IDENTITY otpauth://totp/…`; the identity may be left out where the account in the URI is one.
    """
    content = content.removeprefix("\ufeff")
    head = content.partition("\n")[0][:1000].strip()
    names = [name.strip().lower() for name in next(csv.reader([head]), [])]
    if "identity" in names:
        yield from _read_csv(content, names)
    else:
        yield from _read_lines(content)


def _read_csv(content: str, names: list[str]) -> Iterator[FactorRow | BadRow]:
    unknown = set(names) - set(COLUMNS)
    if unknown or len(set(names)) != len(names):
        yield BadRow(1, f"the columns are {', '.join(COLUMNS)}, each once at most")
        return
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    begins = reader.line_num + 1
    try:
        for index, cells in enumerate(reader):
            if index and any(cells):
                yield _row(begins, _cells, names, cells)
            begins = reader.line_num + 1
    except csv.Error:
        yield BadRow(begins, "is no CSV from here on")


def _read_lines(content: str) -> Iterator[FactorRow | BadRow]:
    for number, line in enumerate(content.split("\n"), 1):
        if line.strip() and not line.startswith("#"):
            yield _row(number, _words, line.split())


def _row(number: int, read_values: Any, *source: Any) -> FactorRow | BadRow:
    try:
        return _factor_row(number, read_values(*source))
    except FactorParameterError as error:
        return BadRow(number, f"{_COLUMN.get(error.field, error.field)} {error.reason}")


_COLUMN = {
    "Identity": "identity",
    "FriendlyName": "friendly_name",
    "Binding.Secret": "secret",
    "Config.Alg": "algorithm",
    "Config.CodeLength": "digits",
    "Config.TimeStep": "period",
    "Config.Skew": "skew",
}


def _cells(names: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) != len(names):
        raise FactorParameterError("row", f"has {len(cells)} cells, and there are {len(names)}")
    values = {name: sheets.plain(cell) for name, cell in zip(names, cells, strict=True) if cell}
    if values.get("uri"):
        values = _uri(values.pop("uri")) | values
    return values


def _words(words: list[str]) -> dict[str, str]:
    values = _uri(words[-1])
    if len(words) > 2:
        raise FactorParameterError("line", "must be an identity and a URI")
    if len(words) == 2:
        return values | {"identity": words[0]}
    return values | {"identity": values.get("friendly_name", "")}


def _uri(text: str) -> dict[str, str]:
    """What an `otpauth://totp/…` URI says.

    :raises FactorParameterError: it is none
    """
    try:
        parts = urlsplit(text)
        given = parse_qsl(parts.query, strict_parsing=True)
    except ValueError:
        raise FactorParameterError("uri", "is no URI") from None
    if (parts.scheme, parts.netloc.lower()) != ("otpauth", "totp"):
        raise FactorParameterError("uri", "must begin with otpauth://totp/")
    if len(dict(given)) != len(given):
        raise FactorParameterError("uri", "names a parameter twice")
    account = unquote(parts.path.removeprefix("/")).rpartition(":")[2].strip(" ")
    found = {name: value for name, value in given if name in _IN_URI}
    return found | ({"friendly_name": account} if account else {})


def _factor_row(number: int, values: Mapping[str, str]) -> FactorRow:
    usual = Config()
    status = values.get("status", VERIFIED)
    if status not in (VERIFIED, UNVERIFIED):
        raise FactorParameterError("status", "must be verified or unverified")
    if not values.get("secret"):
        raise FactorParameterError("row", "needs identity and secret or uri")
    identity = totp.check_identity(values.get("identity", ""))
    config = Config(
        algorithm=values.get("algorithm", usual.algorithm).lower(),
        digits=_whole("digits", values, usual.digits),
        period=_whole("period", values, usual.period),
        skew=_whole("skew", values, usual.skew),
    )
    return FactorRow(
        number=number,
        identity=identity,
        friendly_name=totp.check_name(values.get("friendly_name", identity)),
        config=totp.check_config(config),
        secret=totp.read_secret(values["secret"].replace(" ", "")),
        verified=status == VERIFIED,
    )


def _whole(name: str, values: Mapping[str, str], usual: int) -> int:
    text = values.get(name)
    if text is None:
        return usual
    if not (text.isascii() and text.isdigit() and len(text) < 5):
        raise FactorParameterError(name, "must be a whole number")
    return int(text)


def csv_head() -> str:
    return sheets.line(COLUMNS[:-1])


def csv_row(row: FactorRow) -> str:
    """One line of CSV that no spreadsheet takes for a formula and `read` takes back."""
    config = row.config
    status = VERIFIED if row.verified else UNVERIFIED
    values = (row.identity, row.friendly_name, status, totp.secret_text(row.secret))
    numbers = (config.algorithm, str(config.digits), str(config.period), str(config.skew))
    return sheets.line((*values, *numbers))


def uri_row(row: FactorRow, issuer: str) -> str:
    """An identity and its otpauth URI, which has no place for skew and status."""
    uri = totp.uri(row.secret, row.config, issuer=issuer, account=row.friendly_name)
    return f"{row.identity} {uri}\n"
