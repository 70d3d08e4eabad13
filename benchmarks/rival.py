"""Sends and verifies of better-auth's phone plugin over HTTP, beside our starts and checks."""

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psycopg

from benchmarks.checking import WARM, Http, Rate, until_open
from benchmarks.machine import Meter
from benchmarks.rig import Numbers, Rig, plain
from worker.embedded.broker import free_port

FOLDER = Path(__file__).parent / "better_auth"
STAMP = FOLDER / "node_modules" / "made"
NPM_CI = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
JIT = 3000  # sends and verifies until V8 has compiled what they run: CPU halves by then
PATIENCE = 120  # seconds for what is not measured
PHONE = "/api/auth/phone-number"
SEND = "better-auth, send: HTTP, one Node process"
VERIFY = "better-auth, verify, no session: HTTP, one Node process"
VERIFIES: tuple[tuple[str, str, dict[str, bool]], ...] = (
    (VERIFY, f"{PHONE}/verify", {"disableSession": True}),
    ("better-auth, verify with a session, its default", f"{PHONE}/verify", {}),
    ("better-auth, the code alone, through a door of ours", "/consume", {}),
)
_USERS = """
INSERT INTO "user" (id, name, email, "emailVerified", "phoneNumber", "phoneNumberVerified",
  "createdAt", "updatedAt")
SELECT md5(number), number, number || '@example.com', false, number, true, now(), now()
FROM unnest(%s::text[]) AS number
"""


class MissingError(Exception):
    """better-auth cannot be run here; the message says why."""


def install() -> None:
    """Make `node_modules` what the lock file says; does nothing while that has not changed.

    :raises MissingError: node or npm is missing, or npm could not install
    """
    if missing := [name for name in ("node", "npm") if not shutil.which(name)]:
        raise MissingError(f"not on PATH: {', '.join(missing)}")
    wanted = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    done = subprocess.run(NPM_CI, cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"npm ci ended with {done.returncode}")
    STAMP.write_text(wanted)


def measure(rig: Rig, count: int, seconds: float) -> list[Rate]:
    """
    :param count: most requests of each kind
    :param seconds: longest time of each kind
    :raises MissingError: see `install`
    """
    install()
    url, port = plain(rig.postgres.create("rival")), free_port()
    env = {
        "PATH": os.environ["PATH"],
        "NODE_ENV": "production",
        "BETTER_AUTH_SECRET": secrets.token_urlsafe(32),
        "RIVAL_DATABASE_URL": url,
    }
    # In a database of its own every number is new: none of the rig's are used up.
    taken = Numbers().take(max(JIT, 2 * (count + WARM)))
    server = rig.start("rival", [str(FOLDER / "server.mjs"), str(port)], env, program="node")
    try:
        until_open(port, "/api/auth/ok")
        users, others = taken[: count + WARM], taken[-count - WARM :]
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_USERS, (taken,))
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")
        meter = Meter({"database": [rig.postgres_pid], "api": [server.pid]})
        http = Http(rig, port, {"Content-Type": "application/json"}, seconds)
        patient = replace(http, seconds=PATIENCE)
        send, verify = f"{PHONE}/send-otp", f"{PHONE}/verify"
        patient.run(send, _sends(taken[:JIT]))
        patient.run(verify, _verifies(port, taken[:JIT], {}))
        rates = []
        for name, path, more in VERIFIES:
            patient.run(send, _sends(users))
            rates.append(http.measure(name, meter, path, _verifies(port, users, more), "200"))
        return [*rates, http.measure(SEND, meter, send, _sends(others), "200")]
    finally:
        server.stop(10)


def _sends(numbers: Sequence[str]) -> list[str]:
    return [json.dumps({"phoneNumber": number}) for number in numbers]


def _verifies(port: int, numbers: Sequence[str], more: dict[str, bool]) -> list[str]:
    """A right verify for every number that was sent a code."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/codes", timeout=10) as answer:
        codes = json.load(answer)
    return [
        json.dumps({"phoneNumber": number, "code": codes[number], **more})
        for number in numbers
        if number in codes
    ]
