"""The `sendcode` commands beside the running processes."""

import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest

from tests.acceptance import commands
from tests.acceptance.running import Up, until, wrong
from worker.webhooks import sign

pytestmark = pytest.mark.parametrize("up", ["sqlite"], indirect=True)

DEV = Path(__file__).resolve().parents[2] / "dev"
DONE, FAILED, USAGE, NOT_FOUND, REFUSED, UNREACHABLE = range(6)


def run(up: Up, *words: str, stdin: str = "", **settings: str) -> tuple[int, str, str]:
    """The command's exit code, output and errors."""
    if words[0] == "send" and "--service" not in words:  # other tests have made services, too
        words = (*words, "--service", up.account["SENDCODE_SERVICE_SID"])
    return commands.run(words, up.environment | settings, stdin)


def result(up: Up, *words: str, code: int = DONE, stdin: str = "") -> Any:
    """What the command prints with --json."""
    found, output, errors = run(up, *words, "--json", stdin=stdin)
    assert found == code, errors
    return json.loads(output)


def test_send_check_and_status(up: Up, to: str) -> None:
    """`send` sends, `check` reads a code from stdin and `status` shows the timeline, no number."""
    sent = result(up, "send", to)
    code = up.wait(to)["code"]
    missed = result(up, "check", sent["sid"], stdin=next(wrong(code)), code=REFUSED)
    assert (missed["status"], missed["checks"]) == ("pending", 1)
    checked = result(up, "check", sent["sid"], stdin=f"{code}\n")
    assert checked["status"] == "approved"
    until(lambda: up.delivery(sent["deliveries"][0]["sid"])["state"] == "delivered")
    shown = result(up, "status", sent["sid"])
    assert (shown["status"], shown["deliveries"][0]["state"]) == ("approved", "delivered")
    exit_code, text, _ = run(up, "status", sent["sid"])
    assert (exit_code, "delivered" in text) == (DONE, True)
    for output in (json.dumps([sent, missed, checked, shown]), text):
        assert to[1:] not in output
        assert code not in output


def test_the_script_knows_what_runs(up: Up) -> None:
    """`./dev cli` is the command line with the settings of what `./dev up` runs, kept private."""
    done = subprocess.run(
        [sys.executable, str(DEV), "cli", "services", "list", "--json"],
        env=up.plain | {"SENDCODE_HOME": str(up.root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == DONE, done.stderr
    assert up.account["SENDCODE_SERVICE_SID"] in done.stdout
    assert (up.root / "settings.env").stat().st_mode & 0o777 == 0o600


def test_send_by_call(up: Up, to: str) -> None:
    """`send --channel call` calls, and plain output is the sid alone."""
    exit_code, output, _ = run(up, "send", to, "--channel", "call")
    assert exit_code == DONE
    assert output.strip().startswith("VE")
    assert up.wait(to)["channel"] == "call"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("send", "nonsense"), USAGE),
        (("send", "+19005551234"), USAGE),
        (("send", "+13605550123", "--channel", "pigeon"), USAGE),
        (("send", "+13605550123", "--locale", "xx"), USAGE),
        (("send", "+13605550123", "--service", "VA" + "0" * 32), NOT_FOUND),
        (("status", "VE" + "0" * 32), NOT_FOUND),
        (("check", "VE" + "0" * 32), NOT_FOUND),
        (("services", "update", "VA" + "0" * 32, "--name", "New"), NOT_FOUND),
        (("services", "create", "Short", "--code-length", "3"), USAGE),
        (("services", "enable-number", "VA" + "0" * 32, "+13605550123"), NOT_FOUND),
        (("pigeon",), USAGE),
    ],
)
def test_what_cannot_be_done(up: Up, words: tuple[str, ...], code: int) -> None:
    """A refusal has its exit code and one line that repeats no number; nothing is done."""
    up.settle()
    before = up.footprint()
    found, output, errors = run(up, *words, stdin="123456")
    assert (found, output) == (code, "")
    assert "Traceback" not in errors
    assert "13605550123" not in errors
    assert up.footprint() == before


def test_a_spent_limit_is_refused(up: Up, to: str) -> None:
    """The sixth send exits 4 and says when to come back."""
    for _ in range(5):
        up.start_code(to)
    exit_code, _, errors = run(up, "send", to)
    assert exit_code == REFUSED
    assert "try again in" in errors


def test_an_absent_broker_is_unreachable(up: Up, to: str) -> None:
    """Without a broker `send` exits 5, in one line, and sends nothing."""
    dead = "redis://:password-of-it@127.0.0.1:1/0"
    exit_code, _, errors = run(up, "send", to, SENDCODE_BROKER_URL=dead)
    assert exit_code == UNREACHABLE
    assert len(errors.strip().splitlines()) == 1
    assert "password-of-it" not in errors
    assert up.sent(to) == []


def test_services(up: Up) -> None:
    """`services` creates, changes and lists."""
    options = ("--code-length", "8", "--press-key")
    made = result(up, "services", "create", "Shop", *options)
    assert (made["code_length"], made["press_key"]) == (8, True)
    changed = result(up, "services", "update", made["sid"], "--code-life", "120")
    assert (changed["code_life"], changed["code_length"]) == (120, 8)
    assert (changed["send_limit"], changed["check_limit"]) == (None, None)
    own = ("--send-limit", "2", "--check-limit", "3")
    changed = result(up, "services", "update", made["sid"], *own)
    assert (changed["send_limit"], changed["check_limit"]) == (2, 3)
    changed = result(up, "services", "update", made["sid"], "--send-limit", "default")
    assert (changed["send_limit"], changed["check_limit"]) == (None, 3)
    assert made["sid"] in {one["sid"] for one in result(up, "services", "list")}


def test_queues_and_keys(up: Up) -> None:
    """`status` alone shows the queues; `keys` lists names and makes new ones, never the key."""
    queues = result(up, "status")
    assert set(queues["waiting"]) == {"sms", "call", "sms.busy", "call.busy", "relay"}
    assert {one["state"] for one in queues["circuits"]} == {"closed"}
    assert [one["slots"] for one in queues["workers"]] == [32]
    assert queues["worker_silent_seconds"] < 30
    listed = result(up, "keys", "list")
    assert [(key["kid"], key["writes"]) for key in listed] == [("k1", True)]
    secret = up.secrets["SENDCODE_SECRET_KEYS"].partition(":")[2]
    assert secret not in json.dumps(listed)
    assert set(result(up, "keys", "reseal")["resealed"].values()) == {0}
    made = result(up, "keys", "generate", "--kid", "k2")
    assert made["entry"].startswith("k2:")
    assert secret not in made["entry"]


def test_config_masks_secrets(up: Up) -> None:
    """`config` shows every setting in force and none of the secrets."""
    shown = result(up, "config")
    assert shown["SENDCODE_PUBLIC_URL"] == up.url
    exit_code, text, _ = run(up, "--json", "config")
    assert (exit_code, json.loads(text)) == (DONE, shown)
    secrets = [up.account["SENDCODE_AUTH_TOKEN"], up.secrets["SENDCODE_TWILIO_AUTH_TOKEN"]]
    secrets += [up.secrets["SENDCODE_SECRET_KEYS"].partition(":")[2], up.broker_url]
    secrets.append(up.broker_url.partition("@")[0].rpartition(":")[2])
    for secret in secrets:
        assert secret not in text
    other = "postgresql+psycopg://user:pass-of-it@db/sendcode"
    assert "pass-of-it" not in run(up, "config", SENDCODE_DATABASE_URL=other)[1]


def test_wrong_settings_are_loud(up: Up) -> None:
    """A setting that cannot be used exits 2, and one line names it and not its value."""
    exit_code, _, errors = run(up, "status", SENDCODE_SECRET_KEYS="k1:c2hvcnQ=")
    assert exit_code == USAGE
    assert "SENDCODE_SECRET_KEYS" in errors
    assert "c2hvcnQ" not in errors
    assert "Traceback" not in errors


def test_api_keys(up: Up) -> None:
    """`api-keys` makes a key that opens a door of its scope, lists it without its secret, and ends
    it.
    """
    made = result(up, "api-keys", "create", "Reader", "--scope", "read")
    pair = (made["sid"], made["secret"])
    with httpx.Client(base_url=up.url, auth=pair, trust_env=False) as client:
        assert client.get("/v2/Services").status_code == 200
        assert client.post("/v2/Services", data={"FriendlyName": "No"}).status_code == 403
        listed = next(k for k in result(up, "api-keys", "list") if k["sid"] == made["sid"])
        assert (listed["scopes"], listed["last_used_at"] is None) == (["read"], False)
        assert made["secret"] not in json.dumps(listed)
        assert result(up, "api-keys", "revoke", made["sid"]) == {"revoked": True}
        until(lambda: client.get("/v2/Services").status_code == 401, about="the key's end")
    assert run(up, "api-keys", "revoke", made["sid"])[0] == NOT_FOUND
    assert run(up, "api-keys", "create", "None", "--scope", "root")[0] == USAGE


def test_authy(up: Up, to: str) -> None:
    """`authy` makes a key that opens the Authy door, lists it without its text, brings users in
    under their ids and ends the key.
    """
    service = up.account["SENDCODE_SERVICE_SID"]
    made = result(up, "authy", "create", "Old code", "--service", service)
    listed = next(k for k in result(up, "authy", "list") if k["sid"] == made["sid"])
    assert (listed["service_sid"], listed["last_used_at"]) == (service, None)
    assert made["key"] not in json.dumps(listed)
    head = "authy_id,country_code,cellphone,email\n"
    file = f"{head}1635,1,{to[2:5]}-{to[5:8]}-{to[8:]},ann@example.com\n"
    words = ("authy", "import", "-", "--service", service)
    assert result(up, *words, stdin=file) == {"imported": 1, "bad": 0}
    code, output, errors = run(up, *words, stdin=f"{file}7,1,12,x\n")
    assert (code, output) == (FAILED, "0 imported, 1 bad\n")
    assert errors == "sendcode: line 3: cellphone is not a valid phone number\n"
    assert run(up, *words, stdin="authy_id;cellphone\n")[0] == FAILED
    headers = {"X-Authy-API-Key": made["key"]}
    with httpx.Client(base_url=f"{up.url}/protected/json", headers=headers) as client:
        assert client.get("/sms/1635").status_code == 200
        assert client.get(f"/verify/{up.wait(to)['code']}/1635").status_code == 200
        app = pyotp.TOTP(pyotp.random_base32())
        secrets = f"identity,friendly_name,secret\nauthy-user-1635,Ann's phone,{app.secret}\n"
        words = ("factors", "import", "-", "--verified", "--service", service)
        assert result(up, *words, stdin=secrets) == {"imported": 1, "bad": 0}
        for steps, status in ((-1, 401), (1, 200)):  # one from before the import, and a later one
            code = app.at(int(time.time()) + steps * 30)
            assert client.get(f"/verify/{code}/1635").status_code == status
        assert client.get("/sms/1635").json()["ignored"]
        assert result(up, "authy", "reseal") == {"resealed": 0}
        assert result(up, "authy", "revoke", made["sid"]) == {"revoked": True}
        assert client.get("/sms/1635").status_code == 401
    assert run(up, "authy", "revoke", made["sid"])[0] == NOT_FOUND
    assert run(up, "authy", "create", "X", "--service", "VA" + "0" * 32)[0] == NOT_FOUND


def test_webhooks(up: Up, to: str) -> None:
    """`webhooks` makes a hook, the relay tells it what ended, signed with the secret that was
    shown once, and `delete` removes it.
    """
    got: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.headers["Sendcode-Signature"], body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/told"
        service = up.account["SENDCODE_SERVICE_SID"]
        words = ("--service", service, "--event", "verification.approved")
        made = result(up, "webhooks", "create", url, *words)
        sid = up.start_code(to)["sid"]
        up.check(up.wait(to)["code"], To=to)
        until(lambda: got, about="a webhook")
        server.shutdown()
    signature, body = got[0]
    at = int(signature.partition(",")[0].removeprefix("t="))
    assert signature == sign(made["secret"], at, body)
    event = json.loads(body)
    assert (event["type"], event["verification_sid"]) == ("verification.approved", sid)
    assert to[1:] not in body.decode()
    listed = result(up, "webhooks", "list", "--service", service)
    assert [one["sid"] for one in listed] == [made["sid"]]
    assert made["secret"] not in json.dumps(listed)
    deleted = result(up, "webhooks", "delete", made["sid"], "--service", service)
    assert deleted == {"deleted": True}
    empty = run(up, "webhooks", "list", "--service", service)[1]
    assert "sendcode webhooks create" in empty
    again = run(up, "webhooks", "delete", made["sid"], "--service", service)
    assert again[0] == NOT_FOUND
    assert run(up, "webhooks", "create", "ftp://x", "--service", service)[0] == USAGE
