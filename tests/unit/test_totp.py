"""The arithmetic of authenticator apps, by the RFCs' own vectors."""

import base64
from urllib.parse import parse_qs, unquote, urlsplit

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import FactorParameterError
from worker.factors import totp
from worker.factors.backup import new_code, read_code, shown
from worker.factors.words import Config

KEYS = {"sha1": 20, "sha256": 32, "sha512": 64}
# RFC 6238, appendix B: eight digits, 30 seconds.
VECTORS = [
    (59, "94287082", "46119246", "90693936"),
    (1111111109, "07081804", "68084774", "25091201"),
    (1111111111, "14050471", "67062674", "99943326"),
    (1234567890, "89005924", "91819424", "93441116"),
    (2000000000, "69279037", "90698825", "38618901"),
    (20000000000, "65353130", "77737706", "47863826"),
]
SECRET = b"12345678901234567890"


def key(algorithm: str) -> bytes:
    return (b"1234567890" * 7)[: KEYS[algorithm]]


@pytest.mark.parametrize("column", range(3))
@pytest.mark.parametrize("row", VECTORS, ids=lambda row: str(row[0]))
def test_rfc_6238(row: tuple[int, str, str, str], column: int) -> None:
    """Every vector of RFC 6238 is the code of its time, for SHA-1, SHA-256 and SHA-512."""
    algorithm = list(KEYS)[column]
    config = Config(algorithm, digits=8)
    step = totp.step_at(row[0] * 1000, 30)
    assert totp.code_at(key(algorithm), config, step) == row[column + 1]
    assert totp.matching_step(key(algorithm), config, row[column + 1], row[0] * 1000) == step


def test_rfc_4226() -> None:
    """The ten vectors of RFC 4226 are the codes of the first ten steps."""
    codes = [
        *("755224", "287082", "359152", "969429", "338314"),
        *("254676", "287922", "162583", "399871", "520489"),
    ]
    assert [totp.code_at(SECRET, Config(), step) for step in range(10)] == codes


def test_leading_zeros_are_kept() -> None:
    """The code of 1234567890 in six digits is 005924 and nothing shorter."""
    now = 1234567890_000
    assert totp.code_at(SECRET, Config(), totp.step_at(now, 30)) == "005924"
    assert totp.matching_step(SECRET, Config(), "005924", now) is not None
    assert totp.matching_step(SECRET, Config(), "5924", now) is None


@pytest.mark.kills("window-is-wider")
@pytest.mark.parametrize("skew", [0, 1, 2])
@pytest.mark.parametrize("period", [20, 30, 60])
def test_exactly_the_steps_of_the_skew_count(skew: int, period: int) -> None:
    """Of the steps around the present one those of the skew count, and no other; to the ms."""
    config, step = Config(period=period, skew=skew), 41_152_263
    code = totp.code_at(SECRET, config, step)
    begins, ends = step * period * 1000, (step + 1) * period * 1000
    slack = skew * period * 1000
    for now, right in (
        (begins - slack - 1, False),
        (begins - slack, True),
        (begins, True),
        (ends - 1, True),
        (ends + slack - 1, True),
        (ends + slack, False),
    ):
        found = totp.matching_step(SECRET, config, code, now)
        assert found == (step if right else None), now


def test_the_first_steps_of_the_epoch() -> None:
    """Before 1970 there are no steps."""
    assert totp.matching_step(SECRET, Config(skew=2), "755224", 0) == 0


@pytest.mark.parametrize(
    "typed",
    [
        *(
            "１３４４６２",
            "¹34462",
            "①34462",
            "١٣٤٤٦٢",
            "134462 ",
            " 134462",
            "134 462",
            "134462\n",
        ),
        *("", "12", "123456789", "-13446", "+13446", "1e5", "13446a", "134462\x00", 134462, None),
    ],
)
def test_codes_have_one_spelling(typed: object) -> None:
    """What is not 3 to 8 ASCII digits is no guess, though PyOTP would take some of it."""
    with pytest.raises(FactorParameterError):
        totp.read_code(typed)  # type: ignore[arg-type]


def test_a_new_secret_has_160_bits() -> None:
    """A secret of ours has 20 bytes, and no two are the same."""
    made = {totp.new_secret() for _ in range(100)}
    assert len(made) == 100
    assert {len(one) for one in made} == {20}


@given(st.binary(min_size=14, max_size=128))
def test_base32_comes_back(secret: bytes) -> None:
    """A secret of 112 to 1024 bits is the same after Base32, padded or not, in either case."""
    text = totp.secret_text(secret)
    assert "=" not in text
    for spelling in (text, text.lower(), base64.b32encode(secret).decode()):
        assert totp.read_secret(spelling) == secret


@pytest.mark.parametrize(
    "text",
    [
        *("", "=", "A" * 16, totp.secret_text(b"x" * 13), totp.secret_text(b"x" * 129)),
        *("A" * 33, "A" * 31 + "1", "A" * 31 + "8", "A" * 31 + "é", "A" * 32 + "\n", "Ａ" * 32),
        *("A" * 16 + " " + "A" * 16, "A" * 32 + "\x00", "=" * 8 + "A" * 32),
    ],
)
def test_bad_secrets(text: str) -> None:
    """What is no Base32, or has less than 112 bits, is refused without being repeated."""
    with pytest.raises(FactorParameterError) as caught:
        totp.read_secret(text)
    assert len(text) < 8 or text not in str(caught.value)


NAMES = st.text(st.characters(exclude_categories=("C", "Zl", "Zp"), exclude_characters=":")).filter(
    lambda name: 1 <= len(name.strip(" ")) <= 32
)


@given(NAMES, NAMES, st.sampled_from(sorted(KEYS)), st.integers(6, 8), st.integers(20, 60))
def test_the_uri_comes_back(
    issuer: str, account: str, algorithm: str, digits: int, period: int
) -> None:
    """PyOTP and the standard library read from the URI what was put in, and the issuer twice."""
    issuer, account = totp.check_name(issuer), totp.check_name(account)
    config = Config(algorithm, digits, period)
    uri = totp.uri(SECRET, config, issuer=issuer, account=account)
    assert uri.isascii()
    assert not {" ", "+"} & set(uri)
    parts = urlsplit(uri)
    assert (parts.scheme, parts.netloc) == ("otpauth", "totp")
    assert unquote(parts.path) == f"/{issuer}:{account}"
    assert parse_qs(parts.query)["issuer"] == [issuer]
    app = pyotp.parse_uri(uri)
    assert isinstance(app, pyotp.TOTP)
    assert (app.issuer, app.name) == (issuer, account)
    assert app.at(59) == totp.code_at(SECRET, config, 59 // period)


def test_the_uri_of_twilios_example() -> None:
    """The URI is spelled as in Twilio's published example, to the letter."""
    assert totp.uri(SECRET, Config(), issuer="test-issuer", account="John’s Account Name") == (
        "otpauth://totp/test-issuer:John%E2%80%99s%20Account%20Name"
        "?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=test-issuer"
        "&algorithm=SHA1&digits=6&period=30"
    )


@pytest.mark.parametrize(
    "name",
    ["", " ", "a:b", "a\nb", "a\r\nb", "a\x00b", "a\u2028b", "a\u202eb", "a\u200bb", "x" * 65],
)
def test_bad_names(name: str) -> None:
    """A name with a colon or a control or hidden character, or too long a one, is refused."""
    with pytest.raises(FactorParameterError):
        totp.check_name(name)


def test_backup_codes_are_80_random_bits() -> None:
    """A code has 16 characters of Crockford's Base32, all 32 of them occur, and none repeats."""
    made = [new_code() for _ in range(500)]
    assert len(set(made)) == 500
    assert {len(one) for one in made} == {16}
    assert set("".join(made)) == set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def test_backup_codes_as_they_are_typed() -> None:
    """Case, dashes, spaces and Crockford's misreadings make no difference; other letters do."""
    code = "0123456789ABCDEF"
    assert shown(code) == "0123-4567-89AB-CDEF"
    for typed in (shown(code), code.lower(), "oi23 4567 89ab cdef", "OL23456789ABCDEF"):
        assert read_code(typed) == code
    for typed in (
        "",
        "0123",
        code + "0",
        code[:-1] + "U",
        "０" + code[1:],
        code + "\n",
        code + "\x00",
    ):
        with pytest.raises(FactorParameterError):
            read_code(typed)
