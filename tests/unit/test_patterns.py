"""Texts that an account writes itself."""

import pytest

from worker.errors import InvalidParameterError
from worker.messages import check_pattern, sms_text

GOOD = {
    "{{code}} is your {{ friendly_name }} code.": "{{code}} is your {{friendly_name}} code.",
    "{{code}}": "{{code}}",
    "Код {{code}} для {{friendly_name}}": "Код {{code}} для {{friendly_name}}",
    "Code: {{code}}. 24 h": "Code: {{code}}. 24 h",
    "您的{{friendly_name}}验证码：{{code}}。": "您的{{friendly_name}}验证码：{{code}}。",
    "{{friendly_name}}: {{code}}. Bye": "{{friendly_name}}: {{code}}. Bye",
}
BAD = (
    *("", "No code", "{{code}} {{code}}", "x{{code}}", "{{code}}9", "{{code}} {{user}}"),
    *("{{code}} {{friendly_name}} {{friendly_name}}", "{{code}} {0.__class__}", "{{code}} {x}"),
    *("{{code}}\nsecond line", "{{code}}\r\n@evil.com #1", "{{code}} \u202e", "{{code}}\x00"),
    *("{{code}}\u2028second line", "{{code}} second\u2029third"),
    *("{{code}} <b>", "{{code}} @evil", "{{code}} #1", "{{code}} http://x", "{{code}} evil.com"),
    *("{{code}} or 123456", "{{code}} or １２３４", " {{code}}", "{{code}}" + "x" * 160),
    *("{{code}} {{friendly_name}}" + "y" * 120, "{{code}} {{friendly_name}}" + "ж" * 94),
    *("{{code}} at {{friendly_name}}.com", "{{code}} x.{{friendly_name}}", "{{code}}.example"),
    *("{{code}} {{friendly_name}}om", "{{code}} www.{{friendly_name}}", "http://{{code}}"),
    *("{{code}}{{friendly_name}}", "{{friendly_name}}{{code}}", "{{code}} {% x %}", "{{ code"),
)


@pytest.mark.parametrize("given", GOOD)
def test_a_good_text_is_sent_as_it_is(given: str) -> None:
    """A text with the code on its own is taken, and stands in the SMS word for word."""
    pattern = check_pattern(given)
    assert pattern == GOOD[given]
    words = sms_text(code="012345", brand="Acme {{code}}", locale="en", pattern=pattern)
    expected = pattern.replace("{{code}}", "012345", 1)
    assert words == expected.replace("{{friendly_name}}", "Acme {{code}}", 1)


@pytest.mark.parametrize("given", BAD)
def test_a_bad_text_is_refused(given: str) -> None:
    """No code on its own, a link, markup, another line, digits like a code, or too long."""
    with pytest.raises(InvalidParameterError):
        check_pattern(given)
