"""One walk through every resource that is made over HTTP: create, fetch, list, update, delete."""

from typing import Any

import pytest

from tests.acceptance.running import Up

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
