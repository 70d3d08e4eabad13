"""Who calls, where proxies stand before the api: a real server, and what callers make up."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
import uvicorn

from api_stub.app import create_app
from tests.acceptance.running import until
from tests.integration.conftest import ACCOUNT
from tests.integration.doors import TOKEN
from tests.integration.operating import audited
from worker.cli.processes import behind
from worker.wiring import Sendcode

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
HERE, PROXY, CLIENT, LIE = "127.0.0.1", "10.1.2.3", "203.0.113.9", "198.51.100.66"


@contextmanager
def served(parts: Sendcode) -> Iterator[str]:
    """The doors as `sendcode api` serves them; their URL."""
    app = create_app(parts.settings)
    app.state.parts = parts
    listener = socket.create_server((HERE, 0))
    config = uvicorn.Config(app, log_config=None, lifespan="off", **behind(parts.settings))
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        until(lambda: server.started, about="a server")
        yield f"http://{HERE}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.mark.kills("uvicorn-believes-its-own-machine")
@pytest.mark.parametrize(
    ("trusted", "said", "seen"),
    [
        ("", [LIE], HERE),  # nobody's word
        ("10.0.0.0/8", [LIE], HERE),  # of one that is no proxy of ours
        (HERE, [], HERE),
        (HERE, [CLIENT], CLIENT),
        (HERE, [f"{LIE}, {CLIENT}"], CLIENT),  # what the caller wrote stands on the left
        (HERE, [LIE, CLIENT], CLIENT),
        (f"{HERE},10.0.0.0/8", [f"{LIE}, {CLIENT}, {PROXY}"], CLIENT),
        (HERE, [f"{CLIENT}, {PROXY}"], PROXY),  # a hop that is not ours is who calls
        ("127.0.0.0/8", [f"{LIE}, {CLIENT}:4711"], CLIENT),
    ],
)
def test_only_proxies_of_ours_say_who_calls(
    make_parts: Callable[..., Sendcode], trusted: str, said: list[str], seen: str
) -> None:
    """`X-Forwarded-For` is read from the right and as far as our own proxies wrote it."""
    parts = make_parts(trusted_proxies=trusted)
    headers = [("X-Forwarded-For", one) for one in said]
    body = {"to": "+8835", "reason": "tests"}
    with served(parts) as url, httpx.Client(trust_env=False, auth=(ACCOUNT, TOKEN)) as client:
        answer = client.post(f"{url}/operator/v1/block", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert [one.address for one in audited(parts)] == [seen]
