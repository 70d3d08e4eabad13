"""How texts are counted."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.messages.segments import segments

ORIGIN = "123456 is your ExampleCo code. It expires in 10 minutes.\n\n@example.com #123456"


@pytest.mark.parametrize(
    ("text", "encoding", "units", "parts"),
    [
        (ORIGIN, "GSM-7", 78, 1),
        (ORIGIN.replace("is", "\u2019s", 1), "UCS-2", 78, 2),
        ("`", "UCS-2", 1, 1),
        ("\t", "UCS-2", 1, 1),
        ("\xa0", "UCS-2", 1, 1),
        ("ê", "UCS-2", 1, 1),
        ("ç", "UCS-2", 1, 1),
        ("éàÇñ@#_$\n", "GSM-7", 9, 1),
        ("{" * 81, "GSM-7", 162, 2),
        ("\U0001f600" * 36, "UCS-2", 72, 2),
        ("a" * 160, "GSM-7", 160, 1),
        ("a" * 161, "GSM-7", 161, 2),
        ("я" * 70, "UCS-2", 70, 1),
        ("я" * 71, "UCS-2", 71, 2),
        ("a" * 152 + "{" + "a" * 152, "GSM-7", 306, 3),
        ("a" + "\U0001f600" * 66, "UCS-2", 133, 2),
        ("\U0001f600" * 67, "UCS-2", 134, 3),
    ],
)
def test_known_counts(text: str, encoding: str, units: int, parts: int) -> None:
    """Texts of known length count as the networks count them."""
    counted = segments(text)
    assert (counted.encoding, counted.units, counted.parts) == (encoding, units, parts)


def test_the_costly_character_is_named() -> None:
    """What forces UCS-2 is shown, each character once."""
    assert segments("it\u2019s \u2019 \xa0").offending == ("\u2019", "\xa0")


def _units(text: str) -> tuple[str, list[str]]:
    """The units on the air: septets with their escapes, or UTF-16 units as hexadecimal."""
    if set(text) & set("я\U0001f600\u2019"):
        wire = text.encode("utf-16-be").hex()
        return "UCS-2", [wire[i : i + 4] for i in range(0, len(wire), 4)]
    return "GSM-7", [unit for c in text for unit in (("ESC", c) if c in "{€^" else (c,))]


def _pack(units: list[str], alone: int, each: int) -> list[list[str]]:
    """Cut into parts, one unit earlier where a cut would part a pair."""
    if len(units) <= alone:
        return [units]
    parts = []
    while units:
        cut = each
        if len(units) > cut and (units[cut - 1] == "ESC" or "d800" <= units[cut - 1] <= "dbff"):
            cut -= 1
        parts.append(units[:cut])
        units = units[cut:]
    return parts


_RUNS = st.lists(
    st.tuples(st.sampled_from("ab\n{€^я\U0001f600\u2019"), st.integers(1, 160)), max_size=8
)


@settings(max_examples=500, deadline=None)
@given(_RUNS)
def test_counts_agree_with_a_packer(runs: list[tuple[str, int]]) -> None:
    """Cutting the units on the air into parts gives the same encoding, units and parts."""
    text = "".join(char * times for char, times in runs)
    encoding, units = _units(text)
    packed = _pack(units, *((70, 67) if encoding == "UCS-2" else (160, 153)))
    counted = segments(text)
    assert (counted.encoding, counted.units, counted.parts) == (encoding, len(units), len(packed))
