"""Who tries more on the console than is theirs: every route by every role, forged forms, markup."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy import text

from api_stub.console.app import ROUTERS
from api_stub.console.guard import Needs
from api_stub.console.verbs import VERBS
from tests.integration.conftest import ACCOUNT
from tests.integration.test_console import PAGES, ann, door, failed, signed_in, token
from tests.integration.test_records import FRENCH, set_to, start
from tests.pages import Page
from worker import presence
from worker.audit import Operator
from worker.operators import Role
from worker.services import Service
from worker.wiring import Sendcode

__all__ = ["ann", "failed"]

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

MARKUP = """<svg/onload=alert(1)>"'>"""
GIVEN = {
    "pause": {"kind": "country", "name": "FR"},
    "resume": {"kind": "country", "name": "FR"},
    "circuit": {"sender": "main", "channel": "sms", "state": "open"},
    "block": {"what": "+8835"},
    "block-prefix": {"prefix": "+8835"},
    "reset-limits": {"what": FRENCH},
    "set-budget": {"scope": "FR", "amount": "5", "unit": "messages"},
    "clear-budget": {"scope": "FR"},
    "bulk": {"verb": "retry", "country": "FR"},
    "resend": {"channel": "call"},
    "discard-queue": {"queue": "sms", "which": "all"},
    "test-send": {"sender": "main", "channel": "sms", "what": FRENCH},
    "check-sender": {"sender": "main"},
    "replay-failed": {"hook": "EH" + "0" * 32},
    **{name: {"name": "vic"} for name in VERBS if name.endswith(("-operator", "-worker"))},
    "add-operator": {"name": "eve", "role": "admin"},
    "set-role": {"name": "vic", "role": "admin"},
}


def guarded() -> Iterator[tuple[str, str, Role]]:
    """Method, path and role of each route that asks for a session."""
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            for needs in (d.call for d in route.dependant.dependencies):
                if isinstance(needs, Needs):
                    yield *(route.methods or ()), route.path, needs.role


def at(path: str) -> str:
    return "/console" + path.replace("{name}", "pause").replace("{sid}", "VL" + "0" * 32)


def given(verb: str, sid: str) -> dict[str, str]:
    return {"sid": sid, "reason": "a drill", **GIVEN.get(verb, {})}


def untouched(parts: Sendcode) -> bool:
    """No action was written down, and nothing is held."""
    room = parts.operations
    return not (room.audit.page() or room.pauses.all() or room.blocks.all() or room.budgets.all())


def streamed(client: Any) -> dict[str, str]:
    """The parts of pages, as `/console/live` sends them."""
    (console,) = [r.app for r in client.app.routes if getattr(r, "name", "") == "console"]
    told: dict[str, str] = json.loads(console.state.live.event().partition("data: ")[2])
    return told


@ON_SQLITE
def test_no_role_does_more_than_its_own(parts: Sendcode, failed: str) -> None:
    """A viewer is refused every verb but the end of their own sessions, an operator those of
    admins.
    """
    for name, role in (("vic", Role.VIEWER), ("olga", Role.OPERATOR)):
        client = signed_in(parts, name, role)
        form = {"csrf": token(client)}
        for verb in (verb for verb, one in VERBS.items() if not role.allows(one.role)):
            whole = form | given(verb, failed)
            assert client.post(f"/console/act/{verb}", data=whole).status_code == 403, verb
            assert client.get(f"/console/act/{verb}", params=given(verb, failed)).status_code == 403
    assert {one.name for one in parts.operators.all()} == {"vic", "olga"}
    assert {name for name, one in VERBS.items() if one.role is Role.ADMIN} >= {"set-role"}
    assert {name for name, one in VERBS.items() if one.role is Role.VIEWER} == {"end-own-session"}
    assert untouched(parts)


@ON_SQLITE
@pytest.mark.kills("read-only-for-nobody")
def test_a_console_for_looking_alone(make_parts: Callable[..., Sendcode]) -> None:
    """An admin sees every page there, is offered and allowed nothing that acts, and still minds
    their own sign-in.
    """
    parts = make_parts(console="read-only")
    ann = signed_in(parts)
    sid = start(parts, parts.services.create(ACCOUNT, "Example"), FRENCH)
    for page in (*PAGES, f"/requests/{sid}", "/blocks", "/bulk"):
        answer = ann.get(f"/console{page}")
        assert answer.status_code == 200, page
        assert page == "/series.json" or 'class="looks"' in answer.text, page
    for page in (f"/requests/{sid}", "/operators", "/webhooks"):
        assert "/console/act/" not in ann.get(f"/console{page}").text, page
    assert "read-only" in ann.get("/console/").text
    form = {"csrf": token(ann)}
    acting = [verb for verb, one in VERBS.items() if one.role is not Role.VIEWER]
    for verb in acting:
        refused = ann.post(f"/console/act/{verb}", data=form | given(verb, sid))
        assert (refused.status_code, "for looking alone" in refused.text) == (403, True), verb
    for path in ("/console/chosen", "/console/phone"):
        assert ann.get(path).status_code == 403, path
    assert untouched(parts)
    signed_in(parts)
    other = Page(ann.get("/console/account").text).link("End it")
    assert "End one of your sessions" in ann.get(other).text


@ON_SQLITE
def test_an_operator_gets_past_no_limit(parts: Sendcode, failed: str) -> None:
    """With `override` in the form every verb is refused to all but admins."""
    olga = signed_in(parts, "olga", Role.OPERATOR)
    for verb in VERBS:
        form = {"csrf": token(olga), "override": "1", **given(verb, failed)}
        assert olga.post(f"/console/act/{verb}", data=form).status_code == 403, verb
    assert untouched(parts)


@ON_SQLITE
def test_no_form_is_taken_from_elsewhere(parts: Sendcode, ann: TestClient, failed: str) -> None:
    """Every route that writes refuses a form without the session's token, with that of another
    session, and one that another site sent.
    """
    own, other = token(ann), token(signed_in(parts, "bob"))
    forged: list[dict[str, Any]] = [
        {"data": {}},
        {"data": {"csrf": other}},
        {"data": {"csrf": own}, "headers": {"Sec-Fetch-Site": "cross-site"}},
        {"data": {"csrf": own}, "headers": {"Sec-Fetch-Site": "same-site"}},
    ]
    paths = {at(path) for method, path, _ in guarded() if method == "POST"}
    assert len(paths) >= 9
    for path in paths | {f"/console/act/{verb}" for verb in VERBS}:
        for one in forged:
            fields = given(path.rpartition("/")[2], failed) | {"what": "+8835"} | one["data"]
            answer = ann.post(path, **{**one, "data": fields})
            assert answer.status_code == 403, (path, one)
    for path in ("/console/sign-in", "/console/link"):
        stranger = door(parts)
        assert stranger.post(path, data={"name": "ann", "csrf": own}).status_code == 403, path
    assert untouched(parts)
    assert ann.get("/console/").status_code == 200


@ON_SQLITE
@pytest.mark.kills("streamed-as-markup")
def test_nothing_that_came_from_outside_is_markup(
    parts: Sendcode, service: Service, failed: str
) -> None:
    """Error codes of the provider, names of services, workers and operators, reasons, browsers and
    filters are text on every page, and in what the pages fetch.
    """
    parts.operators.add("eve", Role.VIEWER)
    ann = signed_in(parts)
    sid = start(parts, service, FRENCH.replace("78", "79"))
    set_to(parts, sid, state="failed", error_code=MARKUP[:32], provider_sid=f"SM{'2' * 32}")
    with parts.db.begin() as connection:
        named = {"name": MARKUP}
        columns = {"services": "friendly_name", "operator_sessions": "browser"}
        for table, column in columns.items():
            connection.execute(text(f"UPDATE {table} SET {column} = :name"), named)
    presence.announce(parts.redis, MARKUP, 8, 1)
    act, by = parts.operations, Operator(f"key{MARKUP}", MARKUP)
    act.pauses.pause(by, "country", "DE", until=None, reason=MARKUP, dry_run=False)
    act.blocks.block(by, "+8835", until=None, reason=MARKUP, dry_run=False)
    pages = [
        *(*PAGES, "/audit", "/blocks", "/bulk", f"/requests/{sid}", f"/requests/{failed}"),
        *("/act/pause", "/act/block", "/nowhere/x"),
    ]
    seen = 0
    for page in pages:
        for query in ({}, {"country": MARKUP, "error": MARKUP, "kind": MARKUP, "name": MARKUP}):
            answer = ann.get(f"/console{page}", params=query)
            assert answer.status_code < 500, page
            assert "<svg/" not in answer.text, (page, query)
            seen += "&lt;svg/onload" in answer.text
    assert seen >= 8
    told = streamed(ann)
    for part, markup in told.items():
        assert "<svg/" not in markup, part
    seen_in = {part for part, markup in told.items() if "&lt;svg/onload" in markup}
    assert seen_in >= {"banner", "concerns", "workers"}
    group = {"code": MARKUP[:32], "channel": "sms", "country": "FR"}
    assert "<svg/" not in ann.get("/console/failures/group", params=group).text
    form = {"csrf": token(ann), "q": MARKUP, "name": MARKUP, "role": MARKUP, "theme": MARKUP}
    for path in ("/search", "/act/add-operator", "/theme"):
        assert "<svg/" not in ann.post(f"/console{path}", data=form).text, path


@ON_SQLITE
def test_what_an_action_says_is_no_markup(parts: Sendcode, ann: TestClient) -> None:
    """A reason, and what was typed in, come back as text, done or refused."""
    for verb, fields in (
        ("block", {"what": MARKUP}),
        ("pause", {"kind": "country", "name": MARKUP}),
        ("pause", {"kind": MARKUP, "name": "FR"}),
        ("circuit", {"sender": MARKUP, "channel": "sms", "state": "open"}),
        ("retry", {"sid": MARKUP}),
        ("pause", {"kind": "country", "name": "FR", "until": MARKUP}),
        ("pause", {"kind": "country", "name": "FR"}),
    ):
        form = {"csrf": token(ann), "reason": MARKUP, **fields}
        answer = ann.post(f"/console/act/{verb}", data=form)
        assert answer.status_code < 500, (verb, fields)
        assert "<svg/" not in answer.text, (verb, fields)
        assert not re.search(r"value=\"[^\"]*\"'>", answer.text)
    assert Page(ann.get("/console/audit").text).links


def test_each_route_has_its_role() -> None:
    """Acting is for operators, by the roles of the verbs where it is `/act`; all else is looking or
    one's own.
    """
    acting = {path for _, path, role in guarded() if role is not Role.VIEWER}
    assert acting == {"/chosen", "/phone"}
