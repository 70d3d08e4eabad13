"""What is deleted by one request while another builds on it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, delete, select, update

from tests.helpers import count
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.integration.doors import door, refused
from tests.integration.test_people import somebody_waits
from worker.door_tables import templates
from worker.models import services
from worker.services import Service
from worker.wiring import Sendcode

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
