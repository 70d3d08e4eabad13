"""What no database can hold, in every place of a path or query, on both databases."""

import re
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from tests.integration import test_authy
from tests.integration.doors import door, refused
from tests.unit.test_routes import _all_routes
from worker.services import Service
from worker.wiring import Sendcode

PLACE = re.compile(r"\{(\w+)(?::\w+)?\}")
# A NUL, one behind something, and a surrogate by itself as some encoders write it.
ODD = ("%00", "%2B447400123456%ED%A0%80")
AUTHY = (
    *("user[email]", "phone_number", "country_code", "verification_code", "uuid", "locale"),
    *("via", "force", "label", "Outcome"),
)


def odd_paths(path: str, service: Service) -> list[str]:
    """The path with something odd in one of its places, and what is usual in the others."""
    usual = dict.fromkeys(PLACE.findall(path), "user-0001")
    usual |= {"service_sid": service.sid, "channel": "sms", "token": "123456"}
    return [filled(path, usual | {at: odd}) for at in PLACE.findall(path) for odd in ODD]


def filled(path: str, values: dict[str, str]) -> str:
    return PLACE.sub(lambda place: values[place[1]], path)


def form_of(operation: dict[str, Any]) -> dict[str, Any]:
    """The document's own example of what an operation takes."""
    content = operation.get("requestBody", {}).get("content", {})
    found: dict[str, Any] = next(iter(content.values()), {}).get("example", {})
    return found


def faults(client: TestClient, method: str, paths: list[str], **body: Any) -> list[str]:
    """Which of these our doors answer with a fault of their own."""
    answers = {path: client.request(method, path, **body).status_code for path in paths}
    return [f"{method} {path}: {status}" for path, status in answers.items() if status >= 500]


@pytest.mark.kills("odd-country-reaches-the-database")
def test_no_place_takes_what_no_database_holds(parts: Sendcode, service: Service) -> None:
    """A NUL or half a character in a path or query is never a fault of ours."""
    ours, authy = door(parts), test_authy.door(parts, test_authy.key_of(parts, service))
    document = ours.get("/openapi.json").json()["paths"]
    found: list[str] = []
    for route in _all_routes():
        if not route.path.startswith(("/v2/", "/protected/", "/operator/", "/2010")):
            continue
        client = ours if route.path in document else authy
        for method in sorted(route.methods or ()):
            operation = document.get(route.path, {}).get(method.lower(), {})
            named = [p["name"] for p in operation.get("parameters", []) if p["in"] == "query"]
            usual = PLACE.sub(service.sid, route.path)
            asked = [
                f"{usual}?{quote(name)}={odd}"
                for name in (named if operation else AUTHY)
                for odd in ODD
            ]
            paths = [*odd_paths(route.path, service), *asked]
            body = {"data": form_of(operation)} if method == "POST" else {}
            found += faults(client, method, paths, **body)
    assert not found


def test_a_country_that_cannot_be_has_no_configuration(parts: Sendcode, service: Service) -> None:
    """What is no country is not found, however it is spelled."""
    client = door(parts)
    for country in ("%00", "G%00", "%ED%A0%80", "GBR", "1", "x" * 300):
        path = f"/v2/Services/{service.sid}/MessagingConfigurations/{country}"
        refused(client.get(path), 404, 20404)
        refused(client.delete(path), 404, 20404)
        sender = {"MessagingServiceSid": "MG" + "a" * 32}
        refused(client.post(path, data=sender), 404, 20404)
