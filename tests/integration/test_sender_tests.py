"""A sender tried out: a test by it alone through the ordinary dispatch, and its credentials."""

import json
import threading
import time
from collections.abc import Iterator

import pytest

from tests.helpers import count, delivery
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.integration.doors import door, refused
from tests.integration.operating import ADMIN, ANN, audited, make_relay
from tests.integration.test_console import signed_in, token
from tests.integration.test_senders import ONE, TWO, froms, make_two, two
from tests.pages import Page
from tests.standin import Standin
from worker.errors import (
    ActionRefusedError,
    BlockedError,
    InvalidParameterError,
    LimitReachedError,
    PausedError,
)
from worker.operators import Role
from worker.plan import read_plan
from worker.services import Service
from worker.wiring import Sendcode

__all__ = ["make_two", "two"]
REFUSED = (400, 21408, {})  # no permission for the country: another sender would be tried


@pytest.fixture
def service(two: Sendcode) -> Service:
    return two.services.create(ACCOUNT, "Example", plan=read_plan("call"))


@pytest.fixture
def working(two: Sendcode, service: Service) -> Iterator[None]:
    """A worker that takes what waits."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            with two.db.statement() as connection:
                found = connection.exec_driver_sql(
                    "SELECT sid FROM deliveries WHERE state = 'queued' AND tries = 0"
                )
                sids = list(found.scalars())
            two.dispatch.deliver(sids)
            time.sleep(0.05)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.mark.kills("a-test-by-another-sender")
def test_it_goes_by_the_sender_that_is_named(
    two: Sendcode, working: None, provider: Standin
) -> None:
    """The second sender sends it, a real code that counts against the number; the log says that
    it was a test, by whom and why, with the number masked; the outcome is told."""
    told = two.operations.testing.send(ADMIN, "two", "sms", NUMBER, "a trial", dry_run=True)
    assert (told.result, count(two, "deliveries"), audited(two)) == ("would", 0, [])
    done = two.operations.testing.send(ADMIN, "two", "sms", NUMBER, "new sender")
    after = done.after or {}
    assert (after["state"], froms(provider)) == ("accepted", [TWO])
    assert delivery(two, after["delivery"]).only_by == "two"
    (entry,) = audited(two)
    assert (entry.action, entry.target, entry.reason) == (
        "test.send",
        "sender two/sms",
        "new sender",
    )
    assert entry.after == {
        "test": True,
        "to": "+44********56",
        "service": after["service"],
        "verification": after["verification"],
        "delivery": after["delivery"],
    }
    for _ in range(two.settings.limit_sends - 1):
        two.operations.testing.send(ADMIN, "two", "sms", NUMBER, "again", wait=0)
    with pytest.raises(LimitReachedError):
        two.operations.testing.send(ADMIN, "two", "sms", NUMBER, "again", wait=0)


@pytest.mark.kills("a-test-that-a-plan-follows")
def test_no_other_sends_it_and_nothing_follows(
    two: Sendcode, working: None, provider: Standin
) -> None:
    """A refusal for which another sender would be tried, and a plan go on, ends the test; its
    code is told in words."""
    provider.script.append(REFUSED)
    after = two.operations.testing.send(ADMIN, "one", "sms", NUMBER, "new sender").after or {}
    assert (after["state"], after["error_code"]) == ("failed", "21408")
    assert "country" in after["meaning"]
    make_relay(two).tick()
    assert (froms(provider), count(two, "deliveries")) == ([ONE], 1)


def test_what_is_no_test(two: Sendcode, service: Service, provider: Standin) -> None:
    """None but an admin sends one, and none goes by an unknown or paused sender, over a channel
    it is not for, or to a number that cannot be used or is blocked."""
    act = two.operations.testing
    with pytest.raises(ActionRefusedError):
        act.send(ANN, "one", "sms", NUMBER, "why")
    for words in (("three", "sms", NUMBER), ("one", "fax", NUMBER), ("one", "sms", "12")):
        with pytest.raises(InvalidParameterError):
            act.send(ADMIN, *words, "why")
    two.operations.pauses.pause(ADMIN, "sender", "one", "why")
    with pytest.raises(PausedError):
        act.send(ADMIN, "one", "sms", NUMBER, "why")
    two.operations.blocks.block(ADMIN, NUMBER, "why")
    with pytest.raises(BlockedError):
        act.send(ADMIN, "two", "sms", NUMBER, "why")
    assert "test.send" not in {one.action for one in audited(two)}
    assert count(two, "deliveries") == 0


def test_credentials_are_checked(two: Sendcode, provider: Standin) -> None:
    """The provider's yes, its no with the code in words, and its silence; nothing is sent."""
    act = two.operations.testing
    assert act.check(ANN, "one", "a trial", dry_run=True).result == "would"
    assert (provider.lists, audited(two)) == (0, [])
    assert (act.check(ANN, "one", "new token").after or {})["answer"] == "accepted"
    provider.refuses = (401, 20003)
    no = act.check(ANN, "one", "new token").after or {}
    assert (no["answer"], no["error_code"]) == ("refused", "20003")
    assert no["meaning"]
    provider.refuses = (503, 20503)
    assert (act.check(ANN, "two", "new token").after or {})["answer"] == "none"
    assert [one.target for one in audited(two)] == ["sender one", "sender one", "sender two"]
    assert provider.sent == []
    with pytest.raises(InvalidParameterError):
        act.check(ANN, "three", "why")


def test_over_http(two: Sendcode, working: None, provider: Standin) -> None:
    """Both verbs, for keys with the scope admin alone."""
    client = door(two)
    body = {"sender": "two", "channel": "sms", "to": NUMBER, "reason": "tests"}
    told = client.post("/operator/v1/senders/test", json=body)
    assert (told.status_code, told.json()["after"]["state"]) == (200, "accepted")
    assert NUMBER not in json.dumps(told.json())
    told = client.post("/operator/v1/senders/check", json={"sender": "one", "reason": "tests"})
    assert told.json()["after"]["answer"] == "accepted"
    key, secret = two.api_keys.create(ACCOUNT, "dashboard", ["read", "start", "check"])
    refused(door(two, key.sid, secret).post("/operator/v1/senders/test", json=body), 403, 20003)


@pytest.mark.kills("a-test-by-anybody")
def test_on_the_console(two: Sendcode, working: None, provider: Standin) -> None:
    """The page of senders leads an admin to both forms, an operator to the check alone; what came
    of it is said in words, and the number is on no page."""
    ann, (oldest,) = signed_in(two), [one.sid for one in two.services.page(ACCOUNT, 1)]
    other = two.services.create(ACCOUNT, "Other")
    path = Page(ann.get("/console/senders").text).link("Test SMS by one")
    form = Page(ann.get(path).text).form("/console/act/")
    fields = {**form.fields, "what": NUMBER, "reason": "new sender"}
    chosen = {**fields, "service": other.sid}
    tried = ann.post(form.action, data={**chosen, "try": "1", "reason": ""})
    assert "Nothing is done yet" in tried.text
    assert provider.sent == []
    assert form.fields["service"] == oldest, "the oldest service, unless another one is chosen"
    fields["service"] = Page(tried.text).form("/console/act/").fields["service"]
    assert fields["service"] == other.sid, "a trial forgets no choice"
    done = ann.post(form.action, data=fields)
    assert "The provider took it" in done.text
    (sent,) = audited(two)
    assert (sent.after or {})["service"] == other.sid
    assert Page(done.text).link("Go on").startswith("/console/requests/VL")
    assert NUMBER[3:] not in tried.text + done.text
    olga = signed_in(two, "olga", Role.OPERATOR)
    assert "Test SMS" not in olga.get("/console/senders").text
    assert olga.get(path).status_code == 403
    assert olga.post(form.action, data={**fields, "csrf": token(olga)}).status_code == 403
    assert ann.post(form.action, data={**fields, "csrf": "x"}).status_code == 403
    form = Page(olga.get("/console/act/check-sender?sender=two").text).form("/console/act/")
    assert "knows the account" in olga.post(form.action, data={**form.fields, "reason": "x"}).text
    assert len(provider.sent) == 1
