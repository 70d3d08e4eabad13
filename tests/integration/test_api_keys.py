"""API keys over HTTP, on both databases."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event, select, text

from tests.helpers import count
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.integration.doors import MEGABYTE, door, refused, walked
from tests.integration.operating import audited
from worker import api_keys as room
from worker.door_tables import api_keys
from worker.factors import Change, Config
from worker.services import Service
from worker.wiring import Sendcode

KEYS = {
    *("sid", "account_sid", "friendly_name", "scopes", "date_created", "date_last_used"),
    *("date_revoked", "url"),
}


def make(parts: Sendcode, scopes: str = "start", name: str = "Backend") -> dict[str, Any]:
    answer = door(parts).post("/v2/ApiKeys", data={"FriendlyName": name, "Scopes": scopes})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def statements(parts: Sendcode, act: Callable[[], object]) -> list[str]:
    """The statements that reach the database while `act` runs."""
    seen: list[str] = []

    def listen(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "api_keys" in statement:
            seen.append(statement.split()[0])

    for engine in parts.db.engines:
        event.listen(engine, "before_cursor_execute", listen)
    try:
        act()
    finally:
        for engine in parts.db.engines:
            event.remove(engine, "before_cursor_execute", listen)
    return seen


def test_the_secret_is_shown_once_and_not_kept(parts: Sendcode) -> None:
    """Only the answer that makes a key has its secret; the database has a digest of it."""
    made = make(parts, "check,start")
    assert set(made) == KEYS | {"secret"}
    assert made["scopes"] == ["start", "check"]
    assert len(made["secret"]) == 64
    fetched = door(parts).get(f"/v2/ApiKeys/{made['sid']}").json()
    assert set(fetched) == KEYS
    assert made["secret"] not in door(parts).get("/v2/ApiKeys").text
    with parts.db.statement() as connection:
        row = connection.execute(select(api_keys)).one()
    assert made["secret"] not in repr(row)
    assert bytes.fromhex(made["secret"]) not in bytes(row.secret_digest)


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("start", {"start"}),
        ("check", {"check", "end"}),
        ("read", {"list", "fetch"}),
        ("admin", {"start", "check", "end", "list", "fetch", "create", "keys"}),
    ],
)
def test_a_key_may_do_what_its_scope_says(
    parts: Sendcode, service: Service, scope: str, allowed: set[str]
) -> None:
    """A key passes where its scope is asked for and gets 403 and 20003 anywhere else."""
    made = make(parts, scope)
    client = door(parts, made["sid"], made["secret"])
    path = f"/v2/Services/{service.sid}"
    doors: dict[str, Callable[[], Any]] = {
        "start": lambda: client.post(
            f"{path}/Verifications", data={"To": NUMBER, "Channel": "sms"}
        ),
        "fetch": lambda: client.get(f"{path}/Verifications/{NUMBER}"),
        "check": lambda: client.post(
            f"{path}/VerificationCheck", data={"To": NUMBER, "Code": "123456"}
        ),
        "end": lambda: client.post(f"{path}/Verifications/{NUMBER}", data={"Status": "canceled"}),
        "list": lambda: client.get("/v2/Services"),
        "create": lambda: client.post("/v2/Services", data={"FriendlyName": "Other"}),
        "keys": lambda: client.get("/v2/ApiKeys"),
    }
    door(parts).post(f"{path}/Verifications", data={"To": NUMBER, "Channel": "sms"})
    for name, call in doors.items():
        answer = call()
        if name in allowed:
            assert answer.status_code in (200, 201), (name, answer.text)
        else:
            refused(answer, 403, 20003)
            assert "scope" in answer.json()["message"]


def test_a_factor_is_changed_with_admin_alone(parts: Sendcode, service: Service) -> None:
    """A key for checks verifies a factor; how its codes are made and its name take `admin`."""
    where = (ACCOUNT, service.sid, "user-0001")
    sid = parts.factors.create_factor(*where, Change("Phone")).factor.sid
    url = f"/v2/Services/{service.sid}/Entities/user-0001/Factors/{sid}"
    checker, admin = (make(parts, scope) for scope in ("check", "admin"))
    client = door(parts, checker["sid"], checker["secret"])
    assert client.post(url, data={"AuthPayload": "123456"}).status_code == 200
    for change in ({"Config.Skew": "2"}, {"FriendlyName": "Other"}, {"Config.Alg": "sha256"}):
        refused(client.post(url, data=change | {"AuthPayload": "123456"}), 403, 20003)
    found = parts.factors.fetch_factor(*where, sid)
    assert (found.friendly_name, found.config) == ("Phone", Config())
    changed = door(parts, admin["sid"], admin["secret"]).post(url, data={"Config.Skew": "2"})
    assert changed.json()["config"]["skew"] == 2


def test_unknown_wrong_and_revoked_answer_the_same(parts: Sendcode) -> None:
    """A stranger cannot tell an unknown sid from a wrong secret or a revoked key."""
    made, gone = make(parts, "read"), make(parts, "read")
    assert door(parts).delete(f"/v2/ApiKeys/{gone['sid']}").status_code == 204
    answers = [
        door(parts, *pair).get("/v2/Services")
        for pair in (
            (made["sid"], "0" * 64),
            (made["sid"], ""),
            ("SK" + "0" * 32, made["secret"]),
            ("SK1", made["secret"]),
            ("SK\u00e9" + "0" * 30, made["secret"]),
            (gone["sid"], gone["secret"]),
            (made["sid"], gone["secret"]),
        )
    ]
    for answer in answers:
        refused(answer, 401, 20003)
    assert len({answer.content for answer in answers}) == 1
    assert len({tuple(sorted(answer.headers)) for answer in answers}) == 1


def test_a_revoked_key_ends_within_the_cache(
    parts: Sendcode, make_parts: Callable[..., Sendcode], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that revokes forgets at once; another one as soon as its memory is stale."""
    made = make(parts, "read")
    other = make_parts()
    for process in (parts, other):
        assert door(process, made["sid"], made["secret"]).get("/v2/Services").status_code == 200
    clock = room.time.monotonic()
    assert door(parts).delete(f"/v2/ApiKeys/{made['sid']}").status_code == 204
    refused(door(parts, made["sid"], made["secret"]).get("/v2/Services"), 401, 20003)
    monkeypatch.setattr(room.time, "monotonic", lambda: clock + room.CACHE_SECONDS + 1)
    refused(door(other, made["sid"], made["secret"]).get("/v2/Services"), 401, 20003)
    refused(door(parts).delete(f"/v2/ApiKeys/{made['sid']}"), 404, 20404)
    listed = door(parts).get("/v2/ApiKeys").json()["api_keys"]
    assert [bool(key["date_revoked"]) for key in listed] == [True]


def test_one_look_up_for_a_key_and_none_for_the_token(parts: Sendcode) -> None:
    """The account's token asks the database nothing about keys; a key asks once in a while, and
    its use is written down once a minute at most.
    """
    made = make(parts, "read")
    client = door(parts, made["sid"], made["secret"])
    ask = lambda: client.get("/v2/Services")  # noqa: E731
    assert statements(parts, lambda: door(parts).get("/v2/Services")) == []
    assert statements(parts, ask) == ["SELECT", "UPDATE"]
    assert statements(parts, ask) == []
    parts.api_keys._known.clear()
    assert statements(parts, ask) == ["SELECT"]
    assert door(parts).get(f"/v2/ApiKeys/{made['sid']}").json()["date_last_used"]
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE api_keys SET last_used_at = last_used_at - 61000"))
    parts.api_keys._known.clear()
    assert statements(parts, ask) == ["SELECT", "UPDATE"]


def test_a_wrong_secret_is_no_use(parts: Sendcode) -> None:
    """A refused request does not count as a use of the key."""
    made = make(parts, "read")
    refused(door(parts, made["sid"], "x").get("/v2/Services"), 401, 20003)
    assert door(parts).get(f"/v2/ApiKeys/{made['sid']}").json()["date_last_used"] is None


def test_keys_are_listed_in_pages(parts: Sendcode) -> None:
    """The list is walked forth and back by its own absolute URLs."""
    names = [f"Key {n}" for n in range(5)]
    for name in names:
        make(parts, name=name)
    found = walked(door(parts), "/v2/ApiKeys", "api_keys", PageSize=2)
    assert [key["friendly_name"] for key in found] == names
    assert all(key["url"].startswith("https://codes.example.com/v2/ApiKeys/SK") for key in found)


def test_bad_input_makes_no_key(parts: Sendcode) -> None:
    """Unusable names and scopes, unknown and repeated parameters and large bodies are refused."""
    client = door(parts)
    good = {"FriendlyName": "Fine", "Scopes": "read"}
    for change in (
        {"FriendlyName": ""},
        {"FriendlyName": " "},
        {"FriendlyName": "x" * 65},
        {"FriendlyName": "a\r\nb"},
        {"FriendlyName": "a\x00b"},
        {"FriendlyName": "a\u202eb"},
        {"Scopes": ""},
        {"Scopes": "root"},
        {"Scopes": "read,root"},
        {"Scopes": ["read", "admin"]},
    ):
        refused(client.post("/v2/ApiKeys", data=good | change), 400, 60200)
    for change in ({"Scopes": ["read"]}, {"Scopes": 5}, {"FriendlyName": {"a": 1}}):
        refused(client.post("/v2/ApiKeys", json=good | change), 400, 60200)
    refused(client.post("/v2/ApiKeys", data=good | {"Extra": "1"}), 400, 20001)
    refused(client.post("/v2/ApiKeys", data=good | {"Pad": "x" * MEGABYTE}), 413, 20001)
    refused(client.get("/v2/ApiKeys?Extra=1"), 400, 20001)
    for query in ("PageSize=0", "PageSize=1001", "Page=x", "PageToken=x", "PageToken=PA';--"):
        refused(client.get(f"/v2/ApiKeys?{query}"), 400, 60200)
    refused(client.get("/v2/ApiKeys?PageSize=1&PageSize=2"), 400, 60200)
    for sid in ("SK" + "0" * 32, ACCOUNT, "VA" + "0" * 32, "SK1", "SK%00"):
        refused(client.get(f"/v2/ApiKeys/{sid}"), 404, 20404)
        refused(client.delete(f"/v2/ApiKeys/{sid}"), 404, 20404)
    assert count(parts, "api_keys") == 0


def test_who_made_and_ended_a_key_is_on_record(parts: Sendcode) -> None:
    """The audit log says by whom a key was made, for what, and by whom it was revoked."""
    made = make(parts, scopes="admin", name="Night shift")
    by_it = door(parts, made["sid"], made["secret"])
    assert by_it.delete(f"/v2/ApiKeys/{made['sid']}").status_code == 204
    begun, ended = audited(parts)
    assert (begun.action, begun.who, begun.target) == ("api_key.create", ACCOUNT, made["sid"])
    assert begun.after == {"name": "Night shift", "scopes": ["admin"]}
    assert (ended.action, ended.who) == ("api_key.revoke", made["sid"])
    assert made["secret"] not in str([begun, ended])
    refused(door(parts).delete(f"/v2/ApiKeys/{made['sid']}"), 404, 20404)
    assert len(audited(parts)) == 2


def test_another_accounts_keys_are_not_there(parts: Sendcode) -> None:
    """Keys of another account are neither found, listed nor revoked."""
    other, _ = parts.api_keys.create("AC" + "b" * 32, "Theirs", ["read"])
    client = door(parts)
    refused(client.get(f"/v2/ApiKeys/{other.sid}"), 404, 20404)
    refused(client.delete(f"/v2/ApiKeys/{other.sid}"), 404, 20404)
    assert client.get("/v2/ApiKeys").json()["api_keys"] == []
    assert parts.api_keys.fetch("AC" + "b" * 32, other.sid).revoked_at is None
