"""Parameters that no operation has: refused, with nothing written."""

from typing import Any

import pytest

from tests.helpers import count
from tests.integration.conftest import ACCOUNT, NUMBER
from tests.integration.doors import door, refused
from tests.integration.test_factors import USER, App
from worker.services import Service
from worker.wiring import Sendcode

TABLES = ("services", "verifications", "deliveries", "entities", "factors", "challenges")
PUSH = ["Config.SdkVersion", "Config.NotificationPlatform", "Config.NotificationToken"]
# What Twilio has and we do nothing with: its SDKs may send it.
OF_TWILIO = {
    "Services": [
        *("Push.IncludeDate", "Push.ApnCredentialSid", "Push.FcmCredentialSid"),
        *("Whatsapp.MsgServiceSid", "Whatsapp.From", "VerifyEventSubscriptionEnabled"),
        *("Passkeys.RelyingParty.Id", "Passkeys.RelyingParty.Name"),
        *("Passkeys.AuthenticatorAttachment", "Passkeys.DiscoverableCredentials"),
        *("Passkeys.UserVerification", "Passkeys.RelyingParty.Origins"),
    ],
    "Verifications": [
        *("RiskCheck", "Tags", "DeviceIp", "ChannelConfiguration", "EnableSnaClientToken"),
    ],
    "VerificationCheck": ["SnaClientToken"],
    "Factors": ["Binding.Alg", "Binding.PublicKey", "Config.AppId", *PUSH],
    "Factor": PUSH,
}


@pytest.fixture
def app(parts: Sendcode, service: Service) -> App:
    return App(parts, service).verified()


def posts(app: App) -> dict[str, dict[str, str]]:
    """By its path, what each operation takes."""
    service = f"/v2/Services/{app.where[1]}"
    entity = f"{service}/Entities/{USER}"
    challenge = app.ask()
    return {
        "/v2/Services": {"FriendlyName": "Other"},
        service: {"FriendlyName": "Other"},
        f"{service}/Verifications": {"To": NUMBER, "Channel": "sms"},
        f"{service}/VerificationCheck": {"To": NUMBER, "Code": "123456"},
        f"{service}/Verifications/{NUMBER}": {"Status": "canceled"},
        f"{service}/Entities": {"Identity": "user-0002"},
        f"{entity}/Factors": {"FactorType": "totp", "FriendlyName": "Phone"},
        f"{entity}/Factors/{app.sid}": {"FriendlyName": "Other"},
        f"{entity}/Challenges": {"FactorSid": app.sid},
        f"{entity}/Challenges/{challenge.sid}": {"AuthPayload": "123456"},
        f"{entity}/BackupCodes/Check": {"Code": "ABCD-EFGH-JKLM-NPQR"},
    }


def test_a_misspelt_parameter_is_refused(parts: Sendcode, app: App) -> None:
    """A name that an operation does not have is 400 and 20001, in a form and in JSON, and nothing
    is written; without it the same request is taken.
    """
    client, asked = door(parts), posts(app)
    parts.factors.make_backup_codes(*app.where)
    before = [count(parts, table) for table in TABLES]
    for path, form in asked.items():
        refused(client.post(path, data=form | {"CodeLenght": "8"}), 400, 20001)
        refused(client.post(path, json=form | {"CodeLenght": None}), 400, 20001)
    assert [count(parts, table) for table in TABLES] == before
    assert parts.services.fetch(ACCOUNT, app.where[1]).friendly_name == "Example"
    for path, form in asked.items():
        assert client.post(path, data=form).status_code in (200, 201), path


def test_what_twilio_has_is_taken(parts: Sendcode, app: App) -> None:
    """Parameters of Twilio's that change nothing here are no fault."""
    client = door(parts)
    for path, form in posts(app).items():
        kind = path.rpartition("/")[2]
        kind = {app.where[1]: "Services", app.sid: "Factor"}.get(kind, kind)
        for name in OF_TWILIO.get(kind, ()):
            answer = client.post(path, data=form | {name: "x"})
            assert answer.status_code in (200, 201), (path, name, answer.text)
    origins: dict[str, Any] = {"Passkeys.RelyingParty.Origins": ["https://a.example", "b"]}
    assert client.post(f"/v2/Services/{app.where[1]}", data=origins).status_code == 200


def test_a_form_is_utf_8(parts: Sendcode) -> None:
    """A letter of any script is itself, escaped or not; what is no letter is refused."""
    client, kind = door(parts), {"Content-Type": "application/x-www-form-urlencoded"}
    for given in ("Café".encode(), b"Caf%C3%A9"):
        made = client.post("/v2/Services", content=b"FriendlyName=" + given, headers=kind)
        assert made.json()["friendly_name"] == "Café"
    for given in (b"Caf\xe9", b"Caf%E9", b"Caf\xc3"):
        bad = client.post("/v2/Services", content=b"FriendlyName=" + given, headers=kind)
        refused(bad, 400, 20001)
    assert count(parts, "services") == 2
