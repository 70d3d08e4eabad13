"""What is deleted by one request while another builds on it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, select, update

from tests.helpers import code_of, count, wrong_code
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.integration.doors import door, refused
from tests.integration.test_people import somebody_waits
from worker import templates as templates_room
from worker.authy.transfer import UserRow
from worker.db import now_ms
from worker.door_tables import event_hooks, events, rate_limits, templates
from worker.errors import NotFoundError
from worker.factors.rows import FactorRow
from worker.factors.words import Config
from worker.models import number_guards, services, verifications
from worker.outbox import Event
from worker.services import Service
from worker.verifications import Start
from worker.wiring import Sendcode

EMAIL = "ann@example.com"
TEMPLATE = {"FriendlyName": "Mine", "Text": "{{code}} is your code."}


@contextmanager
def meanwhile(parts: Sendcode, act: Callable[[], Any]) -> Iterator[tuple[Connection, list[Any]]]:
    """A transaction, and what `act` answered, which waits for it or came before: once it ends."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(act()))
    with parts.db.begin() as connection:
        yield connection, answers
        thread.start()
        thread.join(0.3)
        while thread.is_alive() and not somebody_waits(parts):
            thread.join(0.3)
    thread.join()


BUILT_ON_A_SERVICE: list[tuple[str, dict[str, Any]]] = [
    ("Entities", {"Identity": "user-0001"}),
    ("Entities/user-0001/Factors", {"FactorType": "totp", "FriendlyName": "Phone"}),
    ("Entities/user-0001/BackupCodes", {}),
    ("MessagingConfigurations", {"Country": "GB", "MessagingServiceSid": "MG" + "a" * 32}),
    (
        "Webhooks",
        {"FriendlyName": "x", "EventTypes": "*", "WebhookUrl": "https://example.com/hook"},
    ),
]


@pytest.mark.parametrize(("path", "form"), BUILT_ON_A_SERVICE)
def test_nothing_is_made_of_a_service_that_goes(
    parts: Sendcode, service: Service, path: str, form: dict[str, Any]
) -> None:
    """What is asked for while its service is being deleted is 404, as it is a moment later."""
    client, url = door(parts), f"/v2/Services/{service.sid}/{path}"
    with meanwhile(parts, lambda: client.post(url, data=form)) as (connection, answers):
        connection.execute(delete(services).where(services.c.sid == service.sid))
    refused(answers[0], 404, 20404)
    assert count(parts, "entities") == 0


BROUGHT_TO_A_SERVICE: dict[str, Callable[[Sendcode, str], object]] = {
    "key": lambda parts, sid: parts.authy_keys.create(ACCOUNT, sid, "Backend"),
    "user": lambda parts, sid: parts.authy_users.register(ACCOUNT, sid, NUMBER, EMAIL),
    "users": lambda parts, sid: parts.authy_users.bring_in(
        ACCOUNT, sid, [UserRow(1, 12345678, NUMBER, EMAIL)]
    ),
    "factors": lambda parts, sid: parts.factors.import_factors(
        ACCOUNT, sid, [FactorRow(1, "user-0001", "Phone", Config(), b"s" * 20)]
    ),
}


@pytest.mark.parametrize("what", BROUGHT_TO_A_SERVICE)
def test_nothing_is_brought_to_a_service_that_goes(
    parts: Sendcode, service: Service, what: str
) -> None:
    """An Authy key, Authy's users and factors of files find no service while it is being deleted,
    as a moment later."""

    def bring() -> object:
        try:
            return BROUGHT_TO_A_SERVICE[what](parts, service.sid)
        except Exception as error:  # the test looks at what came back
            return error

    with meanwhile(parts, bring) as (connection, answers):
        connection.execute(delete(services).where(services.c.sid == service.sid))
    assert isinstance(answers[0], NotFoundError), answers
    assert count(parts, "entities") == 0


def test_no_bucket_of_a_rate_limit_that_goes(parts: Sendcode, service: Service) -> None:
    """A bucket that is added while its rate limit is being deleted is 404."""
    client, url = door(parts), f"/v2/Services/{service.sid}/RateLimits"
    sid = client.post(url, data={"UniqueName": "ip"}).json()["sid"]
    form = {"Max": "3", "Interval": "60"}
    with meanwhile(parts, lambda: client.post(f"{url}/{sid}/Buckets", data=form)) as (
        connection,
        answers,
    ):
        connection.execute(delete(rate_limits).where(rate_limits.c.sid == sid))
    refused(answers[0], 404, 20404)
    assert count(parts, "buckets") == 0


def test_a_template_that_goes_between_two_reads(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A template that is deleted while it is read is answered as it is a moment later, to who
    fetches it and to who starts with it."""
    client, whole = door(parts), templates_room._texts

    def deleting(connection: Connection, sids: list[str]) -> Any:
        for sid in sids:
            parts.templates.delete(ACCOUNT, sid)
        return whole(connection, sids)

    form = {"To": NUMBER, "Channel": "sms"}
    url = f"/v2/Services/{service.sid}/Verifications"
    for ask in (
        lambda sid: client.get(f"/v2/Templates/{sid}"),
        lambda sid: client.post(url, data=form | {"TemplateSid": sid}),
    ):
        sid = client.post("/v2/Templates", data=TEMPLATE).json()["sid"]
        with monkeypatch.context() as patch:
            patch.setattr(templates_room, "_texts", deleting)
            during = ask(sid)
        after = ask(sid)
        assert (during.status_code, during.json()) == (after.status_code, after.json())
        assert 400 <= after.status_code < 500
    assert count(parts, "verifications") == 0


def test_a_start_of_a_service_that_goes(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start whose service is deleted once it was admitted is 404, and its send is given back."""
    admit = parts.verifications._admit

    def deleting(*admitted: Any) -> Any:
        lane = admit(*admitted)
        parts.services.delete(ACCOUNT, service.sid)
        return lane

    monkeypatch.setattr(parts.verifications, "_admit", deleting)
    url = f"/v2/Services/{service.sid}/Verifications"
    answer = door(parts).post(url, data={"To": NUMBER, "Channel": "sms"})
    refused(answer, 404, 20404)
    assert count(parts, "verifications") == 0
    assert not list(parts.redis.scan_iter("sendcode:limit:*"))


def test_a_default_is_not_a_template_that_goes(parts: Sendcode, service: Service) -> None:
    """A template that is being deleted becomes no service's default."""
    client = door(parts)
    sid = client.post("/v2/Templates", data=TEMPLATE).json()["sid"]
    form = {"DefaultTemplateSid": sid}
    with meanwhile(parts, lambda: client.post(f"/v2/Services/{service.sid}", data=form)) as (
        connection,
        answers,
    ):
        connection.execute(delete(templates).where(templates.c.sid == sid))
    refused(answers[0], 400, 60200)
    assert parts.services.fetch(ACCOUNT, service.sid).default_template_sid is None


def test_a_template_that_becomes_a_default_stays(parts: Sendcode, service: Service) -> None:
    """A template that a service is just taking as its default is in use."""
    client = door(parts)
    sid = client.post("/v2/Templates", data=TEMPLATE).json()["sid"]
    with meanwhile(parts, lambda: client.delete(f"/v2/Templates/{sid}")) as (connection, answers):
        chosen = select(templates.c.sid).where(templates.c.sid == sid)
        connection.execute(chosen.with_for_update(read=True, key_share=True))
        connection.execute(
            update(services).where(services.c.sid == service.sid).values(default_template_sid=sid)
        )
    refused(answers[0], 400, 60200)
    assert client.get(f"/v2/Templates/{sid}").status_code == 200


@pytest.mark.kills("check-takes-the-guard-for-open")
@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("most", [1, 7])
def test_no_guess_after_the_one_that_disables(
    make_parts: Callable[..., Sendcode], most: int, right: bool
) -> None:
    """A guess that waits for the one that disables its number is refused, right or wrong, and is
    not counted; also where nothing wrong was known of the number when it came."""
    parts = make_parts(disable_after_failures=most)
    service = parts.services.create(ACCOUNT, "Example")
    sid = parts.verifications.start(ACCOUNT, Start(service.sid, NUMBER)).sid
    code, client = code_of(parts, sid), door(parts)
    form = {"To": NUMBER, "Code": code if right else wrong_code(code)}
    url = f"/v2/Services/{service.sid}/VerificationCheck"
    index = parts.keyring.number_index(NUMBER)
    guard = {"service_sid": service.sid, "number_index": index, "failures": most - 1}
    with parts.db.begin() as connection:
        connection.execute(insert(number_guards).values(guard))
    with meanwhile(parts, lambda: client.post(url, data=form)) as (connection, answers):
        connection.execute(update(verifications).values(checks=1))
        connection.execute(update(number_guards).values(failures=most, disabled_at=now_ms()))
    refused(answers[0], 403, 60238)
    with parts.db.statement() as connection:
        taken = connection.execute(select(verifications.c.status, verifications.c.checks)).one()
        failures = connection.execute(select(number_guards.c.failures)).scalar_one()
    assert (*taken, failures) == ("pending", 1, most)


def test_a_right_code_while_a_hook_goes(parts: Sendcode, service: Service) -> None:
    """While an event hook is being deleted a right code is approved, and the hooks that stay are
    told."""
    gone, stays = (
        parts.hooks.create(ACCOUNT, service.sid, "https://example.com/hook", list(Event))[0].sid
        for _ in range(2)
    )
    sid = parts.verifications.start(ACCOUNT, Start(service.sid, NUMBER)).sid
    form, client = {"To": NUMBER, "Code": code_of(parts, sid)}, door(parts)
    url = f"/v2/Services/{service.sid}/VerificationCheck"
    with meanwhile(parts, lambda: client.post(url, data=form)) as (connection, answers):
        connection.execute(delete(event_hooks).where(event_hooks.c.sid == gone))
    assert (answers[0].status_code, answers[0].json()["status"]) == (200, "approved")
    with parts.db.statement() as connection:
        assert list(connection.execute(select(events.c.hook_sid)).scalars()) == [stays]
