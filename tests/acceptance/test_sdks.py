"""The SDKs from the registries, unmodified, each in an environment of its own, against real
processes: only the base URL is another.
"""

import base64
import json
import subprocess
from typing import Any

import pytest

from tests.acceptance.running import NUMBERS, Up
from tests.acceptance.sdks.environments import NODES, Environments, command, has_node
from tests.servers import missing

pytestmark = [
    pytest.mark.parametrize("up", ["sqlite"], indirect=True),
    pytest.mark.timeout(400),  # the environments are made once, from the registries
]

MASKED = "+1-XXX-XXX-XX{}"
INVALID = ["60020", "Token is invalid"]
INCORRECT = ["60022", "Verification code is incorrect"]
NOT_FOUND = ["60026", "User not found."]
STRANGER = ["60001", "Invalid API key"]
NOT_VALID = {
    "cellphone": "is invalid",
    "email": "is invalid",
    "message": "User was not valid",
}
TWILIO: dict[str, Any] = {
    "start": ["pending", False, True, "VE"],
    "fetch": ["pending", "pending"],
    "wrong": ["pending", False],
    "right": ["approved", True, True],
    "again": [404, 20404],
    "call": ["call", "call"],
    "cancel": ["canceled", [404, 20404]],
    "pages": [True, True],
    "second": True,
    "bad_number": [400, 60200],
    "no_service": [404, 20404],
    "stranger": [401, 20003],
}
WITHOUT_WAITING = ["pending", "approved", True, 400, 60200]


def drive(up: Up, sdks: Environments, name: str, driver: str, **more: Any) -> Any:
    """What the driver says it saw. Without Node its SDKs are skipped; with CI=true they fail."""
    if name in NODES and not has_node():
        missing("node and npm are not on PATH: install Node.js 20 or later")
    basic = base64.b64encode(":".join(up.credentials).encode()).decode()
    account, token = up.credentials
    given = {
        "url": up.url,
        "account": account,
        "token": token,
        "authorization": f"Basic {basic}",
        "service": up.account["SENDCODE_SERVICE_SID"],
        "key": up.account["SENDCODE_AUTHY_API_KEY"],
        **more,
    }
    done = subprocess.run(
        command(sdks.folder(name), driver),
        env=up.plain,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def started(to: str) -> str:
    return f"Text message sent to +1 {to[2:5]}-{to[5:8]}-{to[8:]}."


def test_authy_for_python(up: Up, sdks: Environments, to: str) -> None:
    """The Authy SDK registers, sends, calls, verifies, checks and deletes, and its errors are
    Authy's."""
    seen = drive(up, sdks, "authy", "authy_python.py", to=to, started=started(to))
    assert seen == {
        "create": [True, "User created successfully.", True],
        "bad_user": NOT_VALID,
        "sms": [True, False, "SMS token was sent", MASKED.format(to[-2:])],
        "wrong": [False, 401, *INVALID],
        "right": [True, "Token is valid.", "true"],
        "reused": [False, 401, *INVALID],
        "call": [True, False, "Call started..."],
        "heard": ["call", True],
        "status": [True, "User status.", True],
        "qr": [True, "Ann", "data:image/png;base64,"],
        "start": [True, True],
        "length": 5,
        "check_wrong": [False, 401, *INCORRECT],
        "check": [True, "Verification code is correct."],
        "check_none": [404, "60023"],
        "info": [True, "Phone number information as of "],
        "app": "Application information.",
        "stats": "Monthly statistics.",
        "push": 404,
        "delete": [True, "User removed from application"],
        "gone": [404, *NOT_FOUND],
        "stranger": [401, *STRANGER],
    }


def test_authy_for_node(up: Up, sdks: Environments, to: str) -> None:
    """The package that sends forms with GETs and its key in the query does the same."""
    seen = drive(up, sdks, "node-authy", "authy_node.js", to=to, started=started(to))
    assert seen == {
        "create": ["User created successfully.", True],
        "bad_user": NOT_VALID,
        "sms": ["SMS token was sent", MASKED.format(to[-2:]), True],
        "wrong": INVALID,
        "right": ["Token is valid.", "true"],
        "call": "Call started...",
        "heard": ["call", "is valid"],
        "status": True,
        "start": [True, True],
        "length": 5,
        "pending": "pending",
        "check_wrong": INCORRECT,
        "check": "Verification code is correct.",
        "verified": "verified",
        "info": "Phone number information as of ",
        "delete": "User removed from application",
        "gone": NOT_FOUND,
        "stranger": STRANGER,
    }


def test_authy_client_for_node(up: Up, sdks: Environments, to: str) -> None:
    """The package that checks the words of each answer takes all of ours."""
    seen = drive(up, sdks, "node-authy-client", "authy_client_node.js", to=to)
    assert seen == {
        "wrong": [401, "60020"],
        "right": "Token is valid.",
        "heard": ["call", "is valid"],
        "status": True,
        "length": 4,
        "check_wrong": [401, "60022"],
        "check": "Verification code is correct.",
        "info": False,
        "app": True,
        "stats": True,
        "delete": "User removed from application",
        "gone": [404, "60026"],
        "stranger": [401, "60001"],
    }


@pytest.mark.parametrize(
    ("version", "waits"),
    [("6", None), ("7", None), ("8", WITHOUT_WAITING), ("9", WITHOUT_WAITING)],
)
def test_twilio_for_python(
    up: Up, sdks: Environments, version: str, waits: list[Any] | None
) -> None:
    """Every version of the Twilio SDK starts, checks, fetches, cancels and follows a list to its
    second page, raises the right code, and from 8 on does so without waiting too."""
    numbers = [next(NUMBERS) for _ in range(3)]
    seen = drive(up, sdks, f"twilio-{version}", "twilio_python.py", numbers=numbers)
    assert seen == TWILIO | {"async": waits}


@pytest.mark.parametrize("version", ["4", "5", "6"])
def test_twilio_for_node(up: Up, sdks: Environments, version: str) -> None:
    """Every version of the Twilio SDK for Node does the same."""
    numbers = [next(NUMBERS) for _ in range(2)]
    seen = drive(up, sdks, f"node-twilio-{version}", "twilio_node.js", numbers=numbers)
    assert seen == TWILIO
