"""The Authy door over real rooms, on both databases."""

import base64
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, text

from api_stub.app import create_app
from tests.acceptance.authenticator import read_picture
from tests.helpers import at_once, code_of, count, let_time_pass, waiting, wrong_code
from tests.integration.conftest import ACCOUNT
from tests.integration.doors import MEGABYTE, TOKEN
from tests.integration.hearing import listen
from tests.integration.operating import ANN, audited
from worker.authy import BadUser, UserRow, users
from worker.authy.users import IDS
from worker.db import now_ms
from worker.door_tables import authy_keys, authy_users
from worker.errors import NotFoundError
from worker.factors import Asked, Change, totp
from worker.factors.words import VERIFIED, Config
from worker.models import verifications
from worker.services import Service
from worker.settings import SAMPLE_KEY
from worker.wiring import Sendcode

CELLPHONE, COUNTRY, NUMBER = "317-338-9302", "1", "+13173389302"
EMAIL = "ann@example.com"
ROOM = ("verifications", "deliveries", "authy_users", "entities", "factors", "challenges")


def door(parts: Sendcode, key: str = "") -> TestClient:
    app = create_app(parts.settings)
    app.state.parts = parts
    client = TestClient(app, raise_server_exceptions=False, base_url=parts.settings.base_url)
    if key:
        client.headers["X-Authy-API-Key"] = key
    return client


def key_of(parts: Sendcode, service: Service) -> str:
    return parts.authy_keys.create(ACCOUNT, service.sid, "Backend")[1]


@pytest.fixture
def client(parts: Sendcode, service: Service) -> TestClient:
    return door(parts, key_of(parts, service))


@pytest.fixture
def other(parts: Sendcode) -> TestClient:
    """Another application of the same account."""
    return door(parts, key_of(parts, parts.services.create(ACCOUNT, "Other")))


def new_user(client: TestClient, cellphone: str = CELLPHONE, country: str = COUNTRY) -> int:
    user = {"email": EMAIL, "cellphone": cellphone, "country_code": country}
    answer = client.post("/protected/json/users/new", json={"user": user})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    found: int = body["user"]["id"]
    assert body == {
        "message": "User created successfully.",
        "user": {"id": found},
        "success": True,
    }
    return found


def ask(client: TestClient, path: str, **query: str) -> Any:
    return client.get(f"/protected/json/{path}", params=query or None)


def refused(answer: Any, status: int, code: int, message: str = "") -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert body["success"] is False
    assert body["error_code"] == str(code), body
    assert body["errors"]["message"] == body["message"]
    if message:
        assert body["message"] == message
    return body


def the_code(parts: Sendcode) -> str:
    """The right code of the newest verification."""
    with parts.db.statement() as connection:
        newest = select(verifications.c.sid).order_by(verifications.c.sid.desc()).limit(1)
        return code_of(parts, connection.execute(newest).scalar_one())


def guesses(parts: Sendcode) -> int:
    with parts.db.statement() as connection:
        return int(connection.execute(text("SELECT sum(checks) FROM verifications")).scalar_one())


def enrolled(client: TestClient, user: int) -> bytes:
    """The secret that the user's app reads from the QR code."""
    answer = client.post(f"/protected/json/users/{user}/secret", json={})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    kind, _, picture = answer.json()["qr_code"].partition(",")
    assert kind == "data:image/png;base64"
    (uri,) = read_picture(base64.b64decode(picture))
    found = re.search(r"secret=([A-Z2-7]+)", uri)
    assert found
    return totp.read_secret(found[1])


class App:
    """An app in the hands of a user; its clock is the database's. It waits where its step is about
    to end.
    """

    def __init__(self, parts: Sendcode, secret: bytes) -> None:
        self.parts, self.secret = parts, secret

    def code(self, steps: int = 0) -> str:
        while (now := self.now()) % 30_000 > 25_000:
            time.sleep(0.2)
        return totp.code_at(self.secret, Config(), totp.step_at(now, 30) + steps)

    def now(self) -> int:
        with self.parts.db.statement() as connection:
            return int(connection.execute(select(now_ms())).scalar_one())

    def wrong(self) -> str:
        near = {self.code(steps) for steps in range(-3, 4)}
        return next(code for n in range(9) if (code := f"{n}" * 6) not in near)


@pytest.fixture
def unchanged(parts: Sendcode) -> Iterator[Callable[[], None]]:
    """Says whether anything was written since the test asked for it first."""
    before: list[list[int]] = []

    def look() -> None:
        now = [count(parts, table) for table in ROOM]
        now.append(len(list(parts.redis.scan_iter("sendcode:limit:*"))))
        if before:
            assert now == before[0]
        before.append(now)

    yield look
    look()


# Users


def test_the_same_number_is_the_same_user(client: TestClient) -> None:
    """Whatever the spelling and the address, a number has one id, which a client's int holds."""
    first = new_user(client)
    assert 10_000_000 <= first < 2**31
    assert new_user(client, "(317) 338 9302", "+1") == first
    again = client.post(
        "/protected/json/users/new",
        data={"user[email]": "new@example.com", "user[cellphone]": "3173389302"},
    )
    assert again.json()["user"]["id"] == first, "the country is Authy's usual one"
    assert new_user(client, "7400123456", "44") != first


def test_many_registrations_at_once_make_one_user(parts: Sendcode, client: TestClient) -> None:
    """Of registrations of one number at once all get one id, and one user is made."""
    ids = at_once(8, lambda _: new_user(client))
    assert len(set(ids)) == 1
    assert (count(parts, "authy_users"), count(parts, "entities")) == (1, 1)


def test_a_user_is_kept_encrypted(parts: Sendcode, client: TestClient) -> None:
    """Neither number nor address stands in the user's row."""
    new_user(client)
    with parts.db.statement() as connection:
        row = connection.execute(select(authy_users)).one()
    held = repr(row).encode() + b"".join(value for value in row if isinstance(value, bytes))
    for trace in ("3173389302", "ann@", "example"):
        assert trace.encode() not in held


BAD_USERS: list[tuple[dict[str, Any], set[str]]] = [
    ({"cellphone": "123"}, {"cellphone"}),
    ({"cellphone": ""}, {"cellphone"}),
    ({"country_code": "999"}, {"country_code"}),
    ({"country_code": "US", "cellphone": "33 6 12 34 56 78"}, {"country_code"}),
    ({"email": ""}, {"email"}),
    ({"email": "nobody"}, {"email"}),
    ({"email": "a@b.cc\r\nBcc: x@y.zz"}, {"email"}),
    ({"email": "a" * 250 + "@b.cc"}, {"email"}),
    ({"email": "x", "cellphone": "x"}, {"email", "cellphone"}),
]


def test_a_user_that_cannot_be(client: TestClient, unchanged: Callable[[], None]) -> None:
    """A user is refused with what is wrong by field, and nothing is written."""
    unchanged()
    message = "User was not valid"
    for change, faults in BAD_USERS:
        user = {"email": EMAIL, "cellphone": CELLPHONE, "country_code": COUNTRY} | change
        answer = client.post("/protected/json/users/new", json={"user": user})
        body = refused(answer, 400, 60027, message)
        assert body["errors"] == dict.fromkeys(faults, "is invalid") | {"message": message}


def test_status_shows_no_number(parts: Sendcode, client: TestClient) -> None:
    """A user's status is Authy's, with two digits of the number."""
    user = new_user(client)
    assert ask(client, f"users/{user}/status").json() == {
        "status": {
            "authy_id": user,
            "confirmed": False,
            "registered": False,
            "country_code": 1,
            "phone_number": "XXX-XXX-XX02",
            "devices": [],
            "has_hard_token": False,
            "account_disabled": False,
            "detailed_devices": [],
        },
        "message": "User status.",
        "success": True,
    }


@pytest.mark.parametrize("path", ["users/{}/delete", "users/{}/remove", "users/delete/{}"])
def test_every_client_can_delete(parts: Sendcode, client: TestClient, path: str) -> None:
    """Each of the three paths removes the user with the app and gives the number a new id."""
    user = new_user(client)
    enrolled(client, user)
    answer = client.post(f"/protected/json/{path.format(user)}")
    assert answer.json() == {"message": "User removed from application", "success": True}
    assert [count(parts, table) for table in ROOM[2:]] == [0, 0, 0, 0]
    refused(ask(client, f"users/{user}/status"), 404, 60026, "User not found.")
    refused(client.post(f"/protected/json/{path.format(user)}"), 404, 60026)
    assert new_user(client) != user


def test_an_activity_is_taken(
    client: TestClient, other: TestClient, unchanged: Callable[[], None]
) -> None:
    """What a user did elsewhere is checked and answered as Authy does, and changes nothing."""
    user = new_user(client)
    unchanged()
    path = f"/protected/json/users/{user}/register_activity"
    given = {"type": "banned", "data": {"reason": "x"}, "user_ip": "192.0.2.1"}
    answer = client.post(path, json=given)
    assert answer.json() == {"message": "Activity was created.", "success": True}
    for bad in ({}, {"type": "x"}, {"type": ["banned"]}):
        refused(client.post(path, json=bad), 400, 60000)
    refused(other.post(path, json=given), 404, 60026)
    unchanged()


# Tokens


@pytest.mark.parametrize(
    ("channel", "message"), [("sms", "SMS token was sent"), ("call", "Call started...")]
)
def test_a_token_is_the_code_that_was_sent(
    parts: Sendcode, client: TestClient, channel: str, message: str
) -> None:
    """The code goes to the user's number and is a token once; the answer masks the number."""
    user = new_user(client)
    sent = ask(client, f"{channel}/{user}")
    assert (sent.status_code, sent.json()) == (
        200,
        {"success": True, "message": message, "cellphone": "+1-XXX-XXX-XX02"},
    )
    assert len(waiting(parts, channel)) == 1
    code = the_code(parts)
    assert len(code) == 6
    body = refused(ask(client, f"verify/{wrong_code(code)}/{user}"), 401, 60020, "Token is invalid")
    assert body["token"] == "is invalid"
    assert not ask(client, f"users/{user}/status").json()["status"]["confirmed"]
    right = ask(client, f"verify/{code}/{user}")
    assert right.status_code == 200
    assert b'"token":"is valid"' in right.content, "a client looks for these bytes"
    assert (right.json()["message"], right.json()["success"]) == ("Token is valid.", "true")
    assert ask(client, f"users/{user}/status").json()["status"]["confirmed"]
    refused(ask(client, f"verify/{code}/{user}"), 401, 60020)


@pytest.mark.kills("any-token-for-a-new-user")
def test_no_token_passes_for_a_new_user(client: TestClient) -> None:
    """A user who never had a code or an app has no right token, whatever `force` says."""
    user = new_user(client)
    for force in ("true", "false", ""):
        for token in ("000000", "123456", "1234567"):
            refused(ask(client, f"verify/{token}/{user}", force=force), 401, 60020)


def test_what_is_no_token_takes_no_guess(parts: Sendcode, client: TestClient) -> None:
    """Anything but 4 to 12 ASCII digits is an invalid token and no guess."""
    user = new_user(client)
    ask(client, f"sms/{user}")
    for token in ("123", "1" * 13, "12345a", "१२३४५६", "12 345", "123456%0A"):
        refused(ask(client, f"verify/{token}/{user}"), 401, 60020)
    assert guesses(parts) == 0


def test_guesses_end(parts: Sendcode, client: TestClient) -> None:
    """After five wrong tokens the right one is refused with 429, and so is a new send."""
    user = new_user(client)
    ask(client, f"sms/{user}")
    code = the_code(parts)
    for _ in range(5):
        refused(ask(client, f"verify/{wrong_code(code)}/{user}"), 401, 60020)
    for path in (f"verify/{code}/{user}", f"sms/{user}"):
        answer = ask(client, path)
        refused(answer, 429, 60003)
        assert int(answer.headers["retry-after"]) > 0


def test_sends_end(client: TestClient, parts: Sendcode) -> None:
    """The sixth send within ten minutes is refused with 429."""
    user = new_user(client)
    for _ in range(5):
        assert ask(client, f"sms/{user}").status_code == 200
    answer = ask(client, f"sms/{user}")
    refused(answer, 429, 60003)
    assert int(answer.headers["retry-after"]) > 0
    assert count(parts, "deliveries") == 5


def test_the_same_key_is_one_message(client: TestClient, parts: Sendcode) -> None:
    """`Idempotency-Key` makes a repeated request the same one; another use of it is refused."""
    one, two = new_user(client), new_user(client, "7400123456", "44")
    headers = {"Idempotency-Key": "login 4711"}
    for _ in range(3):
        assert client.get(f"/protected/json/sms/{one}", headers=headers).status_code == 200
    assert count(parts, "deliveries") == 1
    refused(client.get(f"/protected/json/sms/{two}", headers=headers), 422, 60000)


def test_a_landline_gets_no_sms(client: TestClient) -> None:
    """An SMS to a user with a landline is refused with Authy's code, and a call goes out."""
    user = new_user(client, "02 36618300", "39")
    refused(ask(client, f"sms/{user}"), 403, 60082)
    assert ask(client, f"call/{user}").status_code == 200


def test_an_action_is_refused(client: TestClient, unchanged: Callable[[], None]) -> None:
    """A token cannot be bound to an action here, so a request for one is refused, not weakened."""
    user = new_user(client)
    unchanged()
    for name in ("action", "action_message"):
        for path in (f"sms/{user}", f"call/{user}", f"verify/123456/{user}"):
            refused(ask(client, path, **{name: "transfer"}), 400, 60000)


# Authenticator apps


def test_a_token_is_the_apps(parts: Sendcode, client: TestClient) -> None:
    """The QR code's app counts from its first right token; each token passes once; the user is
    then registered."""
    user = new_user(client)
    app = App(parts, enrolled(client, user))
    status = lambda: ask(client, f"users/{user}/status").json()["status"]  # noqa: E731
    assert not status()["registered"]
    refused(ask(client, f"verify/{app.wrong()}/{user}"), 401, 60020)
    code = app.code(-1)
    assert ask(client, f"verify/{code}/{user}").status_code == 200
    assert status()["registered"]
    refused(ask(client, f"verify/{code}/{user}"), 401, 60020)
    assert ask(client, f"verify/{app.code()}/{user}").status_code == 200
    refused(ask(client, f"verify/{app.wrong()}/{user}"), 401, 60020)


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        (
            "sms",
            "Ignored: SMS is not needed for smartphones. Pass force=true if you want to actually"
            " send it anyway.",
        ),
        (
            "call",
            "Call ignored. User is using  App Tokens and this call is not necessary. Pass"
            " force=true if you still want to call users that are using the App.",
        ),
    ],
)
def test_a_user_with_an_app_gets_no_message(
    parts: Sendcode, client: TestClient, channel: str, message: str
) -> None:
    """A send to a user with an app is ignored and says so, until it is forced; then the code is a
    token as well as the app's."""
    user = new_user(client)
    app = App(parts, enrolled(client, user))
    assert ask(client, f"{channel}/{user}").json()["success"], "an app that shows nothing yet"
    ask(client, f"verify/{app.code(-1)}/{user}")
    sent = count(parts, "deliveries")
    body = ask(client, f"{channel}/{user}").json()
    assert (body["ignored"], body["message"], body["success"]) == (True, message, True)
    assert body["cellphone"] == "+1-XXX-XXX-XX02"
    assert count(parts, "deliveries") == sent
    assert "ignored" not in ask(client, f"{channel}/{user}", force="True").json()
    assert count(parts, "deliveries") == sent + 1
    assert ask(client, f"verify/{the_code(parts)}/{user}").status_code == 200
    assert ask(client, f"verify/{app.code()}/{user}").status_code == 200


def test_an_app_that_is_confirmed_meanwhile_stays(
    parts: Sendcode, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new secret ends the apps that never showed a token, not one that does at that moment."""
    user = new_user(client)
    app = App(parts, enrolled(client, user))
    make = parts.factors.create_factor

    def late(*args: Any) -> Any:
        assert ask(client, f"verify/{app.code(-1)}/{user}").status_code == 200
        return make(*args)

    monkeypatch.setattr(parts.factors, "create_factor", late)
    enrolled(client, user)
    assert ask(client, f"verify/{app.code()}/{user}").status_code == 200


def test_a_new_app_takes_the_old_ones_place(parts: Sendcode, client: TestClient) -> None:
    """The old app counts until the new one shows its first right token, and not after."""
    user = new_user(client)
    old = App(parts, enrolled(client, user))
    assert ask(client, f"verify/{old.code(-1)}/{user}").status_code == 200
    dropped = App(parts, enrolled(client, user))
    new = App(parts, enrolled(client, user))
    assert ask(client, f"verify/{old.code()}/{user}").status_code == 200
    refused(ask(client, f"verify/{dropped.code()}/{user}"), 401, 60020)
    assert ask(client, f"verify/{new.code()}/{user}").status_code == 200
    refused(ask(client, f"verify/{old.code(1)}/{user}"), 401, 60020)
    assert ask(client, f"verify/{new.code(1)}/{user}").status_code == 200
    assert count(parts, "factors") == 1


def test_a_refused_secret_ends_no_enrolment(parts: Sendcode, client: TestClient) -> None:
    """Where no new secret can be made, the picture that the user was shown before still counts."""
    user = new_user(client)
    app = App(parts, enrolled(client, user))
    path = f"/protected/json/users/{user}/secret"
    refused(client.post(path, data={"label": "a:b"}), 400, 60000)
    assert ask(client, f"verify/{app.code()}/{user}").status_code == 200


def test_one_of_many_at_once_is_right(parts: Sendcode, client: TestClient) -> None:
    """Of one token verified many times at once, sent, of a new app or of an app that counts, one is
    valid and the others are invalid."""
    user = new_user(client)
    ask(client, f"sms/{user}")
    one_is_right(client, user, the_code(parts))
    app = App(parts, enrolled(client, user))
    for token in (app.code(-1), app.code()):
        one_is_right(client, user, token)


def one_is_right(client: TestClient, user: int, token: str) -> None:
    answers = at_once(6, lambda _: ask(client, f"verify/{token}/{user}"))
    assert sum(answer.status_code == 200 for answer in answers) == 1
    for answer in answers:
        if answer.status_code != 200:
            refused(answer, 401, 60020)


def test_guesses_at_a_new_app_end(parts: Sendcode, client: TestClient) -> None:
    """Five wrong tokens spend an enrolment: the right one is invalid then."""
    user = new_user(client)
    app = App(parts, enrolled(client, user))
    for _ in range(5):
        refused(ask(client, f"verify/{app.wrong()}/{user}"), 401, 60020)
    refused(ask(client, f"verify/{app.code()}/{user}"), 401, 60020)


def failures(parts: Sendcode) -> tuple[int, int]:
    """The most wrong codes in a row of any number, and of any app."""
    found = []
    for table in ("number_guards", "factors"):
        with parts.db.statement() as connection:
            most = connection.execute(text(f"SELECT max(failures) FROM {table}")).scalar_one()
        found.append(most or 0)
    return found[0], found[1]


def another_app(parts: Sendcode, service: Service, user: int) -> App:
    """A second app of the user's that counts, made by Verify's door."""
    where = (ACCOUNT, service.sid, users.identity_of(user))
    made = parts.factors.create_factor(*where, Change(friendly_name="Second"))
    app = App(parts, totp.read_secret(made.secret))
    first = app.code(-1)
    assert parts.factors.update_factor(*where, made.factor.sid, Change(), first).status == VERIFIED
    return app


@pytest.mark.kills("a-right-token-disables-the-others")
def test_the_newer_of_two_apps_logs_in(make_parts: Callable[..., Sendcode]) -> None:
    """Right tokens of one app are no wrong codes in a row of another, which goes on counting too;
    a wrong token is one of both.
    """
    parts = make_parts(disable_after_failures=2)
    service = parts.services.create(ACCOUNT, "Example")
    client = door(parts, key_of(parts, service))
    user = new_user(client)
    older = App(parts, enrolled(client, user))
    assert ask(client, f"verify/{older.code(-1)}/{user}").status_code == 200
    newer = another_app(parts, service, user)
    for _ in range(3):
        assert ask(client, f"verify/{newer.code()}/{user}").status_code == 200
        assert failures(parts) == (0, 0)
        unused(parts)
    assert ask(client, f"verify/{older.code()}/{user}").status_code == 200
    unused(parts)
    for app in (older, newer):
        refused(ask(client, f"verify/{app.wrong()}/{user}"), 401, 60020)
    with parts.db.statement() as connection:
        shut = text("SELECT count(*) FROM factors WHERE disabled_at IS NOT NULL")
        assert connection.execute(shut).scalar_one() == 2


def unused(parts: Sendcode) -> None:
    """Let the apps' present codes pass again, as if their time had come."""
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE factors SET last_step = 0"))


@pytest.mark.kills("a-closed-app-shuts-the-others-out")
@pytest.mark.parametrize("closed", ["disabled", "asked too often"])
def test_an_app_that_is_closed_shuts_no_other_out(
    parts: Sendcode, client: TestClient, service: Service, closed: str
) -> None:
    """Where one app takes no token now, another's is right or wrong as ever; why it is closed is
    said where there is no other.
    """
    user = new_user(client)
    older = App(parts, enrolled(client, user))
    assert ask(client, f"verify/{older.code(-1)}/{user}").status_code == 200
    if closed == "disabled":
        with parts.db.begin() as connection:
            connection.execute(text("UPDATE factors SET disabled_at = 1, failures = 100"))
    else:
        for _ in range(50):
            parts.factors.create_challenge(
                *(ACCOUNT, service.sid, users.identity_of(user)), Asked(factor_sid=first(parts))
            )
    answer = ask(client, f"verify/{older.wrong()}/{user}")
    assert answer.status_code in (403, 429)
    newer = another_app(parts, service, user)
    refused(ask(client, f"verify/{newer.wrong()}/{user}"), 401, 60020)
    assert ask(client, f"verify/{newer.code()}/{user}").status_code == 200


def first(parts: Sendcode) -> str:
    with parts.db.statement() as connection:
        return str(connection.execute(text("SELECT min(sid) FROM factors")).scalar_one())


@pytest.mark.kills("an-apps-token-disables-the-number")
def test_an_app_with_a_code_pending_disables_no_number(parts: Sendcode, client: TestClient) -> None:
    """Right tokens of the app leave no wrong codes in a row of the number while a code that was
    forced is pending; its guesses are taken all the same, and a wrong token stays counted."""
    user = new_user(client)
    app = App(parts, enrolled(client, user))
    assert ask(client, f"verify/{app.code(-1)}/{user}").status_code == 200
    ask(client, f"sms/{user}", force="true")
    for _ in range(3):
        unused(parts)
        assert ask(client, f"verify/{app.code()}/{user}").status_code == 200
        assert failures(parts) == (0, 0)
    assert guesses(parts) == 3
    refused(ask(client, f"verify/{app.wrong()}/{user}"), 401, 60020)
    assert (failures(parts), guesses(parts)) == ((1, 1), 4)
    unused(parts)
    assert ask(client, f"verify/{app.code()}/{user}").status_code == 200
    assert (failures(parts), guesses(parts)) == ((1, 0), 5)


def test_what_the_picture_shows(client: TestClient) -> None:
    """Label and issuer are the ones asked for and the service's; bad ones are refused."""
    user = new_user(client)
    path = f"/protected/json/users/{user}/secret"
    made = client.post(path, json={"qr_size": 500, "label": "Owl Bank"}).json()
    assert (made["label"], made["issuer"], made["success"]) == ("Owl Bank", "Example", True)
    assert client.post(path).json()["label"] == EMAIL
    for bad in ({"qr_size": "5000"}, {"qr_size": "x"}, {"label": "a:b"}, {"label": "a\r\nb"}):
        refused(client.post(path, data=bad), 400, 60000)


# Phone verification


def start(client: TestClient, **change: str) -> Any:
    form = {"via": "sms", "country_code": COUNTRY, "phone_number": CELLPHONE} | change
    return client.post("/protected/json/phones/verification/start", data=form)


def check(client: TestClient, code: str, **change: str) -> Any:
    given = {"country_code": COUNTRY, "phone_number": CELLPHONE} | change
    return ask(client, "phones/verification/check", verification_code=code, **given)


@pytest.mark.parametrize(
    ("via", "message"),
    [
        ("sms", "Text message sent to +1 317-338-9302."),
        ("call", "Call to +1 317-338-9302 was initiated"),
    ],
)
def test_a_number_is_verified(parts: Sendcode, client: TestClient, via: str, message: str) -> None:
    """A start sends a code of four digits, which a check takes once; the status follows."""
    started = start(client, via=via)
    body = started.json()
    assert (started.status_code, body["message"], body["success"]) == (200, message, True)
    assert 590 <= body["seconds_to_expire"] <= 600
    assert set(body) == {
        *("carrier", "is_cellphone", "message", "seconds_to_expire", "uuid", "success"),
    }
    code = the_code(parts)
    assert len(code) == 4
    query = {"country_code": COUNTRY, "phone_number": CELLPHONE}
    for asked in (query, {"uuid": body["uuid"]}):
        found = ask(client, "phones/verification/status", **asked).json()
        assert (found["status"], found["message"]) == ("pending", "Phone Verification status.")
        assert 0 < found["seconds_to_expire"] <= 600
    refused(check(client, wrong_code(code)), 401, 60022, "Verification code is incorrect")
    refused(check(client, code + "0"), 401, 60022)
    assert guesses(parts) == 1
    right = check(client, code)
    assert right.json() == {"message": "Verification code is correct.", "success": True}
    gone = "No pending verifications for +1 XXX-XXX-XX02 found."
    refused(check(client, code), 404, 60023, gone)
    assert ask(client, "phones/verification/status", **query).json()["status"] == "verified"


def test_the_status_of_what_ended(parts: Sendcode, client: TestClient) -> None:
    """A verification whose life has ended is expired; an unknown one is not found."""
    uuid = start(client).json()["uuid"]
    let_time_pass(parts, 601)
    found = ask(client, "phones/verification/status", uuid=uuid).json()
    assert (found["status"], found["seconds_to_expire"]) == ("expired", 0)
    unknown = "0" * 8 + uuid[8:]
    refused(ask(client, "phones/verification/status", uuid=unknown), 404, 60023)
    refused(ask(client, "phones/verification/status", uuid="x"), 400, 60042)


def test_a_code_is_as_long_as_asked(parts: Sendcode, client: TestClient) -> None:
    """`code_length` is the length of the code; a resend keeps the code."""
    for length in ("4", "7", "10"):
        to = {"phone_number": f"317338930{length[-1]}"}
        start(client, code_length=length, **to)
        code = the_code(parts)
        assert len(code) == int(length)
        start(client, code_length="5", via="call", **to)
        assert the_code(parts) == code
        assert check(client, code, **to).status_code == 200


def test_a_custom_code(parts: Sendcode, client: TestClient, service: Service) -> None:
    """A custom code is refused where the service has none; else it is the code, and feedback on
    its message is taken."""
    refused(start(client, custom_code="73190"), 403, 60021)
    parts.services.update(ACCOUNT, service.sid, twilio_only={"custom_code_enabled": True})
    sms_id = start(client, custom_code="73190").json()["sms_id"]
    key = client.headers["X-Authy-API-Key"]
    path = f"/2010-04-01/Accounts/{key}/SMS/Messages/{{}}/Feedback.json"
    stranger = door(parts)
    answer = stranger.post(path.format(sms_id), data={"Outcome": "received"})
    assert answer.status_code == 200, "the key in the path is enough"
    assert answer.json().items() >= {
        ("message_sid", sms_id),
        ("outcome", "received"),
        ("success", True),
    }
    for unknown in ("VL" + "0" * 32, "VE" + sms_id[2:], "SM1", sms_id + "%0A", "%00"):
        refused(stranger.post(path.format(unknown), data={"Outcome": "received"}), 404, 60032)
    refused(stranger.post(path.format(sms_id), data={"Outcome": "lost"}), 400, 60000)
    refused(
        stranger.post(path.replace(key, "0" * 64).format(sms_id), data={"Outcome": "received"}),
        401,
        60001,
    )
    assert check(client, "73190").status_code == 200


BAD_STARTS = [
    ({"via": ""}, 60042),
    ({"via": "pigeon"}, 60042),
    ({"country_code": ""}, 60042),
    ({"phone_number": ""}, 60042),
    ({"phone_number": "123"}, 60033),
    ({"phone_number": "9005551234"}, 60033),
    ({"code_length": "3"}, 60042),
    ({"code_length": "11"}, 60042),
    ({"code_length": "six"}, 60042),
    ({"locale": "xx"}, 60042),
    ({"locale": "e\x00"}, 60042),
    ({"custom_message": "Hi {{code}}"}, 60042),
]


def test_a_start_that_cannot_be(client: TestClient, unchanged: Callable[[], None]) -> None:
    """A value that cannot be used is refused, and nothing is written or counted."""
    unchanged()
    for change, code in BAD_STARTS:
        refused(start(client, **change), 400, code)


def test_a_country_code_that_is_none(client: TestClient, unchanged: Callable[[], None]) -> None:
    """Where the calling code is none the rest is not taken for a whole number: nothing is sent."""
    unchanged()
    given = {"country_code": "US", "phone_number": "33 6 12 34 56 78"}
    refused(start(client, **given), 403, 60078)
    refused(check(client, "1234", **given), 403, 60078)
    refused(ask(client, "phones/verification/status", **given), 403, 60078)
    refused(ask(client, "phones/info", **given), 403, 60078)
    unchanged()


def test_a_country_code_with_an_area_code(client: TestClient) -> None:
    """What Authy's form sends for countries that share the 1 is a calling code everywhere."""
    bahamas = {"country_code": "1 242", "phone_number": "359 1234"}
    user = new_user(client, "359 1234", "1 242")
    assert new_user(client, "(242) 359-1234") == user
    assert start(client, **bahamas).json()["message"].endswith("+1 242-359-1234.")
    found = ask(client, "phones/verification/status", **bahamas).json()
    assert found["status"] == "pending"
    assert ask(client, "phones/info", **bahamas).json()["type"] == "cellphone"
    refused(check(client, "000", **bahamas), 401, 60022)


def test_what_is_known_of_a_number(client: TestClient) -> None:
    """The type of a number is told as far as the numbering plan does."""
    query = {"country_code": "44", "phone_number": "7400123456"}
    body = ask(client, "phones/info", **query).json()
    assert (body["type"], body["ported"], body["success"]) == ("cellphone", False, True)
    assert re.fullmatch(
        r"Phone number information as of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", body["message"]
    )
    assert isinstance(body["provider"], str)
    refused(ask(client, "phones/info", country_code="1", phone_number="1"), 400, 60033)


# The application


def test_details_and_statistics(parts: Sendcode, client: TestClient, other: TestClient) -> None:
    """An application sees its own name and figures, and not those of another."""
    user = new_user(client)
    ask(client, f"sms/{user}")
    ask(client, f"verify/{the_code(parts)}/{user}")
    start(other, via="call")
    parts.rollup.look()
    details = ask(client, "app/details").json()
    assert details["message"] == "Application information."
    assert details["app"]["name"] == "Example"
    for one, sms, calls, auths, people in ((client, 1, 0, 1, 1), (other, 0, 1, 0, 0)):
        stats = ask(one, "app/stats").json()
        assert stats["message"] == "Monthly statistics."
        assert (stats["total_users"], stats["count"]) == (people, len(stats["stats"]))
        month = stats["stats"][0]
        assert set(month) == {
            *("sms_count", "calls_count", "users_count", "auths_count", "api_calls_count"),
            *("month", "year"),
        }
        counts = (month["sms_count"], month["calls_count"], month["auths_count"])
        assert counts == (sms, calls, auths)
        assert month["users_count"] == people
        assert stats["app_id"] == ask(one, "app/details").json()["app"]["app_id"]


def test_statistics_count_no_deliveries(parts: Sendcode, client: TestClient) -> None:
    """`app/stats` reads what was counted per minute: no statement of it looks at verifications or
    deliveries, of which there may be millions in a month."""
    ask(client, f"sms/{new_user(client)}")
    parts.rollup.look()
    statements = listen(parts)
    assert ask(client, "app/stats").json()["stats"][0]["sms_count"] == 1
    read = " ".join(statements)
    assert "service_minutes" in read
    assert not re.search(r"\b(verifications|deliveries)\b", read)


# Who calls


def test_another_applications_user_is_unknown(
    parts: Sendcode, client: TestClient, other: TestClient
) -> None:
    """Another application's user, code and uuid answer like ones that never were."""
    user, number = new_user(client), {"country_code": COUNTRY, "phone_number": CELLPHONE}
    uuid = start(client).json()["uuid"]
    code = the_code(parts)
    for path in (
        *("users/{}/status", "sms/{}", "call/{}", "sms/{}?force=1", "call/{}?force=1"),
        "verify/123456/{}",
    ):
        answers = [ask(other, path.format(one)) for one in (user, 99, "x", "9" * 30, "%00")]
        for answer in answers:
            refused(answer, 404, 60026)
        assert len({answer.content for answer in answers}) == 1
    for path in ("users/{}/delete", "users/{}/remove", "users/delete/{}", "users/{}/secret"):
        refused(other.post(f"/protected/json/{path.format(user)}"), 404, 60026)
    refused(ask(other, "phones/verification/status", uuid=uuid), 404, 60023)
    refused(ask(other, "phones/verification/status", **number), 404, 60023)
    refused(check(other, code), 404, 60023)
    assert check(client, code).status_code == 200
    assert ask(client, f"users/{user}/status").status_code == 200


def test_a_key_comes_in_header_or_query(parts: Sendcode, service: Service) -> None:
    """Both places are taken; no key, a wrong one and a revoked one get the same answer."""
    made, key = parts.authy_keys.create(ACCOUNT, service.sid, "Backend", ANN)
    stranger = door(parts)
    path = "/protected/json/app/details"
    assert stranger.get(path, headers={"X-Authy-API-Key": key}).status_code == 200
    assert stranger.get(path, params={"api_key": key}).status_code == 200
    parts.authy_keys.revoke(ACCOUNT, made.sid, ANN)
    with pytest.raises(NotFoundError):
        parts.authy_keys.revoke(ACCOUNT, made.sid, ANN)
    told = [(one.action, one.target) for one in audited(parts)]
    assert told == [("authy_key.create", made.sid), ("authy_key.revoke", made.sid)]
    assert key not in str(audited(parts))
    answers = [
        stranger.get(path),
        stranger.get(path, params={"api_key": key}),
        stranger.get(path, params={"api_key": "\u00e9" * 32}),
        stranger.get(path, headers={"X-Authy-API-Key": "0" * 64}),
        stranger.get(path, headers={"X-Authy-API-Key": "x" * 5000}),
        stranger.get(path, auth=(ACCOUNT, TOKEN)),
    ]
    for answer in answers:
        refused(answer, 401, 60001, "Invalid API key")
    assert len({answer.content for answer in answers}) == 1


def test_a_key_is_kept_as_a_digest(parts: Sendcode, service: Service) -> None:
    """The key's text is nowhere in its row; its use is written down."""
    _, key = parts.authy_keys.create(ACCOUNT, service.sid, "Backend")
    ask(door(parts, key), "app/details")
    with parts.db.statement() as connection:
        row = connection.execute(select(authy_keys)).one()
    assert key not in repr(row)
    assert bytes.fromhex(key) not in row.key_digest
    assert row.last_used_at is not None


def test_a_key_needs_a_service_of_the_account(parts: Sendcode, service: Service) -> None:
    """No key is made for another account's service."""
    with pytest.raises(NotFoundError):
        parts.authy_keys.create("AC" + "b" * 32, service.sid, "Backend")
    assert count(parts, "authy_keys") == 0


def test_a_stranger_learns_nothing(parts: Sendcode, client: TestClient) -> None:
    """Without a key a known and an unknown user get one answer, and nothing is done."""
    user = new_user(client)
    stranger = door(parts)
    bodies = {
        stranger.get(f"/protected/json/{path}/{one}").content
        for path in ("sms", "call", "verify/123456")
        for one in (user, 99, "x")
    }
    assert len(bodies) == 1
    assert count(parts, "deliveries") == 0


# What clients send


def test_every_way_to_send_a_parameter(client: TestClient, parts: Sendcode) -> None:
    """A GET with a form, one with JSON and one with a query are the same request."""
    user = new_user(client)
    app = App(parts, enrolled(client, user))
    ask(client, f"verify/{app.code(-1)}/{user}")
    path = f"/protected/json/sms/{user}"
    ways: list[dict[str, Any]] = [
        {"params": {"force": "true"}},
        {"data": {"force": "true"}},
        {"json": {"force": True}},
    ]
    for way in ways:
        answer = client.request("GET", path, **way)
        assert "ignored" not in answer.json(), way
    assert client.request("GET", path, json={}).json()["ignored"]


def test_what_is_no_text_is_refused(client: TestClient, unchanged: Callable[[], None]) -> None:
    """Bytes that are not UTF-8, as they are or escaped, in a body or a query, are 400."""
    unchanged()
    path, kind = "/protected/json/users/new", {"Content-Type": "application/x-www-form-urlencoded"}
    for body in (b"user[email]=\xff", b"user[email]=%FF", b"user%FF=1"):
        refused(client.post(path, content=body, headers=kind), 400, 60005)
    refused(client.post(f"{path}?user%5Bemail%5D=%FF"), 400, 60005)


def test_bad_bodies(client: TestClient, unchanged: Callable[[], None]) -> None:
    """Large bodies, other kinds, wrong types, repeated names and other methods are refused in
    Authy's shape; unknown names do not count."""
    user = new_user(client)
    unchanged()
    path = "/protected/json/users/new"
    refused(client.post(path, data={"pad": "x" * MEGABYTE}), 413, 60000)
    refused(client.post(path, content=iter([b"x" * MEGABYTE])), 413, 60000)
    refused(client.post(path, content=b"<a/>", headers={"content-type": "text/xml"}), 400, 60002)
    refused(
        client.post(path, content=b"{", headers={"content-type": "application/json"}), 400, 60002
    )
    for wrong in (5, [EMAIL], {"a": 1}, True):
        value = {"email": wrong, "cellphone": CELLPHONE, "country_code": 1}
        refused(client.post(path, json={"user": value}), 400, 60027)
    refused(client.get(f"/protected/json/sms/{user}?force=1&force=1"), 400, 60000)
    refused(client.post(f"/protected/json/sms/{user}"), 405, 60000)
    for unknown in ("/protected/json/nothing", "/protected/xml/app/details", "/onetouch/json/x"):
        refused(client.get(unknown), 404, 60000)
    assert ask(client, f"users/{user}/status", more="x").status_code == 200


# From elsewhere


def test_users_come_with_their_ids(parts: Sendcode, client: TestClient, service: Service) -> None:
    """Imported users keep their ids and the factors that came before them; a second import of the
    same file changes nothing, and a bad line undoes all."""
    rows = [UserRow(2, 1635, NUMBER, EMAIL), UserRow(3, 7, "+447400123456", "")]
    parts.factors.create_factor(
        ACCOUNT, service.sid, "authy-user-1635", Change(friendly_name="Ann")
    )
    assert parts.authy_users.bring_in(ACCOUNT, service.sid, rows) == (2, [])
    assert parts.authy_users.bring_in(ACCOUNT, service.sid, rows) == (0, [])
    assert new_user(client) == 1635
    assert ask(client, "users/7/status").json()["status"]["phone_number"] == "XXX-XXX-XX56"
    bad = [UserRow(2, 8, "+447400123457", ""), UserRow(3, 1635, "+447400123458", "")]
    assert parts.authy_users.bring_in(ACCOUNT, service.sid, bad) == (
        0,
        [BadUser(3, "the id has another number already")],
    )
    clash = [UserRow(2, 9, NUMBER, "")]
    assert parts.authy_users.bring_in(ACCOUNT, service.sid, clash)[1] == [
        BadUser(2, "the number has another id already")
    ]
    assert count(parts, "authy_users") == 2


def test_a_drawn_id_never_meets_anothers_app(
    parts: Sendcode, client: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new user does not get an entity that is there already, with the app of somebody else who
    is still to be imported."""
    taken, free = IDS[5], IDS[6]
    change = Change(friendly_name="Somebody else")
    parts.factors.create_factor(ACCOUNT, service.sid, f"authy-user-{taken}", change)
    drawn = iter([5, 6])
    monkeypatch.setattr(users.secrets, "randbelow", lambda _: next(drawn))
    assert new_user(client) == free


def test_a_user_outlives_a_secret_key(
    make_parts: Callable[..., Sendcode], service: Service
) -> None:
    """While keys rotate a number keeps its id; resealed, the old key is not needed."""
    new = SAMPLE_KEY[::-1].lstrip("=") + "=" * (len(SAMPLE_KEY) - len(SAMPLE_KEY.rstrip("=")))
    old = make_parts()
    key = key_of(old, service)
    user = new_user(door(old, key))
    both = make_parts(secret_keys=f"k2:{new},k1:{SAMPLE_KEY}")
    assert new_user(door(both, key)) == user
    assert (both.authy_users.reseal(), both.authy_users.reseal()) == (1, 0)
    alone = make_parts(secret_keys=f"k2:{new}")
    assert new_user(door(alone, key)) == user
    status = ask(door(alone, key), f"users/{user}/status").json()["status"]
    assert status["phone_number"] == "XXX-XXX-XX02"
