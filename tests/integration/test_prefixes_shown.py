"""The console's page of prefixes, its block, and the operators' API, on both databases."""

import json
import re
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from tests.integration import doors
from tests.integration.conftest import ACCOUNT
from tests.integration.test_console import post, signed_in
from tests.integration.test_prefixes import FRENCH, PUMPED, USUAL, ago, names, pump
from tests.integration.test_records import start
from tests.pages import Page
from worker.errors import InvalidParameterError
from worker.operators import Role
from worker.services import Service
from worker.settings import SAMPLE_KEY
from worker.wiring import Sendcode

__all__ = ["ago"]

MARKUP = "<svg/onload=alert(1)>"


@pytest.mark.usefixtures("ago")
def test_no_number_leaves_the_room(parts: Sendcode, service: Service) -> None:
    """Neither room nor page nor door nor their addresses have more of a number than seven digits,
    and a number without neighbours has no line."""
    pump(parts, service)
    for _ in range(4):
        start(parts, service, "+33756781234")
    found = parts.prefixes.look(3600)
    assert (names(found), found.few) == (["+4474001", "+4479871"], 1)
    ann = signed_in(parts)
    seen = [repr(found), ann.get("/console/countries/prefixes").text]
    seen.append(doors.door(parts).get("/operator/v1/prefixes").text)
    for shown in seen:
        assert "4474001" in shown
        for number in (*PUMPED, *USUAL, "+33756781234"):
            assert number[1:9] not in shown
            assert number[4:] not in shown


@pytest.mark.usefixtures("ago")
def test_the_page_leads_to_the_block(parts: Sendcode, service: Service) -> None:
    """From a country's line an operator comes to its prefixes, and from the first of them to a page
    that blocks it; afterwards the line says so and offers nothing."""
    pump(parts, service)
    olga = signed_in(parts, "olga", Role.OPERATOR)
    page = Page(olga.get("/console/countries/prefixes?country=GB").text)
    assert page.text.index("+4474001") < page.text.index("+4479871")
    asked = Page(olga.get(page.link("Block +4474001")).text)
    assert "Block +4474001" in asked.text
    fields = asked.form("/act/block-prefix").fields | {"reason": "pumping"}
    done = olga.post("/console/act/block-prefix", data=fields)
    assert done.status_code == 200
    assert [one.name for one in parts.operations.blocks.all()] == ["+4474001"]
    page = Page(olga.get("/console/countries/prefixes?country=GB").text)
    assert "Block +4474001" not in [words for _, words in page.links]
    assert "blocked" in page.text


@pytest.mark.usefixtures("ago")
def test_roles(parts: Sendcode, service: Service, make_parts: Callable[..., Sendcode]) -> None:
    """A viewer sees the prefixes and is offered no block, as everybody on a console for looking
    alone; who is not signed in is sent to the sign-in. The door opens to the scope `read`."""
    pump(parts, service)
    looking = make_parts(console="read-only")
    for client in (signed_in(parts, "vic", Role.VIEWER), signed_in(looking)):
        text = client.get("/console/countries/prefixes").text
        assert "+4474001" in text
        assert "/act/block-prefix" not in text
    vic = signed_in(parts, "vic", Role.VIEWER)
    assert vic.get("/console/act/block-prefix?prefix=%2B8835").status_code == 403
    assert post(vic, "/act/block-prefix", prefix="+8835", reason="x").status_code == 403
    vic.cookies.clear()
    answer = vic.get("/console/countries/prefixes")
    assert (answer.status_code, "/console/sign-in" in answer.headers["location"]) == (303, True)
    for scope, status in (("read", 200), ("start", 403)):
        key, secret = parts.api_keys.create(ACCOUNT, scope, [scope])
        client = doors.door(parts, key.sid, secret)
        assert client.get("/operator/v1/prefixes").status_code == status
    assert parts.operations.blocks.all() == []


def test_the_action_blocks_no_number(parts: Sendcode) -> None:
    """The page that blocks a prefix takes no number from its address and does not repeat it."""
    ann = signed_in(parts)
    for given in ("+447400123456", "+4930123", "447400", MARKUP, "+", "+44740012"):
        answer = ann.get("/console/act/block-prefix", params={"prefix": given})
        assert "no whole number" in answer.text, given
        refused = post(ann, "/act/block-prefix", prefix=given, reason="a drill")
        assert (refused.status_code, MARKUP in answer.text + refused.text) == (409, False)
        assert "Block +" not in answer.text + refused.text
    assert parts.operations.blocks.all() == []


def test_a_filter_that_is_no_country(parts: Sendcode) -> None:
    """Markup, a zero byte or an unknown country is refused by room, page and door, as text."""
    ann, client = signed_in(parts), doors.door(parts)
    for given in (MARKUP, "a\0b", "XX", "ß", "GBR", "G B"):
        with pytest.raises(InvalidParameterError):
            parts.prefixes.look(3600, given)
        answer = ann.get("/console/countries/prefixes", params={"country": given})
        assert (answer.status_code, MARKUP in answer.text) == (400, False), given
        doors.refused(client.get("/operator/v1/prefixes", params={"country": given}), 400, 60200)
    for name, given in (("within", "0"), ("within", "x"), ("within", "-5")):
        doors.refused(client.get("/operator/v1/prefixes", params={name: given}), 400, 60200)
    doors.refused(client.get("/operator/v1/prefixes?since=1h"), 400, 20001)
    assert (
        "No code was asked for in Malta"
        in ann.get("/console/countries/prefixes?country=mt&since=nonsense").text
    )


@pytest.mark.usefixtures("ago")
def test_the_door_answers_as_the_document_says(parts: Sendcode, service: Service) -> None:
    """Keys as in the OpenAPI document, the country's codes alone, with the share that came back."""
    pump(parts, service)
    for to in FRENCH:
        start(parts, service, to)
    client: TestClient = doors.door(parts)
    body = client.get("/operator/v1/prefixes?country=GB&within=3600").json()
    assert [one["prefix"] for one in body["prefixes"]] == ["+4474001", "+4479871"]
    assert (body["prefixes"][1]["conversion"], body["codes"]) == (7 / 8, 14)
    assert client.get("/operator/v1/prefixes?within=30").json()["codes"] == 0
    document = client.get("/openapi.json").json()
    (shape,) = [document["components"]["schemas"]["Prefixes"]]
    assert set(body) == set(shape["required"])
    asked = document["paths"]["/operator/v1/prefixes"]["get"]["parameters"]
    assert {one["name"] for one in asked} == {"country", "within"}
    assert "GB" in re.findall(r"\w+", json.dumps(asked))


@pytest.mark.usefixtures("ago")
def test_the_page_tells_what_it_leaves_out(make_parts: Callable[..., Sendcode]) -> None:
    """Codes whose number cannot be opened, and those to too few numbers, are told by how many."""
    older = make_parts()
    service = older.services.create(ACCOUNT, "Example")
    for to in USUAL[:4]:
        start(older, service, to)
    newer = make_parts(secret_keys=f"k2:{SAMPLE_KEY[::-1]}")
    start(newer, service, PUMPED[0])
    text = signed_in(newer).get("/console/countries/prefixes").text
    assert "any more: 4 of the codes" in text
    assert "begin like theirs: 1 of the codes" in text
