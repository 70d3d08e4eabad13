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
    ],
)
def test_known_counts(text: str, encoding: str, units: int, parts: int) -> None:
    """Texts of known length count as the networks count them."""
    counted = segments(text)
    assert (counted.encoding, counted.units, counted.parts) == (encoding, units, parts)


def test_the_costly_character_is_named() -> None:
    """What forces UCS-2 is shown, each character once."""
    assert segments("it\u2019s \u2019 \xa0").offending == ("\u2019", "\xa0")


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab{€я\U0001f600\u2019\n", max_size=400))
def test_counts_agree_with_a_packer(text: str) -> None:
    """Packing the characters one by one into parts gives the same number of parts."""
    counted = segments(text)
    wide = counted.encoding == "UCS-2"
    size = (
        (lambda c: len(c.encode("utf-16-be")) // 2) if wide else (lambda c: 2 if c in "{€" else 1)
    )
    limit = 70 if wide else 160
    if sum(map(size, text)) > limit:
        limit = 67 if wide else 153
    packed, left = 1, limit
    for char in text:
        if size(char) > left:
            packed, left = packed + 1, limit
        left -= size(char)
    assert counted.parts == packed
