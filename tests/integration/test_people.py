"""Operators changed by other operators, through every door, on both databases."""

import re
import threading
from typing import Any

import pytest
from sqlalchemy import text

from tests.helpers import at_once
from tests.integration.conftest import ACCOUNT
from tests.integration.doors import door
from tests.integration.doors import refused as refuses
from tests.integration.operating import ADMIN, ANN, audited
from tests.integration.test_console import signed_in, token
from tests.integration.test_console_actions import confirm
from tests.integration.test_operators import BROWSER, HERE
from tests.pages import Page
from worker.errors import (
    ActionRefusedError,
    ConflictError,
    InvalidParameterError,
    NotFoundError,
)
from worker.operations import Outcome
from worker.operations.people import People
from worker.operators import Role, accounts
from worker.wiring import Sendcode


@pytest.fixture
def people(parts: Sendcode) -> People:
    return parts.operations.people


def roles(parts: Sendcode) -> dict[str, tuple[str, bool]]:
    """Role, and whether disabled, by name."""
    return {one.name: (one.role, one.disabled_at is not None) for one in parts.operators.all()}


def test_each_change_has_its_reason(parts: Sendcode, people: People) -> None:
    """Added, given a role, reset, disabled and enabled: each is in the log with its reason, before
    and after, and done twice it changes nothing."""
    made = people.add(ADMIN, "Bob", "viewer", "new colleague", link=True)
    assert made.link is not None
    assert parts.operators.use_link(made.link, HERE, BROWSER)
    for act, words, left in (
        (people.set_role, ("operator",), ("operator", False)),
        (people.disable, (), ("operator", True)),
        (people.enable, (), ("operator", False)),
    ):
        assert act(ADMIN, "bob", *words, "promoted").result == "done"
        assert roles(parts)["bob"] == left
        assert act(ADMIN, "bob", *words, "promoted").result == "unchanged"
    assert people.reset(ADMIN, "bob", "lost phone").result == "done"
    assert parts.operators.sessions() == []
    found = [(one.action, one.reason) for one in audited(parts)]
    assert found == [
        *[("operator.add", "new colleague"), ("operator.link", "new colleague")],
        *[(f"operator.{one}", "promoted") for one in ("role", "disable", "enable")],
        ("operator.reset", "lost phone"),
    ]
    entry = audited(parts)[2]
    assert (entry.before or {})["role"] == "viewer"
    assert (entry.after or {})["role"] == "operator"


def test_a_trial_changes_nothing(parts: Sendcode, people: People) -> None:
    """A dry run says what would be done or refused, and does nothing."""
    parts.operators.add("bob", "admin")
    parts.operators.add("carl", "admin")
    told = [
        people.add(ADMIN, "dora", "viewer", "x", link=True, dry_run=True),
        people.set_role(ADMIN, "bob", "viewer", "x", dry_run=True),
        people.disable(ADMIN, "bob", "x", dry_run=True),
        people.reset(ADMIN, "bob", "x", dry_run=True),
        people.link(ADMIN, "bob", "x", dry_run=True),
    ]
    assert {(one.result, one.link) for one in told} == {("would", None)}
    with pytest.raises(ConflictError):
        people.add(ADMIN, "bob", "viewer", "x", dry_run=True)
    assert roles(parts) == {"bob": ("admin", False), "carl": ("admin", False)}
    assert audited(parts) == []


@pytest.mark.kills("the-last-admin-may-go")
def test_the_last_admin_stays(parts: Sendcode, people: People) -> None:
    """Whoever asks, the last enabled admin is neither disabled nor given another role; those that
    are disabled count for nothing. A reset, after which a link lets them in, is no such end."""
    for name, role in (("ann", "admin"), ("bob", "admin"), ("carl", "operator")):
        parts.operators.add(name, role)
    assert people.disable(ADMIN, "bob", "left").result == "done"
    with pytest.raises(ActionRefusedError) as refused:
        people.disable(ADMIN, "ann", "x")
    assert refused.value.reason == "last_admin"
    with pytest.raises(ActionRefusedError):
        people.set_role(ADMIN, "ann", "viewer", "x")
    assert people.disable(ADMIN, "carl", "left").result == "done"
    assert people.reset(ADMIN, "ann", "lost phone").result == "done"
    assert roles(parts)["ann"] == ("admin", False)


def test_two_admins_at_once_leave_one(parts: Sendcode, people: People) -> None:
    """However many admins are taken away at the same moment, in whichever way, one stays."""
    for turn in range(6):
        names = [f"a{turn}", f"b{turn}", f"c{turn}"]
        for name in names:
            parts.operators.add(name, Role.ADMIN)

        def act(i: int, names: list[str] = names) -> Outcome:
            if i % 2:
                return people.set_role(ADMIN, names[i], "viewer", "a race")
            return people.disable(ADMIN, names[i], "a race")

        ended = at_once(3, act)
        left = [name for name, one in roles(parts).items() if one == ("admin", False)]
        assert len(left) == 1, ended
        assert sum(isinstance(one, ActionRefusedError) for one in ended) == 1
        with parts.db.begin() as connection:
            connection.execute(text("DELETE FROM operators"))


def somebody_waits(parts: Sendcode) -> bool:
    """For a row that another transaction holds. SQLite does not say: whoever writes waits there."""
    if parts.db.dialect == "sqlite":
        return True
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    with parts.db.statement() as connection:
        found = connection.execute(text(f"{query} AND wait_event_type = 'Lock'"))
        return bool(found.scalar_one())


@pytest.mark.kills("admins-looked-at-without-a-lock")
def test_who_waits_sees_what_the_other_did(parts: Sendcode, people: People) -> None:
    """One that begins while the other has not ended waits for it, and is refused."""
    for name in ("ann", "bob"):
        parts.operators.add(name, Role.ADMIN)
    inside, go_on = threading.Event(), threading.Event()
    room, told = parts.operators, []

    def slow(connection: Any, *words: Any, **values: Any) -> None:
        inside.set()
        go_on.wait(60)

    whole = accounts.note
    accounts.note = slow
    first = threading.Thread(target=lambda: told.append(room.disable("ann")))
    first.start()
    assert inside.wait(60)
    accounts.note = whole
    second = threading.Thread(target=lambda: told.extend(at_once(1, lambda _: room.disable("bob"))))
    second.start()
    second.join(0.3)
    while second.is_alive() and not somebody_waits(parts):
        second.join(0.3)
    go_on.set()
    first.join()
    second.join()
    assert sorted(type(one).__name__ for one in told) == ["ActionRefusedError", "Change"]
    assert roles(parts)["bob"] == ("admin", False)


def test_what_cannot_be_changed(parts: Sendcode, people: People) -> None:
    """None but an admin, nobody unknown, no role that is none, and nothing without a reason."""
    parts.operators.add("bob", "viewer")
    with pytest.raises(ActionRefusedError):
        people.set_role(ANN, "bob", "admin", "why")
    with pytest.raises(ActionRefusedError):
        people.add(ANN, "eve", "admin", "why")
    with pytest.raises(NotFoundError):
        people.disable(ADMIN, "nobody", "why")
    for words in (("bob", "king", "why"), ("bob", "admin", " ")):
        with pytest.raises(InvalidParameterError):
            people.set_role(ADMIN, *words)
    assert (roles(parts), audited(parts)) == ({"bob": ("viewer", False)}, [])


def test_over_http(parts: Sendcode) -> None:
    """The same verbs for keys with the scope admin; a link is in the answer of what makes one."""
    client = door(parts)

    def post(verb: str, **values: Any) -> Any:
        return client.post(f"/operator/v1/operators{verb}", json={"reason": "tests"} | values)

    made = post("", name="bob", role="admin").json()
    assert (made["result"], made["after"]) == ("done", {"role": "admin"})
    key = re.fullmatch(r"https://codes\.example\.com/console/link\?key=([\w-]+)", made["link"])
    assert key is not None
    assert parts.operators.use_link(key[1], HERE, BROWSER)
    refuses(post("/disable", name="bob"), 409, 20409)
    assert post("", name="carl", role="admin").json()["link"]
    assert post("/role", name="bob", role="viewer").json()["after"]["role"] == "viewer"
    told = post("/disable", name="bob").json()
    assert (told["result"], "link" in told) == ("done", False)
    assert post("/enable", name="bob").json()["result"] == "done"
    assert post("/reset", name="bob", dry_run=True).json()["result"] == "would"
    assert post("/link", name="bob").json()["link"]
    signed_in(parts, "carl")
    (session,) = client.get("/operator/v1/sessions").json()["sessions"]
    assert session["operator"] == "carl"
    for dry_run, result in ((True, "would"), (False, "done")):
        body = {"reason": "tests", "sid": session["sid"], "dry_run": dry_run}
        told = client.post("/operator/v1/sessions/end", json=body).json()
        assert (told["result"], told["target"]) == (result, "operator carl")
    assert client.get("/operator/v1/sessions").json()["sessions"] == []
    refuses(client.post("/operator/v1/sessions/end", json=body), 404, 20404)
    (bob, carl) = client.get("/operator/v1/operators").json()["operators"]
    assert (bob["name"], bob["role"], carl["name"]) == ("bob", "viewer", "carl")
    key_sid, secret = parts.api_keys.create(ACCOUNT, "dashboard", ["read", "start", "check"])
    other = door(parts, key_sid.sid, secret)
    body = {"reason": "x", "name": "eve", "role": "admin"}
    refuses(other.post("/operator/v1/operators", json=body), 403, 20003)
    assert len(parts.operators.all()) == 2


def test_on_the_console(parts: Sendcode) -> None:
    """The page of operators leads an admin to each change, which says what it would do and asks
    why; nobody ends themselves, and no other role comes there."""
    ann = signed_in(parts, "ann")
    made = confirm(ann, "/console/act/add-operator?name=bob&role=viewer", "new colleague")
    link = re.search(r"https://codes\.example\.com(/console/link\?key=[\w-]+)", made.text)
    assert link is not None
    page = Page(ann.get("/console/operators").text)
    assert "Nothing is done yet" in ann.get(page.link("Make an operator of bob")).text
    assert roles(parts)["bob"] == ("viewer", False)
    assert "Done" in confirm(ann, page.link("Make an operator of bob")).text
    assert "Done" in confirm(ann, page.link("Disable bob")).text
    assert roles(parts)["bob"] == ("operator", True)
    for own in ("ann", "ANN", " ann "):
        form = {"csrf": token(ann), "name": own, "reason": "x"}
        assert ann.post("/console/act/disable-operator", data=form).status_code == 409
    assert confirm(ann, "/console/act/add-operator?name=bob&role=viewer").status_code == 409
    olga = signed_in(parts, "olga", Role.OPERATOR)
    assert "Make an admin" not in olga.get("/console/operators").text
    form = {"csrf": token(olga), "name": "bob", "role": "admin", "reason": "x"}
    assert olga.get("/console/act/set-role?name=bob&role=admin").status_code == 403
    assert olga.post("/console/act/set-role", data=form).status_code == 403
    assert roles(parts) == {
        "ann": ("admin", False),
        "bob": ("operator", True),
        "olga": ("operator", False),
    }
