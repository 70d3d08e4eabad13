"""The operators' verbs over HTTP, on both databases."""

from typing import Any

import pytest
from sqlalchemy import text

from tests.helpers import count, delivery
from tests.integration.conftest import ACCOUNT
from tests.integration.doors import door, refused
from tests.integration.operating import BRITISH, audited, delivery_of
from worker.services import Service
from worker.wiring import Sendcode

WHY = {"reason": "tests"}


def post(client: Any, verb: str, /, **values: Any) -> Any:
    return client.post(f"/operator/v1/{verb}", json=WHY | values)


def done(client: Any, verb: str, /, **values: Any) -> Any:
    answer = post(client, verb, **values)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


def test_pauses_and_blocks(parts: Sendcode) -> None:
    """What is paused and blocked is listed until it is ended, numbers masked."""
    client = door(parts)
    assert done(client, "pause", kind="country", name="gb", until=60)["result"] == "done"
    (pause,) = client.get("/operator/v1/pauses").json()["pauses"]
    assert (pause["kind"], pause["name"], pause["reason"]) == ("country", "GB", "tests")
    assert pause["until"] == pause["since"] + 60_000
    assert done(client, "resume", kind="country", name="GB")["result"] == "done"
    assert client.get("/operator/v1/pauses").json() == {"pauses": []}
    for what in (BRITISH, "+8835"):
        assert done(client, "block", to=what)["result"] == "done"
    answer = client.get("/operator/v1/blocks")
    assert [one["name"] for one in answer.json()["blocks"]] == ["+8835", "+44********56"]
    assert done(client, "unblock", to=BRITISH)["result"] == "done"
    assert done(client, "unblock", to=BRITISH)["result"] == "unchanged"


def test_one_code(parts: Sendcode, service: Service) -> None:
    """A code is sent by another channel, its number shown and its verification ended; a dead one
    is refused with 409 and the reason."""
    client, sid = door(parts), delivery_of(parts, service)
    resent = done(client, "resend", sid=sid, channel="call")
    assert delivery(parts, resent["after"]["delivery"]).channel == "call"
    assert done(client, "retry", sid=sid)["result"] == "unchanged"
    shown = done(client, "reveal", sid=sid)
    assert shown["number"] == BRITISH
    assert "number" not in done(client, "reveal", sid=sid, dry_run=True)
    assert done(client, "limits/reset", number=BRITISH)["before"]["sends"] == 2
    assert done(client, "cancel", sid=sid)["after"] == {"status": "canceled"}
    answer = post(client, "resend", sid=sid, channel="sms")
    refused(answer, 409, 20409)
    assert answer.json()["details"] == {"reason": "canceled"}


def test_circuits_and_bulk(parts: Sendcode, service: Service) -> None:
    """A circuit is kept open, a bulk job runs and is shown, and can be stopped."""
    client = door(parts)
    done(client, "circuit", sender="main", channel="sms", state="open", until=60)
    assert next(c.state for c in parts.standing.circuits()) == "open"
    for n in range(3):
        delivery_of(parts, service, f"+4474001{n:05}")
    told = done(client, "bulk", verb="cancel", state="queued", country="gb", dry_run=True)
    assert (told["result"], told["after"]["total"]) == ("would", 3)
    sid = done(client, "bulk", verb="cancel", state="queued", country="gb")["target"]
    assert parts.operations.bulk.tick()
    job = client.get(f"/operator/v1/bulk/{sid}").json()
    assert (job["state"], job["done"], job["who"]) == ("done", 3, ACCOUNT)
    assert client.get("/operator/v1/bulk").json()["jobs"] == [job]
    assert done(client, f"bulk/{sid}/stop")["result"] == "unchanged"
    refused(client.get("/operator/v1/bulk/OJ" + "0" * 32), 404, 20404)


def test_bulk_of_those_named(parts: Sendcode, service: Service) -> None:
    """`requests` names deliveries in place of filters; an empty list is not all that match."""
    client = door(parts)
    sids = [delivery_of(parts, service, f"+4474001{n:05}") for n in range(3)]
    told = done(client, "bulk", verb="cancel", requests=sids[:2], dry_run=True)
    assert (told["after"]["total"], told["after"]["chosen"]) == (2, 2)
    sid = done(client, "bulk", verb="cancel", requests=sids[:2])["target"]
    assert parts.operations.bulk.tick()
    job = client.get(f"/operator/v1/bulk/{sid}").json()
    assert (job["done"], sorted(job["filters"]["sids"])) == (2, sorted(sids[:2]))
    assert [delivery(parts, one).state for one in sids] == ["canceled", "canceled", "queued"]
    assert count(parts, "verifications WHERE status = 'canceled'") == 2
    assert post(client, "bulk", verb="cancel", requests=[]).status_code == 400
    assert post(client, "bulk", verb="cancel", requests=sids, state="queued").status_code == 400


def test_the_log_names_the_key(parts: Sendcode) -> None:
    """An entry names the API key that acted and the address it came from; `before` goes on."""
    key, secret = parts.api_keys.create(ACCOUNT, "night shift", ["admin"])
    client = door(parts, key.sid, secret)
    for name in ("GB", "FR", "DE"):
        done(client, "pause", kind="country", name=name)
    entries = client.get("/operator/v1/audit?limit=2").json()["entries"]
    assert [one["target"] for one in entries] == ["country DE", "country FR"]
    assert {(one["who"], one["address"]) for one in entries} == {(key.sid, "testclient")}
    rest = client.get(f"/operator/v1/audit?before={entries[-1]['sid']}").json()["entries"]
    assert [one["target"] for one in rest] == ["country GB"]


def test_what_waits_is_discarded(parts: Sendcode, service: Service) -> None:
    """One delivery, or a queue's; one that a worker holds is refused with 409 and the reason."""
    client = door(parts)
    sids = [delivery_of(parts, service, f"+4474001{n:05}") for n in range(3)]
    assert done(client, "discard", sid=sids[0])["after"]["state"] == "failed"
    with parts.db.begin() as connection:
        connection.execute(
            text("UPDATE deliveries SET state = 'sending' WHERE sid = :sid"), {"sid": sids[1]}
        )
    answer = post(client, "discard", sid=sids[1])
    refused(answer, 409, 20409)
    assert answer.json()["details"] == {"reason": "being_sent"}
    assert done(client, "queues/discard", queue="sms", which="all")["after"]["total"] == 1
    assert [delivery(parts, sid).state for sid in sids] == ["failed", "sending", "failed"]


def test_dry_runs_change_nothing(parts: Sendcode, service: Service) -> None:
    """With dry_run every verb answers what it would do, and does nothing."""
    client, sid = door(parts), delivery_of(parts, service)
    bodies: dict[str, dict[str, Any]] = {
        "pause": {"kind": "country", "name": "GB"},
        "block": {"to": BRITISH},
        "circuit": {"sender": "main", "channel": "sms", "state": "open"},
        "limits/reset": {"number": BRITISH},
        "resend": {"sid": sid, "channel": "call"},
        "cancel": {"sid": sid},
        "reveal": {"sid": sid},
        "bulk": {"verb": "retry"},
        "discard": {"sid": sid},
        "queues/discard": {"queue": "sms", "which": "all"},
    }
    for verb, body in bodies.items():
        assert done(client, verb, dry_run=True, **body)["result"] == "would", verb
    assert (audited(parts), count(parts, "deliveries"), count(parts, "bulk_jobs")) == ([], 1, 0)
    assert parts.redis.keys("sendcode:circuit:*") == []


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("pause", {"kind": "country", "name": "GB", "reason": ""}),
        ("pause", {"kind": "planet", "name": "GB"}),
        ("pause", {"kind": "country", "name": "GB", "until": -1}),
        ("pause", {"kind": "country", "name": "GB", "dry_run": "perhaps"}),
        ("pause", {"kind": "country", "name": "GB", "untill": 5}),
        ("block", {"to": "+447400999"}),
        ("resend", {"sid": "VL" + "0" * 32, "channel": "fax"}),
        ("circuit", {"sender": "nobody", "channel": "sms", "state": "open"}),
        ("circuit", {"sender": "main", "channel": "sms", "state": "ajar"}),
        ("bulk", {"verb": "delete"}),
        ("queues/discard", {"queue": "relay", "which": "all"}),
        ("queues/discard", {"queue": "sms"}),
        ("bulk", {"verb": "resend"}),
    ],
)
def test_bad_input_changes_nothing(parts: Sendcode, verb: str, body: dict[str, Any]) -> None:
    """What cannot be used gets 400 in the envelope, without what was given, and changes nothing."""
    answer = post(door(parts), verb, **body)
    assert answer.status_code == 400, answer.text
    assert "+447400999" not in answer.text
    assert audited(parts) == []


def test_a_name_is_given_once(parts: Sendcode) -> None:
    """An operator whose name another has, in any case, is refused and not made."""
    done(door(parts), "operators", name="zoe", role="viewer")
    answer = post(door(parts), "operators", name="Zoe", role="admin")
    assert (answer.status_code, answer.json()["code"]) == (409, 20409)
    assert [one.role.value for one in parts.operators.all()] == ["viewer"]


def test_only_an_admin_acts(parts: Sendcode, service: Service) -> None:
    """A key without the scope admin may look at pauses and act on nothing."""
    key, secret = parts.api_keys.create(ACCOUNT, "dashboard", ["read", "start", "check"])
    client, sid = door(parts, key.sid, secret), delivery_of(parts, service)
    assert client.get("/operator/v1/pauses").status_code == 200
    for verb in ("reveal", "cancel", "retry"):
        refused(post(client, verb, sid=sid), 403, 20003)
    refused(client.get("/operator/v1/audit"), 403, 20003)
    assert audited(parts) == []


def test_what_is_looked_at(parts: Sendcode, service: Service) -> None:
    """Queues, circuits, failures, requests and countries read over HTTP as they stand, numbers
    masked; what matches comes page by page."""
    client = door(parts)
    sids = [delivery_of(parts, service, f"+4474001{n:05}") for n in range(3)]
    with parts.db.begin() as connection:
        connection.execute(
            text("UPDATE deliveries SET state = 'failed', error_code = '21408' WHERE sid = :sid"),
            {"sid": sids[0]},
        )
    queues = {one["name"]: one for one in looked(client, "queues")["queues"]}
    assert (queues["sms"]["waiting"], queues["sms"]["flow"]["came"]) == (3, 3)
    assert {one["state"] for one in looked(client, "circuits")["circuits"]} == {"closed"}
    (group,) = looked(client, f"failures?country=gb&service={service.sid}")["groups"]
    assert (group["code"], group["count"], bool(group["cause"])) == ("21408", 1, True)
    assert looked(client, "failures?country=FR")["groups"] == []
    page = looked(client, f"requests?country=gb&limit=2&service={service.sid}")
    assert [one["sid"] for one in page["requests"]] == sids[:0:-1]
    page = looked(client, f"requests?limit=2&before={page['next']}")
    assert [one["sid"] for one in page["requests"]] == sids[:1]
    assert page["requests"][0]["number"] == "+44********00"
    told = looked(client, f"requests/{sids[0]}")
    assert (told["deliveries"][0]["cause"], told["number"]) == (group["cause"], "+44********00")
    refused(client.get("/operator/v1/requests/VL" + "0" * 32), 404, 20404)
    parts.rollup.look()
    (place,) = looked(client, "countries")["countries"]
    assert (place["country"], place["codes"], place["failed"]) == ("GB", 3, 1)


def test_a_number_is_searched_in_a_body(parts: Sendcode, service: Service) -> None:
    """The deliveries to a number are found by it in any spelling, never in an address."""
    client = door(parts)
    sid = delivery_of(parts, service)
    delivery_of(parts, service, "+447400100001")
    found = client.post("/operator/v1/search", json={"number": "+44 7400 123456"})
    assert [one["sid"] for one in found.json()["requests"]] == [sid]
    refused(client.get("/operator/v1/requests?number=%2B447400123456"), 400, 20001)
    refused(client.post("/operator/v1/search", json={"number": "soon"}), 400, 60200)


@pytest.mark.parametrize(
    "asked",
    [
        *("requests?limit=0", "requests?limit=1001", "requests?before=VL1", "requests?state=lost"),
        *("requests?service=VA1", "requests?within=0", "requests?within=100000000"),
        *("failures?who=x", "failures?within=0", "failures?country=x"),
        *("failures?sender=7400123456", "requests?error_code=7400123456"),
        *("countries?minutes=0", "prefixes?within=0", "prefixes?country=XX"),
    ],
)
def test_a_look_refuses_what_it_does_not_know(parts: Sendcode, asked: str) -> None:
    """A bound passed over and a filter that does not exist are told, not left out."""
    assert door(parts).get(f"/operator/v1/{asked}").status_code == 400


def looked(client: Any, path: str) -> Any:
    answer = client.get(f"/operator/v1/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()
