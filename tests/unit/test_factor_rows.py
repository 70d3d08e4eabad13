"""Factors as CSV and otpauth lines."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import FactorParameterError
from worker.factors import rows, totp
from worker.factors.rows import BadRow, FactorRow
from worker.factors.words import Config

SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
KEY = b"12345678901234567890"
URI = f"otpauth://totp/Shop:Ann%20B?secret={SECRET}&issuer=Shop&algorithm=SHA256&digits=8&period=60"


def one(content: str) -> FactorRow:
    (row,) = rows.read(content)
    assert isinstance(row, FactorRow), row
    return row


def names() -> st.SearchStrategy[str]:
    def usable(name: str) -> bool:
        try:
            return totp.check_name(name) == name
        except FactorParameterError:
            return False

    plain = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), min_size=1, max_size=20)
    return st.builds("".join, st.tuples(st.sampled_from(["", *"=+-@'"]), plain)).filter(usable)


IDENTITIES = st.from_regex(r"[A-Za-z0-9-]{8,64}", fullmatch=True)
CONFIGS = st.builds(
    Config,
    st.sampled_from(["sha1", "sha256", "sha512"]),
    st.integers(3, 8),
    st.integers(20, 60),
    st.integers(0, 2),
)


@given(IDENTITIES, names(), CONFIGS, st.binary(min_size=14, max_size=64), st.booleans())
def test_csv_comes_back(
    identity: str, name: str, config: Config, secret: bytes, verified: bool
) -> None:
    """What is written as CSV is read as the same, and no cell begins like a formula."""
    row = FactorRow(2, identity, name, config, secret, verified)
    content = rows.csv_head() + rows.csv_row(row)
    assert list(rows.read(content)) == [row]
    for cells in csv.reader(io.StringIO(content, newline="")):
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)


@given(IDENTITIES, names(), CONFIGS, st.binary(min_size=14, max_size=64))
def test_otpauth_lines_come_back(identity: str, name: str, config: Config, secret: bytes) -> None:
    """What is written as an otpauth line is read as the same, but for skew and status."""
    row = FactorRow(1, identity, name, config, secret)
    found = one(rows.uri_row(row, "Shop"))
    assert (found.identity, found.friendly_name, found.secret) == (identity, name, secret)
    assert (found.config.algorithm, found.config.digits, found.config.period) == (
        *(config.algorithm, config.digits, config.period),
    )


def test_a_spreadsheets_formula_is_written_as_text() -> None:
    """A name that is a formula is written behind an apostrophe."""
    row = FactorRow(1, "-user0001", '=HYPERLINK("http//x")', Config(), KEY)
    assert rows.csv_row(row).startswith("'-user0001,\"'=HYPERLINK(")


@pytest.mark.parametrize(
    "content",
    [
        f"identity,secret\nuser-0001,{SECRET}\n",
        f"Identity , SECRET\r\nuser-0001,{SECRET.lower()}\r\n\r\n",
        f"\ufeffsecret,identity\n{SECRET[:16]} {SECRET[16:]}====,user-0001",
    ],
)
def test_csv_of_others(content: str) -> None:
    """Two columns are enough, in any order and case; the rest are the usual values."""
    found = one(content)
    assert (found.number, found.identity, found.secret) == (2, "user-0001", KEY)
    assert (found.friendly_name, found.config, found.verified) == ("user-0001", Config(), True)


@pytest.mark.parametrize(
    "content",
    [
        f"user-0001 {URI}",
        f"# a comment\n\nuser-0001\t{URI}\r\n",
        f"identity,uri\nuser-0001,{URI}",
        f"uri,identity,digits\n{URI},user-0001,",
    ],
)
def test_uris(content: str) -> None:
    """A URI gives name, secret, algorithm, digits and period."""
    found = one(content)
    assert (found.identity, found.friendly_name, found.secret) == ("user-0001", "Ann B", KEY)
    assert found.config == Config("sha256", 8, 60)


def test_a_bare_uri() -> None:
    """Where the account in the URI is an identity, it need not be said twice."""
    found = one(f"otpauth://totp/Shop:user-0001?secret={SECRET}")
    assert (found.identity, found.friendly_name) == ("user-0001", "user-0001")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"identity,secret\nshort,{SECRET}", "identity must have 8 to 64"),
        ("identity,secret\nuser-0001,", "needs identity and secret"),
        ("identity,secret\nuser-0001,ABC1", "secret must be Base32"),
        ("identity,secret\nuser-0001," + "A" * 16, "secret must have 112"),
        (f"identity,secret\nuser-0001,{SECRET},more", "has 3 cells"),
        (f"identity,secret,digits\nuser-0001,{SECRET},9", "digits must be from 3 to 8"),
        (f"identity,secret,digits\nuser-0001,{SECRET},٦", "digits must be a whole"),
        (f"identity,secret,period\nuser-0001,{SECRET},15", "period must be from 20"),
        (f"identity,secret,skew\nuser-0001,{SECRET},3", "skew must be from"),
        (f"identity,secret,algorithm\nuser-0001,{SECRET},md5", "algorithm must be sha1"),
        (f"identity,secret,status\nuser-0001,{SECRET},yes", "status must be"),
        (f"identity,secret,friendly_name\nuser-0001,{SECRET},a:b", "friendly_name must not"),
        (f"identity,secret,friendly_name\nuser-0001,{SECRET},a\x00b", "friendly_name must not"),
        (f"identity,password\nuser-0001,{SECRET}", "the columns are"),
        (f"identity,identity,secret\na,b,{SECRET}", "the columns are"),
        (f'identity,secret\n"user-0001,{SECRET}', "is no CSV"),
        (f'identity,secret\n"user"-0001,{SECRET}', "is no CSV"),
        (SECRET, "uri must begin"),
        (f"user-0001 otpauth://hotp/Shop:Ann?secret={SECRET}&counter=1", "uri must begin"),
        (f"user-0001 https://totp/Shop:Ann?secret={SECRET}", "uri must begin"),
        (f"user-0001 otpauth://totp/Shop:Ann?secret={SECRET}&secret={SECRET}", "twice"),
        (f"user-0001 otpauth://[totp/x?secret={SECRET}", "is no URI"),
        (f"user-0001 and more {URI}", "line must be an identity"),
        (f"otpauth://totp/Shop:Ann?secret={SECRET}", "identity must have"),
        ("user-0001 otpauth://totp/Shop:Ann?issuer=Shop", "needs identity and secret"),
    ],
)
def test_bad_rows(content: str, said: str) -> None:
    """Every fault is one line that says what is wrong, and where, and repeats no secret."""
    (row,) = rows.read(content)
    assert isinstance(row, BadRow), row
    assert said in row.reason
    assert SECRET not in row.reason
    assert row.number == content.count("\n") + 1 - ("the columns" in said)


def test_rows_have_the_numbers_of_their_lines() -> None:
    """A bad row between good ones is named by the line it begins on, also after a cell of two."""
    content = (
        f'identity,friendly_name,secret\nuser-0001,"two\nlines",{SECRET}\nuser-0002,x,A\n'
        f"\nuser-0003,x,{SECRET}\n"
    )
    found = [(row.number, type(row)) for row in rows.read(content)]
    assert found == [(2, BadRow), (4, BadRow), (6, FactorRow)]


def test_an_empty_file() -> None:
    """Nothing, and a head alone, have no rows."""
    assert list(rows.read("")) == list(rows.read("identity,secret\n")) == []
