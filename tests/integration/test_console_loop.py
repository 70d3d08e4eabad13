"""What the console waits for stops nobody else: its pages are made in threads, not on the loop."""

import threading
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from api_stub.console import looks
from tests.integration.test_console import signed_in, token
from worker.wiring import Sendcode

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
PAUSE = {"kind": "country", "name": "KE"}


class Hanging:
    """The look at the queues waits from now on until `go_on`."""

    def __init__(self) -> None:
        self.waits = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, standing: object) -> None:
        self.waits.set()
        self.go_on.wait(60)


@pytest.fixture
def hanging(parts: Sendcode, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    one = Hanging()
    monkeypatch.setattr(looks, "FRESH", 0.0)
    monkeypatch.setattr(type(parts.standing), "queues", lambda self: one(self))
    yield one
    one.go_on.set()


def in_thread(client: TestClient, method: str, path: str, **form: str) -> threading.Event:
    """Ask from another thread; what comes back is set once the answer is there."""
    answered = threading.Event()

    def ask() -> None:
        client.request(method, path, data=form or None)
        answered.set()

    threading.Thread(target=ask, daemon=True).start()
    return answered


@pytest.mark.parametrize(
    ("method", "path", "form"),
    [
        ("GET", "/act/pause?kind=country&name=KE", {}),
        ("POST", "/act/pause", {**PAUSE, "reason": "a drill"}),
        ("POST", "/act/pause", {**PAUSE, "reason": ""}),
        ("POST", "/limits/number", {"number": "12"}),
        ("POST", "/account/password", {"password": "short", "again": "another"}),
        ("POST", "/account/factor", {}),
        ("POST", "/search", {"q": "nothing"}),
        ("GET", "/bulk/OJ0", {}),
    ],
    ids=["trial", "done", "refused", "number", "password", "factor", "search", "error"],
)
def test_a_page_that_waits_holds_nobody_up(
    parts: Sendcode, request: pytest.FixtureRequest, method: str, path: str, form: dict[str, str]
) -> None:
    """While a page of any kind waits for a look that hangs, the doors answer on the same loop."""
    client = signed_in(parts)
    if method == "POST":
        form = {**form, "csrf": token(client)}
    hanging: Hanging = request.getfixturevalue("hanging")
    with client:
        page = in_thread(client, method, f"/console{path}", **form)
        assert hanging.waits.wait(20)
        other = in_thread(client, "GET", "/livez")
        held_up = not other.wait(20)
        done_before = page.is_set()
        hanging.go_on.set()
        assert page.wait(20)
    assert (held_up, done_before) == (False, False)
