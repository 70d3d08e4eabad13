"""Every route that compares a code or a password counts each guess, and then compares no more.

The routes are those of `tests/unit/test_routes.py`, which finds them. How each counts is tested on
both databases where it lives.
"""

from collections.abc import Callable
from typing import Any

import pyotp
import pytest
from fastapi.testclient import TestClient

from tests.helpers import code_of, wrong_code
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.integration.doors import door
from tests.integration.test_console import door as console_door
from tests.integration.test_console import post, signed_in
from tests.integration.test_factors import App
from tests.integration.test_operators import PASSWORD, enrol, next_code
from tests.pages import Page
from tests.unit.test_routes import ENTITY, GUESSED, PROTECTED
from worker.services import Service
from worker.verifications import Start
from worker.wiring import Sendcode

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

MOST = 5  # guesses, of every kind
Guess = Callable[[bool], bool]  # sends a right code or a wrong one; whether it passed


def verification(parts: Sendcode, service: Service) -> Guess:
    sid = parts.verifications.start(ACCOUNT, Start(service.sid, NUMBER)).sid
    code, client = code_of(parts, sid), door(parts)

    def guess(right: bool) -> bool:
        form = {"To": NUMBER, "Code": code if right else wrong_code(code)}
        answer = client.post(f"/v2/Services/{service.sid}/VerificationCheck", data=form)
        return answer.json().get("valid") is True

    return guess


def backup_code(parts: Sendcode, service: Service) -> Guess:
    client, base = door(parts), f"/v2/Services/{service.sid}/Entities/user-0001"
    client.post(f"/v2/Services/{service.sid}/Entities", data={"Identity": "user-0001"})
    code = client.post(f"{base}/BackupCodes").json()["codes"][0]

    def guess(right: bool) -> bool:
        form = {"Code": code if right else "0" * 16}
        return client.post(f"{base}/BackupCodes/Check", data=form).json().get("valid") is True

    return guess


def posting(parts: Sendcode, url: str, code: Callable[[], str], **form: str) -> Guess:
    client = door(parts)

    def guess(right: bool) -> bool:
        payload = code() if right else wrong_code(code())
        answer = client.post(url, data={**form, "AuthPayload": payload})
        return answer.json()["status"] in ("verified", "approved")

    return guess


def enrolment(parts: Sendcode, service: Service) -> Guess:
    app = App(parts, service)
    url = f"/v2/Services/{service.sid}/Entities/user-0001/Factors/{app.sid}"
    return posting(parts, url, app.code)


def new_challenge(parts: Sendcode, service: Service) -> Guess:
    app = App(parts, service).verified()
    url = f"/v2/Services/{service.sid}/Entities/user-0001/Challenges"
    return posting(parts, url, app.code, FactorSid=app.sid)


def challenge(parts: Sendcode, service: Service) -> Guess:
    app = App(parts, service).verified()
    sid = app.ask().sid
    url = f"/v2/Services/{service.sid}/Entities/user-0001/Challenges/{sid}"
    return posting(parts, url, app.code)


def authy(parts: Sendcode, service: Service) -> TestClient:
    client = door(parts)
    _, key = parts.authy_keys.create(ACCOUNT, service.sid, "Key")
    client.auth = None
    client.headers["X-Authy-API-Key"] = key
    return client


def authy_token(parts: Sendcode, service: Service) -> Guess:
    client = authy(parts, service)
    user = parts.authy_users.register(ACCOUNT, service.sid, NUMBER, "ann@example.com")
    code = code_of(parts, parts.verifications.start(ACCOUNT, Start(service.sid, NUMBER)).sid)

    def guess(right: bool) -> bool:
        token = code if right else wrong_code(code)
        return client.get(f"{PROTECTED}/verify/{token}/{user}").status_code == 200

    return guess


def authy_phone(parts: Sendcode, service: Service) -> Guess:
    client = authy(parts, service)
    code = code_of(parts, parts.verifications.start(ACCOUNT, Start(service.sid, NUMBER)).sid)

    def guess(right: bool) -> bool:
        given = {"country_code": "44", "phone_number": NUMBER[3:]}
        given["verification_code"] = code if right else wrong_code(code)
        answer = client.get(f"{PROTECTED}/phones/verification/check", params=given)
        return answer.status_code == 200

    return guess


def sign_in(parts: Sendcode, _: Service) -> Guess:
    parts.operators.add("ann", "admin", PASSWORD)
    app = enrol(parts.operators, "ann")
    client = console_door(parts)

    def guess(right: bool) -> bool:
        form = Page(client.get("/console/sign-in").text).form("/sign-in").fields
        given = {"name": "ann", "password": PASSWORD, "code": next_code(app)}
        given |= {} if right else {"password": "wrong password!"}
        return client.post("/console/sign-in", data=form | given).status_code == 303

    return guess


def present_password(parts: Sendcode, _: Service) -> Guess:
    client = with_password(parts)

    def guess(right: bool) -> bool:
        new = "another password"
        given = {"password": new, "again": new, "current": PASSWORD if right else "wrong one here"}
        return post(client, "/account/password", **given).status_code == 303

    return guess


def moved_factor(parts: Sendcode, _: Service) -> Guess:
    client = with_password(parts)

    def guess(right: bool) -> bool:
        uri, offer = parts.operators.offer_totp(parts.operators.fetch("ann"))
        code = pyotp.parse_uri(uri).now()  # type: ignore[union-attr]
        given = {"offer": offer, "code": code, "current": PASSWORD if right else "wrong one here"}
        return post(client, "/account/factor/accept", **given).status_code == 303

    return guess


def with_password(parts: Sendcode) -> TestClient:
    """A browser in which an operator with a password, and a factor, is signed in."""
    parts.operators.add("ann", "admin", PASSWORD)
    enrol(parts.operators, "ann")
    return signed_in(parts)


DRIVEN: dict[tuple[str, str], Callable[[Sendcode, Service], Guess]] = {
    ("POST", "/v2/Services/{service_sid}/VerificationCheck"): verification,
    ("POST", f"{ENTITY}/BackupCodes/Check"): backup_code,
    ("POST", f"{ENTITY}/Factors/{{sid}}"): enrolment,
    ("POST", f"{ENTITY}/Challenges"): new_challenge,
    ("POST", f"{ENTITY}/Challenges/{{sid}}"): challenge,
    ("GET", f"{PROTECTED}/verify/{{token}}/{{authy_id}}"): authy_token,
    ("GET", f"{PROTECTED}/phones/verification/check"): authy_phone,
    ("POST", "/console/sign-in"): sign_in,
    ("POST", "/console/account/password"): present_password,
    ("POST", "/console/account/factor/accept"): moved_factor,
}


@pytest.fixture
def strict(make_parts: Callable[..., Sendcode]) -> Sendcode:
    return make_parts(disable_after_failures=MOST)


@pytest.mark.parametrize("route", sorted(GUESSED))
def test_after_its_guesses_a_right_one_is_refused(strict: Sendcode, route: Any) -> None:
    """On each route five wrong guesses are taken, and the sixth does not pass, right as it is."""
    guess = DRIVEN[route](strict, strict.services.create(ACCOUNT, "Example"))
    assert [guess(False) for _ in range(MOST)] == [False] * MOST
    assert not guess(True)


@pytest.mark.parametrize("route", sorted(GUESSED))
def test_a_right_one_passes_before(strict: Sendcode, route: Any) -> None:
    """The same right guess passes after four wrong ones: it was the count that refused it."""
    guess = DRIVEN[route](strict, strict.services.create(ACCOUNT, "Example"))
    assert [guess(False) for _ in range(MOST - 1)] == [False] * (MOST - 1)
    assert guess(True)


def test_every_route_that_compares_is_driven(database_url: str) -> None:
    """The tests above know every route that the doors have for guesses."""
    assert set(DRIVEN) == GUESSED
