"""A start while one is pending: what it brings, what it keeps, and when it is refused."""

from tests.helpers import code_of
from tests.integration.test_start_options import begin, body_of, service_with
from tests.standin import Standin
from worker.wiring import Sendcode

HASH = "He42w354ol9"


def test_what_a_resend_brings_applies(parts: Sendcode, provider: Standin) -> None:
    """Name, hash and locale are those of the start that brings them, as with the first one."""
    path = service_with(parts)
    first = begin(parts, path)
    code = code_of(parts, first["sid"])
    again = begin(parts, path, CustomFriendlyName="Acme", AppHash=HASH, Locale="de")
    assert again["sid"] == first["sid"]
    expected = f"<#> Ihr Bestätigungscode von Acme lautet: {code} {HASH}"
    assert body_of(parts, provider, again) == expected


def test_what_a_resend_does_not_bring_stays(parts: Sendcode, provider: Standin) -> None:
    """Where a resend names none, the text has the name, hash and locale that it had."""
    path = service_with(parts)
    first = begin(parts, path, CustomFriendlyName="Acme", AppHash=HASH, Locale="de")
    body = body_of(parts, provider, first)
    assert body.startswith("<#> Ihr ")
    assert body_of(parts, provider, begin(parts, path)) == body
    begin(parts, path, Channel="call")
    assert body_of(parts, provider, begin(parts, path)) == body
