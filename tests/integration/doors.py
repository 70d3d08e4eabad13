"""The HTTP doors over one test's parts, in this process."""

from typing import Any

from fastapi.testclient import TestClient

from api_stub.app import create_app
from tests.integration.conftest import ACCOUNT
from worker.wiring import Sendcode

TOKEN = "t" * 32
MEGABYTE = 1_000_000


def door(parts: Sendcode, user: str = ACCOUNT, password: str = TOKEN) -> TestClient:
    """A client of the doors, as the account itself by default."""
    app = create_app(parts.settings)
    app.state.parts = parts
    client = TestClient(app, raise_server_exceptions=False, base_url=parts.settings.base_url)
    client.auth = (user, password)
    return client


def refused(answer: Any, status: int, code: int) -> None:
    """It is an error in Twilio's envelope."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) - {"details"} == {"code", "message", "more_info", "status"}
    assert (body["code"], body["status"]) == (code, status), body


def walked(client: TestClient, path: str, key: str, **query: Any) -> list[Any]:
    """Every entry of a list, by following its pages; the way back leads to the first page."""
    items: list[Any] = []
    url: str | None = str(client.get(path, params=query).url)
    last, pages = None, 0
    while url:
        answer = client.get(url)
        assert answer.status_code == 200, answer.text
        body, last, pages = answer.json(), url, pages + 1
        assert set(body) == {key, "meta"}
        assert body["meta"]["key"] == key
        items += body[key]
        url = body["meta"]["next_page_url"]
    back = []
    url = last
    while url:
        body = client.get(url).json()
        back = body[key] + back
        url = body["meta"]["previous_page_url"]
        pages -= 1
    assert (back, pages) == (items, 0)
    return items
