"""Attempts, templates, safe list, webhooks and messaging configurations over HTTP, on both
databases.
"""

import re
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import text

from tests.helpers import at_once, code_of, count, delivery, let_time_pass
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.integration.doors import MEGABYTE, door, refused, walked
from tests.integration.hearing import listen
from tests.standin import Standin
from worker import attempt_looks
from worker.attempts import Which
from worker.factor_webhooks import MAX_WEBHOOKS
from worker.models import metadata
from worker.moments import stamp
from worker.services import Service
from worker.wiring import Sendcode

OTHER = "AC" + "b" * 32
ZEROS = "0" * 32
DAY = 86_400_000  # ms
MG = "MG" + "a" * 32
HOOK = {
    "FriendlyName": "Hook",
    "EventTypes": ["factor.deleted", "factor.verified"],
    "WebhookUrl": "https://example.com/hook",
}
TEMPLATE = {"FriendlyName": "Mine", "Text": "{{code}} is your {{ friendly_name }} code."}
TABLES = (
    *("messaging_configurations", "factor_webhooks", "safe_numbers", "templates"),
    *("template_texts", "verifications", "deliveries"),
)


def rows(parts: Sendcode) -> list[int]:
    return [count(parts, table) for table in TABLES]


def path(service: Service) -> str:
    return f"/v2/Services/{service.sid}"


def begin(parts: Sendcode, service: Service, to: str = NUMBER, **form: str) -> dict[str, Any]:
    form = {"To": to, "Channel": "sms"} | form
    answer = door(parts).post(f"{path(service)}/Verifications", data=form)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def sent(parts: Sendcode, provider: Standin, started: dict[str, Any]) -> dict[str, str]:
    """What the provider got for the last delivery."""
    parts.dispatch.deliver([started["send_code_attempts"][-1]["attempt_sid"]])
    return provider.sent[-1]


# Services


@pytest.mark.kills("service-updates-lose-each-other")
def test_updates_at_once_lose_nothing(parts: Sendcode) -> None:
    """Updates of one service at the same moment, each of another field, all hold."""
    fields = ("CustomCodeEnabled", "LookupEnabled", "Psd2Enabled", "SkipSmsToLandlines")
    names = ("custom_code_enabled", "lookup_enabled", "psd2_enabled", "skip_sms_to_landlines")
    clients = [door(parts) for _ in fields]
    for _ in range(8):
        url = path(parts.services.create(ACCOUNT, "Example", twilio_only={"totp_skew": 2}))
        answers = at_once(4, lambda n, url=url: clients[n].post(url, data={fields[n]: "true"}))
        assert [answer.status_code for answer in answers] == [200] * 4
        kept = parts.services.fetch(ACCOUNT, url.rpartition("/")[2]).twilio_only
        assert kept == dict.fromkeys(names, True) | {"totp_skew": 2}


# Messaging configurations


def test_messaging_configurations(parts: Sendcode, service: Service, provider: Standin) -> None:
    """A country's messaging service sends its SMS, `all` the others, and it can be changed and
    removed.
    """
    client, url = door(parts), f"{path(service)}/MessagingConfigurations"
    made = client.post(url, data={"Country": "gb", "MessagingServiceSid": MG})
    assert made.status_code == 201
    body = made.json()
    assert set(body) == {
        *("account_sid", "service_sid", "country", "messaging_service_sid"),
        *("date_created", "date_updated", "url"),
    }
    assert body["url"] == f"https://codes.example.com{url}/GB"
    again = client.post(url, data={"Country": "GB", "MessagingServiceSid": MG})
    refused(again, 400, 60213)
    everywhere = {"Country": "all", "MessagingServiceSid": "MG" + "b" * 32}
    assert client.post(url, data=everywhere).json()["country"] == "all"
    assert sent(parts, provider, begin(parts, service))["MessagingServiceSid"] == MG
    german = begin(parts, service, to="+4915112345678")
    assert sent(parts, provider, german)["MessagingServiceSid"] == "MG" + "b" * 32
    changed = client.post(f"{url}/GB", data={"MessagingServiceSid": "MG" + "c" * 32})
    assert changed.json()["messaging_service_sid"] == "MG" + "c" * 32
    assert client.get(f"{url}/gb").json() == changed.json()
    assert client.delete(f"{url}/GB").status_code == 204
    refused(client.get(f"{url}/GB"), 404, 20404)
    refused(client.delete(f"{url}/GB"), 404, 20404)
    assert client.delete(f"{url}/all").status_code == 204
    assert "MessagingServiceSid" not in sent(parts, provider, begin(parts, service))


def test_messaging_configurations_in_pages(parts: Sendcode, service: Service) -> None:
    """The list is walked forth and back, by country."""
    client, url = door(parts), f"{path(service)}/MessagingConfigurations"
    for country in ("US", "all", "DE", "FR", "GB"):
        client.post(url, data={"Country": country, "MessagingServiceSid": MG})
    found = walked(client, url, "messaging_configurations", PageSize=2)
    assert sorted(one["country"] for one in found) == ["DE", "FR", "GB", "US", "all"]


def test_bad_messaging_configurations(parts: Sendcode, service: Service) -> None:
    """No such country, no sid of a messaging service: refused and not written."""
    client, url = door(parts), f"{path(service)}/MessagingConfigurations"
    good = {"Country": "GB", "MessagingServiceSid": MG}
    before = rows(parts)
    for change in (
        *({"Country": country} for country in ("", "XX", "GBR", "G\x00", "1", "ALLE", "ß")),
        *({"MessagingServiceSid": sid} for sid in ("", "MG1", service.sid, "MG" + "z" * 32)),
        {"Country": ["GB", "US"]},
    ):
        refused(client.post(url, data=good | change), 400, 60200)
    refused(client.post(url, json=good | {"Country": 7}), 400, 60200)
    refused(client.post(f"{url}/GB", data={"MessagingServiceSid": "MG1"}), 400, 60200)
    refused(client.post(f"{url}/GB", data={"MessagingServiceSid": MG}), 404, 20404)
    refused(client.post(f"{url}/GB", data=good), 400, 20001)
    assert rows(parts) == before


# Webhooks of factors


def test_webhooks(parts: Sendcode, service: Service) -> None:
    """Verify's webhooks are created, changed and removed, with every key."""
    client, url = door(parts), f"{path(service)}/Webhooks"
    made = client.post(url, data=HOOK)
    assert made.status_code == 201, made.text
    body = made.json()
    assert set(body) == {
        *("sid", "service_sid", "account_sid", "friendly_name", "event_types", "status"),
        *("version", "webhook_url", "webhook_method", "date_created", "date_updated", "url"),
    }
    assert body["event_types"] == ["factor.verified", "factor.deleted"]
    assert (body["status"], body["version"], body["webhook_method"]) == ("enabled", "v2", "POST")
    change = {"Status": "disabled", "EventTypes": "*"}
    changed = client.post(f"{url}/{body['sid']}", data=change).json()
    assert (changed["status"], changed["event_types"]) == ("disabled", ["*"])
    assert client.get(f"{url}/{body['sid']}").json() == changed
    as_json = client.post(url, json=HOOK)
    assert as_json.json()["event_types"] == body["event_types"]
    assert client.delete(f"{url}/{body['sid']}").status_code == 204
    refused(client.get(f"{url}/{body['sid']}"), 404, 20404)
    for n in range(4):
        client.post(url, data=HOOK | {"FriendlyName": f"Hook {n}"})
    names = [one["friendly_name"] for one in walked(client, url, "webhooks", PageSize=2)]
    assert names == ["Hook", "Hook 0", "Hook 1", "Hook 2", "Hook 3"]


def test_there_is_an_end_to_webhooks(parts: Sendcode, service: Service) -> None:
    """A service has ten webhooks at most, also where more are asked for at once."""
    client, url = door(parts), f"{path(service)}/Webhooks"
    for _ in range(MAX_WEBHOOKS - 1):
        assert client.post(url, data=HOOK).status_code == 201
    clients = [door(parts) for _ in range(4)]
    answers = at_once(4, lambda n: clients[n].post(url, data=HOOK))
    assert sorted(answer.status_code for answer in answers) == [201, 400, 400, 400]
    refused(client.post(url, data=HOOK), 400, 60207)
    assert count(parts, "factor_webhooks") == MAX_WEBHOOKS


def test_bad_webhooks(parts: Sendcode, service: Service) -> None:
    """Unknown events, unusable URLs, names with hidden characters: refused and not written."""
    client, url = door(parts), f"{path(service)}/Webhooks"
    before = rows(parts)
    for change in (
        *({"FriendlyName": name} for name in ("", "x" * 65, "a\r\nX: b", "a\x00")),
        *({"EventTypes": events} for events in ("", "verification.approved", ["*", "x"])),
        *(
            {"WebhookUrl": address}
            for address in (
                *("", "example.com", "ftp://example.com", "https://", "https://a b.example"),
                *("https://user:pw@example.com", "https://example.com/#x", "https://[::1"),
                *("https://example.com:99999/", "javascript:alert(1)", "https://e\u0301.com"),
                "https://example.com/" + "x" * 2048,
            )
        ),
        {"Status": "on"},
        {"Version": "v3"},
        {"Status": ["enabled", "disabled"]},
    ):
        refused(client.post(url, data=HOOK | change), 400, 60200)
    refused(client.post(url, json=HOOK | {"EventTypes": [1]}), 400, 60200)
    refused(client.post(url, data=HOOK | {"WebhookMethod": "PUT"}), 400, 20001)
    assert rows(parts) == before


# Safe list


def test_the_safe_list(parts: Sendcode) -> None:
    """A number is added once in any spelling, found, and removed; the database holds it sealed."""
    client, url = door(parts), "/v2/SafeList/Numbers"
    made = client.post(url, data={"PhoneNumber": "+44 7400 123456"})
    assert made.status_code == 201
    assert set(made.json()) == {"sid", "phone_number", "url"}
    assert made.json()["url"] == f"https://codes.example.com{url}/{NUMBER}"
    refused(client.post(url, data={"PhoneNumber": NUMBER}), 400, 60411)
    for spelling in (NUMBER, quote(NUMBER), quote("+44 (0)7400 123456")):
        assert client.get(f"{url}/{spelling}").json() == made.json()
    with parts.db.statement() as connection:
        found = connection.execute(text("SELECT * FROM safe_numbers")).one()
    assert NUMBER[1:].encode() not in b"".join(v for v in found if isinstance(v, bytes))
    assert client.delete(f"{url}/{NUMBER}").status_code == 204
    refused(client.get(f"{url}/{NUMBER}"), 404, 20404)
    refused(client.delete(f"{url}/{NUMBER}"), 404, 20404)


def test_bad_safe_numbers(parts: Sendcode) -> None:
    """What is no number is refused, and no answer repeats it."""
    client, url = door(parts), "/v2/SafeList/Numbers"
    before = rows(parts)
    for number in ("", "7400123456", "+44", "+1900555", "abc", "+447400123456\x00", "x" * 5000):
        refused(client.post(url, data={"PhoneNumber": number}), 400, 60200)
    refused(client.post(url, json={"PhoneNumber": 447400123456}), 400, 60200)
    refused(client.post(url, data={"PhoneNumber": [NUMBER, NUMBER]}), 400, 60200)
    refused(client.post(url, data={"PhoneNumber": NUMBER, "Sid": "x"}), 400, 20001)
    refused(client.get(f"{url}/12345"), 400, 60200)
    missing = client.get(f"{url}/{NUMBER}")
    refused(missing, 404, 20404)
    assert NUMBER[1:] not in missing.text
    assert rows(parts) == before


# Templates


def test_a_template_is_the_text(parts: Sendcode, service: Service, provider: Standin) -> None:
    """A start's TemplateSid, or else the service's default, is the text that goes out, in the
    locale asked for.
    """
    client = door(parts)
    made = client.post("/v2/Templates", data=TEMPLATE).json()
    assert set(made) == {"sid", "account_sid", "friendly_name", "channels", "translations"}
    assert set(made["translations"]["en"]) == {
        *("is_default_translation", "status", "locale", "text", "date_updated", "date_created"),
    }
    german = {"Locale": "de", "Text": "{{code}} ist Ihr Code von {{friendly_name}}"}
    written = client.post(f"/v2/Templates/{made['sid']}", data=german).json()
    assert [t["is_default_translation"] for t in written["translations"].values()] == [True, False]
    started = begin(parts, service, TemplateSid=made["sid"])
    code = code_of(parts, started["sid"])
    assert sent(parts, provider, started)["Body"] == f"{code} is your Example code."
    client.post(path(service), data={"DefaultTemplateSid": made["sid"]})
    assert client.get(path(service)).json()["default_template_sid"] == made["sid"]
    started = begin(parts, service, to="+4915112345678")
    code = code_of(parts, started["sid"])
    assert sent(parts, provider, started)["Body"] == f"{code} ist Ihr Code von Example"
    started = begin(parts, service, to="+33612345678")
    assert sent(parts, provider, started)["Body"].endswith("is your Example code.")
    refused(client.delete(f"/v2/Templates/{made['sid']}"), 400, 60200)
    client.post(path(service), data={"DefaultTemplateSid": ""})
    assert client.delete(f"/v2/Templates/{made['sid']}").status_code == 204
    assert client.get("/v2/Templates").json()["templates"] == []
    assert "verification code is" in sent(parts, provider, begin(parts, service))["Body"]


def test_an_sms_after_a_call_uses_the_template(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """A call has no template; the resend by SMS has the one it asks for."""
    made = door(parts).post("/v2/Templates", data=TEMPLATE).json()
    begin(parts, service, Channel="call")
    resent = begin(parts, service, TemplateSid=made["sid"])
    assert sent(parts, provider, resent)["Body"].endswith("is your Example code.")


def test_a_template_with_app_hash_and_origin(parts: Sendcode, provider: Standin) -> None:
    """The marks that phones look for stand around a template's text as around ours."""
    service = parts.services.create(ACCOUNT, "Example", web_origin="example.com")
    made = door(parts).post("/v2/Templates", data=TEMPLATE).json()
    started = begin(parts, service, TemplateSid=made["sid"], AppHash="He42w354ol9")
    code = code_of(parts, started["sid"])
    body = sent(parts, provider, started)["Body"]
    text = f"<#> {code} is your Example code.\n\n@example.com #{code} He42w354ol9"
    assert body == text


def test_starts_with_a_template_that_does_not_fit(parts: Sendcode, service: Service) -> None:
    """A template that is not there, not ours, not in this locale or not for this channel is 404."""
    client, url = door(parts), f"{path(service)}/Verifications"
    sid = client.post("/v2/Templates", data=TEMPLATE).json()["sid"]
    theirs = parts.templates.create(OTHER, "Theirs", "en", "Code {{code}}").sid
    before = rows(parts)
    form = {"To": NUMBER, "Channel": "sms"}
    for bad in ("HJ" + ZEROS, theirs, service.sid, "x", "HJ\x00"):
        answer = client.post(url, data=form | {"TemplateSid": bad})
        code = 60200 if "\x00" in bad else 60228
        refused(answer, 400 if "\x00" in bad else 404, code)
    refused(client.post(url, data=form | {"TemplateSid": sid, "Locale": "fr"}), 404, 60229)
    call = {"To": NUMBER, "Channel": "call", "TemplateSid": sid}
    refused(client.post(url, data=call), 404, 60227)
    for bad in ("HJ" + ZEROS, theirs, "x"):
        refused(client.post(path(service), data={"DefaultTemplateSid": bad}), 400, 60200)
    assert rows(parts) == before


def test_bad_templates(parts: Sendcode) -> None:
    """A text that may not be sent, a locale without texts and hidden characters in a name."""
    client = door(parts)
    made = client.post("/v2/Templates", data=TEMPLATE).json()
    url = f"/v2/Templates/{made['sid']}"
    before = rows(parts)
    for bad in (
        "",
        "No code",
        "{{code}} {0.__class__}",
        "{{code}}\r\n@evil.com #1",
        "{{code}}\x00",
    ):
        refused(client.post("/v2/Templates", data=TEMPLATE | {"Text": bad}), 400, 60200)
        refused(client.post(url, data={"Locale": "de", "Text": bad}), 400, 60200)
    for change in ({"Locale": "xx"}, {"FriendlyName": "a\r\nb"}, {"FriendlyName": ["a", "b"]}):
        refused(client.post("/v2/Templates", data=TEMPLATE | change), 400, 60200)
    refused(client.post(url, data={"Text": "{{code}}"}), 400, 60200)
    refused(client.post(url, data=TEMPLATE), 400, 20001)
    assert rows(parts) == before
    assert client.get(url).json() == made


def test_templates_in_pages(parts: Sendcode) -> None:
    """The list is walked forth and back, keeps its filter, and has no other account's."""
    client = door(parts)
    for n in range(5):
        client.post("/v2/Templates", data=TEMPLATE | {"FriendlyName": f"Text {n % 2}"})
    theirs = parts.templates.create(OTHER, "Text 0", "en", "Code {{code}}").sid
    assert len(walked(client, "/v2/Templates", "templates", PageSize=2)) == 5
    found = walked(client, "/v2/Templates", "templates", PageSize=2, FriendlyName="Text 0")
    assert [one["friendly_name"] for one in found] == ["Text 0"] * 3
    refused(client.get(f"/v2/Templates/{theirs}"), 404, 20404)
    refused(client.delete(f"/v2/Templates/{theirs}"), 404, 20404)
    text = {"Locale": "de", "Text": "{{code}}"}
    refused(client.post(f"/v2/Templates/{theirs}", data=text), 404, 20404)


# Attempts

ATTEMPT = {
    *("sid", "account_sid", "service_sid", "verification_sid", "date_created", "date_updated"),
    *("conversion_status", "channel", "price", "channel_data", "url"),
}
CHANNEL_DATA = {
    *("verification_sid", "to", "status", "error_code", "country", "code_length", "locale"),
    *("mcc", "mnc", "carrier"),
}


def test_attempts(parts: Sendcode, service: Service, provider: Standin) -> None:
    """Each delivery is an attempt, by SMS or call, converted once its verification is approved."""
    client = door(parts)
    begin(parts, service)
    started = begin(parts, service, Channel="call")
    sms, call = (one["attempt_sid"] for one in started["send_code_attempts"])
    parts.dispatch.deliver([sms, call])
    found = client.get(f"/v2/Attempts/{sms}").json()
    assert set(found) == ATTEMPT
    assert set(found["channel_data"]) == CHANNEL_DATA | {"message_status"}
    assert found["channel_data"]["message_status"] == "accepted"
    assert (found["conversion_status"], found["channel_data"]["status"]) == (
        *("unconverted", "unconfirmed"),
    )
    assert found["channel_data"]["to"] == NUMBER
    called = client.get(f"/v2/Attempts/{call}").json()
    assert set(called["channel_data"]) == CHANNEL_DATA | {"call_status"}
    check = {"To": NUMBER, "Code": code_of(parts, started["sid"])}
    client.post(f"{path(service)}/VerificationCheck", data=check)
    found = client.get(f"/v2/Attempts/{sms}").json()
    assert (found["conversion_status"], found["channel_data"]["status"]) == (
        *("converted", "confirmed"),
    )


def test_attempts_by_filter(parts: Sendcode, service: Service) -> None:
    """Every filter leaves what it says, the number in any spelling, and pages keep it."""
    client = door(parts)
    other = parts.services.create(ACCOUNT, "Other")
    first = begin(parts, service)
    begin(parts, service, Channel="call")
    german = begin(parts, other, to="+4915112345678")
    begin(parts, other, to="+4915112345678")
    check = {"To": "+4915112345678", "Code": code_of(parts, german["sid"])}
    client.post(f"{path(other)}/VerificationCheck", data=check)

    def seen(**query: str) -> int:
        found = walked(client, "/v2/Attempts", "attempts", PageSize=1, **query)
        summed = {k: v for k, v in query.items() if k in ("Country", "Channel")}
        if summed == query:
            summary = client.get("/v2/Attempts/Summary", params=query).json()
            assert summary["total_attempts"] == len(found)
        return len(found)

    assert seen() == 4
    assert seen(**{"ChannelData.To": NUMBER}) == 2
    assert seen(**{"ChannelData.To": "+44 7400 123456"}) == 2
    assert seen(**{"ChannelData.To": "+33612345678"}) == 0
    assert seen(VerificationSid=first["sid"]) == 2
    assert seen(VerifyServiceSid=other.sid) == 2
    assert seen(Country="de") == 2
    assert (seen(Channel="call"), seen(Channel="sms"), seen(Channel="email")) == (1, 3, 0)
    assert (seen(Status="converted"), seen(Status="unconverted")) == (2, 2)
    assert seen(DateCreatedAfter="2020-01-01T00:00:00Z") == 4
    assert seen(DateCreatedBefore="2020-01-01T00:00:00Z") == 0
    assert seen(DateCreatedAfter="2100-01-01T00:00:00Z") == 0
    assert seen(DateCreatedAfter="2020-01-01", DateCreatedBefore="2100-01-01") == 4
    let_time_pass(parts, 600)
    begin(parts, service, to="+447400123457")
    listed = client.get("/v2/Attempts").json()["attempts"]
    assert [one["sid"] for one in listed] == sorted((o["sid"] for o in listed), reverse=True)
    middle = delivery(parts, listed[0]["sid"]).created_at // 1000 - 60
    moment = {"DateCreatedAfter": f"@{middle}"}
    refused(client.get("/v2/Attempts", params=moment), 400, 60200)


def test_the_summary(parts: Sendcode, service: Service) -> None:
    """The summary counts attempts and gives the rate as a string; its path is no sid."""
    client = door(parts)
    none = client.get("/v2/Attempts/Summary").json()
    assert (none["total_attempts"], none["conversion_rate_percentage"]) == (0, "0.000000000")
    for n in range(3):
        started = begin(parts, service, to=f"+44740012345{n}")
    check = {"VerificationSid": started["sid"], "Code": code_of(parts, started["sid"])}
    client.post(f"{path(service)}/VerificationCheck", data=check)
    found = client.get("/v2/Attempts/Summary", params={"VerifyServiceSid": service.sid}).json()
    assert found == {
        "total_attempts": 3,
        "total_converted": 1,
        "total_unconverted": 2,
        "conversion_rate_percentage": "33.333333333",
        "url": "https://codes.example.com/v2/Attempts/Summary",
    }
    for prefix, total in (("+44", 3), ("44", 3), ("+49", 0)):
        query = {"DestinationPrefix": prefix}
        counted = client.get("/v2/Attempts/Summary", params=query).json()
        assert counted["total_attempts"] == total
    for prefix in ("+4474", "x", "+", "+999"):
        query = {"DestinationPrefix": prefix}
        refused(client.get("/v2/Attempts/Summary", params=query), 400, 60200)


def test_bad_questions_about_attempts(parts: Sendcode, service: Service) -> None:
    """Filters that cannot be used are refused by name; foreign and unknown sids are not there."""
    client = door(parts)
    attempt = begin(parts, service)["send_code_attempts"][0]["attempt_sid"]
    for query in (
        *("Channel=pigeon", "Status=perhaps", "Country=XX", "VerifyServiceSid=VE" + ZEROS),
        *("VerificationSid=VA" + ZEROS, "DateCreatedAfter=yesterday", "ChannelData.To=12"),
        *("DateCreatedBefore=99999-01-01", "Status=converted&Status=converted", "PageSize=0"),
        *("ChannelData.To=%00", "Country=%C3%9F", "Country=all"),
    ):
        refused(client.get(f"/v2/Attempts?{query}"), 400, 60200)
    refused(client.get("/v2/Attempts?To=x"), 400, 20001)
    refused(client.get("/v2/Attempts/Summary?PageSize=5"), 400, 20001)
    for sid in ("VL" + ZEROS, service.sid, "summary", "VL1"):
        refused(client.get(f"/v2/Attempts/{sid}"), 404, 20404)
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE verifications SET account_sid = :a"), {"a": OTHER})
    refused(client.get(f"/v2/Attempts/{attempt}"), 404, 20404)
    assert client.get("/v2/Attempts").json()["attempts"] == []
    assert client.get("/v2/Attempts/Summary").json()["total_attempts"] == 0


def test_attempts_of_the_last_30_days(parts: Sendcode, service: Service) -> None:
    """Without `DateCreatedAfter` attempts are of the 30 days before now, or `DateCreatedBefore`."""
    client = door(parts)
    old = delivery(parts, begin(parts, service)["send_code_attempts"][0]["attempt_sid"])
    _made_at(parts, old.sid, old.created_at - 31 * DAY)
    since = stamp(old.created_at - 32 * DAY)
    until = stamp(old.created_at - 30 * DAY)

    def seen(**query: str) -> int:
        found = walked(client, "/v2/Attempts", "attempts", **query)
        summary = client.get("/v2/Attempts/Summary", params=query).json()
        assert summary["total_attempts"] == len(found)
        return len(found)

    assert (seen(), seen(DateCreatedAfter=since), seen(DateCreatedBefore=until)) == (0, 1, 1)


def test_rare_attempts_are_found(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many others lie between them, each match is listed once, both ways, and counted."""
    monkeypatch.setattr(attempt_looks, "SCAN", 2)
    client = door(parts)
    calls = {begin(parts, service, f"+4474001234{n}")["sid"]: n for n in range(50, 59)}
    rare = {sid for sid, n in calls.items() if n in (50, 55, 56)}
    with parts.db.begin() as connection:
        for sid in rare:
            change = text("UPDATE deliveries SET channel = 'call' WHERE verification_sid = :sid")
            connection.execute(change, {"sid": sid})
    found, url = [], "/v2/Attempts?Channel=call&PageSize=2"
    while url:
        body = client.get(url).json()
        found += body["attempts"]
        url = body["meta"]["next_page_url"]
    assert [one["verification_sid"] for one in found] == sorted(rare, reverse=True)
    summary = client.get("/v2/Attempts/Summary?Channel=call").json()
    assert summary["total_attempts"] == 3
    last = {"Channel": "call", "PageSize": 1, "PageToken": f"PB{found[2]['sid']}"}
    before = client.get("/v2/Attempts", params=last).json()
    assert [one["sid"] for one in before["attempts"]] == [found[1]["sid"]]
    assert before["meta"]["previous_page_url"]


@pytest.mark.kills("attempts-are-looked-at-without-end")
def test_more_attempts_than_one_request_looks_at(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request looks at so many, then says in which parts to ask; the parts make up the whole."""
    monkeypatch.setattr(attempt_looks, "SCAN", 2)
    monkeypatch.setattr(attempt_looks, "LOOKS", 2)
    client = door(parts)
    for n in range(50, 57):
        sid = begin(parts, service, f"+4474001234{n}")["send_code_attempts"][0]["attempt_sid"]
        _made_at(parts, sid, delivery(parts, sid).created_at - (60 - n) * 10_000_000)
    heard = listen(parts)
    for url in ("/v2/Attempts/Summary", "/v2/Attempts?Country=FR"):
        heard.clear()
        answer = client.get(url)
        refused(answer, 400, 60200)
        assert len([one for one in heard if "deliveries" in one]) <= 4
    totals: list[int] = []
    query: dict[str, str] = {}
    then = ""
    while query or not totals:
        answer = client.get("/v2/Attempts/Summary", params=query).json()
        if "total_attempts" in answer:
            totals.append(answer["total_attempts"])
            query = {"DateCreatedBefore": then} if "DateCreatedAfter" in query else {}
        else:
            told = re.search(r"After=(\S+) and then with \S+Before=(\S+)", answer["message"])
            assert told
            since, then = told.groups()
            assert query.get("DateCreatedAfter") != since
            query["DateCreatedAfter"] = since
    assert (sum(totals), len(totals) > 1) == (7, True)
    assert len(client.get("/v2/Attempts", params={"PageSize": 50}).json()["attempts"]) == 2


@pytest.mark.kills("attempts-take-every-thread")
def test_few_requests_look_on_at_once(
    make_parts: Callable[..., Sendcode], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who would look on while as many do as may is told to come back; one look is for everybody."""
    monkeypatch.setattr(attempt_looks, "SCAN", 2)
    parts = make_parts()
    client, service = door(parts), parts.services.create(ACCOUNT, "Example")
    for n in range(50, 53):
        begin(parts, service, f"+4474001234{n}")
    with ExitStack() as others:
        for _ in range(attempt_looks.LONG):
            numbers = others.enter_context(parts.attempts._looks.of_one())
            assert [next(numbers), next(numbers)] == [0, 1]
        answer = client.get("/v2/Attempts/Summary")
        refused(answer, 429, 20429)
        assert answer.headers["Retry-After"] == "1"
        assert client.get("/v2/Attempts?PageSize=1").status_code == 200
    for _ in range(attempt_looks.LONG + 1):
        assert client.get("/v2/Attempts/Summary").json()["total_attempts"] == 3


def test_attempts_are_found_by_index(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at attempts, and at a number's, is by index in a table of 20,000: no statement is
    longer than its scan."""
    if parts.db.dialect != "postgresql":
        return
    monkeypatch.setattr(attempt_looks, "SCAN", 200)
    begin(parts, service)
    _multiply(parts, "verifications", "VEx", "sid", "number_index")
    _multiply(parts, "deliveries", "VLx", "sid", "verification_sid")
    with parts.db.begin() as connection:
        connection.execute(text("ANALYZE verifications, deliveries"))
        for which, index in (
            (Which(after=1), "pk_deliveries"),
            (Which(after=1, converted=True, country="FR"), "pk_deliveries"),
            (Which(after=1, to=NUMBER), "ix_verifications_number_index_created_at"),
            (Which(after=1, verification_sid="VE" + ZEROS), "ix_deliveries_verification_sid"),
        ):
            which, numbers = parts.attempts._meant(ACCOUNT, which)
            scan = attempt_looks.scan_of(ACCOUNT, which, numbers, "VL0", attempt_looks.END)
            for statement in (
                attempt_looks.page_of(scan, 51, backwards=False),
                attempt_looks.looked(scan),
                attempt_looks.counted(scan),
            ):
                compiled = statement.compile(
                    parts.db.engine, compile_kwargs={"render_postcompile": True}
                )
                found = connection.exec_driver_sql(f"EXPLAIN {compiled}", dict(compiled.params))
                plan = "\n".join(row[0] for row in found)
                assert index in plan, plan
                assert "Seq Scan on" not in plan, plan


def _made_at(parts: Sendcode, sid: str, ms: int) -> None:
    """A delivery as if it had been made then: its sid begins with the time."""
    values = {"old": sid, "new": f"VL{ms:012x}{sid[14:]}", "ms": ms}
    with parts.db.begin() as connection:
        change = text("UPDATE deliveries SET sid = :new, created_at = :ms WHERE sid = :old")
        connection.execute(change, values)


def _multiply(parts: Sendcode, table: str, prefix: str, *distinct: str) -> None:
    """Copy the table's one row 20,000 times, with values of their own in the columns named."""
    own = {
        "sid": f"'{prefix}' || lpad(n::text, 31, '0')",
        "verification_sid": "'VEx' || lpad(n::text, 31, '0')",
        "number_index": "sha256(n::text::bytea)",
    }
    columns = metadata.tables[table].columns.keys()
    values = ", ".join(own[c] if c in distinct else c for c in columns)
    with parts.db.begin() as connection:
        connection.execute(
            text(
                f"INSERT INTO {table} ({', '.join(columns)})"
                f" SELECT {values} FROM {table}, generate_series(1, 20000) AS n"
            )
        )


# All of them


def test_another_accounts_service_is_not_there(parts: Sendcode) -> None:
    """Everything below a service of another account, or of a sid of another kind, is 404."""
    theirs = parts.services.create(OTHER, "Theirs").sid
    sender = parts.messaging.create(OTHER, theirs, "GB", MG)
    hook = parts.factor_webhooks.create(
        OTHER, theirs, friendly_name="x", event_types=["*"], webhook_url="https://example.com"
    )
    client = door(parts)
    before = rows(parts)
    config = {"Country": "US", "MessagingServiceSid": MG}
    for sid in (theirs, "VA" + ZEROS, "VE" + ZEROS, "VA1", "x"):
        configs, hooks = (
            f"/v2/Services/{sid}/{p}" for p in ("MessagingConfigurations", "Webhooks")
        )
        for method, url, form in (
            ("GET", configs, None),
            ("POST", configs, config),
            ("GET", f"{configs}/{sender.country}", None),
            ("DELETE", f"{configs}/{sender.country}", None),
            ("GET", hooks, None),
            ("POST", hooks, HOOK),
            ("GET", f"{hooks}/{hook.sid}", None),
            ("POST", f"{hooks}/{hook.sid}", HOOK),
            ("DELETE", f"{hooks}/{hook.sid}", None),
        ):
            refused(client.request(method, url, data=form), 404, 20404)
    assert rows(parts) == before


def test_large_bodies(parts: Sendcode, service: Service) -> None:
    """A megabyte is refused on every route that writes, before anything reads it."""
    client = door(parts)
    before = rows(parts)
    for url in (
        f"{path(service)}/MessagingConfigurations",
        f"{path(service)}/Webhooks",
        "/v2/SafeList/Numbers",
        "/v2/Templates",
    ):
        refused(client.post(url, data={"Pad": "x" * MEGABYTE}), 413, 20001)
    assert rows(parts) == before


def test_a_deleted_service_takes_its_own_along(parts: Sendcode, service: Service) -> None:
    """What was configured below a service goes with it."""
    client = door(parts)
    config = {"Country": "GB", "MessagingServiceSid": MG}
    client.post(f"{path(service)}/MessagingConfigurations", data=config)
    client.post(f"{path(service)}/Webhooks", data=HOOK)
    assert client.delete(path(service)).status_code == 204
    assert rows(parts)[:2] == [0, 0]
