"""Every route of the doors is known, and asks who calls or says why it need not."""

import inspect
import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from api_stub.app import create_app
from api_stub.auth import Caller
from api_stub.authy_v1.access import Application
from api_stub.authy_v1.errors import FACES
from api_stub.console.guard import Needs
from tests.unit.test_settings import COMPLETE
from worker import migrations
from worker.settings import load

# Open on purpose: health asks nothing about anybody, the documents are public, callbacks prove
# themselves by their signature, the sandbox checks the credentials itself, the console's pages
# ask for a session of their own.
OPEN = {
    "/livez",
    "/readyz",
    "/docs",
    "/openapi.json",
    "/console",
    "/callbacks/twilio/gate/{delivery_sid}",
    "/callbacks/twilio/{channel}/{delivery_sid}",
    "/sandbox/{path:path}",
}
ENTITY = "/v2/Services/{service_sid}/Entities/{identity}"
BUCKETS = "/v2/Services/{service_sid}/RateLimits/{limit_sid}/Buckets"
# The scope that an API key needs for each route; the account's own token passes everywhere.
SCOPES = {
    ("GET", "/metrics"): "read",
    ("POST", "/v2/Services"): "admin",
    ("GET", "/v2/Services"): "read",
    ("GET", "/v2/Services/{sid}"): "read",
    ("POST", "/v2/Services/{sid}"): "admin",
    ("DELETE", "/v2/Services/{sid}"): "admin",
    ("POST", "/v2/Services/{service_sid}/Verifications"): "start",
    ("GET", "/v2/Services/{service_sid}/Verifications/{sid}"): "read",
    ("POST", "/v2/Services/{service_sid}/Verifications/{sid}"): "check",
    ("POST", "/v2/Services/{service_sid}/VerificationCheck"): "check",
    ("POST", "/v2/Services/{service_sid}/Entities"): "start",
    ("GET", "/v2/Services/{service_sid}/Entities"): "read",
    ("GET", ENTITY): "read",
    ("DELETE", ENTITY): "admin",
    ("POST", f"{ENTITY}/Factors"): "start",
    ("GET", f"{ENTITY}/Factors"): "read",
    ("GET", f"{ENTITY}/Factors/{{sid}}"): "read",
    ("POST", f"{ENTITY}/Factors/{{sid}}"): "check",
    ("DELETE", f"{ENTITY}/Factors/{{sid}}"): "admin",
    ("GET", f"{ENTITY}/Factors/{{sid}}/QrCode.svg"): "start",
    ("GET", f"{ENTITY}/Factors/{{sid}}/QrCode.png"): "start",
    ("POST", f"{ENTITY}/Challenges"): "check",
    ("GET", f"{ENTITY}/Challenges"): "read",
    ("GET", f"{ENTITY}/Challenges/{{sid}}"): "read",
    ("POST", f"{ENTITY}/Challenges/{{sid}}"): "check",
    ("POST", f"{ENTITY}/BackupCodes"): "start",
    ("GET", f"{ENTITY}/BackupCodes"): "read",
    ("POST", f"{ENTITY}/BackupCodes/Check"): "check",
    ("GET", "/v2/Attempts"): "read",
    ("GET", "/v2/Attempts/Summary"): "read",
    ("GET", "/v2/Attempts/{sid}"): "read",
    ("POST", "/v2/Services/{service_sid}/MessagingConfigurations"): "admin",
    ("GET", "/v2/Services/{service_sid}/MessagingConfigurations"): "read",
    ("GET", "/v2/Services/{service_sid}/MessagingConfigurations/{country}"): "read",
    ("POST", "/v2/Services/{service_sid}/MessagingConfigurations/{country}"): "admin",
    ("DELETE", "/v2/Services/{service_sid}/MessagingConfigurations/{country}"): "admin",
    ("POST", "/v2/Services/{service_sid}/Webhooks"): "admin",
    ("GET", "/v2/Services/{service_sid}/Webhooks"): "read",
    ("GET", "/v2/Services/{service_sid}/Webhooks/{sid}"): "read",
    ("POST", "/v2/Services/{service_sid}/Webhooks/{sid}"): "admin",
    ("DELETE", "/v2/Services/{service_sid}/Webhooks/{sid}"): "admin",
    ("POST", "/v2/Services/{service_sid}/RateLimits"): "admin",
    ("GET", "/v2/Services/{service_sid}/RateLimits"): "read",
    ("GET", "/v2/Services/{service_sid}/RateLimits/{sid}"): "read",
    ("POST", "/v2/Services/{service_sid}/RateLimits/{sid}"): "admin",
    ("DELETE", "/v2/Services/{service_sid}/RateLimits/{sid}"): "admin",
    ("POST", BUCKETS): "admin",
    ("GET", BUCKETS): "read",
    ("GET", f"{BUCKETS}/{{sid}}"): "read",
    ("POST", f"{BUCKETS}/{{sid}}"): "admin",
    ("DELETE", f"{BUCKETS}/{{sid}}"): "admin",
    ("POST", "/v2/Services/{service_sid}/EventHooks"): "admin",
    ("GET", "/v2/Services/{service_sid}/EventHooks"): "read",
    ("GET", "/v2/Services/{service_sid}/EventHooks/{sid}"): "read",
    ("POST", "/v2/Services/{service_sid}/EventHooks/{sid}"): "admin",
    ("DELETE", "/v2/Services/{service_sid}/EventHooks/{sid}"): "admin",
    ("POST", "/v2/SafeList/Numbers"): "admin",
    ("GET", "/v2/SafeList/Numbers/{number}"): "read",
    ("DELETE", "/v2/SafeList/Numbers/{number}"): "admin",
    ("GET", "/v2/Templates"): "read",
    ("POST", "/v2/Templates"): "admin",
    ("GET", "/v2/Templates/{sid}"): "read",
    ("POST", "/v2/Templates/{sid}"): "admin",
    ("DELETE", "/v2/Templates/{sid}"): "admin",
    ("POST", "/v2/ApiKeys"): "admin",
    ("GET", "/v2/ApiKeys"): "admin",
    ("GET", "/v2/ApiKeys/{sid}"): "admin",
    ("DELETE", "/v2/ApiKeys/{sid}"): "admin",
    ("GET", "/operator/v1/queues"): "read",
    ("GET", "/operator/v1/circuits"): "read",
    ("GET", "/operator/v1/failures"): "read",
    ("GET", "/operator/v1/requests"): "read",
    ("POST", "/operator/v1/search"): "read",
    ("GET", "/operator/v1/requests/{sid}"): "read",
    ("GET", "/operator/v1/countries"): "read",
    ("POST", "/operator/v1/retry"): "admin",
    ("POST", "/operator/v1/resend"): "admin",
    ("POST", "/operator/v1/cancel"): "admin",
    ("POST", "/operator/v1/reveal"): "admin",
    ("POST", "/operator/v1/limits/reset"): "admin",
    ("POST", "/operator/v1/pause"): "admin",
    ("POST", "/operator/v1/resume"): "admin",
    ("GET", "/operator/v1/pauses"): "read",
    ("POST", "/operator/v1/budget"): "admin",
    ("POST", "/operator/v1/budget/remove"): "admin",
    ("GET", "/operator/v1/budgets"): "read",
    ("POST", "/operator/v1/block"): "admin",
    ("POST", "/operator/v1/unblock"): "admin",
    ("GET", "/operator/v1/blocks"): "read",
    ("GET", "/operator/v1/prefixes"): "read",
    ("POST", "/operator/v1/circuit"): "admin",
    ("POST", "/operator/v1/discard"): "admin",
    ("POST", "/operator/v1/queues/discard"): "admin",
    ("POST", "/operator/v1/senders/test"): "admin",
    ("POST", "/operator/v1/senders/check"): "admin",
    ("POST", "/operator/v1/webhooks/replay"): "admin",
    ("GET", "/operator/v1/webhooks"): "read",
    ("GET", "/operator/v1/operators"): "admin",
    ("POST", "/operator/v1/operators"): "admin",
    ("POST", "/operator/v1/operators/role"): "admin",
    ("POST", "/operator/v1/operators/disable"): "admin",
    ("POST", "/operator/v1/operators/enable"): "admin",
    ("POST", "/operator/v1/operators/reset"): "admin",
    ("POST", "/operator/v1/operators/link"): "admin",
    ("GET", "/operator/v1/sessions"): "admin",
    ("POST", "/operator/v1/sessions/end"): "admin",
    ("GET", "/operator/v1/workers"): "read",
    ("POST", "/operator/v1/workers/quiet"): "admin",
    ("POST", "/operator/v1/workers/work"): "admin",
    ("POST", "/operator/v1/workers/stop"): "admin",
    ("POST", "/operator/v1/bulk"): "admin",
    ("GET", "/operator/v1/bulk"): "read",
    ("GET", "/operator/v1/bulk/{sid}"): "read",
    ("POST", "/operator/v1/bulk/{sid}/stop"): "admin",
    ("GET", "/operator/v1/audit"): "admin",
}
# The Authy door, where a key opens its own application and everything in it.
PROTECTED = "/protected/json"
AUTHY = {
    ("POST", f"{PROTECTED}/users/new"),
    ("GET", f"{PROTECTED}/users/{{authy_id}}/status"),
    ("POST", f"{PROTECTED}/users/{{authy_id}}/delete"),
    ("POST", f"{PROTECTED}/users/{{authy_id}}/remove"),
    ("POST", f"{PROTECTED}/users/delete/{{authy_id}}"),
    ("POST", f"{PROTECTED}/users/{{authy_id}}/secret"),
    ("POST", f"{PROTECTED}/users/{{authy_id}}/register_activity"),
    ("GET", f"{PROTECTED}/sms/{{authy_id}}"),
    ("GET", f"{PROTECTED}/call/{{authy_id}}"),
    ("GET", f"{PROTECTED}/verify/{{token}}/{{authy_id}}"),
    ("POST", f"{PROTECTED}/phones/verification/start"),
    ("GET", f"{PROTECTED}/phones/verification/check"),
    ("GET", f"{PROTECTED}/phones/verification/status"),
    ("GET", f"{PROTECTED}/phones/info"),
    ("GET", f"{PROTECTED}/app/details"),
    ("GET", f"{PROTECTED}/app/stats"),
    ("POST", "/2010-04-01/Accounts/{api_key}/SMS/Messages/{sms_id}/Feedback.json"),
}
AUTHY_PATHS = {path for _, path in AUTHY}
# What compares a code or a password: `tests/integration/test_guesses.py` guesses on each.
GUESSED = {
    ("POST", "/v2/Services/{service_sid}/VerificationCheck"),
    ("POST", f"{ENTITY}/BackupCodes/Check"),
    ("POST", f"{ENTITY}/Factors/{{sid}}"),
    ("POST", f"{ENTITY}/Challenges"),
    ("POST", f"{ENTITY}/Challenges/{{sid}}"),
    ("GET", f"{PROTECTED}/verify/{{token}}/{{authy_id}}"),
    ("GET", f"{PROTECTED}/phones/verification/check"),
    ("POST", "/console/sign-in"),
    ("POST", "/console/account/password"),
    ("POST", "/console/account/factor/accept"),
}
# By what name a guess comes in.
GUESSES = {"Code", "AuthPayload", "verification_code", "token", "code", "password", "current"}
# A link's key is 256 random bits, and a failure's code says what went wrong: nothing to guess.
NOT_GUESSED = {("POST", "/console/link"), ("GET", "/console/failures/group")}
COMPARES = {"/v2/Services/{service_sid}/VerificationCheck", f"{ENTITY}/BackupCodes/Check"}
# What may show a secret, and what compares a code of an authenticator app.
SHOWS = {
    *(f"{ENTITY}/Factors", f"{ENTITY}/BackupCodes"),
    *(f"{ENTITY}/Factors/{{sid}}/QrCode.svg", f"{ENTITY}/Factors/{{sid}}/QrCode.png"),
}
ANSWERS = {f"{ENTITY}/Factors/{{sid}}", f"{ENTITY}/Challenges", f"{ENTITY}/Challenges/{{sid}}"}

# The console's pages that nobody has to be signed in for: the way in.
WAY_IN = {"/sign-in", "/link"}

APP = create_app(load(**COMPLETE, database_url="sqlite:///:memory:"))
ROUTES = [r for r in APP.routes if hasattr(r, "methods")]


@pytest.mark.kills("stranger-at-the-door")
def test_every_route_but_the_open_ones_refuses_a_stranger() -> None:
    """A route added without authentication fails here, by name."""
    client = TestClient(APP, raise_server_exceptions=False)
    strangers = [{}, {"Authorization": "Basic !!"}, {"Authorization": "Bearer x"}]
    for route, headers in itertools.product(_all_routes(), strangers):
        if route.path in OPEN | AUTHY_PATHS:
            continue
        filled = route.path.replace("{identity}", "user-0001")
        path = re.sub(r"{\w+}", "VA" + "0" * 32, filled)
        for method in route.methods or ():
            answer = client.request(method, path, headers=headers)
            assert answer.status_code == 401, (method, route.path)
            assert answer.json()["code"] == 20003
            assert answer.headers["www-authenticate"].startswith("Basic")


def test_every_authy_route_asks_for_a_key() -> None:
    """Each route of the Authy door finds the application by its key, once, and first."""
    found = set()
    for route in _all_routes():
        if not route.path.startswith(tuple(FACES)):
            continue
        asked = [type(d.call) for d in route.dependant.dependencies]
        assert asked[:1] == [Application], route.path
        assert Application not in asked[1:]
        found |= {(method, route.path) for method in route.methods or ()}
    assert found == AUTHY


def test_every_authy_route_refuses_a_stranger(client: TestClient) -> None:
    """Without a right key every route answers Authy's one 401, the account's token too."""
    strangers: list[dict[str, Any]] = [
        {},
        {"headers": {"X-Authy-API-Key": "0" * 64}},
        {"params": {"api_key": "' OR 1=1"}},
        {"auth": (COMPLETE["account_sid"], COMPLETE["auth_token"])},
    ]
    for method, path in sorted(AUTHY):
        filled = re.sub(r"{\w+}", "1" * 7, path)
        for stranger in strangers:
            answer = client.request(method, filled, **stranger)
            assert (answer.status_code, answer.json()) == (
                401,
                {
                    "message": "Invalid API key",
                    "success": False,
                    "errors": {"message": "Invalid API key"},
                    "error_code": "60001",
                },
            ), path


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """The doors over a migrated database, which a key is looked for in."""
    app = create_app(load(**COMPLETE | {"database_url": f"sqlite:///{tmp_path / 'db'}"}))
    migrations.upgrade(app.state.parts.db)
    yield TestClient(app, raise_server_exceptions=False)
    app.state.parts.db.close()


def _all_routes(routes: Iterable[Any] = APP.routes) -> list[APIRoute]:
    found: list[APIRoute] = []
    pending = list(routes)
    while pending:
        route = pending.pop()
        if isinstance(route, APIRoute):
            found.append(route)
        pending.extend(getattr(getattr(route, "original_router", None), "routes", []))
    return found


def test_every_route_asks_for_its_scope() -> None:
    """Each route asks for exactly the scope in the table; one without a scope fails by name."""
    found = {}
    for route in _all_routes():
        if route.path in OPEN | AUTHY_PATHS:
            continue
        scopes = [d.call.scope for d in route.dependant.dependencies if isinstance(d.call, Caller)]
        assert len(scopes) == 1, f"{route.path} asks for no scope, or for several"
        found.update({(method, route.path): scopes[0] for method in route.methods or ()})
    assert found == SCOPES


def test_the_doors_have_the_routes_they_should() -> None:
    """The walk over the routes sees them all, so that none escapes the test above."""
    paths = {route.path for route in _all_routes()}
    assert paths >= COMPARES
    assert OPEN - {"/openapi.json"} <= paths
    assert {p for p in paths if "Check" in p} == COMPARES
    assert paths >= SHOWS | ANSWERS


def _console() -> Any:
    (found,) = [route.app for route in APP.routes if getattr(route, "name", "") == "console"]
    return found


def _words(function: Any, seen: set[Any] | None = None) -> set[str]:
    """Every string and parameter in a function and in what it calls of its own module."""
    function, seen = inspect.unwrap(function), set() if seen is None else seen
    if function in seen:
        return set()
    seen.add(function)
    found, pending = set(inspect.signature(function).parameters), [function.__code__]
    while pending:
        code = pending.pop()
        found |= {const for const in code.co_consts if isinstance(const, str)}
        pending += [const for const in code.co_consts if isinstance(const, CodeType)]
        for name in code.co_names:
            other = function.__globals__.get(name)
            if isinstance(other, FunctionType) and other.__module__ == function.__module__:
                found |= _words(other, seen)
    return found


def test_every_route_that_takes_a_guess_is_on_the_list() -> None:
    """A route of any door whose code reads a code, token or password by name is known: it counts
    its guesses, or compares nothing."""
    doors = [("", route) for route in _all_routes()]
    doors += [("/console", route) for route in _all_routes(_console().routes)]
    found = {
        (method, f"{prefix}{route.path}")
        for prefix, route in doors
        for method in route.methods or ()
        if _words(route.endpoint) & GUESSES
    }
    assert found == GUESSED | NOT_GUESSED


def test_nothing_but_known_files_and_pages_is_served_beside_the_routes() -> None:
    """What is no route of ours, and so unseen by the tests here, is the document and files."""
    ours = {type(route) for route in _all_routes()}
    beside = [r for r in APP.routes if type(r) not in ours and hasattr(r, "path")]
    assert {r.path for r in beside} == {"/openapi.json", "/static", "/console"}
    beside = [r for r in _console().routes if type(r) not in ours and hasattr(r, "path")]
    assert {r.path for r in beside} == {"/static"}


def test_every_page_of_the_console_asks_for_a_session() -> None:
    """But for the sign-in and the link each route depends on a session, once, what changes
    something is a POST, and a stranger is sent to the sign-in."""
    found = _all_routes(_console().routes)
    assert len(found) > 20
    client = TestClient(APP, raise_server_exceptions=False, follow_redirects=False)
    for route in found:
        needs = [d.call for d in route.dependant.dependencies if isinstance(d.call, Needs)]
        assert len(needs) == (route.path not in WAY_IN), route.path
        assert route.methods in ({"GET"}, {"POST"}), route.path
        if needs:
            path = f"/console{re.sub('{.+?}', 'x', route.path)}"
            sent = client.request(*route.methods, path)
            assert sent.status_code == 303, route.path
            assert sent.headers["location"].startswith("/console/sign-in"), route.path


def test_unsigned_callbacks_are_refused_before_anything_is_read() -> None:
    """The callback routes answer 403 without a signature, whatever the form."""
    client = TestClient(APP, raise_server_exceptions=False)
    sid = "VL" + "0" * 32
    for path in (f"gate/{sid}", f"sms/{sid}", f"call/{sid}"):
        for body in ({}, {"data": {"MessageSid": "SM1", "MessageStatus": "delivered"}}):
            assert client.post(f"/callbacks/twilio/{path}", **body).status_code == 403
        json = client.post(f"/callbacks/twilio/{path}", json={"a": 1})
        assert json.status_code == 403
