"""Lists of services, entities, factors and challenges: in pages, while others write."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from tests.integration.conftest import ACCOUNT
from tests.integration.doors import door, refused, walked
from tests.integration.test_factors import USER
from worker.factors import Change
from worker.models import factors
from worker.wiring import Sendcode

MANY = 7


def services(parts: Sendcode) -> tuple[str, str]:
    for n in range(MANY):
        parts.services.create(ACCOUNT, f"Name {n}")
    return "/v2/Services", "services"


def entities(parts: Sendcode) -> tuple[str, str]:
    service = parts.services.create(ACCOUNT, "Example")
    for n in range(MANY):
        parts.factors.create_entity(ACCOUNT, service.sid, f"user-000{n}")
    return f"/v2/Services/{service.sid}/Entities", "entities"


def phones(parts: Sendcode, many: int = MANY) -> tuple[str, str]:
    service = parts.services.create(ACCOUNT, "Example")
    for n in range(many):
        parts.factors.create_factor(ACCOUNT, service.sid, USER, Change(f"Phone {n}"))
    return f"/v2/Services/{service.sid}/Entities/{USER}/Factors", "factors"


def challenges(parts: Sendcode) -> tuple[str, str]:
    url, _ = phones(parts, 1)
    with parts.db.begin() as connection:
        connection.execute(factors.update().values(status="verified"))
        sid = connection.execute(factors.select()).one().sid
    beside = url.replace("/Factors", "/Challenges")
    for _ in range(MANY):
        assert door(parts).post(beside, data={"FactorSid": sid}).status_code == 201
    return beside, "challenges"


LISTS = (services, entities, phones, challenges)
Make = Callable[[Sendcode], tuple[str, str]]


@pytest.mark.parametrize("make", LISTS)
def test_a_list_is_read_in_pages_both_ways(parts: Sendcode, make: Make) -> None:
    """Pages of any size have every entry once, oldest first, and lead back to the first."""
    url, key = make(parts)
    client = door(parts)
    whole = client.get(url).json()[key]
    assert len(whole) == MANY
    assert [one["sid"] for one in whole] == sorted(one["sid"] for one in whole)
    for size in (1, 3, MANY):
        assert walked(client, url, key, PageSize=size) == whole


@pytest.mark.parametrize("make", LISTS)
def test_what_is_deleted_between_pages_leaves_no_gap(parts: Sendcode, make: Make) -> None:
    """What was read may go before the next page is asked for, which begins where this one ended."""
    url, key = make(parts)
    client = door(parts)
    whole = [one["sid"] for one in client.get(url).json()[key]]
    page = client.get(url, params={"PageSize": 3}).json()
    seen = [one["sid"] for one in page[key]]
    with parts.db.begin() as connection:
        for sid in seen:
            connection.execute(text(f"DELETE FROM {key} WHERE sid = :sid"), {"sid": sid})
    while following := page["meta"]["next_page_url"]:
        page = client.get(following).json()
        seen += [one["sid"] for one in page[key]]
    assert seen == whole


def test_challenges_newest_first_and_filtered(parts: Sendcode) -> None:
    """The order and the filters hold on every page."""
    url, key = challenges(parts)
    client = door(parts)
    whole = client.get(url).json()[key]
    asked: dict[str, Any] = {"Order": "desc", "Status": "pending", "PageSize": 2}
    assert walked(client, url, key, **asked) == whole[::-1]
    assert walked(client, url, key, Status="approved", PageSize=2) == []


@pytest.mark.parametrize("make", LISTS)
def test_a_list_that_cannot_be_asked_for(parts: Sendcode, make: Make) -> None:
    """Another size, another token and a parameter that no list has are refused by name."""
    url, key = make(parts)
    client, code = door(parts), 60200 if key == "services" else 60300
    for bad in ("PageSize=0", "PageSize=1001", "PageToken=x", "PageToken=PA%00", "Page=x"):
        refused(client.get(f"{url}?{bad}"), 400, code)
    refused(client.get(f"{url}?Colour=red"), 400, 20001)
    refused(client.get(f"{url}?PageToken=%FF"), 400, 20001)
