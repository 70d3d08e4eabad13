"""What Verify's webhooks are told of factors and challenges, with a real receiver."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from twilio.request_validator import RequestValidator

from tests.helpers import at_once, count, wrong_code
from tests.integration.conftest import ACCOUNT
from tests.integration.doors import TOKEN, door, refused
from tests.integration.receiving import Receiver
from tests.integration.test_factors import USER, App
from worker.factor_telling import FactorTelling
from worker.factor_webhooks import FactorWebhook
from worker.posting import Poster
from worker.services import Service
from worker.telling import AT_ONCE
from worker.wiring import Sendcode

KEYS = {
    *("uuid", "type", "account_sid", "service_sid", "entity_identity", "factor_sid"),
    "factor_type",
}


def hook(parts: Sendcode, service: Service, url: str, *kinds: str, **values: Any) -> FactorWebhook:
    return parts.factor_webhooks.create(
        *(ACCOUNT, service.sid),
        friendly_name="Backend",
        event_types=list(kinds) or ["*"],
        webhook_url=url,
        **values,
    )


def tell(parts: Sendcode) -> None:
    while parts.factor_telling.tick():
        pass


def told(receiver: Receiver) -> list[tuple[str, str]]:
    """What happened, and the sid of what it happened to."""
    return [
        (form["type"], form.get("challenge_sid", form["factor_sid"])) for form in receiver.forms()
    ]


def failures(parts: Sendcode) -> int:
    with parts.db.statement() as connection:
        found = connection.execute(text("SELECT failures FROM factor_webhooks"))
        return int(found.scalar_one())


def make_due(parts: Sendcode) -> None:
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE factor_events SET next_try_at = 0"))
        connection.execute(text("UPDATE factor_webhooks SET paused_until = 0"))


@pytest.mark.kills("factor-verified-untold")
def test_the_life_of_a_factor_is_told(
    parts: Sendcode, service: Service, receiver: Receiver
) -> None:
    """That it was made, verified, answered a challenge rightly and was deleted is told, each once;
    wrong codes are told to nobody."""
    hook(parts, service, receiver.url)
    app = App(parts, service)
    app.verify(wrong_code(app.code(-1)))
    app.verified()
    challenge = app.ask()
    app.answer(challenge, wrong_code(app.code()))
    assert app.answer(challenge, app.code()) == "approved"
    at_creation = app.ask(app.code(1))
    parts.factors.delete_factor(*app.where, app.sid)
    tell(parts)
    assert sorted(told(receiver)) == sorted(
        [
            ("factor.created", app.sid),
            ("factor.verified", app.sid),
            ("challenge.approved", challenge.sid),
            ("challenge.approved", at_creation.sid),
            ("factor.deleted", app.sid),
        ]
    )
    assert count(parts, "factor_events") == 0


@pytest.mark.kills("failing-hook-is-told-the-whole-batch")
def test_events_that_fail_at_once_are_one_failure(parts: Sendcode, service: Service) -> None:
    """However many events of a batch there are for it, a webhook that fails has failed once, and
    what was not tried counts no try."""
    hook(parts, service, "http://127.0.0.1:1/closed")
    for app in [App(parts, service) for _ in range(5)]:
        parts.factors.delete_factor(*app.where, app.sid)
    assert count(parts, "factor_events") > AT_ONCE
    tell(parts)
    assert failures(parts) == 1
    assert count(parts, "factor_events WHERE tries > 0") <= AT_ONCE


@pytest.mark.kills("factor-event-signed-without-the-url")
def test_it_has_twilios_form_and_signature(
    parts: Sendcode, service: Service, receiver: Receiver
) -> None:
    """A form by Twilio's names whose signature Twilio's own validator takes with the account's
    token, and with no other; it holds no secret, code or friendly name."""
    hook(parts, service, receiver.url)
    app = App(parts, service).verified()
    code = app.code()
    challenge = app.ask(code)
    tell(parts)
    for (headers, body), form in zip(receiver.got, receiver.forms(), strict=True):
        approved = form["type"] == "challenge.approved"
        assert set(form) == KEYS | ({"challenge_sid"} if approved else set())
        assert (form["account_sid"], form["service_sid"]) == (ACCOUNT, service.sid)
        assert (form["entity_identity"], form["factor_sid"]) == (USER, app.sid)
        assert form["factor_type"] == "totp"
        assert headers["content-type"] == "application/x-www-form-urlencoded"
        signature = headers["x-twilio-signature"]
        assert RequestValidator(TOKEN).validate(receiver.url, form, signature)
        assert not RequestValidator("x" * 32).validate(receiver.url, form, signature)
        assert not RequestValidator(TOKEN).validate(f"{receiver.url}x", form, signature)
        for secret in (app.enrolled.secret, "Phone"):
            assert secret not in body.decode()
        assert code not in form.values()
    assert len({form["uuid"] for form in receiver.forms()}) == 3
    assert challenge.sid in [form.get("challenge_sid") for form in receiver.forms()]


def test_a_deleted_entity_tells_of_its_factors(
    parts: Sendcode, service: Service, receiver: Receiver
) -> None:
    """With an entity all its factors are deleted, and that is told of each under its name."""
    hook(parts, service, receiver.url, "factor.deleted")
    apps = [App(parts, service) for _ in range(3)]
    parts.factors.delete_entity(ACCOUNT, service.sid, USER)
    tell(parts)
    assert sorted(told(receiver)) == sorted(("factor.deleted", app.sid) for app in apps)
    assert {form["entity_identity"] for form in receiver.forms()} == {USER}


@pytest.mark.kills("disabled-factor-webhook-is-told")
def test_only_what_was_asked_for_by_whom_it_concerns(
    parts: Sendcode, service: Service, receiver: Receiver
) -> None:
    """A webhook is told its kinds of event of its own service, and nothing while disabled."""
    other = parts.services.create(ACCOUNT, "Other")
    hook(parts, service, receiver.url, "factor.verified")
    hook(parts, other, receiver.url)
    hook(parts, service, receiver.url, status="disabled")
    app = App(parts, service).verified()
    assert count(parts, "factor_events") == 1
    tell(parts)
    assert told(receiver) == [("factor.verified", app.sid)]


@pytest.mark.kills("factor-verified-untold")
def test_the_event_is_part_of_the_change(
    parts: Sendcode, service: Service, receiver: Receiver
) -> None:
    """A right code verifies and its event is written, or neither; a webhook that is deleted takes
    what it was to be told with it."""
    sid = hook(parts, service, receiver.url, "factor.verified").sid
    app = App(parts, service)
    code = app.code(-1)
    with parts.db.begin() as connection:
        connection.execute(text("ALTER TABLE factor_events RENAME TO gone"))
    with pytest.raises(Exception, match="factor_events"):
        app.verify(code)
    with parts.db.begin() as connection:
        connection.execute(text("ALTER TABLE gone RENAME TO factor_events"))
    assert app.row.status == "unverified"
    assert app.verify(code) == "verified"
    assert count(parts, "factor_events") == 1
    parts.factor_webhooks.delete(ACCOUNT, service.sid, sid)
    tell(parts)
    assert (receiver.got, count(parts, "factor_events")) == ([], 0)


@pytest.mark.parametrize("status", [500, 302])
def test_a_refused_event_is_told_again(
    parts: Sendcode, service: Service, receiver: Receiver, status: int
) -> None:
    """Whatever is no 2xx is tried again later with the same id, and the webhook waits meanwhile; a
    redirect is not followed."""
    hook(parts, service, receiver.url, "factor.created")
    receiver.answers.append(status)
    App(parts, service)
    assert (parts.factor_telling.tick(), parts.factor_telling.tick()) == (1, 0)
    assert count(parts, "factor_webhooks WHERE failures = 1 AND paused_until > 0") == 1
    make_due(parts)
    tell(parts)
    first, second = receiver.forms()
    assert first == second
    assert count(parts, "factor_webhooks WHERE failures = 0") == 1
    assert count(parts, "factor_events") == 0


def test_two_relays_tell_once(
    parts: Sendcode, service: Service, receiver: Receiver, make_parts: Callable[..., Sendcode]
) -> None:
    """Tellers that look at the same moment tell each event once."""
    hook(parts, service, receiver.url, "factor.created")
    for _ in range(5):
        App(parts, service)
    others = [parts, *(make_parts() for _ in range(3))]
    at_once(4, lambda n: others[n].factor_telling.tick())
    assert len(receiver.got) == 5
    assert count(parts, "factor_events") == 0


def test_no_private_address_is_told(
    parts: Sendcode, service: Service, receiver: Receiver, make_parts: Callable[..., Sendcode]
) -> None:
    """Outside the sandbox a webhook is https, and a name that leads to this machine is not called,
    whoever answers there."""
    away = make_parts(provider="twilio", secret_keys="k1:" + "eHl6" * 12)
    form = {"FriendlyName": "x", "EventTypes": "*", "WebhookUrl": "http://example.com/"}
    refused(door(away).post(f"/v2/Services/{service.sid}/Webhooks", data=form), 400, 60200)
    hook(parts, service, receiver.url.replace("http:", "https:"), "factor.created")
    hook(parts, service, "https://rebound.example:8443/", "factor.created")
    App(parts, service)
    poster = Poster(anywhere=False, lookup=lambda *_: ["127.0.0.1"])
    assert FactorTelling(parts.db, poster, TOKEN).tick() == 2
    assert receiver.got == []
    assert count(parts, "factor_webhooks WHERE failures = 1") == 2
