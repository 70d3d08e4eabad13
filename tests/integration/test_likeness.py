"""What is another's answers like what never was: same status, same body, same work."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.helpers import count
from tests.integration.conftest import ACCOUNT
from tests.integration.doors import door
from tests.integration.hearing import listen
from tests.integration.test_authy import ask, key_of, new_user
from tests.integration.test_authy import door as authy_door
from tests.unit.test_routes import AUTHY, SCOPES
from worker.models import metadata
from worker.wiring import Sendcode

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

OTHER = "AC" + "b" * 32
NUMBER, OTHER_NUMBER = "+447400123456", "+447400123457"
ROUTES = sorted((m, path) for m, path in SCOPES if path.startswith("/v2/") and "{" in path)
# A form that each POST takes, by the end of its path; first of a list, then of one thing in it.
FORMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "Services": ({"FriendlyName": "Example"}, {"CodeLength": "7"}),
    "Verifications": ({"To": NUMBER, "Channel": "sms"}, {"Status": "canceled"}),
    "VerificationCheck": ({"To": NUMBER, "Code": "123456"}, {}),
    "Entities": ({"Identity": "user-0001"}, {}),
    "Factors": ({"FriendlyName": "Phone", "FactorType": "totp"}, {"FriendlyName": "New"}),
    "Challenges": ({"FactorSid": "YF" + "0" * 32}, {"AuthPayload": "123456"}),
    "BackupCodes": ({}, {}),
    "Check": ({"Code": "0" * 16}, {}),
    "RateLimits": ({"UniqueName": "ip"}, {"Description": "D"}),
    "Buckets": ({"Max": "3", "Interval": "60"}, {"Max": "4"}),
    "MessagingConfigurations": (
        {"Country": "GB", "MessagingServiceSid": "MG" + "a" * 32},
        {"MessagingServiceSid": "MG" + "b" * 32},
    ),
    "Webhooks": (
        {"FriendlyName": "W", "WebhookUrl": "https://example.com/", "EventTypes": "*"},
        {"Status": "disabled"},
    ),
    "EventHooks": ({"Url": "https://example.com/", "EventTypes": "*"}, {"Status": "disabled"}),
    "Templates": (
        {"FriendlyName": "T", "Text": "Code: {{code}}"},
        {"Locale": "de", "Text": "Code {{code}}"},
    ),
    "ApiKeys": ({"FriendlyName": "K", "Scopes": "read"}, {}),
    "Numbers": ({"PhoneNumber": NUMBER}, {}),
}
# Of each kind a name that nothing has.
NOBODYS = {
    "Services": "VA",
    "Verifications": "VE",
    "Attempts": "VL",
    "Factors": "YF",
    "Challenges": "YC",
    "RateLimits": "RK",
    "Buckets": "BL",
    "Webhooks": "YW",
    "EventHooks": "EH",
    "Templates": "HJ",
    "ApiKeys": "SK",
}
UNKNOWN = {kind: letters + "0" * 32 for kind, letters in NOBODYS.items()} | {
    "Entities": "user-9999",
    "MessagingConfigurations": "FR",
    "Numbers": "+447400199999",
}


def everything(client: TestClient, number: str, user: str, country: str) -> dict[str, str]:
    """One of every kind, by its name in a path."""

    def make(url: str, key: str = "sid", **form: str) -> str:
        kind = url.rpartition("/")[2]
        answer = client.post(url, data=FORMS[kind][0] | form)
        assert answer.status_code == 201, answer.text
        body = answer.json()
        found[kind] = str(body[key])
        if kind == "Verifications":
            found["Attempts"] = body["send_code_attempts"][0]["attempt_sid"]
        return f"{url}/{found[kind]}"

    found: dict[str, str] = {}
    service = make("/v2/Services")
    make(f"{service}/Verifications", To=number)
    entity = make(f"{service}/Entities", "identity", Identity=user)
    make(f"{entity}/Factors")
    assert client.post(f"{entity}/BackupCodes").status_code == 201
    make(f"{make(f'{service}/RateLimits')}/Buckets")
    make(f"{service}/MessagingConfigurations", "country", Country=country)
    for kind in ("Webhooks", "EventHooks"):
        make(f"{service}/{kind}")
    for kind in ("Templates", "ApiKeys"):
        make(f"/v2/{kind}")
    make("/v2/SafeList/Numbers", "phone_number", PhoneNumber=number)
    found["Challenges"] = "YC" + "1" * 32  # of an unverified factor there is none
    return found


@dataclass
class Two:
    """Two accounts on one database, with one of everything each; `client` is the first one's."""

    parts: Sendcode
    client: TestClient
    ours: dict[str, str]
    theirs: dict[str, str]


@pytest.fixture
def two(make_parts: Callable[..., Sendcode]) -> Two:
    theirs = make_parts(account_sid=OTHER)
    parts = make_parts()
    named = everything(door(theirs, OTHER), OTHER_NUMBER, "user-0002", "US")
    client = door(parts)
    return Two(parts, client, everything(client, NUMBER, "user-0001", "GB"), named)


def filled(path: str, *names: dict[str, str]) -> str:
    """The path with its names: the last one of the last of `names`, the others of the first."""
    parts = path.split("/")
    places = [i for i, part in enumerate(parts) if part.startswith("{")]
    for i in places:
        source = names[-1] if i == places[-1] else names[0]
        parts[i] = source[parts[i - 1]]
    return "/".join(parts)


def asked(
    statements: list[str], client: TestClient, method: str, path: str, *names: dict[str, str]
) -> tuple[int, list[str], str, int]:
    """The answer to a request for something, without the names that it repeats, and how many
    statements it took."""
    kind = next(one for one in reversed(path.split("/")) if not one.startswith("{"))
    form = FORMS.get(kind, ({}, {}))[path.endswith("}")] if method == "POST" else None
    statements.clear()
    answer = client.request(method, filled(path, *names), data=form)
    text = answer.text
    for name in {value for some in names for value in some.values()}:
        text = text.replace(name, "NAME")
    # What is paused is read once a second, whoever asks for what.
    own = [one for one in statements if " pauses" not in one]
    return answer.status_code, sorted(answer.headers), text, len(own)


@pytest.mark.kills("others-are-seen")
def test_what_is_anothers_is_like_what_is_not_there(two: Two) -> None:
    """Each route answers for another account's names, alone or below one's own, as for names that
    nothing has: 404 with the same body and headers, after as many statements, and changes
    nothing."""
    before = {table: count(two.parts, table) for table in metadata.tables}
    statements = listen(two.parts)
    for method, path in ROUTES:
        for parents, above in ((two.theirs, UNKNOWN), (two.ours, two.ours)):
            if parents is two.ours and not path.endswith("}"):
                continue  # what is below one's own is one's own
            foreign = asked(statements, two.client, method, path, parents, two.theirs)
            assert foreign == asked(statements, two.client, method, path, above, UNKNOWN), path
            assert (foreign[0], '"code":20404' in foreign[2]) == (404, True), (path, foreign)
    assert {table: count(two.parts, table) for table in metadata.tables} == before


def test_who_may_not_ask_learns_nothing(two: Two) -> None:
    """Without credentials, and with a key that lacks the scope, each route answers for what is
    there as for what is not."""
    nobody = door(two.parts)
    nobody.auth = None
    keys = {
        scope: two.parts.api_keys.create(ACCOUNT, scope, [scope]) for scope in ("start", "read")
    }
    weak = {scope: door(two.parts, key.sid, secret) for scope, (key, secret) in keys.items()}
    statements = listen(two.parts)
    for method, path in ROUTES:
        lacks = weak["read" if SCOPES[method, path] == "start" else "start"]
        lacks.get("/v2/ApiKeys")  # from here on the key is remembered
        for client, status in ((nobody, 401), (lacks, 403)):
            for _ in range(3):  # the key may be looked up anew just in between
                known, unknown = (
                    asked(statements, client, method, path, names) for names in (two.ours, UNKNOWN)
                )
                if known == unknown:
                    break
            assert known == unknown, path
            assert (known[0], "NAME" in known[2]) == (status, False), path


def test_another_applications_user_is_like_none(parts: Sendcode) -> None:
    """Each route of the Authy door that names a user answers for another application's as for an
    id that nobody has."""
    one, other = (
        authy_door(parts, key_of(parts, parts.services.create(ACCOUNT, name)))
        for name in ("One", "Two")
    )
    user = new_user(one)
    ask(other, "app/details")  # a key's use is written down once a minute
    statements = listen(parts)
    for method, path in sorted(AUTHY):
        if "{authy_id}" not in path:
            continue
        seen = []
        for authy_id in (user, user + 1):
            url = path.replace("{authy_id}", str(authy_id)).replace("{token}", "123456")
            statements.clear()
            answer = other.request(method, url)
            seen.append((answer.status_code, answer.content, len(statements)))
        assert seen[0] == seen[1], path
        assert seen[0][0] == 404, path
    assert ask(one, f"users/{user}/status").status_code == 200
