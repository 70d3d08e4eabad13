"""The forms that go to a provider."""

from urllib.parse import parse_qs, urlencode

from hypothesis import given
from hypothesis import strategies as st

from worker.providers.http import _form

VALUES = st.one_of(st.text(), st.integers(), st.booleans(), st.lists(st.text(), min_size=1))


@given(st.dictionaries(st.text(min_size=1), VALUES))
def test_a_form_is_written_as_the_standard_library_does(fields: dict[str, object]) -> None:
    """Any text in any script, with signs that mean something in a form, and several values."""
    assert _form(fields) == urlencode(fields, doseq=True, errors="replace")


def test_what_is_not_given_is_not_sent() -> None:
    """None is left out; an empty text and a zero are values."""
    text = _form({"To": "+447700900001", "From": None, "Body": "", "Timeout": 0})
    assert text == "To=%2B447700900001&Body=&Timeout=0"
    assert parse_qs(_form({"Body": "1 + 1 = 2 & ü"})) == {"Body": ["1 + 1 = 2 & ü"]}
