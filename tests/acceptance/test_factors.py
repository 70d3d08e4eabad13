"""Authenticator apps and backup codes over HTTP: the twilio SDK as it is, and our own routes."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote

import pytest
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.rest import Client

from tests.acceptance.authenticator import App, new_identity, read_picture
from tests.acceptance.running import Up
from tests.acceptance.test_bad_input import refused
from tests.acceptance.test_sdk import PAGE_KEYS
from tests.helpers import at_once

OWNER = {"account_sid", "service_sid", "entity_sid", "identity"}
DATES = {"date_created", "date_updated"}
ENTITY_KEYS = {"sid", "identity", "account_sid", "service_sid", *DATES, "url", "links"}
FACTOR_KEYS = {
    *("sid", *OWNER, *DATES, "friendly_name", "status", "factor_type", "config", "metadata", "url"),
}
CHALLENGE_KEYS = {
    *("sid", *OWNER, *DATES, "factor_sid", "date_responded", "expiration_date", "status"),
    *("responded_reason", "details", "hidden_details", "metadata", "factor_type", "url", "links"),
}
BACKUP_KEYS = {*OWNER, "remaining", "date_created", "url", "links"}


@pytest.fixture
def client(up: Up) -> Client:
    client = Client(*up.credentials)
    client.verify.base_url = up.url
    return client


@pytest.fixture
def service(client: Client) -> Any:
    """A service whose apps show a code for a minute, two steps early and late."""
    settings = {"totp_issuer": "Shop & Co", "totp_time_step": 60, "totp_skew": 2}
    made = client.verify.v2.services.create(friendly_name="Example", **settings)
    return client.verify.v2.services(made.sid)


@pytest.fixture
def entity(service: Any) -> Any:
    return service.entities(new_identity())


def enrol(entity: Any, **config: Any) -> tuple[Any, App]:
    """An unverified factor and its app."""
    made = entity.new_factors.create(friendly_name="Ann’s phone", factor_type="totp", **config)
    return made, App(made.binding["uri"])


def verified(entity: Any) -> tuple[str, App]:
    """A factor that was verified by its oldest code, so that four are left."""
    made, app = enrol(entity)
    assert entity.factors(made.sid).update(auth_payload=app.code(-2)).status == "verified"
    return made.sid, app


def refusal(work: Callable[[], object]) -> tuple[int, int]:
    with pytest.raises(TwilioRestException) as caught:
        work()
    return caught.value.status, caught.value.code


def url(up: Up, entity: Any) -> str:
    found = entity.fetch().url
    assert found.startswith(f"{up.url}/v2/Services/VA")
    return str(found)


# The SDK


def test_enrol_and_log_in(entity: Any) -> None:
    """The SDK enrols an app, a wrong code leaves it unverified, the right one verifies it, and a
    challenge is approved by the next code, once."""
    made, app = enrol(entity)
    assert (made.status, made.factor_type, made.options) == ("unverified", "totp", None)
    assert made.config == {"alg": "sha1", "skew": 2, "code_length": 6, "time_step": 60}
    factor = entity.factors(made.sid)
    assert factor.update(auth_payload=app.wrong()).status == "unverified"
    assert factor.update(auth_payload=app.code(-1)).status == "verified"
    challenge = entity.challenges.create(factor_sid=made.sid)
    assert (challenge.status, challenge.date_responded) == ("pending", None)
    assert entity.challenges(challenge.sid).update(auth_payload=app.wrong()).status == "pending"
    answered = entity.challenges(challenge.sid).update(auth_payload=app.code())
    assert (answered.status, answered.responded_reason) == ("approved", "none")
    assert isinstance(answered.date_responded, datetime)
    at_once_wrong = entity.challenges.create(factor_sid=made.sid, auth_payload=app.code())
    assert at_once_wrong.status == "pending", "the code was used"
    at_once_right = entity.challenges.create(factor_sid=made.sid, auth_payload=app.code(1))
    assert at_once_right.status == "approved"


def test_the_uri_is_the_services(entity: Any) -> None:
    """Issuer and step in the URI are the service's, the account is the factor's name."""
    made, app = enrol(entity)
    assert made.binding["uri"] == (
        "otpauth://totp/Shop%20%26%20Co:Ann%E2%80%99s%20phone"
        f"?secret={made.binding['secret']}&issuer=Shop%20%26%20Co"
        "&algorithm=SHA1&digits=6&period=60"
    )
    assert (app.totp.issuer, app.totp.name) == ("Shop & Co", "Ann’s phone")
    assert len(app.totp.byte_secret()) == 20


def test_a_factors_own_settings(entity: Any) -> None:
    """A factor may have its own secret, algorithm, length and skew, and takes its codes."""
    config = {"config_alg": "sha512", "config_code_length": 8, "config_skew": 0}
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    made, app = enrol(entity, binding_secret=secret, metadata={"os": "Android"}, **config)
    assert made.binding["secret"] == secret
    assert made.config == {"alg": "sha512", "skew": 0, "code_length": 8, "time_step": 60}
    assert made.metadata == {"os": "Android"}
    factor = entity.factors(made.sid)
    assert factor.update(auth_payload=app.code(-1)).status == "unverified"
    assert factor.update(auth_payload=app.code()).status == "verified"
    assert factor.update(friendly_name="Tablet").friendly_name == "Tablet"


def test_entities(service: Any) -> None:
    """The SDK creates, fetches, lists and deletes entities; the second creation gets 60301."""
    names = [new_identity() for _ in range(3)]
    made = [service.entities.create(identity=name) for name in names]
    assert [one.identity for one in made] == names
    assert refusal(lambda: service.entities.create(identity=names[0])) == (409, 60301)
    assert service.entities(names[1]).fetch().sid == made[1].sid
    listed = [one.identity for one in service.entities.list(page_size=2)]
    assert listed == names
    assert service.entities(names[1]).delete()
    assert refusal(service.entities(names[1]).fetch) == (404, 20404)
    assert refusal(service.entities(names[1]).delete) == (404, 20404)


def test_factors_are_listed_and_deleted(entity: Any) -> None:
    """A factor makes its entity; lists have pages, and no secret; a deleted factor is gone."""
    made = [enrol(entity)[0].sid for _ in range(3)]
    assert [one.sid for one in entity.factors.list(page_size=1)] == made
    assert entity.factors(made[0]).fetch().status == "unverified"
    assert entity.factors(made[0]).delete()
    assert refusal(entity.factors(made[0]).fetch) == (404, 20404)
    assert [one.sid for one in entity.factors.list()] == made[1:]


def test_challenges_are_listed(entity: Any) -> None:
    """Pages keep their filters, and the order is as asked."""
    sid, app = verified(entity)
    other, _ = verified(entity)
    made = [entity.challenges.create(factor_sid=sid).sid for _ in range(3)]
    made.append(entity.challenges.create(factor_sid=sid, auth_payload=app.code()).sid)
    entity.challenges.create(factor_sid=other)
    ours = {"factor_sid": sid, "page_size": 2}
    assert [one.sid for one in entity.challenges.list(**ours)] == made
    assert [one.sid for one in entity.challenges.list(**ours, order="desc")] == made[::-1]
    assert [one.sid for one in entity.challenges.list(**ours, status="pending")] == made[:3]
    assert [one.sid for one in entity.challenges.list(status="approved")] == made[3:]
    assert entity.challenges.list(status="denied") == []
    assert entity.challenges(made[0]).fetch().sid == made[0]


def test_what_a_challenge_is_about(entity: Any) -> None:
    """Details, hidden details, metadata and end of a challenge come back as they were given."""
    sid, _ = verified(entity)
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=30)
    fields = [{"label": "Action", "value": "Sign in"}, {"label": "City", "value": "Oslo"}]
    made = entity.challenges.create(
        factor_sid=sid,
        expiration_date=ends,
        details_message="Is it you?",
        details_fields=fields,
        hidden_details={"ip": "192.0.2.1"},
    )
    assert made.expiration_date == ends
    assert (made.details["message"], made.details["fields"]) == ("Is it you?", fields)
    assert made.hidden_details == {"ip": "192.0.2.1"}
    changed = entity.challenges(made.sid).update(metadata={"os": "Android"})
    assert (changed.metadata, changed.status) == ({"os": "Android"}, "pending")


def test_refusals(service: Any, entity: Any) -> None:
    """Unverified, used up, answered, not enabled and not found have Twilio's codes."""
    made, app = enrol(entity)
    create = entity.challenges.create
    assert refusal(lambda: create(factor_sid=made.sid)) == (403, 60318)
    for _ in range(5):
        entity.factors(made.sid).update(auth_payload=app.wrong())
    spent = entity.factors(made.sid)
    assert refusal(lambda: spent.update(auth_payload=app.code())) == (429, 60310)
    sid, app = verified(entity)
    again = entity.factors(sid)
    assert refusal(lambda: again.update(auth_payload=app.code())) == (400, 60300)
    assert refusal(lambda: again.update(config_code_length=8)) == (400, 60300)
    challenge = create(factor_sid=sid)
    for _ in range(5):
        entity.challenges(challenge.sid).update(auth_payload=app.wrong())
    answer = entity.challenges(challenge.sid).update
    assert refusal(lambda: answer(auth_payload=app.code())) == (429, 60308)
    done = create(factor_sid=sid, auth_payload=app.code())
    assert done.status == "approved"
    answer = entity.challenges(done.sid).update
    assert refusal(lambda: answer(auth_payload=app.code(1))) == (403, 60322)
    make = entity.new_factors.create
    for kind in ("push", "passkeys"):
        assert refusal(lambda k=kind: make(friendly_name="x", factor_type=k)) == (403, 60204)
    copy = {"friendly_name": "Copy", "factor_type": "totp", "binding_secret": app.totp.secret}
    assert refusal(lambda: entity.new_factors.create(**copy)) == (409, 60317)
    short = copy | {"binding_secret": "GEZDGNBVGY3TQOJQ"}
    assert refusal(lambda: entity.new_factors.create(**short)) == (400, 60314)
    stranger = service.entities(new_identity())
    assert refusal(stranger.fetch) == (404, 20404)
    with pytest.raises(TwilioException, match="20404"):
        stranger.factors.list()
    assert refusal(lambda: stranger.challenges.create(factor_sid=sid)) == (404, 20404)


def test_a_right_code_is_accepted_once(up: Up, entity: Any) -> None:
    """Of twenty challenges answered at once over HTTP with one right code one is approved."""
    sid, app = verified(entity)
    form = {"FactorSid": sid, "AuthPayload": app.code()}
    where = f"{url(up, entity)}/Challenges"
    answers = at_once(20, lambda _: up.http.post(where, data=form))
    assert {answer.status_code for answer in answers} == {201}
    statuses = [answer.json()["status"] for answer in answers]
    assert (statuses.count("approved"), statuses.count("pending")) == (1, 19)


# The bodies


def test_the_bodies_have_every_key_and_no_other(up: Up, entity: Any) -> None:
    """Entity, factor, challenge and their lists have exactly the keys of Twilio's reference, and
    only the answer that makes a factor has its secret."""
    sid, app = verified(entity)
    where = url(up, entity)
    form = {"FriendlyName": "Phone", "FactorType": "totp"}
    made = up.http.post(f"{where}/Factors", data=form)
    assert set(made.json()) == {*FACTOR_KEYS, "binding", "options"}
    assert set(made.json()["binding"]) == {"secret", "uri"}
    assert made.headers["cache-control"] == "no-store"
    fetched = up.http.get(f"{where}/Factors/{sid}")
    assert set(fetched.json()) == FACTOR_KEYS
    assert fetched.json()["url"] == f"{where}/Factors/{sid}"
    found = up.http.get(where).json()
    assert set(found) == ENTITY_KEYS
    assert found["links"] == {
        "factors": f"{where}/Factors",
        "new_factors": f"{where}/Factors",
        "challenges": f"{where}/Challenges",
    }
    form = {"FactorSid": sid, "AuthPayload": app.code()}
    challenge = up.http.post(f"{where}/Challenges", data=form).json()
    assert set(challenge) == CHALLENGE_KEYS
    assert challenge["links"] == {"notifications": f"{challenge['url']}/Notifications"}
    assert set(up.http.get(challenge["url"]).json()) == CHALLENGE_KEYS
    service = where.partition("/Entities")[0]
    for key, keys, path in (
        ("entities", ENTITY_KEYS, f"{service}/Entities"),
        ("factors", FACTOR_KEYS, f"{where}/Factors"),
        ("challenges", CHALLENGE_KEYS, f"{where}/Challenges"),
    ):
        listed = up.http.get(path, params={"PageSize": 1}).json()
        assert set(listed) == {key, "meta"}
        assert set(listed["meta"]) == PAGE_KEYS
        assert listed["meta"]["key"] == key
        assert [set(one) for one in listed[key]] == [keys]


# QR codes


@pytest.mark.parametrize(("kind", "media"), [("png", "image/png"), ("svg", "image/svg+xml")])
def test_a_phone_reads_the_qr_code(up: Up, entity: Any, kind: str, media: str) -> None:
    """The picture is drawn here, says the URI, is not to be stored, and is gone once the factor is
    verified."""
    made, app = enrol(entity)
    path = f"{url(up, entity)}/Factors/{made.sid}/QrCode.{kind}"
    answer = up.http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, media)
    assert answer.headers["cache-control"] == "no-store"
    assert read_picture(answer.content) == [made.binding["uri"]]
    entity.factors(made.sid).update(auth_payload=app.code())
    refused(up.http.get(path), 410, 20410)
    assert made.binding["secret"] not in up.http.get(path).text


def test_the_longest_uri_is_drawn(up: Up, client: Client) -> None:
    """Names of 64 characters that take four bytes each, and the longest secret, fit a QR code."""
    issuer, name = "𝔘" * 64, "𝔙" * 64
    made = client.verify.v2.services.create(friendly_name="Long", totp_issuer=issuer)
    entity = client.verify.v2.services(made.sid).entities(new_identity())
    long = {"friendly_name": name, "factor_type": "totp", "binding_secret": "A" * 204}
    factor = entity.new_factors.create(**long, config_alg="sha512")
    assert unquote(factor.binding["uri"]).startswith(f"otpauth://totp/{issuer}:{name}?")
    path = f"{url(up, entity)}/Factors/{factor.sid}/QrCode.png"
    assert read_picture(up.http.get(path).content) == [factor.binding["uri"]]


# Backup codes


def test_backup_codes(up: Up, service: Any) -> None:
    """Ten codes are shown once, each passes once, and the last says that new ones are due."""
    where = f"{up.url}/v2/Services/{service.fetch().sid}/Entities/{new_identity()}/BackupCodes"
    refused(up.http.get(where), 404, 20404)
    made = up.http.post(where)
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    assert set(made.json()) == {*BACKUP_KEYS, "codes"}
    codes = made.json()["codes"]
    assert (len(set(codes)), made.json()["remaining"]) == (10, 10)
    counted = up.http.get(where)
    assert set(counted.json()) == BACKUP_KEYS
    assert not any(code in counted.text for code in codes)
    for left, code in zip(range(9, -1, -1), codes, strict=True):
        answer = up.http.post(f"{where}/Check", data={"Code": code.lower()}).json()
        assert set(answer) == {*BACKUP_KEYS, "status", "valid", "replacement_required"}
        assert (answer["status"], answer["valid"], answer["remaining"]) == ("approved", True, left)
        assert answer["replacement_required"] == (left == 0)
    again = up.http.post(f"{where}/Check", data={"Code": codes[0]}).json()
    assert (again["status"], again["valid"]) == ("pending", False)


def test_backup_codes_are_throttled(up: Up, service: Any) -> None:
    """The sixth wrong code of an hour, and a right one then, get 429 and say when to come back."""
    where = f"{up.url}/v2/Services/{service.fetch().sid}/Entities/{new_identity()}/BackupCodes"
    codes = up.http.post(where).json()["codes"]
    answers = at_once(12, lambda _: up.http.post(f"{where}/Check", data={"Code": "0" * 16}))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [429] * 7
    answer = up.http.post(f"{where}/Check", data={"Code": codes[0]})
    refused(answer, 429, 60202)
    assert 3500 < int(answer.headers["Retry-After"]) <= 3600


# Bad input

TOTP = {"FriendlyName": "Phone", "FactorType": "totp"}
BAD_FACTORS = {
    "no name": ({"FactorType": "totp"}, 400, 60300),
    "long name": (TOTP | {"FriendlyName": "x" * 65}, 400, 60300),
    "colon in the name": (TOTP | {"FriendlyName": "a:b"}, 400, 60300),
    "NUL in the name": (TOTP | {"FriendlyName": "a\x00b"}, 400, 60300),
    "lines in the name": (TOTP | {"FriendlyName": "a\r\nb"}, 400, 60300),
    "no type": ({"FriendlyName": "Phone"}, 400, 60300),
    "unknown type": (TOTP | {"FactorType": "sms"}, 400, 60300),
    "push": (TOTP | {"FactorType": "push"}, 403, 60204),
    "passkeys": (TOTP | {"FactorType": "passkeys"}, 403, 60204),
    "length 2": (TOTP | {"Config.CodeLength": "2"}, 400, 60300),
    "length 9": (TOTP | {"Config.CodeLength": "9"}, 400, 60300),
    "length in words": (TOTP | {"Config.CodeLength": "six"}, 400, 60300),
    "step 19": (TOTP | {"Config.TimeStep": "19"}, 400, 60300),
    "step 61": (TOTP | {"Config.TimeStep": "61"}, 400, 60300),
    "skew 3": (TOTP | {"Config.Skew": "3"}, 400, 60300),
    "skew -1": (TOTP | {"Config.Skew": "-1"}, 400, 60300),
    "algorithm": (TOTP | {"Config.Alg": "md5"}, 400, 60300),
    "secret that is none": (TOTP | {"Binding.Secret": "not base32!"}, 400, 60314),
    "short secret": (TOTP | {"Binding.Secret": "A" * 16}, 400, 60314),
    "metadata that is none": (TOTP | {"Metadata": "x"}, 400, 60300),
    "metadata of numbers": (TOTP | {"Metadata": '{"a": 1}'}, 400, 60300),
    "long metadata": (TOTP | {"Metadata": json.dumps({"a": "x" * 1020})}, 400, 60300),
    "NUL in metadata": (TOTP | {"Metadata": r'{"a": "\u0000"}'}, 400, 60300),
    "half a character in metadata": (TOTP | {"Metadata": r'{"a": "\ud800"}'}, 400, 60300),
}
BAD_TYPES = {
    "number for a name": {"FriendlyName": 1},
    "list for a name": {"FriendlyName": ["Phone"]},
    "object for a secret": {"Binding.Secret": {"a": 1}},
    "true for a length": {"Config.CodeLength": True},
    "fraction for a step": {"Config.TimeStep": 30.5},
    "object for metadata": {"Metadata": {"a": "b"}},
}
BAD_IDENTITIES = [
    *("short", "x" * 65, "user_0001", "user 0001", "üser-0001", "user.0001", "a\x00bcdefg"),
]
BAD_CODES = ["12", "123456789", "１２３４５６", "¹23456", "123 456", "123456\n", "12345a", "-12345"]


def footprint(up: Up) -> dict[str, int]:
    tables = ("entities", "factors", "challenges", "backup_sets", "backup_codes")
    sizes = {name: up.rows(f"SELECT count(*) AS n FROM {name}")[0]["n"] for name in tables}
    for table in ("factors", "challenges", "backup_sets"):
        tries = up.rows(f"SELECT coalesce(sum(tries), 0) AS n FROM {table}")
        sizes[f"{table} tries"] = int(tries[0]["n"])
    return sizes


def test_bad_factors(up: Up, service: Any) -> None:
    """A value that cannot be used is refused with Twilio's code, and no entity is made either."""
    where = f"{up.url}/v2/Services/{service.fetch().sid}/Entities/{new_identity()}/Factors"
    before = footprint(up)
    for form, status, code in BAD_FACTORS.values():
        refused(up.http.post(where, data=form), status, code)
        refused(up.http.post(where, json=form), status, code)
    for values in BAD_TYPES.values():
        answer = up.http.post(where, json=TOTP | values)
        refused(answer, 400, 60300)
    twice = "FriendlyName=a&FriendlyName=b&FactorType=totp"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    refused(up.http.post(where, content=twice, headers=kind), 400, 60200)
    assert footprint(up) == before


def test_bad_identities(up: Up, service: Any) -> None:
    """What is not 8 to 64 letters, digits and dashes is refused where it would be made, and not
    found elsewhere."""
    where = f"{up.url}/v2/Services/{service.fetch().sid}/Entities"
    before = footprint(up)
    for name in BAD_IDENTITIES:
        refused(up.http.post(where, data={"Identity": name}), 400, 60300)
        path = f"{where}/{quote(name)}"
        refused(up.http.post(f"{path}/Factors", data=TOTP), 400, 60300)
        refused(up.http.post(f"{path}/BackupCodes"), 400, 60300)
        for answer in (up.http.get(path), up.http.delete(path), up.http.get(f"{path}/Challenges")):
            refused(answer, 404, 20404)
    refused(up.http.post(where, data={}), 400, 60300)
    refused(up.http.post(where, json={"Identity": 12345678}), 400, 60300)
    assert footprint(up) == before


def test_bad_codes(up: Up, entity: Any) -> None:
    """What is not 3 to 8 ASCII digits in a string is refused and costs no guess, on every door."""
    sid, app = verified(entity)
    fresh, _ = enrol(entity)
    challenge = entity.challenges.create(factor_sid=sid).sid
    where = url(up, entity)
    doors: dict[str, dict[str, Any]] = {
        f"Factors/{fresh.sid}": {},
        f"Challenges/{challenge}": {},
        "Challenges": {"FactorSid": sid},
    }
    before = footprint(up)
    for door, form in doors.items():
        for code in BAD_CODES:
            answer = up.http.post(f"{where}/{door}", data=form | {"AuthPayload": code})
            refused(answer, 400, 60300)
        for value in (int(app.code()), True, [app.code()], {"a": 1}, 1.5):
            answer = up.http.post(f"{where}/{door}", json=form | {"AuthPayload": value})
            refused(answer, 400, 60300)
    assert footprint(up) == before
    assert entity.challenges(challenge).update(auth_payload=app.code()).status == "approved"


def test_bad_challenges(up: Up, entity: Any) -> None:
    """A challenge with a value that cannot be used is refused and not made."""
    sid, _ = verified(entity)
    where = f"{url(up, entity)}/Challenges"
    good = {"FactorSid": sid}
    before = footprint(up)
    past, far = datetime(2020, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(minutes=61)
    for form in (
        {},
        {"FactorSid": "nonsense"},
        {"FactorSid": f"YE{sid[2:]}"},
        good | {"ExpirationDate": "tomorrow"},
        good | {"ExpirationDate": past.isoformat()},
        good | {"ExpirationDate": far.isoformat()},
        good | {"ExpirationDate": "9999-12-31T23:59:59-23:59"},
        good | {"ExpirationDate": "1"},
        good | {"HiddenDetails": "[]"},
        good | {"HiddenDetails": "{" * 1000},
        good | {"Details.Message": "x" * 257},
        good | {"Details.Fields": "x"},
        good | {"Details.Fields": '{"label": "a"}'},
        good | {"Details.Fields": json.dumps({"label": "x" * 37, "value": "b"})},
    ):
        refused(up.http.post(where, data=form), 400, 60300)
    refused(up.http.post(where, data={"FactorSid": "YF" + "0" * 32}), 404, 20404)
    for query in ("PageSize=0", "Page=x", "Status=open", "Order=up", "FactorSid=YC1"):
        refused(up.http.get(f"{where}?{query}"), 400, 60300)
    assert footprint(up) == before


def test_sids_of_others(up: Up, client: Client, entity: Any) -> None:
    """Sids of another service, another entity or another kind are not found and change nothing."""
    sid, app = verified(entity)
    challenge = entity.challenges.create(factor_sid=sid).sid
    codes = up.http.post(f"{url(up, entity)}/BackupCodes").json()["codes"]
    identity = entity.fetch().identity
    other = client.verify.v2.services.create(friendly_name="Other")
    strangers = client.verify.v2.services(other.sid).entities
    strangers.create(identity=identity)
    before = footprint(up)
    for where in (
        f"{up.url}/v2/Services/{other.sid}/Entities/{identity}",
        f"{url(up, entity)}x",
        f"{up.url}/v2/Services/{sid}/Entities/{identity}",
        f"{up.url}/v2/Services/VA{'0' * 32}/Entities/{identity}",
    ):
        for answer in (
            up.http.get(f"{where}/Factors/{sid}"),
            up.http.get(f"{where}/Factors/{sid}/QrCode.svg"),
            up.http.post(f"{where}/Factors/{sid}", data={"FriendlyName": "Mine"}),
            up.http.delete(f"{where}/Factors/{sid}"),
            up.http.post(f"{where}/Challenges", data={"FactorSid": sid}),
            up.http.get(f"{where}/Challenges/{challenge}"),
            up.http.post(f"{where}/Challenges/{challenge}", data={"AuthPayload": app.code()}),
            up.http.get(f"{where}/BackupCodes"),
            up.http.post(f"{where}/BackupCodes/Check", data={"Code": codes[0]}),
        ):
            refused(answer, 404, 20404)
    for wrong in (challenge, f"YC{sid[2:]}", sid.upper(), "YF1", f"{sid}%00"):
        refused(up.http.get(f"{url(up, entity)}/Factors/{wrong}"), 404, 20404)
    for wrong in (sid, f"YF{challenge[2:]}", "YC1"):
        refused(up.http.get(f"{url(up, entity)}/Challenges/{wrong}"), 404, 20404)
    assert footprint(up) == before
    assert entity.challenges(challenge).update(auth_payload=app.code()).status == "approved"


def test_bad_issuers(up: Up) -> None:
    """A service's issuer that an app would misread is refused."""
    for issuer in ("a:b", "a\nb", "x" * 65, "\u200b"):
        form = {"FriendlyName": "Fine", "Totp.Issuer": issuer}
        refused(up.http.post("/v2/Services", data=form), 400, 60200)
