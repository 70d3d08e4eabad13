"""How fast the console answers over many deliveries: `python -m benchmarks.console`.

It fills a PostgreSQL database of its own, or the one in `SENDCODE_TEST_DATABASE_URL`, starts broker
and api, signs in and asks for each page again and again.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from sqlalchemy import text

from benchmarks.million import fill
from worker import migrations
from worker.audit import Operator
from worker.embedded.broker import Broker, free_port
from worker.embedded.postgres import postgres
from worker.embedded.processes import wait_for
from worker.rollup import AT_ONCE, Rollup
from worker.settings import SAMPLE_KEY, load
from worker.wiring import Sendcode

ROUNDS = 60
PAUSE = 0.25  # seconds between two: looks of the console hold for seconds
NUMBER = "+447400123456"
ADMIN = Operator("bench", "benchmark", admin=True)
ACCOUNT, AUTH_TOKEN = "AC" + "a" * 32, "t" * 32
PAGES = {
    "overview": "/console/",
    "overview, 24 h of charts": "/console/?minutes=1440",
    "failures, 24 h": "/console/failures",
    "failures, 7 days": "/console/failures?since=7d",
    "requests": "/console/requests",
    "requests, a rare filter": "/console/requests?state=canceled&country=NG&since=30d",
    "requests, failed": "/console/requests?state=failed&since=30d",
    "countries, 24 h": "/console/countries",
    "queues": "/console/queues",
    "limits and budgets": "/console/limits",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.console", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="default %(default)s")
    parser.add_argument("--database", default="console", help="kept where it exists")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sendcode-console-") as folder, postgres() as server:
        try:
            url = server.create(options.database)
        except Exception:
            url = server.url(options.database)
        broker = Broker(Path(folder))
        broker.start(Path(folder) / "broker.log")
        try:
            _measure(url, broker.url, options.rows)
        finally:
            assert broker.child is not None
            broker.child.stop(5)
    return 0


def _measure(database_url: str, broker_url: str, rows: int) -> None:
    port = free_port()
    settings = {
        "database_url": database_url,
        "broker_url": broker_url,
        "secret_keys": f"k1:{SAMPLE_KEY}",
        "account_sid": ACCOUNT,
        "auth_token": AUTH_TOKEN,
        "twilio_account_sid": "AC" + "1" * 32,
        "twilio_auth_token": "x",
        "twilio_from": "+447700900999",
        "public_url": f"http://127.0.0.1:{port}",
        "log_level": "error",
        "prices": "sms:*=0.04,call:*=0.05",
    }
    ours = Sendcode(load(**settings))
    migrations.upgrade(ours.db)
    with ours.db.statement() as connection:
        found = connection.execute(text("SELECT sid FROM deliveries LIMIT 1")).scalar()
    if found is None:
        fill(ours, rows)
    print("counting the minutes of a day", flush=True)
    rollup, begun = Rollup(ours.db, 30), time.monotonic()
    while rollup.look() == AT_ONCE:
        pass
    print(f"took {time.monotonic() - begun:.1f} s", flush=True)
    for scope, amount, unit in (("all", "500000", "USD"), ("GB", "900000", "messages")):
        ours.operations.budgets.set(ADMIN, scope, amount, unit, "a benchmark")
    env = os.environ | {f"SENDCODE_{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-P", "-m", "worker.cli", "api", "--port", str(port)]
    api = subprocess.Popen(command, env=env)
    try:
        with httpx.Client(base_url=settings["public_url"], timeout=30) as client:
            wait_for(lambda: _answers(client), 60)
            _ask(client, _session(ours))
    finally:
        api.terminate()
        api.wait(15)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/livez").status_code == 200
    except httpx.HTTPError:
        return False


def _session(ours: Sendcode) -> str:
    if "bench" not in {one.name for one in ours.operators.all()}:
        ours.operators.add("bench", "admin")
    return ours.operators.use_link(ours.operators.make_link("bench"), "127.0.0.1", "bench")


def _ask(client: httpx.Client, token: str) -> None:
    client.headers["Cookie"] = f"__Host-sendcode={token}"
    client.auth = (ACCOUNT, AUTH_TOKEN)  # of /metrics; the console does not look at it
    csrf = re.search(r'name="csrf" value="(\w+)"', client.get("/console/account").text)
    assert csrf is not None
    sid = re.search(r"/console/requests/(VL\w+)", client.get("/console/requests").text)
    assert sid is not None
    asked = {name: ("GET", path, None) for name, path in PAGES.items()}
    asked |= {"timeline": ("GET", f"/console/requests/{sid[1]}", None)}
    asked |= {"metrics": ("GET", "/metrics", None)}
    searches = {"a number": NUMBER, "our sid": sid[1], "Twilio's sid": "SM" + "0" * 32}
    for what, wanted in searches.items():
        form = {"csrf": csrf[1], "q": wanted}
        asked[f"search, {what}"] = ("POST", "/console/search", form)
    print(f"{'page':<28}{'p50':>8}{'p95':>8}{'worst':>8}   ms of {ROUNDS}")
    for name, (method, path, form) in asked.items():
        taken = []
        for _ in range(ROUNDS):
            time.sleep(PAUSE)
            begun = time.monotonic()
            answer = client.request(method, path, data=form)
            taken.append((time.monotonic() - begun) * 1000)
            assert answer.status_code in (200, 303, 404), (path, answer.status_code)
        p95 = statistics.quantiles(taken, n=20)[-1]
        print(
            f"{name:<28}{statistics.median(taken):>8.0f}{p95:>8.0f}{max(taken):>8.0f}", flush=True
        )


if __name__ == "__main__":
    sys.exit(main())
