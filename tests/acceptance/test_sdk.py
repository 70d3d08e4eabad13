"""The twilio SDK as it is, with its base URL changed and nothing else."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.rest import Client

from tests.acceptance.running import NUMBERS, Up, wrong

SERVICE_KEYS = {
    *("sid", "account_sid", "friendly_name", "code_length", "lookup_enabled", "psd2_enabled"),
    *("skip_sms_to_landlines", "dtmf_input_required", "tts_name", "do_not_share_warning_enabled"),
    *("custom_code_enabled", "push", "totp", "whatsapp", "passkeys", "default_template_sid"),
    *("verify_event_subscription_enabled", "date_created", "date_updated", "url", "links"),
}
SERVICE_PARTS = {
    "push": {"include_date", "apn_credential_sid", "fcm_credential_sid"},
    "totp": {"issuer", "time_step", "code_length", "skew"},
    "whatsapp": {"msg_service_sid", "from"},
    "passkeys": {
        *("relying_party", "authenticator_attachment", "discoverable_credentials"),
        "user_verification",
    },
    "links": {
        *("verification_checks", "verifications", "rate_limits", "messaging_configurations"),
        *("entities", "webhooks", "access_tokens"),
    },
}
PAGE_KEYS = {
    *("page", "page_size", "first_page_url", "previous_page_url", "url", "next_page_url", "key"),
}
VERIFICATION_KEYS = {
    *("sid", "service_sid", "account_sid", "to", "channel", "status", "valid", "date_created"),
    *("date_updated", "lookup", "amount", "payee", "send_code_attempts", "sna", "url"),
}
CHECK_KEYS = {
    *("sid", "service_sid", "account_sid", "to", "channel", "status", "valid", "amount", "payee"),
    *("sna_attempts_error_codes", "date_created", "date_updated"),
}


@pytest.fixture
def client(up: Up) -> Client:
    client = Client(*up.credentials)
    client.verify.base_url = up.url
    return client


@pytest.fixture
def service(up: Up, client: Client) -> Any:
    return client.verify.v2.services(up.account["SENDCODE_SERVICE_SID"])


def refusal(work: Callable[[], object]) -> tuple[int, int]:
    """The HTTP status and Twilio's code of the exception."""
    with pytest.raises(TwilioRestException) as caught:
        work()
    return caught.value.status, caught.value.code


def test_a_code_by_sms_is_approved(up: Up, service: Any, to: str) -> None:
    """The SDK starts by SMS, a wrong code stays pending, the right one is approved, once."""
    started = service.verifications.create(to=to, channel="sms")
    assert (started.status, started.valid, started.to) == ("pending", False, to)
    assert [attempt["channel"] for attempt in started.send_code_attempts] == ["SMS"]
    code = up.wait(to)["code"]
    missed = service.verification_checks.create(to=to, code=next(wrong(code)))
    assert (missed.status, missed.valid) == ("pending", False)
    checked = service.verification_checks.create(to=to, code=code)
    assert (checked.status, checked.valid, checked.sid) == ("approved", True, started.sid)
    assert refusal(lambda: service.verification_checks.create(to=to, code=code)) == (404, 20404)
    assert refusal(service.verifications(started.sid).fetch) == (404, 20404)
    assert refusal(service.verifications(to).fetch) == (404, 20404)


def test_a_code_by_call_is_approved(up: Up, service: Any, to: str) -> None:
    """The SDK starts by call, and the code that was spoken is approved by the sid."""
    started = service.verifications.create(to=to, channel="call")
    assert [attempt["channel"] for attempt in started.send_code_attempts] == ["CALL"]
    heard = up.wait(to)
    assert heard["channel"] == "call"
    checked = service.verification_checks.create(verification_sid=started.sid, code=heard["code"])
    assert (checked.status, checked.channel) == ("approved", "call")


def test_a_resend_is_the_same_code(up: Up, service: Any, to: str) -> None:
    """A second start while pending keeps sid and code, over the channel now asked for."""
    first = service.verifications.create(to=to, channel="sms")
    text = up.wait(to)
    second = service.verifications.create(to=to, channel="call")
    assert (second.sid, second.channel) == (first.sid, "call")
    assert [attempt["channel"] for attempt in second.send_code_attempts] == ["SMS", "CALL"]
    assert up.wait(to, after=text["id"])["code"] == text["code"]


def test_fetch_and_cancel(up: Up, service: Any, to: str) -> None:
    """A pending one is fetched by sid and by number, and canceled; the next start is another."""
    started = service.verifications.create(to=to, channel="sms")
    for name in (started.sid, to):
        assert service.verifications(name).fetch().sid == started.sid
    first = up.wait(to)
    canceled = service.verifications(started.sid).update(status="canceled")
    assert (canceled.sid, canceled.status) == (started.sid, "canceled")
    code = first["code"]
    assert refusal(lambda: service.verification_checks.create(to=to, code=code)) == (404, 20404)
    again = service.verifications.create(to=to, channel="sms")
    assert again.sid != started.sid
    assert up.wait(to, after=first["id"])["code"] != code


def test_five_wrong_codes_are_the_last(up: Up, service: Any, to: str) -> None:
    """After five wrong codes every check, right or wrong, and every start gets 429 and 60202."""
    started = service.verifications.create(to=to, channel="sms")
    code = up.wait(to)["code"]
    for _, guess in zip(range(5), wrong(code), strict=False):
        assert service.verification_checks.create(to=to, code=guess).status == "pending"
    for guess in (next(wrong(code)), code):
        spent = (429, 60202)
        assert refusal(lambda g=guess: service.verification_checks.create(to=to, code=g)) == spent
    assert refusal(lambda: service.verifications.create(to=to, channel="sms")) == (429, 60202)
    assert refusal(service.verifications(started.sid).fetch) == (404, 20404)


def test_the_sixth_send_is_refused(up: Up, service: Any, to: str) -> None:
    """Five sends pass, the sixth gets 429 and 60203 and says when to come back."""
    for _ in range(5):
        service.verifications.create(to=to, channel="sms")
    assert refusal(lambda: service.verifications.create(to=to, channel="sms")) == (429, 60203)
    form = {"To": to, "Channel": "call"}
    answer = up.http.post(f"{up.path()}/Verifications", data=form)
    assert answer.json()["code"] == 60203
    assert 0 < int(answer.headers["Retry-After"]) <= 600


def test_services(up: Up, client: Client) -> None:
    """The SDK creates a service, fetches it, and follows the pages of the list on our host."""
    services = client.verify.v2.services
    made = [services.create(friendly_name=f"Page {n}", code_length=4 + n) for n in range(3)]
    assert [one.code_length for one in made] == [4, 5, 6]
    fetched = services(made[0].sid).fetch()
    assert (fetched.sid, fetched.friendly_name) == (made[0].sid, "Page 0")
    listed = [one.sid for one in services.list(page_size=2)]
    assert len(listed) == len(set(listed)) >= 4
    assert {one.sid for one in made} < set(listed)
    page = services.page(page_size=2)
    assert page.next_page_url.startswith(f"{up.url}/v2/Services?")
    assert len(services.list(limit=1)) == 1


def test_the_length_of_the_code(up: Up, client: Client, to: str) -> None:
    """A service's code length is the length of the code on the phone."""
    made = client.verify.v2.services.create(friendly_name="Long", code_length=10)
    service = client.verify.v2.services(made.sid)
    service.verifications.create(to=to, channel="sms")
    code = up.wait(to)["code"]
    assert len(code) == 10
    assert service.verification_checks.create(to=to, code=code).status == "approved"


def test_bad_credentials(up: Up, client: Client) -> None:
    """Another token, and another account, get 401 and 20003."""
    account, token = up.credentials
    for pair in ((account, "0" * 32), ("AC" + "0" * 32, token)):
        stranger = Client(*pair)
        stranger.verify.base_url = up.url
        services = stranger.verify.v2.services
        assert refusal(lambda s=services: s.create(friendly_name="Mine")) == (401, 20003)


def test_an_api_key(up: Up, to: str) -> None:
    """The SDK with an API key in the token's place starts and checks, and may do no more."""
    form = {"FriendlyName": "SDK", "Scopes": "start,check"}
    key = up.http.post("/v2/ApiKeys", data=form).json()
    client = Client(key["sid"], key["secret"], up.credentials[0])
    client.verify.base_url = up.url
    service = client.verify.v2.services(up.account["SENDCODE_SERVICE_SID"])
    service.verifications.create(to=to, channel="sms")
    checked = service.verification_checks.create(to=to, code=up.wait(to)["code"])
    assert (checked.status, checked.account_sid) == ("approved", up.credentials[0])
    assert refusal(service.fetch) == (403, 20003)


def test_dates_are_dates(up: Up, service: Any, to: str) -> None:
    """The SDK reads every date as a datetime: services, verifications and checks."""
    started = service.verifications.create(to=to, channel="sms")
    checked = service.verification_checks.create(to=to, code=up.wait(to)["code"])
    for found in (service.fetch(), started, checked):
        assert isinstance(found.date_created, datetime)
        assert isinstance(found.date_updated, datetime)


def test_the_bodies_have_every_key_and_no_other(up: Up, to: str) -> None:
    """Service, page, verification and check carry exactly the keys of Twilio's reference."""
    service = up.http.get(up.path()).json()
    assert set(service) == SERVICE_KEYS
    for part, keys in SERVICE_PARTS.items():
        assert set(service[part]) == keys
    assert set(service["passkeys"]["relying_party"]) == {"id", "name", "origins"}
    page = up.http.get("/v2/Services", params={"PageSize": 1}).json()
    assert set(page) == {"services", "meta"}
    assert set(page["meta"]) == PAGE_KEYS
    assert (page["meta"]["key"], page["meta"]["previous_page_url"]) == ("services", None)
    started = up.start_code(to)
    assert set(started) == VERIFICATION_KEYS
    assert set(started["send_code_attempts"][0]) == {"time", "channel", "attempt_sid"}
    assert started["url"] == f"{up.url}{up.path()}/Verifications/{started['sid']}"
    assert set(up.http.get(f"{up.path()}/Verifications/{started['sid']}").json()) == (
        VERIFICATION_KEYS
    )
    code = up.wait(to)["code"]
    for guess in (next(wrong(code)), code):
        answer = up.check(guess, To=to)
        assert answer.status_code == 200
        assert set(answer.json()) == CHECK_KEYS


def test_json_bodies(up: Up, to: str) -> None:
    """A JSON body with the same names starts and checks as a form does."""
    json = {"To": to, "Channel": "sms"}
    assert up.http.post(f"{up.path()}/Verifications", json=json).status_code == 201
    json = {"To": to, "Code": up.wait(to)["code"]}
    answer = up.http.post(f"{up.path()}/VerificationCheck", json=json)
    assert answer.json()["status"] == "approved"


def test_the_async_client(up: Up, to: str) -> None:
    """The SDK's asynchronous client starts and checks."""

    async def main() -> str:
        transport = AsyncTwilioHttpClient()
        try:
            client = Client(*up.credentials, http_client=transport)
            client.verify.base_url = up.url
            service = client.verify.v2.services(up.account["SENDCODE_SERVICE_SID"])
            await service.verifications.create_async(to=to, channel="sms")
            code = (await asyncio.to_thread(up.wait, to))["code"]
            checked = await service.verification_checks.create_async(to=to, code=code)
            return str(checked.status)
        finally:
            await transport.close()

    assert asyncio.run(main()) == "approved"


def test_messaging_configurations(up: Up, client: Client) -> None:
    """The SDK creates, changes and deletes them, and follows the list to its second page."""
    made = client.verify.v2.services.create(friendly_name="Senders")
    configurations = client.verify.v2.services(made.sid).messaging_configurations
    for n, country in enumerate(("GB", "DE", "all")):
        sid = f"MG{n:032x}"
        assert configurations.create(country=country, messaging_service_sid=sid).country == country
    again = lambda: configurations.create(country="GB", messaging_service_sid="MG" + "1" * 32)  # noqa: E731
    assert refusal(again) == (400, 60213)
    assert {one.country for one in configurations.list(page_size=2)} == {"DE", "GB", "all"}
    one = client.verify.v2.services(made.sid).messaging_configurations("GB")
    assert one.update(messaging_service_sid="MG" + "2" * 32).messaging_service_sid.endswith("22")
    assert one.fetch().date_created
    assert one.delete()
    assert refusal(one.fetch) == (404, 20404)


def test_webhooks(client: Client) -> None:
    """The SDK creates, changes and deletes a webhook, and follows the list to its second page."""
    made = client.verify.v2.services.create(friendly_name="Hooks")
    hooks = client.verify.v2.services(made.sid).webhooks
    values = {"event_types": ["factor.created", "*"], "webhook_url": "https://example.com/h"}
    sids = [hooks.create(friendly_name=f"Hook {n}", **values).sid for n in range(3)]
    assert [one.sid for one in hooks.list(page_size=2)] == sids
    changed = hooks(sids[0]).update(status="disabled", event_types=["challenge.denied"])
    assert (changed.status, changed.event_types) == ("disabled", ["challenge.denied"])
    assert hooks(sids[0]).fetch().webhook_method == "POST"
    assert hooks(sids[0]).delete()
    assert refusal(hooks(sids[0]).fetch) == (404, 20404)


def test_the_safe_list(client: Client, to: str) -> None:
    """The SDK adds a number, finds it by its path, and removes it."""
    numbers = client.verify.v2.safelist
    made = numbers.create(phone_number=to)
    assert (made.phone_number, numbers(to).fetch().sid) == (to, made.sid)
    assert refusal(lambda: numbers.create(phone_number=to)) == (400, 60411)
    assert numbers(to).delete()
    assert refusal(numbers(to).fetch) == (404, 20404)


def test_templates(up: Up, client: Client, service: Any, to: str) -> None:
    """The SDK lists our templates over two pages, and starts with one of them."""
    for n in range(3):
        form = {"FriendlyName": "SDK", "Text": f"{{{{code}}}} it is, no. {n}"}
        assert up.http.post("/v2/Templates", data=form).status_code == 201
    found = client.verify.v2.templates.list(friendly_name="SDK", page_size=2)
    assert [one.translations["en"]["text"][-1] for one in found] == ["0", "1", "2"]
    service.verifications.create(to=to, channel="sms", template_sid=found[1].sid)
    heard = up.wait(to)
    assert heard["body"] == f"{heard['code']} it is, no. 1"


def test_attempts(up: Up, client: Client, service: Any, to: str) -> None:
    """The SDK lists a number's attempts over two pages, fetches one and reads the summary."""
    started = service.verifications.create(to=to, channel="sms")
    for channel in ("call", "sms"):
        service.verifications.create(to=to, channel=channel)
    attempts = client.verify.v2.verification_attempts
    found = attempts.list(channel_data_to=to, page_size=2)
    assert [one.channel for one in found] == ["sms", "call", "sms"]
    assert found[0].channel_data["to"] == to
    assert attempts(found[0].sid).fetch().verification_sid == started.sid
    assert isinstance(found[0].date_created, datetime)
    since = found[-1].date_created
    assert len(attempts.list(channel_data_to=to, date_created_after=since)) == 3
    assert attempts.list(channel_data_to=to, date_created_before=datetime(2020, 1, 1)) == []
    summary = client.verify.v2.verification_attempts_summary().fetch(
        verify_service_sid=started.service_sid, channel="call"
    )
    assert summary.total_attempts == summary.total_converted + summary.total_unconverted > 0
    assert float(summary.conversion_rate_percentage) <= 100


def test_custom_codes(up: Up, client: Client, to: str) -> None:
    """The SDK starts with a code of its own, which the phone gets and a check approves."""
    made = client.verify.v2.services.create(friendly_name="Own", custom_code_enabled=True)
    assert made.custom_code_enabled is True
    service = client.verify.v2.services(made.sid)
    service.verifications.create(to=to, channel="sms", custom_code="0731904")
    assert up.wait(to)["code"] == "0731904"
    assert service.verification_checks.create(to=to, code="0731904").status == "approved"


def test_payments(up: Up, client: Client, to: str) -> None:
    """The SDK starts and checks for a payment; without it, or by call, it is refused."""
    made = client.verify.v2.services.create(friendly_name="Pay", psd2_enabled=True)
    service = client.verify.v2.services(made.sid)
    pay = {"amount": "€39.99", "payee": "Acme"}
    assert refusal(lambda: service.verifications.create(to=to, channel="sms")) == (400, 60206)
    by_call = lambda: service.verifications.create(to=to, channel="call", **pay)  # noqa: E731
    assert refusal(by_call) == (400, 60214)
    assert service.verifications.create(to=to, channel="sms", **pay).payee == "Acme"
    heard = up.wait(to)
    assert "(Acme, €39.99)" in heard["body"]
    unsaid = lambda: service.verification_checks.create(to=to, code=heard["code"])  # noqa: E731
    assert refusal(unsaid) == (400, 60206)
    assert service.verification_checks.create(to=to, code=heard["code"], **pay).valid


def test_rate_limits(up: Up, client: Client) -> None:
    """The SDK makes limits and buckets, follows their lists to the second page, and a start gets
    429 and 20429 once a bucket is full.
    """
    made = client.verify.v2.services.create(friendly_name="Limits")
    service = client.verify.v2.services(made.sid)
    limits = [service.rate_limits.create(unique_name=f"n{n}", description="x") for n in range(3)]
    assert [one.sid for one in service.rate_limits.list(page_size=2)] == [r.sid for r in limits]
    one = service.rate_limits(limits[0].sid)
    assert one.update(description="y").description == "y"
    twice = lambda: service.rate_limits.create(unique_name="n0")  # noqa: E731
    assert refusal(twice) == (400, 60208)
    sids = [one.buckets.create(max=2, interval=60 * n).sid for n in (1, 2, 3)]
    assert [bucket.sid for bucket in one.buckets.list(page_size=2)] == sids
    assert one.buckets(sids[0]).update(max=1).max == 1
    assert one.buckets(sids[2]).delete()
    numbers = [next(NUMBERS) for _ in range(2)]
    given = {"channel": "sms", "rate_limits": {"n0": "203.0.113.1"}}
    service.verifications.create(to=numbers[0], **given)
    refused = lambda: service.verifications.create(to=numbers[1], **given)  # noqa: E731
    assert refusal(refused) == (429, 20429)
    unknown = {"channel": "sms", "rate_limits": {"nothing": "x"}}
    assert refusal(lambda: service.verifications.create(to=numbers[1], **unknown)) == (400, 60200)
    assert one.delete()
    assert refusal(one.fetch) == (404, 20404)
