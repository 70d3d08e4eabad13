"""The console in use: colours on every page, and charts."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from tests.integration.test_console import post, signed_in
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
