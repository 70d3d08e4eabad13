"""Codes and keys, without any server."""

import json
from collections import Counter

import pytest
from cryptography.exceptions import InvalidTag

from worker.codes import Keyring, new_salt
from worker.errors import KeyMissingError
from worker.settings import SecretKey

KEYS = Keyring([SecretKey("k1", b"1" * 32), SecretKey("k0", b"0" * 32)])
DIGEST = {
    "salt": b"s" * 16,
    "verification": "VE1",
    "service": "VA1",
    "number": "+12025550123",
    "code": "004217",
}


@pytest.mark.kills("code-without-nines")
@pytest.mark.parametrize("length", range(4, 11))
def test_codes_are_uniform_in_every_place(length: int) -> None:
    """Every digit is equally likely in every place at every length (chi-square, p > 1e-5)."""
    draws = 3000
    codes = [KEYS.derive_code("k1", index.to_bytes(16, "big"), length) for index in range(draws)]
    assert {len(code) for code in codes} == {length}
    for place in range(length):
        counts = Counter(code[place] for code in codes)
        chi_square = sum((counts[str(d)] - draws / 10) ** 2 / (draws / 10) for d in range(10))
        assert chi_square < 39, (place, counts)


@pytest.mark.kills("code-loses-its-zeros")
def test_leading_zeros_are_kept() -> None:
    """A tenth of the codes starts with 0, and all are strings of full length."""
    codes = [KEYS.derive_code("k1", index.to_bytes(16, "big"), 6) for index in range(2000)]
    zeros = [code for code in codes if code.startswith("0")]
    assert 140 < len(zeros) < 260
    assert all(isinstance(json.loads(json.dumps(code)), str) for code in zeros)


def test_a_code_is_the_same_in_every_process() -> None:
    """A second keyring with the same secret derives the same digits; another salt does not."""
    salt = new_salt()
    again = Keyring([SecretKey("k1", b"1" * 32)])
    assert KEYS.derive_code("k1", salt, 10) == again.derive_code("k1", salt, 10)
    assert KEYS.derive_code("k1", salt, 10) != KEYS.derive_code("k0", salt, 10)


@pytest.mark.kills("digest-is-bound-to-no-row", "digest-of-the-code-alone")
@pytest.mark.parametrize("part", list(DIGEST))
def test_a_digest_binds_every_part(part: str) -> None:
    """A digest with any part changed is another one."""
    changed = DIGEST | {part: DIGEST[part][:-1] + (b"x" if part == "salt" else "9")}  # type: ignore[operator,index]
    assert KEYS.digest("k1", **DIGEST) != KEYS.digest("k1", **changed)  # type: ignore[arg-type]
    assert KEYS.digest("k1", **DIGEST) != KEYS.digest("k0", **DIGEST)  # type: ignore[arg-type]


def test_parts_cannot_flow_into_each_other() -> None:
    """Moving a character from one part to the next changes the digest."""
    moved = DIGEST | {"verification": "VE1V", "service": "A1"}
    assert KEYS.digest("k1", **DIGEST) != KEYS.digest("k1", **moved)  # type: ignore[arg-type]


@pytest.mark.kills("number-is-sealed-for-any-row")
def test_a_sealed_number_opens_for_its_owner_only() -> None:
    """A sealed number opens under its own sid, and moved to another row it does not."""
    sealed = KEYS.seal_number("+12025550123", "VE1")
    assert b"2025550123" not in sealed
    assert KEYS.open_number("k1", sealed, "VE1") == "+12025550123"
    with pytest.raises(InvalidTag):
        KEYS.open_number("k1", sealed, "VE2")
    assert sealed != KEYS.seal_number("+12025550123", "VE1")


def test_indexes_cover_every_key() -> None:
    """A number's indexes come one per key, the writing one first."""
    indexes = KEYS.number_indexes("+12025550123")
    assert indexes[0] == KEYS.number_index("+12025550123")
    assert len(set(indexes)) == 2


def test_a_missing_key_is_named() -> None:
    """A row whose key was taken out too early says which key to put back."""
    with pytest.raises(KeyMissingError, match="k9"):
        KEYS.open_number("k9", b"x" * 40, "VE1")
