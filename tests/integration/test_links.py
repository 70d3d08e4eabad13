"""The OpenAPI document's links, followed: each leads to an operation that is done, by the examples
of the document alone.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyotp
import pytest
from fastapi.testclient import TestClient

from tests.fuzz.links import Exchange
from tests.integration.doors import door
from tests.unit.test_links import LINKS, PATHS
from worker.wiring import Sendcode

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

Operation = tuple[str, str]
Link = tuple[Operation, Operation, dict[str, Any]]
START = ("post", "/v2/Services/{service_sid}/Verifications")
VERIFY = ("post", "/v2/Services/{service_sid}/Entities/{identity}/Factors/{sid}")
NUMBERS = (f"+1360555{line:04}" for line in itertools.count(100))
USERS = (f"user-{number:08}" for number in itertools.count())


class RefusedError(Exception):
    """An operation is not done, although everything in the request is the document's."""


@dataclass
class Walker:
    client: TestClient

    def refusal(self, link: Link) -> str:
        """Come to where a link begins and go where it leads; what was refused, or nothing."""
        source, target, found = link
        try:
            self._go(target, self.come(source), found)
        except RefusedError as error:
            return str(error)
        return ""

    def come(self, operation: Operation) -> Exchange:
        """Do an operation, and before it what makes the names in its path."""
        if "{" not in operation[1]:
            return self._ask(operation, {}, {})
        ways = [way for way in LINKS if way[1] == operation and _makes(way)]
        source, _, link = max(ways, key=lambda way: "requestBody" in way[2])
        return self._go(operation, self.come(source), link)

    def _go(self, operation: Operation, before: Exchange, link: Mapping[str, Any]) -> Exchange:
        given = link["parameters"]
        path = {name.removeprefix("path."): before.value(text) for name, text in given.items()}
        body = {name: before.value(text) for name, text in link.get("requestBody", {}).items()}
        if operation == VERIFY and "binding" in (before.body or {}):
            body["AuthPayload"] = pyotp.TOTP(before.body["binding"]["secret"]).now()
        return self._ask(operation, path, body)

    def _ask(
        self, operation: Operation, path: Mapping[str, str], linked: Mapping[str, Any]
    ) -> Exchange:
        method, template = operation
        url = re.sub(r"\{(\w+)\}", lambda name: path[name[1]], template)
        taken = PATHS[template][method].get("requestBody")
        body = taken and {**example_of(taken), **linked}
        if body and "VerificationSid" in body:
            del body["To"]
        answer = self.client.request(method, url, json=body)
        (success,) = (status for status in PATHS[template][method]["responses"] if status < "300")
        if str(answer.status_code) != success:
            raise RefusedError(f"{method} {template} with {body}: {answer.text}")
        is_json = answer.headers.get("content-type") == "application/json"
        return Exchange(path, answer.json() if is_json else None)


def _makes(way: Link) -> bool:
    """Whether a link comes from something new, not from what has the same names."""
    (method, source), (_, target), _ = way
    return source != target and (method == "post" or "{" not in source)


def example_of(taken: Mapping[str, Any]) -> dict[str, Any]:
    """The document's example of a body, with another number and user each time."""
    example: dict[str, Any] = taken["content"]["application/json"]["example"]
    fresh: dict[str, Iterator[str]] = {"To": NUMBERS, "PhoneNumber": NUMBERS, "Identity": USERS}
    return {name: next(fresh[name]) if name in fresh else value for name, value in example.items()}


def named(link: Link) -> str:
    return " -> ".join(f"{method} {path}" for method, path in link[:2])


def begin_a_job(walker: Walker) -> None:
    """A bulk job, to which no answer that makes something leads."""
    walker.come(START)
    job = {"verb": "cancel", "state": "queued", "reason": "tests"}
    assert walker.client.post("/operator/v1/bulk", json=job).status_code == 200


def test_every_link_of_the_document_leads_to_something_done(
    make_parts: Callable[..., Sendcode],
) -> None:
    """Whoever does what an operation's example says, and then what its links name, succeeds."""
    walker = Walker(door(make_parts()))
    begin_a_job(walker)
    refused = {named(link): found for link in LINKS if (found := walker.refusal(link))}
    assert refused == {}
    assert len({named(link) for link in LINKS}) == len(LINKS) > 90
