"""The main job over plain HTTP: one code by SMS, one by call, both read, checked and timed."""

import base64
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from secrets import SystemRandom
from typing import Any
from urllib.parse import urlencode, urlsplit

EXAMPLE_NUMBER = "+12025550123"
NUMBERS = range(12025550130, 12025550190)  # for fiction; many, since each has daily limits
ARRIVAL_SECONDS, RECEIPT_SECONDS = 15, 5.0
CLI_SECONDS = 30  # as long as a command of ours may take
STAGES = (
    ("accepted by us", "created_at"),
    ("published", "published_at"),
    ("taken by the worker", "taken_at"),
    ("accepted by the provider", "accepted_at"),
    ("delivered", "delivered_at"),
    ("approved", "approved_at"),
)


class DemoError(Exception):
    """A step of the show failed; the message says which."""


def show(account: Mapping[str, str], env: Mapping[str, str], out: Callable[[str], None]) -> bool:
    """Send, read, check, and print the timeline; False when a step failed.

    :param account: the values of `dev.env`
    :param env: the environment of the CLI that reads the timeline
    """
    door = Door(account)
    try:
        sms, call = (f"+{n}" for n in SystemRandom().sample(NUMBERS, 2))
        sids = {"sms": _approved(door, sms, "sms"), "call": _approved(door, call, "call")}
        times = {channel: _timeline(sid, env) for channel, sid in sids.items()}
    except (DemoError, LookupError, ValueError) as error:
        out(f"The demo failed: {error}")
        return False
    out("\nOne code by SMS and one by call reached the phone and were approved:\n")
    out(_table(times))
    silent = [c for c, stages in times.items() if not all(key in stages for _, key in STAGES)]
    if silent:
        out(f"The demo failed: not every stage of {' and '.join(silent)} was seen")
    return not silent


class Door:
    """The account's HTTP door."""

    def __init__(self, account: Mapping[str, str]) -> None:
        self._at = urlsplit(account["SENDCODE_URL"]).netloc
        pair = f"{account['SENDCODE_ACCOUNT_SID']}:{account['SENDCODE_AUTH_TOKEN']}"
        self._headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        self.service = f"/v2/Services/{account['SENDCODE_SERVICE_SID']}"

    def get(self, path: str, **query: object) -> dict[str, Any]:
        return self._ask("GET", f"{path}?{urlencode(query)}", None)

    def post(self, path: str, **form: str) -> dict[str, Any]:
        return self._ask("POST", path, urlencode(form))

    def _ask(self, method: str, path: str, body: str | None) -> dict[str, Any]:
        where = f"{method} {path.partition('?')[0]}"
        connection = http.client.HTTPConnection(self._at, timeout=ARRIVAL_SECONDS + 5)
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            found = json.loads(answer.read() or b"{}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DemoError(f"{where}: {type(error).__name__}") from None
        finally:
            connection.close()
        if answer.status >= 300 or not isinstance(found, dict):
            reason = found.get("message") or found.get("detail") or "" if found else ""
            raise DemoError(f"{where}: status {answer.status} {reason}".rstrip())
        return found


def _approved(door: Door, to: str, channel: str) -> str:
    """The sid of a verification that went all the way."""
    earlier = door.get("/sandbox/v1/messages", to=to, limit=1).get("messages", [])
    after = {"after": earlier[0]["id"]} if earlier else {}
    started = door.post(f"{door.service}/Verifications", To=to, Channel=channel)
    message = door.get("/sandbox/v1/messages/wait", to=to, timeout=ARRIVAL_SECONDS, **after)
    if not message.get("code"):
        raise DemoError(f"no {channel} reached the phone within {ARRIVAL_SECONDS} s")
    checked = door.post(f"{door.service}/VerificationCheck", To=to, Code=str(message["code"]))
    if checked.get("status") != "approved":
        raise DemoError(f"the code of the {channel} was not approved ({checked.get('status')})")
    return str(started["sid"])


def _timeline(sid: str, env: Mapping[str, str]) -> dict[str, int]:
    """Milliseconds since we accepted the request, by the names in `STAGES`."""
    deadline = time.monotonic() + RECEIPT_SECONDS
    while True:
        found = _status(sid, env)
        stamps = {**next(iter(found["deliveries"]), {}), **_present(found)}
        if stamps.get("delivered_at") or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    present = {k: datetime.fromisoformat(stamps[k]) for _, k in STAGES if stamps.get(k)}
    begun = present["created_at"]
    return {key: round((at - begun).total_seconds() * 1000) for key, at in present.items()}


def _present(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: found[key] for key in ("created_at", "approved_at") if found.get(key)}


def _status(sid: str, env: Mapping[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-P", "-m", "worker.cli", "--json", "status", sid]
    try:
        done = subprocess.run(  # noqa: S603
            command, env=env, capture_output=True, check=True, timeout=CLI_SECONDS
        )
        return dict(json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        text = f"`sendcode status {sid}` took over {CLI_SECONDS} s: is this machine busy?"
        raise DemoError(text) from None
    except (subprocess.SubprocessError, ValueError, TypeError) as error:
        raise DemoError(f"`sendcode --json status`: {type(error).__name__}") from None


def _table(times: Mapping[str, Mapping[str, int]]) -> str:
    head = f"  {'ms since accepted':<26}" + "".join(f"{channel:>8}" for channel in times)
    rows = [
        f"  {label:<26}" + "".join(f"{stages.get(key, '-'):>8}" for stages in times.values())
        for label, key in STAGES
    ]
    return "\n".join([head, *rows])
