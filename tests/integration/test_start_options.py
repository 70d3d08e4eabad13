"""What a start may bring along, over HTTP: a code, a payment, digits; and what a check tells."""

from typing import Any

import pytest
from sqlalchemy import select, text

from tests.helpers import code_of, count, delivery, let_time_pass, wrong_code
from tests.integration.conftest import NUMBER
from tests.integration.doors import door, refused
from tests.integration.test_relay import make_relay
from tests.standin import Standin
from worker.models import verifications
from worker.providers.twilio_errors import MESSAGE_STATUSES
from worker.services import Service
from worker.wiring import Sendcode

LANDLINE = "+390236618300"
PAYMENT = {"Amount": "€39.99", "Payee": "Acme & Sons"}


def service_with(parts: Sendcode, **flags: str) -> str:
    made = door(parts).post("/v2/Services", data={"FriendlyName": "Example", **flags})
    assert made.status_code == 201, made.text
    return f"/v2/Services/{made.json()['sid']}"


def begin(parts: Sendcode, path: str, **form: str) -> dict[str, Any]:
    form = {"To": NUMBER, "Channel": "sms"} | form
    answer = door(parts).post(f"{path}/Verifications", data=form)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def body_of(parts: Sendcode, provider: Standin, started: dict[str, Any]) -> str:
    parts.dispatch.deliver([started["send_code_attempts"][-1]["attempt_sid"]])
    return provider.sent[-1]["Body"]


def check(parts: Sendcode, path: str, code: str, **form: str) -> Any:
    form = {"To": NUMBER, "Code": code} | form
    return door(parts).post(f"{path}/VerificationCheck", data=form)


def row(parts: Sendcode, sid: str) -> Any:
    with parts.db.statement() as connection:
        return connection.execute(select(verifications).where(verifications.c.sid == sid)).one()


def arrived(parts: Sendcode, started: dict[str, Any], status: str = "delivered") -> None:
    sid = started["send_code_attempts"][-1]["attempt_sid"]
    parts.receipts.apply(
        sid,
        provider="twilio",
        provider_sid=delivery(parts, sid).provider_sid,
        status=status,
        words=MESSAGE_STATUSES,
    )


# Custom codes


def test_a_custom_code_is_sent_and_checked(parts: Sendcode, provider: Standin) -> None:
    """The backend's own code is what goes out and what is approved, with its leading zeros."""
    path = service_with(parts, CustomCodeEnabled="true")
    assert door(parts).get(path).json()["custom_code_enabled"] is True
    started = begin(parts, path, CustomCode="00731904")
    assert "00731904" in body_of(parts, provider, started)
    missed = check(parts, path, code_of(parts, started["sid"]))
    assert (missed.json()["status"], missed.headers["sendcode-attempts-remaining"]) == (
        *("pending", "4"),
    )
    assert check(parts, path, "00731904").json()["status"] == "approved"


def test_a_custom_code_is_kept_until_it_has_arrived(parts: Sendcode, provider: Standin) -> None:
    """The code is sealed in the row while a delivery is open, and gone once none is."""
    path = service_with(parts, CustomCodeEnabled="true")
    relay = make_relay(parts)
    started = begin(parts, path, CustomCode="731904")
    relay.settle()
    sealed = row(parts, started["sid"]).code_sealed
    assert sealed is not None
    assert b"731904" not in bytes(sealed)
    body_of(parts, provider, started)
    relay.settle()
    assert row(parts, started["sid"]).code_sealed is not None
    arrived(parts, started)
    relay.settle()
    assert row(parts, started["sid"]).code_sealed is None
    assert check(parts, path, "731904").json()["status"] == "approved"


def test_a_custom_code_is_forgotten_at_the_end(parts: Sendcode) -> None:
    """A canceled verification keeps no code."""
    path = service_with(parts, CustomCodeEnabled="true")
    started = begin(parts, path, CustomCode="731904")
    door(parts).post(f"{path}/Verifications/{NUMBER}", data={"Status": "canceled"})
    make_relay(parts).settle()
    assert row(parts, started["sid"]).code_sealed is None


def test_a_resend_of_a_custom_code(parts: Sendcode, provider: Standin) -> None:
    """While it is kept a resend needs no code; later it must bring one, which then is the code,
    and brings no new guesses.
    """
    path = service_with(parts, CustomCodeEnabled="true")
    relay = make_relay(parts)
    first = begin(parts, path, CustomCode="731904")
    again = begin(parts, path)
    assert again["sid"] == first["sid"]
    assert "731904" in body_of(parts, provider, again)
    body_of(parts, provider, first)
    for started in (first, again):
        arrived(parts, started)
    relay.settle()
    form = {"To": NUMBER, "Channel": "sms"}
    before = count(parts, "deliveries")
    refused(door(parts).post(f"{path}/Verifications", data=form), 400, 60200)
    assert count(parts, "deliveries") == before
    check(parts, path, "000000")
    other = begin(parts, path, CustomCode="424242")
    assert "424242" in body_of(parts, provider, other)
    stale = check(parts, path, "731904")
    assert (stale.json()["status"], stale.headers["sendcode-attempts-remaining"]) == (
        *("pending", "3"),
    )
    assert check(parts, path, "424242").json()["status"] == "approved"


def test_a_lost_custom_code_is_not_replaced_by_another(parts: Sendcode, provider: Standin) -> None:
    """A delivery whose code is gone fails; it never goes out with a derived one."""
    path = service_with(parts, CustomCodeEnabled="true")
    started = begin(parts, path, CustomCode="731904")
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE verifications SET code_sealed = NULL"))
    sid = started["send_code_attempts"][-1]["attempt_sid"]
    parts.dispatch.deliver([sid])
    assert provider.sent == []
    assert delivery(parts, sid).error_code == "cannot_render"


@pytest.mark.parametrize("code", ["123", "12345678901", "12a4", "١٢٣٤", "12 34", "1234\x00"])
def test_bad_custom_codes(parts: Sendcode, code: str) -> None:
    """A custom code is 4 to 10 digits; without the service's flag there is none."""
    path = service_with(parts, CustomCodeEnabled="true")
    form = {"To": NUMBER, "Channel": "sms", "CustomCode": code}
    refused(door(parts).post(f"{path}/Verifications", data=form), 400, 60200)
    off = service_with(parts)
    form["CustomCode"] = "1234"
    refused(door(parts).post(f"{off}/Verifications", data=form), 403, 60204)
    assert count(parts, "verifications") == 0


# Payments


def test_a_payment_is_shown_and_bound(parts: Sendcode, provider: Standin) -> None:
    """The text shows payee and amount, answers repeat them, and a check with others is wrong."""
    path = service_with(parts, Psd2Enabled="true", DoNotShareWarningEnabled="true")
    started = begin(parts, path, **PAYMENT)
    assert (started["amount"], started["payee"]) == ("€39.99", "Acme & Sons")
    code = code_of(parts, started["sid"])
    body = body_of(parts, provider, started)
    assert f"{code} (Acme & Sons, €39.99). Do not share" in body
    fetched = door(parts).get(f"{path}/Verifications/{NUMBER}").json()
    assert (fetched["amount"], fetched["payee"]) == ("€39.99", "Acme & Sons")
    assert "39.99" not in repr(row(parts, started["sid"]))
    for change in ({"Amount": "€3999"}, {"Payee": "Other"}):
        missed = check(parts, path, code, **(PAYMENT | change))
        assert (missed.status_code, missed.json()["status"]) == (200, "pending")
    swapped = {"Amount": PAYMENT["Payee"], "Payee": PAYMENT["Amount"]}
    assert check(parts, path, code, **swapped).json()["valid"] is False
    right = check(parts, path, code, **PAYMENT).json()
    assert (right["status"], right["amount"], right["payee"]) == (
        *("approved", "€39.99", "Acme & Sons"),
    )


def test_a_payment_is_required(parts: Sendcode) -> None:
    """Start and check need both values, which costs no guess; a call cannot say them."""
    path = service_with(parts, Psd2Enabled="true")
    client, form = door(parts), {"To": NUMBER, "Channel": "sms"}
    for given in ({}, {"Amount": "5"}, {"Payee": "Acme"}):
        refused(client.post(f"{path}/Verifications", data=form | given), 400, 60206)
    call = form | {"Channel": "call"} | PAYMENT
    refused(client.post(f"{path}/Verifications", data=call), 400, 60214)
    plain = service_with(parts)
    for given in (PAYMENT, {"Amount": "5"}, {"Payee": "Acme"}):
        refused(client.post(f"{plain}/Verifications", data=form | given), 403, 60204)
    assert count(parts, "verifications") == 0
    started = begin(parts, path, **PAYMENT)
    code = code_of(parts, started["sid"])
    for given in ({}, {"Amount": "5"}, {"Payee": "Acme"}):
        refused(check(parts, path, code, **given), 400, 60206)
    assert row(parts, started["sid"]).checks == 0


def test_a_resend_for_another_payment(parts: Sendcode) -> None:
    """The same payment is a resend, another one is refused while the first is pending."""
    path = service_with(parts, Psd2Enabled="true")
    first = begin(parts, path, **PAYMENT)
    assert begin(parts, path, **PAYMENT)["sid"] == first["sid"]
    form = {"To": NUMBER, "Channel": "sms"} | PAYMENT | {"Amount": "€1"}
    refused(door(parts).post(f"{path}/Verifications", data=form), 400, 60200)
    door(parts).post(f"{path}/Verifications/{NUMBER}", data={"Status": "canceled"})
    assert begin(parts, path, **PAYMENT)["sid"] != first["sid"]


@pytest.mark.parametrize(
    "change",
    [
        {"Amount": "1" * 21},
        {"Amount": "1\r\n2"},
        {"Amount": "<b>1</b>"},
        {"Payee": "x" * 41},
        {"Payee": "evil.com"},
        {"Payee": "@evil #1"},
        {"Payee": "a\u202eb"},
    ],
)
def test_bad_payments(parts: Sendcode, change: dict[str, str]) -> None:
    """What may not stand in a text is refused."""
    path = service_with(parts, Psd2Enabled="true")
    form = {"To": NUMBER, "Channel": "sms"} | PAYMENT | change
    refused(door(parts).post(f"{path}/Verifications", data=form), 400, 60200)
    assert count(parts, "verifications") == 0


# Landlines, lookups, digits, substitutions


def test_landlines(parts: Sendcode) -> None:
    """An SMS to a landline is 60205 where the service skips them, else no usable number."""
    form = {"To": LANDLINE, "Channel": "sms"}
    skips = service_with(parts, SkipSmsToLandlines="true", LookupEnabled="true")
    refused(door(parts).post(f"{skips}/Verifications", data=form), 403, 60205)
    for flags in ({}, {"SkipSmsToLandlines": "true"}):
        path = service_with(parts, **flags)
        refused(door(parts).post(f"{path}/Verifications", data=form), 400, 60200)
    unknown = f"/v2/Services/VA{'0' * 32}"
    refused(door(parts).post(f"{unknown}/Verifications", data=form), 404, 20404)
    assert count(parts, "verifications") == 0


def test_lookups(parts: Sendcode) -> None:
    """A service with lookups gets the type and carrier that the numbering plan tells, with a start
    and with whatever shows the verification later.
    """
    path = service_with(parts, LookupEnabled="true")
    found = begin(parts, path, To="+491711234567")["lookup"]["carrier"]
    assert set(found) == {
        *("mobile_country_code", "type", "error_code", "mobile_network_code", "name"),
    }
    assert (found["type"], found["name"]) == ("mobile", "T-Mobile")
    client, url = door(parts), f"{path}/Verifications"
    begun = begin(parts, path, To="+491711234567")
    assert client.get(f"{url}/{begun['sid']}").json() == begun
    ended = client.post(f"{url}/{begun['sid']}", data={"Status": "canceled"}).json()
    assert ended["lookup"]["carrier"] == found
    form = {"To": "+491711234568", "Channel": "sms"}
    first, again = (
        client.post(url, data=form, headers={"Idempotency-Key": "k"}).json() for _ in range(2)
    )
    assert again == first
    landline = begin(parts, path, To=LANDLINE, Channel="call")["lookup"]["carrier"]
    assert landline["type"] == "landline"
    assert begin(parts, service_with(parts), To="+491711234567")["lookup"] == {}


def test_send_digits(parts: Sendcode, provider: Standin) -> None:
    """A call presses the digits once it is answered; a text has none."""
    path = service_with(parts)
    called = begin(parts, path, Channel="call", SendDigits="ww12#")
    parts.dispatch.deliver([called["send_code_attempts"][-1]["attempt_sid"]])
    assert provider.sent[-1]["SendDigits"] == "ww12#"
    resent = begin(parts, path)
    parts.dispatch.deliver([resent["send_code_attempts"][-1]["attempt_sid"]])
    assert "SendDigits" not in provider.sent[-1]
    client = door(parts)
    for form in (
        {"Channel": "sms", "SendDigits": "1"},
        {"Channel": "call", "SendDigits": "1" * 33},
        {"Channel": "call", "SendDigits": "abc"},
        {"Channel": "call", "SendDigits": "1\r\n"},
    ):
        refused(client.post(f"{path}/Verifications", data={"To": NUMBER, **form}), 400, 60200)


def test_template_substitutions(parts: Sendcode, service: Service) -> None:
    """Substitutions must be a JSON object, and may name no place that no template has."""
    path = f"/v2/Services/{service.sid}"
    form = {"To": NUMBER, "Channel": "sms"}
    for bad in ("x", "[]", '{"a": "b"}', "{" * 2000, '"x"'):
        given = form | {"TemplateCustomSubstitutions": bad}
        refused(door(parts).post(f"{path}/Verifications", data=given), 400, 60200)
    begin(parts, path, TemplateCustomSubstitutions="{}")


# What a check tells


def test_a_check_tells_what_is_left_and_why_not(parts: Sendcode, service: Service) -> None:
    """A header counts the guesses down; a 404 says how the verification ended."""
    path = f"/v2/Services/{service.sid}"

    def gone(**form: str) -> str:
        answer = check(parts, path, "123456", **form)
        refused(answer, 404, 20404)
        assert answer.json()["details"]["attempts_remaining"] == 0
        return str(answer.json()["details"]["reason"])

    assert gone() == "unknown"
    started = begin(parts, path)
    code = code_of(parts, started["sid"])
    for left in ("4", "3"):
        answer = check(parts, path, wrong_code(code))
        assert answer.headers["sendcode-attempts-remaining"] == left
        assert "attempts_remaining" not in answer.text
    assert check(parts, path, code).json()["status"] == "approved"
    assert gone() == gone(VerificationSid=started["sid"], To="") == "approved"
    begin(parts, path)
    door(parts).post(f"{path}/Verifications/{NUMBER}", data={"Status": "canceled"})
    assert gone() == "canceled"
    begin(parts, path)
    let_time_pass(parts, 601)
    assert gone() == "expired"
    started = begin(parts, path)
    wrong = wrong_code(code_of(parts, started["sid"]))
    for _ in range(5):
        check(parts, path, wrong)
    spent = check(parts, path, wrong)
    refused(spent, 429, 60202)
    assert spent.json()["details"]["attempts_remaining"] == 0


def test_what_is_over_is_said_before_what_is_wrong(parts: Sendcode) -> None:
    """A code of another length, or a payment that is missing, is 404 or 429 where no guess could be
    taken anyway, and 400 only where one could.
    """
    path = service_with(parts, Psd2Enabled="true")

    def asked() -> list[Any]:
        return [check(parts, path, "123456"), check(parts, path, "1234", **PAYMENT)]

    code = code_of(parts, begin(parts, path, **PAYMENT)["sid"])
    missing, short = asked()
    refused(missing, 400, 60206)
    refused(short, 400, 60200)
    for _ in range(5):
        check(parts, path, wrong_code(code), **PAYMENT)
    for answer in asked():
        refused(answer, 429, 60202)
    let_time_pass(parts, 601)
    for answer in asked():
        refused(answer, 404, 20404)
        assert answer.json()["details"]["reason"] == "expired"


def test_the_same_request_with_another_code_is_another(parts: Sendcode) -> None:
    """An Idempotency-Key holds for the code, payment and digits that came with it."""
    path = service_with(parts, CustomCodeEnabled="true")
    form = {"To": NUMBER, "Channel": "sms", "CustomCode": "1234"}
    headers = {"Idempotency-Key": "one"}
    client = door(parts)
    made = client.post(f"{path}/Verifications", data=form, headers=headers)
    same = client.post(f"{path}/Verifications", data=form, headers=headers)
    assert made.json() == same.json()
    form["CustomCode"] = "4321"
    other = client.post(f"{path}/Verifications", data=form, headers=headers)
    refused(other, 422, 20422)
    assert count(parts, "deliveries") == 1
