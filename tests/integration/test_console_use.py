"""The console in use: colours, charts, a screen on the wall, and many services."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from sqlalchemy import text

from api_stub.console import filters, live
from api_stub.console.guard import COOKIE
from tests.integration.conftest import ACCOUNT
from tests.integration.operating import ADMIN
from tests.integration.test_console import post, signed_in
from tests.integration.test_operators import age
from tests.integration.test_records import FRENCH, start
from tests.pages import Page
from worker.minutes import MINUTE
from worker.rollup import Rollup
from worker.services import Service
from worker.wiring import Sendcode

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def ann(parts: Sendcode) -> TestClient:
    return signed_in(parts)


@pytest.mark.parametrize(
    ("path", "form", "back"),
    [
        ("/act/circuit", {"sender": "main", "channel": "sms", "state": "open"}, "/senders"),
        ("/limits/number", {"number": FRENCH, "service": ""}, "/limits"),
        ("/account/password", {"password": "short", "again": "other"}, "/account"),
        ("/account/factor", {}, "/account"),
        ("/search", {"q": "nothing"}, "/"),
    ],
)
def test_new_colours_on_an_answer_lead_to_a_page(
    ann: TestClient, path: str, form: dict[str, str], back: str
) -> None:
    """On the answer to a form, where no address leads, another choice of colours goes on to where
    the page leads back to; on a page, to the page.
    """
    chosen = Page(post(ann, path, **form).text).form("/theme")
    answer = ann.post(chosen.action, data=chosen.fields | {"theme": "dark"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/console{back}")
    assert ann.get(answer.headers["location"]).status_code == 200
    listed = Page(ann.get("/console/requests?since=1h").text).form("/theme")
    assert listed.fields["here"] == "/console/requests?since=1h"


def test_a_chart_reads_back_from_the_last_count(
    parts: Sendcode, service: Service, ann: TestClient
) -> None:
    """The relay stopped counting 40 minutes ago: the chart of an hour ends there, and shows the
    codes of 50 minutes before.
    """
    start(parts, service, FRENCH)
    Rollup(parts.db, 30).look()
    with parts.db.begin() as connection:
        connection.execute(text(f"UPDATE minutes SET minute = minute - {90 * MINUTE}"))
        newest = "(SELECT max(minute) FROM minute_looks)"
        connection.execute(text(f"DELETE FROM minute_looks WHERE minute < {newest}"))
        connection.execute(
            text(
                f"UPDATE minute_looks SET minute = minute - {40 * MINUTE},"
                f" looked_at = looked_at - {40 * MINUTE}"
            )
        )
    shown = ann.get("/console/series.json", params={"minutes": 60}).json()
    assert (len(shown["at"]), sum(shown["lines"]["codes"])) == (60, 1)


async def heard(client: TestClient, parts: Sendcode, *ages: int) -> list[str]:
    """What an open page's stream says after each of these seconds, until it ends."""
    cookie = f"{COOKIE}={client.cookies[COOKIE]}"
    headers = [(b"cookie", cookie.encode())]
    routes: Any = client.app.routes  # type: ignore[attr-defined]
    app = next(one.app for one in routes if getattr(one, "name", "") == "console")
    events = live._events(Request({"type": "http", "headers": headers, "app": app}))
    found = [await anext(events), await anext(events)]
    for seconds in ages:
        age(parts, seconds)
        found.append(await anext(events, ""))
    await events.aclose()  # type: ignore[attr-defined]
    return [one.splitlines()[0].removeprefix("event: ") for one in found[2:] if one]


@pytest.mark.parametrize("console", ["on", "read-only"])
def test_a_screen_on_the_wall_lasts(
    make_parts: Callable[..., Sendcode], monkeypatch: pytest.MonkeyPatch, console: str
) -> None:
    """In a console for looking alone an open page is use enough, for the twelve hours of a session;
    elsewhere it ends after half an hour that nobody came.
    """
    monkeypatch.setattr(live, "ASK_AGAIN", -1.0)
    parts = make_parts(console=console)
    client = signed_in(parts)
    told = asyncio.run(heard(client, parts, 20 * 60, 20 * 60, 12 * 3600))
    assert told == (["look", "ended"] if console == "on" else ["look", "look", "ended"])


@pytest.fixture
def last(parts: Sendcode, monkeypatch: pytest.MonkeyPatch) -> Service:
    """One more than are offered."""
    monkeypatch.setattr(filters, "OFFERED", 2)
    every = [parts.services.create(ACCOUNT, f"Shop {n}") for n in range(3)]
    return parts.services.update(ACCOUNT, every[-1].sid, send_limit=7)


def used(client: TestClient, service: str) -> Any:
    return post(client, "/limits/number", number=FRENCH, service=service)


def test_every_service_can_be_looked_up(parts: Sendcode, ann: TestClient, last: Service) -> None:
    """What a number has used in a service is told by the service's sid, also of one that is not
    offered, or by the name of one that is; the oldest one's where nothing is given. What is none
    is refused.
    """
    sends = '<th scope="row">sends</th><td class="n">0</td><td class="n">{}</td>'
    usual = sends.format(parts.settings.limit_sends)
    assert sends.format(7) in used(ann, last.sid).text
    for given, name in (("Shop 1", "Shop 1"), (" shop 1 ", "Shop 1"), ("", "Shop 0")):
        answer = used(ann, given).text
        assert usual in answer
        assert f"in {name}" in answer
    for wrong in ("Shop 9", f"VA{'0' * 32}", "VA1"):
        refused = used(ann, wrong)
        assert refused.status_code == 400
        assert "No service has this sid, and none" in refused.text


def test_a_budget_of_a_service_says_that_it_is_one(
    parts: Sendcode, ann: TestClient, last: Service
) -> None:
    """Also where the service is not among those offered: its sid stands there once, as one."""
    parts.operations.budgets.set(ADMIN, last.sid, "5", "messages", "a drill")
    page = ann.get("/console/limits").text
    assert f'<th scope="row">{last.sid} <small>service</small></th>' in page
