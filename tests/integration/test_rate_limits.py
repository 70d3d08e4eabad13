"""Rate limits of a service's own, over HTTP and a real Valkey, on both databases."""

import json
from typing import Any

import pytest
from sqlalchemy import delete, select

from tests.helpers import at_once, code_of, count
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.integration.doors import MEGABYTE, door, refused, walked
from worker.models import requests
from worker.ratelimits import MAX_BUCKETS, MAX_LIMITS
from worker.services import Service
from worker.wiring import Sendcode

OTHER = "AC" + "b" * 32
ZEROS = "0" * 32


def path(service: Service) -> str:
    return f"/v2/Services/{service.sid}/RateLimits"


def limit(parts: Sendcode, service: Service, name: str, *buckets: tuple[int, int]) -> str:
    """A limit with buckets of (max, interval); its sid."""
    client = door(parts)
    made = client.post(path(service), data={"UniqueName": name})
    assert made.status_code == 201, made.text
    sid = str(made.json()["sid"])
    for most, seconds in buckets:
        form = {"Max": most, "Interval": seconds}
        assert client.post(f"{path(service)}/{sid}/Buckets", data=form).status_code == 201
    return sid


def start(parts: Sendcode, service: Service, number: int = 0, **values: Any) -> Any:
    """Start for the n-th number, with values to count it under."""
    form = {"To": f"+4474001234{number:02d}", "Channel": "sms"}
    if values:
        form["RateLimits"] = json.dumps(values)
    return door(parts).post(f"/v2/Services/{service.sid}/Verifications", data=form)


def test_a_full_bucket_refuses(parts: Sendcode, service: Service) -> None:
    """A value's bucket holds over all numbers: when it is full a start gets 429 and 20429, and
    another value passes.
    """
    limit(parts, service, "ip", (2, 60))
    for number in range(2):
        assert start(parts, service, number, ip="1.2.3.4").status_code == 201
    full = start(parts, service, 2, ip="1.2.3.4")
    refused(full, 429, 20429)
    assert 0 < int(full.headers["Retry-After"]) <= 60
    assert full.json()["details"]["rate_limit"] == "ip"
    assert "1.2.3.4" not in full.text
    assert start(parts, service, 2, ip="1.2.3.5").status_code == 201
    assert start(parts, service, 3).status_code == 201
    assert count(parts, "verifications") == 4


@pytest.mark.kills("same-request-under-another-limit")
def test_a_request_counted_under_another_value_is_another(
    parts: Sendcode, service: Service
) -> None:
    """An Idempotency-Key holds for the values that came with it, in any order, and the digest of
    a request that brought none is the one that older versions wrote."""
    for name in ("ip", "session"):
        limit(parts, service, name, (9, 60))
    url, client = f"/v2/Services/{service.sid}/Verifications", door(parts)

    def ask(key: str, **values: str) -> Any:
        form = {"To": NUMBER, "Channel": "sms"}
        if values:
            form["RateLimits"] = json.dumps(values)
        return client.post(url, data=form, headers={"Idempotency-Key": key})

    made = ask("one", ip="a", session="b")
    assert made.status_code == 201, made.text
    assert ask("one", session="b", ip="a").json() == made.json()
    for other in ({"ip": "a"}, {"ip": "a", "session": "c"}, {"ip": "b", "session": "a"}, {}):
        refused(ask("one", **other), 422, 20422)
    with parts.db.begin() as connection:
        connection.execute(delete(requests))
    assert ask("two").status_code == 201
    older = "\0".join(("request", service.sid, NUMBER, "sms", "", "", ""))
    with parts.db.statement() as connection:
        written = connection.execute(select(requests.c.fingerprint)).scalar_one()
    assert written == parts.keyring.number_index(older)


def test_every_bucket_of_every_limit_holds(parts: Sendcode, service: Service) -> None:
    """Several buckets are several windows and several limits are all asked: the fullest decides,
    and a start that one refuses is counted by none.
    """
    limit(parts, service, "ip", (5, 60), (1, 3600))
    limit(parts, service, "user", (3, 60))
    assert start(parts, service, 0, ip="a", user="u").status_code == 201
    for _ in range(3):
        waits = start(parts, service, 1, ip="a", user="u")
        refused(waits, 429, 20429)
        assert int(waits.headers["Retry-After"]) > 60
    for number in (2, 3):
        assert start(parts, service, number, ip=f"b{number}", user="u").status_code == 201
    refused(start(parts, service, 4, ip="c", user="u"), 429, 20429)
    assert start(parts, service, 4, ip="c", user="v").status_code == 201


def test_a_send_limit_of_the_number_leaves_the_buckets(parts: Sendcode, service: Service) -> None:
    """A start that the number's own limit refuses takes nothing from a bucket."""
    limit(parts, service, "ip", (6, 600))
    for _ in range(5):
        assert start(parts, service, 0, ip="a").status_code == 201
    for _ in range(3):
        refused(start(parts, service, 0, ip="a"), 429, 60203)
    assert start(parts, service, 1, ip="a").status_code == 201
    refused(start(parts, service, 2, ip="a"), 429, 20429)


def test_no_more_pass_at_once_than_in_a_row(parts: Sendcode, service: Service) -> None:
    """Of twenty starts at the same moment as many pass as the bucket holds."""
    limit(parts, service, "ip", (7, 60))
    answers = at_once(20, lambda n: start(parts, service, n, ip="a"))
    assert sorted(answer.status_code for answer in answers) == [201] * 7 + [429] * 13
    assert count(parts, "deliveries") == 7


def test_an_approval_does_not_empty_a_bucket(parts: Sendcode, service: Service) -> None:
    """Unlike the number's sends, what a bucket counted stays counted after an approval."""
    limit(parts, service, "ip", (1, 60))
    sid = start(parts, service, 0, ip="a").json()["sid"]
    form = {"VerificationSid": sid, "Code": code_of(parts, sid)}
    url = f"/v2/Services/{service.sid}/VerificationCheck"
    assert door(parts).post(url, data=form).json()["status"] == "approved"
    refused(start(parts, service, 0, ip="a"), 429, 20429)


def test_values_are_not_in_redis(parts: Sendcode, service: Service) -> None:
    """Neither keys nor contents of the broker hold a value that a start was counted under."""
    limit(parts, service, "ip", (1, 60))
    start(parts, service, 0, ip="canary-203.0.113.9")
    found = b"".join(parts.redis.scan_iter("*", 1000))
    assert b"sendcode:limit:rate_limit.ip:" in found
    for key in parts.redis.scan_iter("sendcode:limit:*", 1000):
        found += key + b"".join(parts.redis.lrange(key, 0, -1))
    assert b"canary" not in found
    assert b"203.0.113.9" not in found


def test_services_do_not_share(parts: Sendcode, service: Service) -> None:
    """The same name and value in two services are two buckets; a name is its service's."""
    other = parts.services.create(ACCOUNT, "Other")
    for one in (service, other):
        limit(parts, one, "ip", (1, 60))
        assert start(parts, one, 0, ip="a").status_code == 201
    limit(parts, other, "only-there", (1, 60))
    refused(start(parts, service, 1, **{"only-there": "a"}), 400, 60200)


def test_a_limit_without_buckets_limits_nothing(parts: Sendcode, service: Service) -> None:
    """A name that has no bucket yet is known, and lets everything pass."""
    limit(parts, service, "ip")
    assert [start(parts, service, n, ip="a").status_code for n in range(3)] == [201] * 3


def test_bad_values(parts: Sendcode, service: Service) -> None:
    """Unknown names, other types, and what is no JSON object get 60200, and nothing is started."""
    limit(parts, service, "ip", (1, 60))
    url = f"/v2/Services/{service.sid}/Verifications"
    form = {"To": NUMBER, "Channel": "sms"}
    for bad in (
        *("x", "[]", "null", '"ip"', '{"ip": 5}', '{"ip": ""}', '{"ip": null}', '{"ip": ["a"]}'),
        *('{"nothing": "a"}', '{"ip": "a", "nothing": "b"}', '{"ip": "a\\u0000"}', "{" * 3000),
        *(json.dumps({"ip": "x" * 257}), json.dumps({f"n{n}": "a" for n in range(60)})),
        '{"ip": "\\ud800"}',
    ):
        refused(door(parts).post(url, data=form | {"RateLimits": bad}), 400, 60200)
    given = form | {"RateLimits": ['{"ip": "a"}', '{"ip": "a"}']}
    refused(door(parts).post(url, data=given), 400, 60200)
    assert count(parts, "verifications") == 0
    assert start(parts, service, 0, ip="a").status_code == 201


# The resources


def test_rate_limits(parts: Sendcode, service: Service) -> None:
    """A limit is created once by name, listed in pages and removed with its buckets. A description
    that is given takes the place of the old one, and an empty one takes it away.
    """
    client, url = door(parts), path(service)
    made = client.post(url, data={"UniqueName": "end_user-ip.v1", "Description": "Mine"})
    assert made.status_code == 201
    body = made.json()
    assert set(body) == {
        *("sid", "service_sid", "account_sid", "unique_name", "description"),
        *("date_created", "date_updated", "url", "links"),
    }
    assert body["links"] == {"buckets": f"https://codes.example.com{url}/{body['sid']}/Buckets"}
    refused(client.post(url, data={"UniqueName": "end_user-ip.v1"}), 400, 60208)
    changed = client.post(f"{url}/{body['sid']}", data={"Description": "Ours"}).json()
    assert (changed["description"], changed["unique_name"]) == ("Ours", "end_user-ip.v1")
    assert client.get(f"{url}/{body['sid']}").json() == changed
    assert client.post(f"{url}/{body['sid']}").json()["description"] == "Ours"
    emptied = client.post(f"{url}/{body['sid']}", data={"Description": ""}).json()
    assert emptied["description"] is None
    for n in range(4):
        limit(parts, service, f"n{n}", (1, 60))
    names = [one["unique_name"] for one in walked(client, url, "rate_limits", PageSize=2)]
    assert names == ["end_user-ip.v1", "n0", "n1", "n2", "n3"]
    first = client.get(url).json()["rate_limits"][1]["sid"]
    assert client.delete(f"{url}/{first}").status_code == 204
    refused(client.get(f"{url}/{first}"), 404, 20404)
    assert count(parts, "buckets") == 3


def test_buckets(parts: Sendcode, service: Service) -> None:
    """A bucket is created once by its interval, changed, listed in pages and removed."""
    client = door(parts)
    url = f"{path(service)}/{limit(parts, service, 'ip')}/Buckets"
    made = client.post(url, data={"Max": 5, "Interval": 60})
    body = made.json()
    assert set(body) == {
        *("sid", "rate_limit_sid", "service_sid", "account_sid", "max", "interval"),
        *("date_created", "date_updated", "url"),
    }
    assert (body["max"], body["interval"]) == (5, 60)
    assert body["url"] == f"https://codes.example.com{url}/{body['sid']}"
    refused(client.post(url, data={"Max": 9, "Interval": 60}), 400, 60211)
    other = client.post(url, data={"Max": 9, "Interval": 61}).json()
    refused(client.post(f"{url}/{other['sid']}", data={"Interval": 60}), 400, 60211)
    changed = client.post(f"{url}/{other['sid']}", data={"Max": 8, "Interval": 61}).json()
    assert (changed["max"], changed["interval"]) == (8, 61)
    client.post(url, data={"Max": 1, "Interval": 62})
    found = walked(client, url, "buckets", PageSize=2)
    assert [one["interval"] for one in found] == [60, 61, 62]
    assert client.delete(f"{url}/{body['sid']}").status_code == 204
    refused(client.get(f"{url}/{body['sid']}"), 404, 20404)
    refused(client.delete(f"{url}/{body['sid']}"), 404, 20404)


def test_a_changed_bucket_holds_at_once(parts: Sendcode, service: Service) -> None:
    """A start is counted by the bucket as it is, not as it was."""
    client, sid = door(parts), limit(parts, service, "ip", (1, 60))
    assert start(parts, service, 0, ip="a").status_code == 201
    refused(start(parts, service, 1, ip="a"), 429, 20429)
    url = f"{path(service)}/{sid}/Buckets"
    bucket = client.get(url).json()["buckets"][0]["sid"]
    client.post(f"{url}/{bucket}", data={"Max": 2})
    assert start(parts, service, 1, ip="a").status_code == 201
    refused(start(parts, service, 2, ip="a"), 429, 20429)
    client.delete(f"{url}/{bucket}")
    assert start(parts, service, 2, ip="a").status_code == 201


def test_there_is_an_end_to_limits_and_buckets(parts: Sendcode, service: Service) -> None:
    """A service has only so many limits (60207), and a limit so many buckets (60210)."""
    client = door(parts)
    sid = limit(parts, service, "n0", *((1, n) for n in range(1, MAX_BUCKETS + 1)))
    url = f"{path(service)}/{sid}/Buckets"
    refused(client.post(url, data={"Max": 1, "Interval": 99}), 400, 60210)
    for n in range(1, MAX_LIMITS):
        parts.ratelimits.create(ACCOUNT, service.sid, f"n{n}", None)
    refused(client.post(path(service), data={"UniqueName": "more"}), 400, 60207)


def test_bad_limits_and_buckets(parts: Sendcode, service: Service) -> None:
    """Names, numbers and parameters that cannot be used are refused and not written."""
    client, url = door(parts), path(service)
    sid = limit(parts, service, "ip", (1, 60))
    before = count(parts, "rate_limits"), count(parts, "buckets")
    for name in ("a b", "x" * 65, "ip\r\n", "é", "a/b", "ip;"):
        refused(client.post(url, data={"UniqueName": name}), 400, 60209)
    for form in ({"UniqueName": ""}, {"UniqueName": "a\x00"}, {"Description": "x"}):
        refused(client.post(url, data=form), 400, 60200)
    refused(client.post(url, data={"UniqueName": "a", "Description": "x\r\ny"}), 400, 60200)
    refused(client.post(url, data={"UniqueName": ["a", "b"]}), 400, 60200)
    refused(client.post(url, json={"UniqueName": 5}), 400, 60200)
    refused(client.post(url, data={"UniqueName": "a", "Sid": sid}), 400, 20001)
    refused(client.post(f"{url}/{sid}", data={"UniqueName": "a"}), 400, 20001)
    buckets = f"{url}/{sid}/Buckets"
    for form in (
        *({"Max": "1"}, {"Interval": "1"}, {"Max": "0", "Interval": "1"}),
        *({"Max": "1", "Interval": "0"}, {"Max": "-1", "Interval": "1"}),
        *({"Max": "1.5", "Interval": "1"}, {"Max": "10001", "Interval": "1"}),
        *({"Max": "1", "Interval": "2592001"}, {"Max": "９", "Interval": "1"}),
        {"Max": ["1", "2"], "Interval": "1"},
    ):
        refused(client.post(buckets, data=form), 400, 60200)
    refused(client.post(buckets, data={"Max": 1, "Interval": 1, "X": 1}), 400, 20001)
    refused(client.post(buckets, data={"Pad": "x" * MEGABYTE}), 413, 20001)
    bucket = client.get(buckets).json()["buckets"][0]["sid"]
    refused(client.post(f"{buckets}/{bucket}", data={"Max": "0"}), 400, 60200)
    assert (count(parts, "rate_limits"), count(parts, "buckets")) == before


def test_other_accounts_and_other_sids(parts: Sendcode, service: Service) -> None:
    """What belongs to another account, service or limit is not there, nor is a sid of another
    kind.
    """
    client = door(parts)
    theirs = parts.services.create(OTHER, "Theirs").sid
    foreign = parts.ratelimits.create(OTHER, theirs, "ip", None).sid
    bucket = parts.ratelimits.add_bucket(OTHER, theirs, foreign, most=1, seconds=1).sid
    own = limit(parts, service, "ip", (1, 60))
    base = path(service)
    form = {"Max": 1, "Interval": 5}
    for url in (
        *(f"/v2/Services/{theirs}/RateLimits", f"/v2/Services/VA{ZEROS}/RateLimits"),
        *(f"{base}/{foreign}/Buckets", f"{base}/RK{ZEROS}/Buckets", f"{base}/{bucket}/Buckets"),
        f"/v2/Services/{theirs}/RateLimits/{foreign}/Buckets",
    ):
        refused(client.get(url), 404, 20404)
        given = form if url.endswith("Buckets") else {"UniqueName": "a"}
        refused(client.post(url, data=given), 404, 20404)
    for url in (
        *(f"{base}/{foreign}", f"{base}/{service.sid}", f"{base}/{own}/Buckets/{bucket}"),
        *(f"{base}/{foreign}/Buckets/{bucket}", f"{base}/{own}/Buckets/{own}"),
    ):
        for method in ("GET", "POST", "DELETE"):
            refused(client.request(method, url), 404, 20404)
    assert parts.ratelimits.bucket(OTHER, theirs, foreign, bucket).most == 1
