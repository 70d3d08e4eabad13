"""Whom the limits refuse most, on both databases and a real Valkey."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis
from click.testing import CliRunner
from sqlalchemy import text

from tests.integration.conftest import ACCOUNT, NUMBER
from tests.integration.operating import ADMIN, make_relay
from tests.integration.test_console import signed_in
from tests.integration.test_records import FRENCH
from tests.pages import Page
from worker import logs, tallies
from worker.cli import main, operate
from worker.errors import LimitReachedError
from worker.operators import Role
from worker.plan import read_plan
from worker.refusals import Kind, Refusals
from worker.services import Service
from worker.tallies import Tally
from worker.verifications import Start
from worker.wiring import Sendcode

NEIGHBOUR = "+447400123457"


@pytest.fixture
def parts(make_parts: Callable[..., Sendcode]) -> Sendcode:
    return make_parts(limit_sends=1, limit_range=3)


def start(parts: Sendcode, service: Service, to: str = NUMBER, **more: Any) -> bool:
    """Whether the limits let it pass."""
    try:
        parts.verifications.start(ACCOUNT, Start(service.sid, to, **more))
    except LimitReachedError:
        return False
    return True


def counts(parts: Sendcode, kind: Kind) -> dict[str, dict[str, int]]:
    return {one.what: dict(one.limits) for one in parts.most_refused.look()[kind]}


def test_the_most_refused_come_first(parts: Sendcode, service: Service) -> None:
    """A refusal counts for the number, its range, its country and its service, by the limit that
    refused; a start that passes counts nowhere."""
    assert start(parts, service)
    assert list(parts.redis.scan_iter("sendcode:refused:*")) == []
    assert [start(parts, service) for _ in range(3)] == [False] * 3
    assert [start(parts, service, FRENCH) for _ in range(2)] == [True, False]
    neighbours = [f"+44740012340{last}" for last in range(3)]
    assert [start(parts, service, to) for to in neighbours] == [True, True, False]
    found = parts.most_refused.look()
    assert (found[Kind.NUMBER][0].what, found[Kind.NUMBER][0].count) == ("+44********56", 3)
    assert len(found[Kind.NUMBER]) == 3
    assert counts(parts, Kind.COUNTRY) == {"GB": {"sends": 3, "range": 1}, "FR": {"sends": 1}}
    assert counts(parts, Kind.SERVICE) == {service.sid: {"sends": 4, "range": 1}}
    british, french = found[Kind.RANGE]
    assert (british.what[:3], dict(british.limits)) == ("GB ", {"sends": 3, "range": 1})
    assert (french.what[:3], dict(french.limits)) == ("FR ", {"sends": 1})


def test_a_number_leads_to_its_requests(parts: Sendcode, service: Service) -> None:
    """One with a request on record shows masked and is found by its index; one without shows as the
    start of its hash and leads nowhere."""
    start(parts, service)
    start(parts, service)
    parts.limits.refusals.note(
        LimitReachedError("daily", 1), parts.keyring.number_index(FRENCH), service.sid, "FR"
    )
    known, unknown = sorted(parts.most_refused.look()[Kind.NUMBER], key=lambda one: not one.index)
    assert known.what == "+44********56"
    assert known.index == parts.keyring.number_index(NUMBER).hex()
    hashed = logs.number_hash(parts.keyring.number_index(FRENCH))
    assert (unknown.what, unknown.index, unknown.sid) == (hashed, None, None)


def test_redis_holds_no_number(parts: Sendcode, service: Service) -> None:
    """What is kept of refusals are hashes, sids, countries and our own words, and it ends."""
    limit = parts.ratelimits.create(ACCOUNT, service.sid, "who-447400123456", None)
    parts.ratelimits.add_bucket(ACCOUNT, service.sid, limit.sid, most=1, seconds=60)
    for to in (FRENCH, NEIGHBOUR):
        start(parts, service, to, rate_limits={"who-447400123456": NUMBER})
    assert counts(parts, Kind.COUNTRY) == {"GB": {"of_service": 1}}
    keys = list(parts.redis.scan_iter("sendcode:refused:*"))
    assert len(keys) == len(Kind)
    for key in keys:
        held = key + b" ".join(parts.redis.zrange(key, 0, -1))
        assert b"7400123" not in held
        assert 0 < int(str(parts.redis.ttl(key))) <= 3900


def test_budgets_count_nowhere(parts: Sendcode, service: Service) -> None:
    """Who is refused because the day's budget is used up has done nothing."""
    parts.operations.budgets.set(ADMIN, "all", "0", "messages", "a drill")
    assert not start(parts, service)
    assert counts(parts, Kind.NUMBER) == {}


def test_a_step_that_a_limit_refuses_counts(parts: Sendcode) -> None:
    """The call that a plan has next is refused by the number's limit, and counts for it."""
    planned = parts.services.create(ACCOUNT, "Planned", plan=read_plan("call"))
    assert start(parts, planned)
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE deliveries SET state = 'undelivered', follow_at = 1"))
    make_relay(parts).settle()
    assert counts(parts, Kind.NUMBER) == {"+44********56": {"sends": 1}}
    assert counts(parts, Kind.SERVICE) == {planned.sid: {"sends": 1}}


def test_a_refusal_stands_whatever_becomes_of_its_count(parts: Sendcode, service: Service) -> None:
    """Where Redis goes away between refusal and count, the caller is refused all the same."""
    start(parts, service)
    parts.limits.refusals = Refusals(redis.Redis(port=1))
    assert not start(parts, service)


def test_an_hour_later_nothing_is_left(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was refused counts for the last hour alone."""
    start(parts, service)
    start(parts, service)
    now = tallies.time.time()
    for later, seen in ((3000, 1), (3700, 0)):
        monkeypatch.setattr(tallies.time, "time", lambda later=later: now + later)
        assert len(counts(parts, Kind.COUNTRY)) == seen, later


def test_a_flood_of_numbers_hides_no_heavy_one(parts: Sendcode) -> None:
    """A part of the time keeps a bounded number of members, those that were counted most."""
    tally = Tally(parts.redis, "drill", 86_400, 1, most=10)
    with parts.redis.pipeline() as pipe:
        for n in range(200):
            tally.put(pipe, f"other {n}")
            tally.put(pipe, "heavy", 2)
        pipe.execute()
    (key,) = parts.redis.scan_iter("sendcode:drill:*")
    assert parts.redis.zcard(key) == 10
    assert tally.read().most_common(1) == [("heavy", 400)]


def test_the_page_shows_them(parts: Sendcode, service: Service) -> None:
    """The limits' page leads from a masked number to its requests, and an operator to what can be
    done; a viewer is offered nothing."""
    olga = signed_in(parts, "olga", Role.OPERATOR)
    assert "No limit has refused anybody" in olga.get("/console/limits").text
    start(parts, service)
    start(parts, service)
    page = Page(olga.get("/console/limits").text)
    assert "Requests of +44********56" in [words for _, words in page.links]
    requests = olga.get(page.link("Requests of +44"))
    assert "+44********56" in requests.text
    for words in ("Show the number", "Stop sending to United Kingdom", "block a number"):
        assert olga.get(page.link(words)).status_code == 200, words
    assert "7400123456" not in page.text
    offered = Page(signed_in(parts, "vic", Role.VIEWER).get("/console/limits").text).links
    assert not [href for href, _ in offered if "/act/" in href]


def test_the_command_shows_them(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sendcode limits` has a line for each, or JSON; neither has a whole number."""
    monkeypatch.setattr(operate, "parts", lambda: parts)
    run = CliRunner()
    assert "no limit has refused anybody" in run.invoke(main, ["limits"]).output
    start(parts, service)
    start(parts, service)
    plain = run.invoke(main, ["limits"]).output
    assert "number  +44********56  1 refused: sends 1" in plain
    found = json.loads(run.invoke(main, ["limits", "--json"]).output)
    assert list(found) == ["number", "range", "country", "service"]
    (number,) = found["number"]
    assert (number["what"], number["count"], number["limits"]) == ("+44********56", 1, {"sends": 1})
    assert "7400123456" not in json.dumps(found)
