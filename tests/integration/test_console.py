"""The console's pages and its way in, on both databases and a real Valkey."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pyotp
import pytest
import sqlalchemy
from fastapi.testclient import TestClient

from api_stub.app import create_app
from api_stub.console.guard import COOKIE
from tests.integration.conftest import ACCOUNT
from tests.integration.test_operators import PASSWORD, age, enrol, next_code
from tests.integration.test_records import FRENCH, set_to, start
from tests.pages import Page
from worker import tracing
from worker.operators import Role, passwords
from worker.rollup import Rollup
from worker.services import Service
from worker.wiring import Sendcode

# What reads the tables in its own way runs on both databases, in test_console_reads.py.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

PAGES = (
    *(
        "/",
        "/queues",
        "/failures",
        "/requests",
        "/countries",
        "/countries/prefixes",
        "/senders",
        "/workers",
        "/webhooks",
        "/limits",
    ),
    *("/settings", "/operators", "/account", "/series.json"),
)


def door(parts: Sendcode) -> TestClient:
    """A browser before the console, which nobody is signed in to."""
    app = create_app(parts.settings)
    app.state.parts = parts
    return TestClient(
        app, raise_server_exceptions=False, base_url=parts.settings.base_url, follow_redirects=False
    )


def token(client: TestClient, page: str = "/account") -> str:
    return Page(client.get(f"/console{page}").text).forms[0].fields["csrf"]


def post(client: TestClient, path: str, page: str = "/account", **fields: str) -> Any:
    """Send a form as the page `page` would."""
    return client.post(f"/console{path}", data={"csrf": token(client, page), **fields})


def signed_in(parts: Sendcode, name: str = "ann", role: Role = Role.ADMIN) -> TestClient:
    """A browser in which an operator came by a link."""
    if name not in {one.name for one in parts.operators.all()}:
        parts.operators.add(name, role)
    client = door(parts)
    key = parts.operators.make_link(name)
    page = client.get("/console/link", params={"key": key})
    assert page.status_code == 200
    answer = client.post("/console/link", data=Page(page.text).form("/").fields)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/")
    return client


@pytest.fixture
def ann(parts: Sendcode) -> TestClient:
    return signed_in(parts)


@pytest.fixture
def failed(parts: Sendcode, service: Service) -> str:
    """A delivery to France that the provider refused."""
    sid = start(parts, service, FRENCH)
    set_to(parts, sid, state="failed", error_code="21408", provider_sid=f"SM{'1' * 32}")
    Rollup(parts.db, 30).look()
    return sid


def test_no_page_has_a_whole_number(ann: TestClient, failed: str) -> None:
    """Numbers are masked on every page, and no address holds one."""
    assert "+33*******78" in ann.get("/console/requests").text
    found = post(ann, "/search", q="+33 6 12 34 56 78")
    listed = ann.get(found.headers["location"])
    assert failed in listed.text
    used = post(ann, "/limits/number", number=FRENCH, service="")
    assert used.status_code == 200
    seen = [found.headers["location"], listed.text, used.text]
    seen += [ann.get(f"/console{page}").text for page in (*PAGES, f"/requests/{failed}")]
    for text in seen:
        assert FRENCH[1:] not in text
        assert FRENCH[3:] not in text
        assert "12345678" not in text.replace(" ", "")


def test_the_timeline_says_why(ann: TestClient, failed: str) -> None:
    """It shows state, code, cause in words, what helps, and guesses as a count."""
    text = ann.get(f"/console/requests/{failed}").text
    for words in ("21408", "geographic permissions", "What helps", "0 of 5", "asked for"):
        assert words in text, words


@pytest.fixture
def untraced() -> Iterator[None]:
    """No app of the test goes on sending traces."""
    yield
    tracing.close()


@pytest.mark.usefixtures("untraced")
def test_a_trace_is_one_click_away(make_parts: Callable[..., Sendcode]) -> None:
    """Where traces are shown, the request's page and a group's examples lead to the trace, whose id
    is the verification's; else nothing of it is there. The number's last day is for viewers too.
    """
    shown = "https://jaeger.example.com/trace/{trace_id}"
    for changes in ({}, {"trace_url": shown, "otlp_endpoint": "http://127.0.0.1:9"}):
        parts = make_parts(**changes)
        service = parts.services.create(ACCOUNT, "Example")
        sid = start(parts, service, FRENCH)
        set_to(parts, sid, state="failed", error_code="21408")
        vic = signed_in(parts, "vic", Role.VIEWER)
        group = {"code": "21408", "channel": "sms", "country": "FR"}
        pages = [
            Page(vic.get(f"/console/requests/{sid}").text),
            Page(vic.get("/console/failures/group", params=group).text),
        ]
        to = f"https://jaeger.example.com/trace/{parts.records.find(sid)[2:]}"
        for page in pages:
            assert (to in [href for href, _ in page.links]) == bool(changes)
            assert ("Trace" in page.text) == bool(changes)
        assert sid in vic.get(pages[0].link("Same number, last 24 h")).text


def test_nothing_stands_before_its_start(parts: Sendcode, ann: TestClient, failed: str) -> None:
    """A worker whose clock is behind the database's makes no negative time in a timeline."""
    with parts.db.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE deliveries SET published_at = created_at - 11"))
    page = ann.get(f"/console/requests/{failed}").text
    assert "told to the workers" in page
    assert "-11 ms" not in page


def test_password_and_code_sign_in(parts: Sendcode) -> None:
    """The sign-in page keeps the session in a `__Host-` cookie and goes on to where one was."""
    parts.operators.add("ann", "viewer", PASSWORD)
    app = enrol(parts.operators, "ann")
    client = door(parts)
    sent = client.get("/console/failures?since=1h")
    assert sent.status_code == 303
    page = client.get(sent.headers["location"])
    fields = {**Page(page.text).form("/").fields, "name": "ann", "password": PASSWORD}
    wrong = client.post("/console/sign-in", data={**fields, "code": "12345"})
    assert wrong.status_code == 401
    assert PASSWORD not in wrong.text
    right = client.post("/console/sign-in", data={**fields, "code": next_code(app)})
    assert (right.status_code, right.headers["location"]) == (303, "/console/failures?since=1h")
    kept = right.headers["set-cookie"]
    assert kept.startswith("__Host-")
    assert {"Secure", "HttpOnly", "Path=/"} <= set(kept.split("; "))
    assert "samesite=lax" in kept.lower()
    assert client.get("/console/failures?since=1h").status_code == 200


def test_sign_ins_that_wait_hold_no_page_up(make_parts: Callable[..., Sendcode]) -> None:
    """While more sign-ins than there are threads wait for their passwords, pages answer."""
    client = door(make_parts(database_pool_size=2))
    answered = threading.Event()

    def sign_in(i: int) -> None:
        client.post("/console/sign-in", data={**fields, "name": f"n{i}", "password": PASSWORD})

    def look() -> None:
        client.get("/console/link")
        answered.set()

    with client:
        fields = Page(client.get("/console/sign-in").text).form("/").fields
        with passwords._TWO_AT_A_TIME, passwords._TWO_AT_A_TIME:
            asking = [threading.Thread(target=sign_in, args=(i,)) for i in range(12)]
            for thread in asking:
                thread.start()
            time.sleep(1)
            asking.append(threading.Thread(target=look))
            asking[-1].start()
            assert answered.wait(15)
        for thread in asking:
            thread.join()


def test_the_first_way_in(parts: Sendcode) -> None:
    """By link, then a password and an app with its QR code; after that both are asked for."""
    client = signed_in(parts)
    new = "a long enough one"
    assert post(client, "/account/password", password=new, again="another").status_code == 400
    assert post(client, "/account/password", password="short", again="short").status_code == 400
    assert post(client, "/account/password", password=new, again=new).status_code == 303
    assert client.get("/console/queues").headers["location"] == "/console/account"
    offered = post(client, "/account/factor")
    assert "data:image/png;base64," in offered.text
    secret = re.search(r'<code class="copy">([A-Z2-7 ]+)</code>', offered.text)
    assert secret is not None
    app = pyotp.TOTP(secret[1].replace(" ", ""))
    fields = Page(offered.text).form("/accept").fields
    refused = client.post("/console/account/factor/accept", data={**fields, "code": "0"})
    assert refused.status_code == 400
    done = client.post("/console/account/factor/accept", data={**fields, "code": app.now()})
    assert done.status_code == 303
    assert client.get("/console/queues").status_code == 200
    noted = [one.action for one in parts.operations.audit.page()]
    assert noted == ["operator.factor", "operator.password"]
    assert post(client, "/sign-out").headers["location"] == "/console/sign-in"
    assert client.get("/console/").status_code == 303


def test_a_link_is_not_used_up_by_looking(parts: Sendcode) -> None:
    """What previews a link opens it only; the button signs in, once."""
    parts.operators.add("ann", "admin")
    key = parts.operators.make_link("ann")
    client = door(parts)
    pages = [client.get("/console/link", params={"key": key}) for _ in range(3)]
    fields = Page(pages[-1].text).form("/").fields
    assert client.post("/console/link", data=fields).status_code == 303
    assert client.post("/console/link", data=fields).status_code == 401


@pytest.mark.parametrize(
    "spoil",
    [
        lambda fields, headers: fields.update(csrf="0" * 64),
        lambda fields, headers: fields.pop("csrf"),
        lambda fields, headers: headers.update({"Sec-Fetch-Site": "cross-site"}),
        lambda fields, headers: headers.update({"Sec-Fetch-Site": "same-site"}),
    ],
    ids=["another token", "no token", "another site", "a sister site"],
)
def test_forms_of_others_change_nothing(
    parts: Sendcode, ann: TestClient, spoil: Callable[[Any, Any], Any]
) -> None:
    """Without the session's own token, or from another site, no form is taken, nor the sign-in."""
    headers: dict[str, str] = {}
    fields = {"csrf": token(ann), "name": "bob", "role": "viewer", "reason": "x"}
    spoil(fields, headers)
    assert ann.post("/console/act/add-operator", data=fields, headers=headers).status_code == 403
    assert [one.name for one in parts.operators.all()] == ["ann"]
    key, client = parts.operators.make_link("ann"), door(parts)
    opened = Page(client.get("/console/link", params={"key": key}).text).form("/").fields
    spoil(opened, headers)
    assert client.post("/console/link", data=opened, headers=headers).status_code == 403


def test_roles(parts: Sendcode) -> None:
    """Viewers and operators see the pages; an admin alone changes operators."""
    for name, role in (("vic", Role.VIEWER), ("olga", Role.OPERATOR)):
        client = signed_in(parts, name, role)
        assert {client.get(f"/console{page}").status_code for page in PAGES} == {200}
        refused = post(client, "/act/add-operator", name="eve", role="admin", reason="x")
        assert refused.status_code == 403
        assert "This needs the role" in refused.text
    admin = signed_in(parts, "ann")
    made = post(admin, "/act/add-operator", name="bob", role="viewer", reason="new")
    link = re.search(r"https://codes\.example\.com(/console/link\?key=[\w-]+)", made.text)
    assert link is not None
    bob = door(parts)
    opened = Page(bob.get(link[1]).text).form("/").fields
    assert bob.post("/console/link", data=opened).status_code == 303
    assert post(admin, "/act/disable-operator", name="bob", reason="left").status_code == 200
    assert bob.get("/console/").status_code == 303
    noted = [(one.who, one.action, one.target) for one in parts.operations.audit.page()]
    actions = ("operator.disable", "operator.link", "operator.add")
    assert noted == [("ann", action, "operator bob") for action in actions]


def test_an_admin_ends_a_session(parts: Sendcode, ann: TestClient) -> None:
    """A session of another browser ends at once, where the page of it is confirmed with a reason,
    which is kept.
    """
    other = signed_in(parts, "bob")
    path = Page(ann.get("/console/operators").text).link("End the session of bob")
    assert "Nothing is done yet" in ann.get(path).text
    assert other.get("/console/").status_code == 200
    form = Page(ann.get(path).text).form("/console/act/")
    assert ann.post(form.action, data=form.fields).status_code == 409, "no reason"
    done = ann.post(form.action, data={**form.fields, "reason": "a lost laptop"})
    assert done.status_code == 200
    assert other.get("/console/").status_code == 303
    assert ann.get("/console/").status_code == 200
    (noted,) = parts.operations.audit.page()
    told = (noted.who, noted.action, noted.target, noted.reason)
    assert told == ("ann", "operator.end-session", "operator bob", "a lost laptop")


@pytest.mark.kills("anybodys-session-is-ones-own")
def test_everybody_ends_their_own_sessions_alone(parts: Sendcode) -> None:
    """A viewer ends another of their own browsers from the account's page, and nobody else's."""
    mine, other = signed_in(parts, "vic", Role.VIEWER), signed_in(parts, "vic")
    path = Page(mine.get("/console/account").text).link("End it")
    form = Page(mine.get(path).text).form("/console/act/")
    ann = signed_in(parts)
    theirs = {**form.fields, "sid": parts.operators.sessions()[0].sid, "reason": "x"}
    assert mine.post(form.action, data=theirs).status_code == 409
    assert ann.get("/console/").status_code == 200
    assert mine.post(form.action, data={**form.fields, "reason": "x"}).status_code == 200
    assert (other.get("/console/").status_code, mine.get("/console/").status_code) == (303, 200)
    (noted,) = parts.operations.audit.page()
    assert (noted.who, noted.target) == ("vic", "operator vic")


def test_a_page_that_is_left_open_keeps_no_session(parts: Sendcode, ann: TestClient) -> None:
    """What charts and progress ask for by themselves is no use of a session: after half an hour
    it has ended. What a person opens is."""
    for _ in range(2):
        age(parts, 16 * 60)
        assert ann.get("/console/queues").status_code == 200
    polled = {"HX-Trigger": "job", "HX-Request": "true"}
    for status in (200, 303):
        age(parts, 16 * 60)
        assert ann.get("/console/series.json").status_code == status
    client = signed_in(parts, "bob")
    for status in (200, 401):
        age(parts, 16 * 60)
        assert client.get("/console/bulk", headers=polled).status_code == status


def test_settings_show_no_secret(parts: Sendcode, ann: TestClient) -> None:
    """Tokens, keys and passwords are masked; what is no secret is there."""
    text = ann.get("/console/settings").text
    for name in ("auth_token", "secret_keys", "twilio_auth_token", "broker_url"):
        secret = getattr(parts.settings, name).get_secret_value()
        assert secret not in text, name
    assert parts.settings.twilio_from in text or "SENDCODE_TWILIO_FROM" in text
    assert "SENDCODE_READ_TIMEOUT" in text


def test_without_the_broker_the_pages_say_so(make_parts: Callable[..., Sendcode]) -> None:
    """An operator signs in and reads on what still can be read."""
    parts = make_parts()
    client = signed_in(parts)
    away = Sendcode(
        parts.settings.model_copy(update={"broker_url": type(parts.settings.broker_url)(
            "redis://127.0.0.1:1/0")})
    )  # fmt: skip
    client.app.state.parts = away  # type: ignore[attr-defined]
    for page in ("/", "/queues", "/workers", "/senders", "/failures", "/requests"):
        answer = client.get(f"/console{page}")
        assert answer.status_code == 200, page
    assert "The broker does not answer" in client.get("/console/").text
    away.db.close()


def test_the_stream_is_for_those_who_are_signed_in(parts: Sendcode) -> None:
    """A stranger gets no stream, and no page in its place."""
    answer = door(parts).get("/console/live", headers={"Accept": "text/event-stream"})
    assert (answer.status_code, answer.text) == (401, "signed out")


def test_looks_are_shared(
    parts: Sendcode, ann: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many pages are opened within a second, queues are looked at once or twice."""
    looks = []
    original = type(parts.standing).queues
    monkeypatch.setattr(
        type(parts.standing), "queues", lambda self: looks.append(1) or original(self)
    )
    begun = time.monotonic()
    for _ in range(10):
        assert ann.get("/console/").status_code == 200
    assert len(looks) <= 1 + (time.monotonic() - begun) / 2
    assert COOKIE in ann.cookies
