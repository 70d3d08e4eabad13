"""Walks through every resource that is made over HTTP: create, fetch, list, update, delete."""

from typing import Any

import pytest

from tests.acceptance.authenticator import App, new_identity
from tests.acceptance.running import Up, until, wrong

MESSAGING = {"Country": "GB", "MessagingServiceSid": "MG" + "a" * 32}
# Below what, its form, what changes it, and what the answer then has; parents before children.
WALK: dict[str, tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "Services": ("", {"FriendlyName": "Walk"}, {"CodeLength": "7"}, {"code_length": 7}),
    "Templates": (
        "",
        {"FriendlyName": "Mine", "Text": "Your code: {{code}}"},
        {"Locale": "de", "Text": "Ihr Code: {{code}}"},
        {"friendly_name": "Mine"},
    ),
    "ApiKeys": ("", {"FriendlyName": "Walk", "Scopes": "read"}, {}, {}),
    "RateLimits": ("Services", {"UniqueName": "ip"}, {"Description": "D"}, {"description": "D"}),
    "Buckets": ("RateLimits", {"Max": "3", "Interval": "60"}, {"Max": "4"}, {"max": 4}),
    "MessagingConfigurations": (
        "Services",
        MESSAGING,
        {"MessagingServiceSid": "MG" + "b" * 32},
        {"messaging_service_sid": "MG" + "b" * 32},
    ),
    "Webhooks": (
        "Services",
        {"FriendlyName": "W", "WebhookUrl": "https://example.com/", "EventTypes": "*"},
        {"Status": "disabled"},
        {"status": "disabled"},
    ),
    "EventHooks": (
        "Services",
        {"Url": "https://example.com/", "EventTypes": "*"},
        {"Status": "disabled"},
        {"status": "disabled"},
    ),
    "Entities": ("Services", {"Identity": "walk-0001"}, {}, {}),
    "Factors": (
        "Entities",
        {"FriendlyName": "Phone", "FactorType": "totp"},
        {"FriendlyName": "Tablet"},
        {"friendly_name": "Tablet"},
    ),
}


@pytest.mark.parametrize("up", ["sqlite"], indirect=True)
def test_every_resource_is_made_found_changed_and_removed(up: Up) -> None:
    """Each is where its `url` and the parent's list say, changes, and is gone when deleted."""
    urls = {"": f"{up.url}/v2"}
    for name, (parent, form, change, after) in WALK.items():
        listed = f"{urls[parent]}/{name}"
        answer = up.http.post(listed, data=form)
        assert answer.status_code == 201, (name, answer.text)
        made = answer.json()
        urls[name] = url = made.get("url") or f"{listed}/{made['sid']}"
        fetched = up.http.get(url).json()
        assert fetched == {key: value for key, value in made.items() if key in fetched}, name
        key = (page := up.http.get(f"{listed}?PageSize=1000").json())["meta"]["key"]
        assert fetched in page[key], name
        if change:
            changed = up.http.post(url, data=change)
            assert changed.status_code == 200, (name, changed.text)
            assert changed.json() == up.http.get(url).json()
            assert after.items() <= changed.json().items(), name
    for name in reversed(WALK):
        assert up.http.delete(urls[name]).status_code == 204, name
        if name != "ApiKeys":  # a revoked key stays on record
            assert up.http.get(urls[name]).status_code == 404, name


@pytest.mark.parametrize("up", ["sqlite"], indirect=True)
def test_a_code_is_sent_checked_and_found_among_the_attempts(up: Up, to: str) -> None:
    """A verification is fetched where its `url` says, resent, canceled; another is approved by its
    code; its attempts are listed, fetched and summed up as converted, and the others are not.
    """
    service = up.http.post("/v2/Services", data={"FriendlyName": "Walk"}).json()
    listed = f"{service['url']}/Verifications"
    made = up.start_code(to, service=service["sid"])
    assert up.http.get(made["url"]).json() == made
    assert up.http.get(f"{listed}/{to}").json()["sid"] == made["sid"]
    first = up.wait(to)
    again = up.start_code(to, channel="call", service=service["sid"])
    assert (again["sid"], again["channel"]) == (made["sid"], "call")
    canceled = up.http.post(made["url"], data={"Status": "canceled"}).json()
    assert (canceled["sid"], canceled["status"]) == (made["sid"], "canceled")
    assert up.http.get(made["url"]).status_code == 404

    second = up.start_code(to, service=service["sid"])
    code = until(lambda: _sms(up, to, after=first["id"]))["code"]
    target = {"service": service["sid"], "VerificationSid": second["sid"]}
    guess = up.check(next(wrong(code)), **target).json()
    assert (guess["sid"], guess["status"], guess["valid"]) == (second["sid"], "pending", False)
    right = up.check(code, **target).json()
    assert (right["sid"], right["status"], right["valid"]) == (second["sid"], "approved", True)
    assert up.check(code, **target).status_code == 404

    query = {"VerifyServiceSid": service["sid"]}
    attempts = up.http.get("/v2/Attempts", params=query).json()["attempts"]
    assert [(one["verification_sid"], one["conversion_status"]) for one in attempts] == [
        (second["sid"], "converted"),
        *[(made["sid"], "unconverted")] * 2,
    ]
    for one in attempts:
        fetched = up.http.get(one["url"]).json()
        assert (fetched["sid"], fetched["channel_data"]["to"]) == (one["sid"], to)
    sid = second["send_code_attempts"][0]["attempt_sid"]
    assert sid == attempts[0]["sid"]
    summary = up.http.get("/v2/Attempts/Summary", params=query).json()
    totals = ("total_attempts", "total_converted", "total_unconverted")
    assert [summary[name] for name in totals] == [3, 1, 2]
    assert summary["conversion_rate_percentage"] == "33.333333333"


def _sms(up: Up, to: str, after: int) -> dict[str, Any] | None:
    """The text that reached a phone after the message `after`."""
    found = [one for one in up.inbox(to) if one["id"] > after and one["channel"] == "sms"]
    return found[0] if found else None


@pytest.mark.parametrize("up", ["sqlite"], indirect=True)
def test_an_app_is_enrolled_challenged_and_backed_up(up: Up) -> None:
    """A factor is verified by its first code, a challenge is fetched, listed and approved, backup
    codes are made, counted and used once each, and all of it goes with the entity.
    """
    entity = f"{up.url}{up.path()}/Entities/{new_identity()}"
    form = {"FriendlyName": "Phone", "FactorType": "totp", "Config.TimeStep": "60"}
    made = up.http.post(f"{entity}/Factors", data=form).json()
    app = App(made["binding"]["uri"])
    factor = up.http.post(made["url"], data={"AuthPayload": app.code(-1)}).json()
    assert (factor["sid"], factor["status"]) == (made["sid"], "verified")

    asked = up.http.post(f"{entity}/Challenges", data={"FactorSid": factor["sid"]}).json()
    assert asked["status"] == "pending"
    assert up.http.get(asked["url"]).json() == asked
    assert asked in up.http.get(f"{entity}/Challenges").json()["challenges"]
    wrongly = up.http.post(asked["url"], data={"AuthPayload": app.wrong()}).json()
    assert (wrongly["sid"], wrongly["status"]) == (asked["sid"], "pending")
    approved = up.http.post(asked["url"], data={"AuthPayload": app.code()}).json()
    assert (approved["sid"], approved["status"]) == (asked["sid"], "approved")
    assert up.http.get(asked["url"]).json() == approved

    backup = up.http.post(f"{entity}/BackupCodes").json()
    assert (len(backup["codes"]), backup["remaining"]) == (10, 10)
    first = {"Code": backup["codes"][0]}
    used = up.http.post(f"{entity}/BackupCodes/Check", data=first).json()
    assert (used["status"], used["remaining"]) == ("approved", 9)
    twice = up.http.post(f"{entity}/BackupCodes/Check", data=first).json()
    assert (twice["status"], twice["remaining"]) == ("pending", 9)
    assert up.http.get(backup["url"]).json()["remaining"] == 9

    assert up.http.delete(entity).status_code == 204
    for url in (entity, factor["url"], asked["url"], backup["url"]):
        assert up.http.get(url).status_code == 404, url


@pytest.mark.parametrize("up", ["sqlite"], indirect=True)
def test_a_safe_number_is_listed_found_and_taken_off(up: Up, to: str) -> None:
    """A number is put on the safe list once, found there by any spelling, and taken off."""
    made = up.http.post("/v2/SafeList/Numbers", data={"PhoneNumber": to})
    assert made.status_code == 201
    assert up.http.post("/v2/SafeList/Numbers", data={"PhoneNumber": to}).status_code == 400
    body = made.json()
    assert body["phone_number"] == to
    assert up.http.get(body["url"]).json() == body
    spelt = f"/v2/SafeList/Numbers/{to[:5]}-{to[5:8]}-{to[8:]}"
    assert up.http.get(spelt).json() == body
    assert up.http.delete(body["url"]).status_code == 204
    assert up.http.get(body["url"]).status_code == 404
    assert up.http.delete(body["url"]).status_code == 404
