import pytest
from structlog.testing import capture_logs

from worker.providers.twilio import valid_signature
from worker.providers.twilio_errors import (
    CALL_STATUSES,
    ERRORS,
    KINDS,
    MEANINGS,
    MESSAGE_STATUSES,
    kind_of,
)
from worker.states import RECEIPT_MAY_FOLLOW, ErrorKind


@pytest.mark.kills("known-error-counts-as-unknown")
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (20429, ErrorKind.TRANSIENT),
        (30001, ErrorKind.TRANSIENT),
        (30008, ErrorKind.TRANSIENT),
        (30003, ErrorKind.CHANNEL),
        (30006, ErrorKind.CHANNEL),
        (30007, ErrorKind.CHANNEL),
        (21614, ErrorKind.CHANNEL),
        (21211, ErrorKind.PERMANENT),
        (21610, ErrorKind.PERMANENT),
        (30004, ErrorKind.PERMANENT),
        (30005, ErrorKind.PERMANENT),
        (20003, ErrorKind.ACCOUNT),
        (21408, ErrorKind.ROUTE),
        (30002, ErrorKind.ACCOUNT),
    ],
)
def test_a_known_code_decides_the_next_step(code: int, kind: ErrorKind) -> None:
    """Twilio's everyday refusals are sorted by what to do next, without a log line."""
    with capture_logs() as logs:
        assert kind_of(code) is kind
    assert logs == []


def test_an_unseen_code_is_loud_and_ends_the_request() -> None:
    """A code missing from the table is logged as an error and not repeated."""
    with capture_logs() as logs:
        assert kind_of(99999) is ErrorKind.PERMANENT
    assert [(line["event"], line["log_level"], line["error_code"]) for line in logs] == [
        ("provider.code_unknown", "error", 99999)
    ]


def test_every_code_has_one_kind_and_a_meaning() -> None:
    """No code stands in two places of the table, and each can be explained to an operator."""
    assert sum(len(codes) for codes in ERRORS.values()) == len(KINDS)
    assert KINDS.keys() == MEANINGS.keys()
    assert set(ERRORS) == set(ErrorKind)
    assert all(MEANINGS.values())


def test_every_status_word_leads_to_a_state_receipts_may_reach() -> None:
    """Each word of Twilio's, of a message or a call, is a step the transition table knows."""
    for words in (MESSAGE_STATUSES, CALL_STATUSES):
        assert set(words.values()) == set(RECEIPT_MAY_FOLLOW)


TOKEN = "12345"
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FORM = {
    "CallSid": "CA1234567890ABCDE",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
    "Caller": "+14158675309",
}
SIGNATURE = "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def test_twilios_own_signature_example_is_valid() -> None:
    """The signature published in Twilio's documentation is accepted."""
    assert valid_signature(TOKEN, URL, FORM, SIGNATURE)


@pytest.mark.kills("any-signature")
@pytest.mark.parametrize(
    ("token", "url", "form", "signature"),
    [
        ("", URL, FORM, SIGNATURE),
        ("12346", URL, FORM, SIGNATURE),
        (TOKEN, URL + "3", FORM, SIGNATURE),
        (TOKEN, URL, {**FORM, "Digits": "1235"}, SIGNATURE),
        (TOKEN, URL, {**FORM, "More": ""}, SIGNATURE),
        (TOKEN, URL, FORM, None),
        (TOKEN, URL, FORM, ""),
        (TOKEN, URL, FORM, SIGNATURE[:-1]),
        (TOKEN, URL, FORM, "ünsigned" * 4),
        (TOKEN, "https://[broken", FORM, SIGNATURE),
        (TOKEN, "https://host:port/x", FORM, SIGNATURE),
        (TOKEN, URL, {"Digits": "\ud800"}, SIGNATURE),
        (TOKEN, URL, {"Digits": 5}, SIGNATURE),
    ],
)
def test_anything_else_is_invalid_and_never_an_exception(
    token: str, url: str, form: dict[str, str], signature: str | None
) -> None:
    """A missing secret, a changed byte or a malformed callback is an invalid signature."""
    assert valid_signature(token, url, form, signature) is False
