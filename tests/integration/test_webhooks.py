"""Event hooks and what they are told, over HTTP, on both databases and with a real receiver."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from tests.helpers import at_once, code_of, count, delivery, let_time_pass, wrong_code
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.integration.doors import MEGABYTE, door, refused, walked
from tests.integration.operating import ADMIN
from tests.integration.receiving import Receiver
from tests.integration.test_relay import make_relay
from tests.standin import Standin
from worker import telling
from worker.hooks import MAX_HOOKS
from worker.outbox import Event
from worker.providers.twilio_errors import MESSAGE_STATUSES
from worker.purging import purge_events
from worker.services import Service
from worker.telling import AT_ONCE, BATCH
from worker.verifications import Start, Verification
from worker.webhooks import Webhooks, event_id, sign
from worker.wiring import Sendcode

OTHER = "AC" + "b" * 32
ZEROS = "0" * 32
HOOK_KEYS = {
    *("sid", "account_sid", "service_sid", "hook_url", "event_types", "status", "failures"),
    *("date_created", "date_updated", "url"),
}


def hook(parts: Sendcode, service: Service, url: str, *kinds: str) -> dict[str, Any]:
    form = {"Url": url, "EventTypes": list(kinds) or ["*"]}
    answer = door(parts).post(f"{path(service)}", data=form)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def path(service: Service) -> str:
    return f"/v2/Services/{service.sid}/EventHooks"


def start(parts: Sendcode, service: Service, to: str = NUMBER) -> Verification:
    return parts.verifications.start(ACCOUNT, Start(service.sid, to))


def report(parts: Sendcode, sid: str, status: str, error: str | None = None) -> None:
    parts.receipts.apply(
        sid,
        provider="twilio",
        provider_sid=delivery(parts, sid).provider_sid,
        status=status,
        words=MESSAGE_STATUSES,
        error_code=error,
    )


def make_due(parts: Sendcode) -> None:
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE events SET next_try_at = 0"))
        connection.execute(text("UPDATE event_hooks SET paused_until = 0"))


# What is told


def test_every_end_is_told(
    parts: Sendcode, service: Service, receiver: Receiver, provider: Standin
) -> None:
    """Approved, canceled, spent and expired verifications, and delivered, undelivered and failed
    deliveries are told, each once.
    """
    hook(parts, service, receiver.url)
    numbers = iter(f"+4474001234{n:02d}" for n in range(10))
    approved = start(parts, service, next(numbers))
    parts.dispatch.deliver([approved.deliveries[0].sid])
    report(parts, approved.deliveries[0].sid, "delivered")
    report(parts, approved.deliveries[0].sid, "delivered")
    parts.verifications.check(ACCOUNT, service.sid, code_of(parts, approved.sid), sid=approved.sid)
    canceled = start(parts, service, next(numbers))
    parts.verifications.cancel(ACCOUNT, service.sid, sid=canceled.sid)
    spent = start(parts, service, next(numbers))
    for _ in range(5):
        wrong = wrong_code(code_of(parts, spent.sid))
        parts.verifications.check(ACCOUNT, service.sid, wrong, sid=spent.sid)
    lost = start(parts, service, next(numbers))
    parts.dispatch.deliver([lost.deliveries[0].sid])
    report(parts, lost.deliveries[0].sid, "undelivered", "30003")
    failed = start(parts, service, next(numbers))
    provider.script.append((400, 21211, {}))
    parts.dispatch.deliver([failed.deliveries[0].sid])
    assert delivery(parts, failed.deliveries[0].sid).state == "failed"
    let_time_pass(parts, 601)
    make_relay(parts).settle()
    make_relay(parts).settle()
    while parts.webhooks.tick():
        pass
    assert receiver.kinds() == sorted(
        [
            *("verification.approved", "verification.canceled"),
            "verification.max_attempts_reached",
            *("delivery.delivered", "delivery.undelivered"),
            *["delivery.failed"] * 2,  # refused, and never sent in its life
            *["verification.expired"] * 3,
        ]
    )
    by_kind = {event["type"]: event for event in receiver.events()}
    assert by_kind["verification.approved"]["verification_sid"] == approved.sid
    assert by_kind["verification.canceled"]["verification_sid"] == canceled.sid
    assert by_kind["verification.max_attempts_reached"]["verification_sid"] == spent.sid
    assert by_kind["delivery.undelivered"]["delivery"] == {
        "sid": lost.deliveries[0].sid,
        "channel": "sms",
        "error_code": "30003",
    }
    failures = {
        e["delivery"]["sid"]: e["delivery"]["error_code"]
        for e in receiver.events()
        if e["type"] == "delivery.failed"
    }
    unsent = spent.deliveries[0].sid
    assert failures == {failed.deliveries[0].sid: "21211", unsent: "expired"}
    assert count(parts, "events") == 0


def test_silence_is_told_as_undelivered(
    parts: Sendcode, service: Service, receiver: Receiver
) -> None:
    """A delivery that the relay gives up is told with our own word for it."""
    hook(parts, service, receiver.url, "delivery.undelivered")
    sid = start(parts, service).deliveries[0].sid
    parts.dispatch.deliver([sid])
    let_time_pass(parts, 700)
    make_relay(parts).settle()
    parts.webhooks.tick()
    assert [event["delivery"]["error_code"] for event in receiver.events()] == ["no_receipt"]


@pytest.mark.parametrize("by", ["relay", "worker", "operator"])
@pytest.mark.kills("relay-ends-deliveries-untold", "claim-ends-deliveries-untold")
def test_what_was_not_sent_in_time_is_told_as_failed(
    parts: Sendcode, service: Service, receiver: Receiver, by: str
) -> None:
    """A delivery that waits until its code's life is over is told as failed, once, whoever ends
    it; where nobody is to be told, nothing is written.
    """
    other = parts.services.create(ACCOUNT, "Other")
    hook(parts, service, receiver.url)
    sids = [start(parts, of).deliveries[0].sid for of in (service, other)]
    let_time_pass(parts, 601)
    if by == "worker":
        parts.dispatch.deliver(sids)
    elif by == "operator":
        for sid in sids:
            parts.operations.discarding.one(ADMIN, sid, reason="too late")
    else:
        make_relay(parts).settle()
    assert {delivery(parts, sid).state for sid in sids} == {"expired"}
    assert count(parts, "events WHERE kind = 'delivery.failed'") == 1
    make_relay(parts).settle()
    parts.webhooks.tick()
    (told,) = (event for event in receiver.events() if event["type"] == "delivery.failed")
    why = "discarded" if by == "operator" else "expired"
    assert (told["delivery"]["sid"], told["delivery"]["error_code"]) == (sids[0], why)


def test_an_overdue_one_that_a_start_ends_is_told(
    parts: Sendcode, service: Service, receiver: Receiver
) -> None:
    """A verification that a new start finds overdue is told as expired."""
    hook(parts, service, receiver.url)
    first = start(parts, service)
    let_time_pass(parts, 601)
    assert start(parts, service).sid != first.sid
    parts.webhooks.tick()
    assert [(e["type"], e["verification_sid"]) for e in receiver.events()] == [
        ("verification.expired", first.sid)
    ]


def test_the_event_is_part_of_the_change(
    parts: Sendcode, service: Service, receiver: Receiver
) -> None:
    """A right code is approved and its event written, or neither."""
    hook(parts, service, receiver.url)
    started = start(parts, service)
    code = code_of(parts, started.sid)
    with parts.db.begin() as connection:
        connection.execute(text("ALTER TABLE events RENAME TO gone"))
    with pytest.raises(Exception, match="events"):
        parts.verifications.check(ACCOUNT, service.sid, code, sid=started.sid)
    with parts.db.begin() as connection:
        connection.execute(text("ALTER TABLE gone RENAME TO events"))
    assert count(parts, "verifications WHERE status = 'pending'") == 1
    parts.verifications.check(ACCOUNT, service.sid, code, sid=started.sid)
    assert count(parts, "events") == 1


def test_the_body_is_signed_and_holds_no_number(
    parts: Sendcode, service: Service, receiver: Receiver
) -> None:
    """The signature is HMAC-SHA256 over time and body; neither number nor code is in the body."""
    secret = hook(parts, service, receiver.url)["secret"]
    started = start(parts, service)
    code = code_of(parts, started.sid)
    parts.verifications.check(ACCOUNT, service.sid, code, sid=started.sid)
    parts.webhooks.tick()
    ((headers, body),) = receiver.got
    at = headers["sendcode-signature"].partition(",")[0].removeprefix("t=")
    expected = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["sendcode-signature"] == f"t={at},v1={expected}" == sign(secret, int(at), body)
    event = json.loads(body)
    assert set(event) == {
        *("id", "type", "created", "account_sid", "service_sid", "verification_sid", "to"),
        *("country", "channel", "delivery"),
    }
    assert event["to"] == "+44********56"
    assert event["id"] == event_id("verification.approved", started.sid)
    assert NUMBER[1:] not in body.decode()
    assert code not in body.decode().replace(started.sid, "").replace(event["id"], "")
    assert headers["host"] == receiver.url.split("/")[2]


def test_only_what_was_asked_for_by_whom_it_concerns(
    parts: Sendcode, service: Service, receiver: Receiver
) -> None:
    """A hook is told its kinds of event of its own service, and nothing while it is disabled."""
    other = parts.services.create(ACCOUNT, "Other")
    hook(parts, service, receiver.url, "verification.canceled")
    hook(parts, other, receiver.url)
    off = hook(parts, service, receiver.url)["sid"]
    door(parts).post(f"{path(service)}/{off}", data={"Status": "disabled"})
    started = start(parts, service)
    parts.verifications.check(ACCOUNT, service.sid, code_of(parts, started.sid), sid=started.sid)
    assert count(parts, "events") == 0
    second = start(parts, service)
    parts.verifications.cancel(ACCOUNT, service.sid, sid=second.sid)
    parts.webhooks.tick()
    assert receiver.kinds() == ["verification.canceled"]


# Again and again


@pytest.mark.parametrize("status", [500, 404, 302, 429])
def test_a_refused_event_is_told_again(
    parts: Sendcode, service: Service, receiver: Receiver, status: int
) -> None:
    """Whatever is no 2xx is tried again later with the same id; a redirect is not followed."""
    sid = hook(parts, service, receiver.url)["sid"]
    receiver.answers += [status, status]
    started = start(parts, service)
    parts.verifications.cancel(ACCOUNT, service.sid, sid=started.sid)
    assert parts.webhooks.tick() == 1
    assert parts.webhooks.tick() == 0
    make_due(parts)
    parts.webhooks.tick()
    assert parts.hooks.fetch(ACCOUNT, service.sid, sid).failures == 2
    make_due(parts)
    parts.webhooks.tick()
    assert len({event["id"] for event in receiver.events()}) == 1
    assert len(receiver.got) == 3
    assert count(parts, "events") == 0
    assert parts.hooks.fetch(ACCOUNT, service.sid, sid).failures == 0


def test_a_failing_hook_waits_and_keeps_none_back(
    parts: Sendcode, service: Service, receiver: Receiver
) -> None:
    """After a failure a hook is left alone for a while; others are told meanwhile."""
    hook(parts, service, "http://127.0.0.1:1/closed")
    for n in range(3):
        started = start(parts, service, f"+44740012345{n}")
        parts.verifications.cancel(ACCOUNT, service.sid, sid=started.sid)
    parts.webhooks.tick()
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE events SET next_try_at = 0"))
    assert parts.webhooks.tick() == 0
    hook(parts, service, receiver.url)
    started = start(parts, service)
    parts.verifications.cancel(ACCOUNT, service.sid, sid=started.sid)
    parts.webhooks.tick()
    assert receiver.kinds() == ["verification.canceled"]


def failures(parts: Sendcode) -> list[int]:
    with parts.db.statement() as connection:
        found = connection.execute(text("SELECT failures FROM event_hooks ORDER BY failures"))
        return list(found.scalars())


@pytest.mark.kills("failing-hook-is-told-the-whole-batch", "events-untried-are-not-given-back")
def test_many_events_that_fail_at_once_are_one_failure(
    parts: Sendcode, service: Service, receiver: Receiver
) -> None:
    """A hook that fails is told nothing more of the batch: that is one failure, and what was not
    tried counts no try and is due as soon as the hook is. Other hooks are told meanwhile.
    """
    hook(parts, service, "http://127.0.0.1:1/closed")
    well = hook(parts, service, receiver.url)["sid"]
    cancel_some(parts, service, BATCH // 2)
    parts.webhooks.tick()
    assert len(receiver.got) == BATCH // 2
    assert failures(parts) == [0, 1]
    untried = count(parts, "events WHERE tries = 0 AND next_try_at <= created_at")
    assert BATCH // 2 - AT_ONCE <= untried == count(parts, "events") - tried(parts)
    parts.hooks.delete(ACCOUNT, service.sid, well)
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE event_hooks SET paused_until = 0"))
    assert parts.webhooks.tick() == untried
    assert failures(parts) == [2]


@pytest.mark.kills("failure-of-a-paused-hook-counts")
def test_what_fails_at_two_relays_at_once_is_one_failure(
    parts: Sendcode, service: Service, receiver: Receiver, make_parts: Callable[..., Sendcode]
) -> None:
    """A request that was under way when another relay paused the hook adds nothing to it."""
    hook(parts, service, receiver.url)
    cancel_some(parts, service, 1)
    other = make_parts()

    def meanwhile() -> None:
        cancel_some(parts, service, 1)
        other.webhooks.tick()
        with parts.db.begin() as connection:
            connection.execute(text("UPDATE event_hooks SET paused_until = paused_until + 60000"))

    receiver.before.append(meanwhile)
    receiver.answers += [500, 500]
    parts.webhooks.tick()
    assert len(receiver.got) == 2
    assert failures(parts) == [1]


@pytest.mark.kills("slow-failure-of-a-batch-counts-again")
def test_a_failure_that_comes_late_is_no_other_one(
    parts: Sendcode, service: Service, receiver: Receiver
) -> None:
    """Of requests that went out together the slowest adds nothing, though the pause is over."""
    hook(parts, service, receiver.url)
    cancel_some(parts, service, 2)

    def late() -> None:
        for _ in range(200):
            if failures(parts) == [1]:
                break
            time.sleep(0.02)
        with parts.db.begin() as connection:
            connection.execute(text("UPDATE event_hooks SET paused_until = 0"))

    receiver.before.append(late)
    receiver.answers += [500, 500]
    parts.webhooks.tick()
    assert tried(parts) == 2
    assert failures(parts) == [1]


def cancel_some(parts: Sendcode, service: Service, many: int) -> None:
    for n in range(many):
        started = start(parts, service, f"+4474001234{n:02d}")
        parts.verifications.cancel(ACCOUNT, service.sid, sid=started.sid)


def tried(parts: Sendcode) -> int:
    return count(parts, "events WHERE tries > 0")


def test_after_a_day_it_is_given_up(parts: Sendcode, service: Service, receiver: Receiver) -> None:
    """An event that nobody took for a day is not tried any more, and goes with what it tells of."""
    hook(parts, service, receiver.url)
    started = start(parts, service)
    parts.verifications.cancel(ACCOUNT, service.sid, sid=started.sid)
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE events SET created_at = created_at - 86401000"))
    assert (parts.webhooks.tick(), parts.webhooks.tick()) == (0, 0)
    assert (receiver.got, count(parts, "events")) == ([], 1)
    purge_events(parts.db, 86_500_000)
    assert count(parts, "events") == 1
    purge_events(parts.db, 86_400_000)
    assert count(parts, "events") == 0


def test_few_are_given_up_at_once(
    make_parts: Callable[..., Sendcode], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are too old, one look gives up a bounded number, and the next one more."""
    monkeypatch.setattr(telling, "GIVEN_UP", 2)
    parts = make_parts()
    service = parts.services.create(ACCOUNT, "Example")
    hook(parts, service, "https://example.com/a")
    for n in range(3):
        started = start(parts, service, f"+44740012345{n}")
        parts.verifications.cancel(ACCOUNT, service.sid, sid=started.sid)
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE events SET created_at = created_at - 86401000"))
        connection.execute(text("UPDATE event_hooks SET paused_until = 9999999999999"))
    left = "events WHERE next_try_at IS NOT NULL"
    for most in (1, 0):
        parts.webhooks.tick()
        assert count(parts, left) == most


def test_two_relays_tell_once(
    parts: Sendcode, service: Service, receiver: Receiver, make_parts: Callable[..., Sendcode]
) -> None:
    """Tellers that look at the same moment tell each event once."""
    hook(parts, service, receiver.url)
    for n in range(5):
        started = start(parts, service, f"+44740012345{n}")
        parts.verifications.cancel(ACCOUNT, service.sid, sid=started.sid)
    others = [parts, *(make_parts() for _ in range(3))]
    at_once(4, lambda n: others[n].webhooks.tick())
    assert len(receiver.got) == 5
    assert count(parts, "events") == 0


def test_a_teller_that_died_is_followed_by_another(
    parts: Sendcode, service: Service, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event whose teller died in the middle is told again once its lease has ended."""
    hook(parts, service, receiver.url)
    started = start(parts, service)
    parts.verifications.cancel(ACCOUNT, service.sid, sid=started.sid)
    monkeypatch.setattr(Webhooks, "_tell", lambda *_: None)
    parts.webhooks.tick()
    monkeypatch.undo()
    assert parts.webhooks.tick() == 0
    make_due(parts)
    parts.webhooks.tick()
    assert receiver.kinds() == ["verification.canceled"]


# Hooks as a resource


def test_hooks(parts: Sendcode, service: Service) -> None:
    """A hook is made with its secret shown once, changed, listed in pages and removed."""
    client = door(parts)
    made = hook(parts, service, "https://example.com/a", "delivery.failed", "delivery.delivered")
    assert set(made) == HOOK_KEYS | {"secret"}
    assert made["event_types"] == ["delivery.delivered", "delivery.failed"]
    fetched = client.get(f"{path(service)}/{made['sid']}").json()
    assert set(fetched) == HOOK_KEYS
    assert made["secret"] not in client.get(path(service)).text
    with parts.db.statement() as connection:
        row = connection.execute(text("SELECT * FROM event_hooks")).one()
    assert made["secret"] not in repr(row)
    change = {"EventTypes": "*", "Status": "disabled", "Url": "https://example.com/b"}
    changed = client.post(f"{path(service)}/{made['sid']}", data=change).json()
    assert changed["event_types"] == [event.value for event in Event]
    assert (changed["status"], changed["hook_url"]) == ("disabled", "https://example.com/b")
    for n in range(4):
        hook(parts, service, f"https://example.com/{n}")
    found = walked(client, path(service), "event_hooks", PageSize=2)
    assert [one["hook_url"][-1] for one in found] == ["b", "0", "1", "2", "3"]
    assert client.delete(f"{path(service)}/{made['sid']}").status_code == 204
    refused(client.get(f"{path(service)}/{made['sid']}"), 404, 20404)
    for n in range(MAX_HOOKS - 4):
        hook(parts, service, f"https://example.com/{n}")
    form = {"Url": "https://example.com", "EventTypes": "*"}
    refused(client.post(path(service), data=form), 400, 60207)


def test_a_deleted_hook_is_told_nothing_more(
    parts: Sendcode, service: Service, receiver: Receiver
) -> None:
    """What a hook was still to be told goes with it."""
    sid = hook(parts, service, receiver.url)["sid"]
    started = start(parts, service)
    parts.verifications.cancel(ACCOUNT, service.sid, sid=started.sid)
    door(parts).delete(f"{path(service)}/{sid}")
    parts.webhooks.tick()
    assert (receiver.got, count(parts, "events")) == ([], 0)


def test_bad_hooks(parts: Sendcode, service: Service) -> None:
    """Unusable URLs, unknown events and parameters are refused and not written."""
    client, url = door(parts), path(service)
    good = {"Url": "https://example.com/x", "EventTypes": ["*"]}
    for change in (
        *({"EventTypes": events} for events in ("", "factor.created", ["*", "x"])),
        *({"Url": address} for address in ("", "example.com", "gopher://example.com/", "https://")),
        *({"Url": address} for address in ("https://u:p@example.com", "https://e.com/\r\nX: y")),
        *({"Url": address} for address in ("https://e.com/#x", "https://e.com:0x/", "file:///x")),
        {"Url": ["https://example.com", "https://example.com"]},
    ):
        refused(client.post(url, data=good | change), 400, 60200)
    refused(client.post(url, json=good | {"Url": 5}), 400, 60200)
    refused(client.post(url, data=good | {"Status": "enabled"}), 400, 20001)
    refused(client.post(url, data=good | {"Pad": "x" * MEGABYTE}), 413, 20001)
    sid = hook(parts, service, "https://example.com")["sid"]
    refused(client.post(f"{url}/{sid}", data={"Status": "on"}), 400, 60200)
    refused(client.post(f"{url}/{sid}", data={"Secret": "x"}), 400, 20001)
    assert count(parts, "event_hooks") == 1


def test_outside_the_sandbox_hooks_are_https(
    make_parts: Callable[..., Sendcode],
) -> None:
    """A plain http address is taken in the sandbox alone."""
    parts = make_parts(provider="twilio", secret_keys="k1:" + "eHl6" * 12)
    service = parts.services.create(ACCOUNT, "Example")
    form = {"Url": "http://example.com/x", "EventTypes": "*"}
    refused(door(parts).post(path(service), data=form), 400, 60200)
    hook(parts, service, "https://example.com/x")


def test_another_accounts_hooks_are_not_there(parts: Sendcode, service: Service) -> None:
    """Hooks of another account or service are neither found, listed, changed nor removed."""
    theirs = parts.services.create(OTHER, "Theirs").sid
    foreign, _ = parts.hooks.create(OTHER, theirs, "https://example.com", ["*"])
    client = door(parts)
    for base in (f"/v2/Services/{theirs}/EventHooks", f"/v2/Services/VA{ZEROS}/EventHooks"):
        refused(client.get(base), 404, 20404)
        form = {"Url": "https://example.com", "EventTypes": "*"}
        refused(client.post(base, data=form), 404, 20404)
    for sid in (foreign.sid, "EH" + ZEROS, service.sid, "EH1"):
        for method in ("GET", "POST", "DELETE"):
            refused(client.request(method, f"{path(service)}/{sid}"), 404, 20404)
    assert parts.hooks.fetch(OTHER, theirs, foreign.sid).enabled
