"""A start while one is pending: what it brings, what it keeps, and when it is refused."""

from typing import Any

import pytest
from sqlalchemy import update

from tests.helpers import code_of, count, delivery, let_time_pass
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.integration.doors import door, refused
from tests.integration.test_start_options import begin, body_of, service_with
from tests.standin import Standin
from worker.models import verifications
from worker.verifications.together import Together
from worker.wiring import Sendcode

HASH, ORIGIN = "He42w354ol9", "accounts.example.com"
LONG = "{{code}} is your code for the account that you have with us. " + "Keep it. " * 9


def test_what_a_resend_brings_applies(parts: Sendcode, provider: Standin) -> None:
    """Name, hash and locale are those of the start that brings them, as with the first one."""
    path = service_with(parts)
    first = begin(parts, path)
    code = code_of(parts, first["sid"])
    again = begin(parts, path, CustomFriendlyName="Acme", AppHash=HASH, Locale="de")
    assert again["sid"] == first["sid"]
    expected = f"<#> Ihr Bestätigungscode von Acme lautet: {code} {HASH}"
    assert body_of(parts, provider, again) == expected


def test_what_a_resend_does_not_bring_stays(parts: Sendcode, provider: Standin) -> None:
    """Where a resend names none, the text has the name, hash and locale that it had."""
    path = service_with(parts)
    first = begin(parts, path, CustomFriendlyName="Acme", AppHash=HASH, Locale="de")
    body = body_of(parts, provider, first)
    assert body.startswith("<#> Ihr ")
    assert body_of(parts, provider, begin(parts, path)) == body
    begin(parts, path, Channel="call")
    assert body_of(parts, provider, begin(parts, path)) == body


@pytest.mark.parametrize(
    ("flags", "form"),
    [
        ({}, {"AppHash": HASH, "TemplateSid": "long"}),
        ({"WebOrigin": ORIGIN, "FriendlyName": "Пример" * 5}, {"AppHash": HASH, "Locale": "ru"}),
        (
            {"WebOrigin": ORIGIN, "Psd2Enabled": "true"},
            {"AppHash": HASH, "Amount": "€1", "Payee": "Магазин" * 5},
        ),
    ],
)
def test_a_text_that_cannot_be_made_is_refused(
    parts: Sendcode, flags: dict[str, str], form: dict[str, str]
) -> None:
    """A start whose text no phone could read the code from is 400, and nothing is written or
    counted.
    """
    client, path = door(parts), service_with(parts, **flags)
    form = {"To": NUMBER, "Channel": "sms"} | form
    if "TemplateSid" in form:
        made = client.post("/v2/Templates", data={"FriendlyName": "Mine", "Text": LONG.strip()})
        form["TemplateSid"] = made.json()["sid"]
    refused(client.post(f"{path}/Verifications", data=form), 400, 60200)
    assert (count(parts, "verifications"), count(parts, "deliveries")) == (0, 0)
    assert not list(parts.redis.scan_iter("sendcode:limit:*"))


def test_what_a_resend_brings_hides_no_delivery(parts: Sendcode, provider: Standin) -> None:
    """A text that may have gone out is found though a resend changed its words since; another
    verification's text to the same number is not taken for it.
    """
    path, other = service_with(parts), service_with(parts)
    first = begin(parts, path)
    provider.script.append("drop")
    body_of(parts, provider, first)
    begin(parts, path, CustomFriendlyName="Acme", AppHash=HASH, Locale="de")
    body_of(parts, provider, begin(parts, other))
    let_time_pass(parts, 9)
    body_of(parts, provider, first)
    sid = first["send_code_attempts"][-1]["attempt_sid"]
    found = delivery(parts, sid)
    assert (found.state, found.provider_sid) == ("accepted", provider.kept[0]["sid"])
    assert len(provider.sent) == 2


def test_a_template_stays_with_its_locale(parts: Sendcode, provider: Standin) -> None:
    """A call's locale, which a kept template may not have, leaves the template's text as it was."""
    path = service_with(parts)
    mine = {"FriendlyName": "Mine", "Locale": "pt", "Text": "{{code}} serve para entrar"}
    made = door(parts).post("/v2/Templates", data=mine).json()
    first = begin(parts, path, TemplateSid=made["sid"], Locale="pt-BR")
    text = f"{code_of(parts, first['sid'])} serve para entrar"
    begin(parts, path, Channel="call", Locale="pt-BR")
    assert body_of(parts, provider, first) == text
    assert body_of(parts, provider, begin(parts, path, Locale="pt-BR")) == text


def template(parts: Sendcode, **texts: str) -> str:
    """A template with a text for each locale, the first of them its default."""
    first, *others = texts.items()
    sid = parts.templates.create(ACCOUNT, "T", *first).sid
    for other in others:
        parts.templates.translate(ACCOUNT, sid, *other)
    return sid


def test_a_default_template_stays_with_its_locale(parts: Sendcode, provider: Standin) -> None:
    """A text of the service's default template stays in the locale that was asked for first."""
    default = template(parts, en="{{code}} is yours", fr="{{code}} est le vôtre")
    path = service_with(parts, DefaultTemplateSid=default)
    first = begin(parts, path, Locale="fr")
    text = f"{code_of(parts, first['sid'])} est le vôtre"
    assert body_of(parts, provider, first) == text
    assert body_of(parts, provider, begin(parts, path)) == text
    assert body_of(parts, provider, begin(parts, path, Locale="en")) == text


def test_a_default_takes_no_templates_place(parts: Sendcode, provider: Standin) -> None:
    """A template that the start before asked for stays, though the service has another, which need
    not have its locale; one that a resend asks for is taken, and after a call the default.
    """
    default = template(parts, en="{{code}} is yours")
    asked = template(parts, pt="{{code}} serve para entrar", en="{{code}} lets you in")
    path = service_with(parts, DefaultTemplateSid=default, SendLimit="9")
    first = begin(parts, path, Channel="call")
    code = code_of(parts, first["sid"])
    assert body_of(parts, provider, begin(parts, path)) == f"{code} is yours"
    brought = begin(parts, path, TemplateSid=asked, Locale="pt")
    assert body_of(parts, provider, brought) == f"{code} serve para entrar"
    for locale in ({}, {"Locale": "pt"}, {"Locale": "de"}):
        resent = begin(parts, path, **locale)
        assert body_of(parts, provider, resent) == f"{code} serve para entrar"
    brought = begin(parts, path, TemplateSid=default)
    assert body_of(parts, provider, brought) == f"{code} is yours"
    assert brought["sid"] == first["sid"]


@pytest.mark.kills("a-new-one-lacks-the-default")
@pytest.mark.parametrize(("locale", "status"), [("en", 201), ("pt", 404)])
def test_a_default_is_of_what_is_new_after_all(
    parts: Sendcode,
    provider: Standin,
    monkeypatch: pytest.MonkeyPatch,
    locale: str,
    status: int,
) -> None:
    """Where the verification ends while it is sent again, the new one has the service's default
    template, or is refused where that has no such text, and counts nowhere.
    """
    default = template(parts, en="{{code}} is yours")
    path = service_with(parts, DefaultTemplateSid=default)
    begin(parts, path, TemplateSid=template(parts, pt="{{code}} serve para entrar"))
    admit = parts.verifications._admit

    def ended(*admitted: Any) -> Any:
        lane = admit(*admitted)
        with parts.db.begin() as connection:
            connection.execute(update(verifications).values(status="approved"))
        return lane

    monkeypatch.setattr(parts.verifications, "_admit", ended)
    form = {"To": NUMBER, "Channel": "sms", "Locale": locale}
    answer = door(parts).post(f"{path}/Verifications", data=form)
    assert answer.status_code == status, answer.text
    made = count(parts, "deliveries")
    if status == 404:
        refused(answer, 404, 60229)
        assert (made, count(parts, "verifications")) == (1, 1)
    else:
        code = code_of(parts, answer.json()["sid"])
        assert body_of(parts, provider, answer.json()) == f"{code} is yours"
    counted = {parts.redis.llen(key) for key in parts.redis.scan_iter("sendcode:limit:*")}
    assert counted == {made}


def test_a_resend_that_cannot_be_made_is_refused(parts: Sendcode) -> None:
    """A hash that is kept and a template that is brought may not fit together: 400, and the send is
    given back.
    """
    client, path = door(parts), service_with(parts, SendLimit="2")
    begin(parts, path, AppHash=HASH)
    made = client.post("/v2/Templates", data={"FriendlyName": "Mine", "Text": LONG.strip()})
    form = {"To": NUMBER, "Channel": "sms", "TemplateSid": made.json()["sid"]}
    for _ in range(3):
        refused(client.post(f"{path}/Verifications", data=form), 400, 60200)
    assert count(parts, "deliveries") == 1
    begin(parts, path)


def test_a_name_that_is_kept_makes_the_room(parts: Sendcode) -> None:
    """A hash that does not fit beside the service's name fits beside a short one that is kept. Once
    that verification is overdue the service's name counts, and nothing is written.
    """
    path = service_with(parts, WebOrigin=ORIGIN, FriendlyName="Пример" * 5)
    form = {"To": NUMBER, "Channel": "sms", "AppHash": HASH, "Locale": "ru"}
    first = begin(parts, path, CustomFriendlyName="Я")
    assert begin(parts, path, **form)["sid"] == first["sid"]
    let_time_pass(parts, 601)
    refused(door(parts).post(f"{path}/Verifications", data=form), 400, 60200)
    assert (count(parts, "verifications"), count(parts, "deliveries")) == (1, 2)


def test_a_number_that_stays_busy(parts: Sendcode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where others are quicker each time the start is 429 and not an outage, and counts nowhere."""
    monkeypatch.setattr(Together, "write", lambda *_: None)
    monkeypatch.setattr(parts.verifications, "_create", lambda *_: None)
    path = service_with(parts)
    form = {"To": NUMBER, "Channel": "sms"}
    answer = door(parts).post(f"{path}/Verifications", data=form)
    refused(answer, 429, 60212)
    assert answer.headers["retry-after"] == "1"
    assert not list(parts.redis.scan_iter("sendcode:limit:*"))
