"""A stack with a busy evening in it: what the pages show in the browser's tests and pictures."""

import math
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sqlalchemy import create_engine, insert

from tests.acceptance.running import NUMBERS, Up, until
from worker.embedded.broker import free_port
from worker.minute_tables import WAITS, minute_costs, minute_looks, minutes
from worker.money import shown

MINUTE = 60_000
KENYA = [f"+2547123456{n:02}" for n in range(10, 16)]
NIGERIA = [f"+2348031234{n:03}" for n in range(101, 103)]
IMPATIENT = {"+447400567801": 14, "+4915123987601": 8}
BUSY = "+2347012345678"
ELSEWHERE = (
    *(f"+4474001234{n:02}" for n in range(20, 28)),
    *(f"+4915123456{n:03}" for n in range(101, 106)),
    *(f"+3361234567{n}" for n in range(4)),
)
HOOKED = ("+447400123431", "+447400123432", "+447400123433")
PHONE = "+12025550142"
SHARES = {"US": 9.0, "GB": 5.0, "DE": 4.0, "FR": 2.5, "KE": 1.2}
MICROS = {"US": 8_300, "GB": 42_000, "DE": 105_000, "FR": 79_800, "KE": 160_000}
PRICES = "sms:*=0.09,call:*=0.05," + ",".join(
    f"sms:{country}={shown(micros)}" for country, micros in MICROS.items()
)
NEVER = 4_102_444_800_000  # ms: minutes that were counted then are not counted again


def evening(up: Up) -> None:
    """Codes that came back, codes to a country that fail, an open circuit, pauses, blocks, a bulk
    job, and an audit log of it all.
    """
    history(up)
    up.fault("+254*", fail="reject", code=21408)
    up.fault("+234*", fail="undelivered", code=30005)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda to: approved(up, to), (*ELSEWHERE, *(next(NUMBERS) for _ in "12345"))))
        failing = [*pool.map(up.start_code, (*KENYA, *NIGERIA))]
    until(
        lambda: all(state_of(up, one) in ("failed", "undelivered") for one in failing),
        about="the failures",
    )
    up.fault("*", channel="call", fail="reject", code=20003, times=5)
    for _ in range(5):
        up.start_code(next(NUMBERS), "call")
    until(lambda: up.http.get("/readyz").json().get("open_circuits"), about="an open circuit")
    impatient(up)
    operated(up)
    hooked(up)


def impatient(up: Up) -> None:
    """Numbers for which codes are asked for again and again, and a callback that nobody signed."""
    for to, times in IMPATIENT.items():
        for _ in range(times):
            up.http.post(f"{up.path()}/Verifications", data={"To": to, "Channel": "sms"})
    forged = {"AccountSid": f"AC{'0' * 32}", "MessageStatus": "delivered"}
    up.http.post(f"/callbacks/twilio/sms/VL{'0' * 32}", data=forged)


def operated(up: Up) -> None:
    """What an operator did about it."""
    act(up, "pause", kind="channel", name="call", until=3600, reason="the provider refuses calls")
    act(up, "budget", scope="all", amount="2500.00", unit="USD", reason="agreed for November")
    act(up, "budget", scope="DE", amount=nearly(up, "DE"), unit="USD", reason="the usual day")
    act(
        up,
        "budget",
        scope=up.account["SENDCODE_SERVICE_SID"],
        amount="5000",
        unit="messages",
        until=21_600,
        reason="a campaign until the evening",
    )
    act(up, "block", to="+8835", reason="satellite numbers, nobody of ours")
    act(up, "block", to=BUSY, until=86_400, reason="a thousand codes asked for since noon")
    act(up, "bulk", verb="retry", country="KE", channel="sms", reason="Kenya was enabled at six")
    until(
        lambda: all(
            one["state"] == "done" for one in up.http.get("/operator/v1/bulk").json()["jobs"]
        ),
        about="the end of the bulk job",
    )


def nearly(up: Up, country: str) -> str:
    """An amount of which a country has used six sevenths today."""
    day = int(time.time()) // 86_400 * 86_400_000
    query = f"SELECT sum(micros) AS m FROM minute_costs WHERE country='{country}' AND minute>={day}"
    return f"{max(1, (up.rows(query)[0]['m'] or 0) * 7 / 6 / 1_000_000):.2f}"


def hooked(up: Up) -> None:
    """A backend that takes what it is told, and one that is away, for which it waits."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Backend) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        service = up.account["SENDCODE_SERVICE_SID"]
        away = f"http://127.0.0.1:{free_port()}/codes"
        for url in (f"http://127.0.0.1:{server.server_port}/codes", away):
            command(up, "webhooks", "create", url, "--service", service)
        for to in HOOKED:
            approved(up, to)
        until(lambda: _standing(up)[1]["failures"], about="a backend that does not answer")
        until(lambda: not _standing(up)[0]["waiting"], about="what the other was told")
        server.shutdown()


def _standing(up: Up) -> list[dict[str, Any]]:
    return list(up.http.get("/operator/v1/webhooks").json()["hooks"])


class _Backend(BaseHTTPRequestHandler):
    """Takes whatever it is told."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def on_the_phone(up: Up) -> str:
    """Texts and a call on one phone, the call asking for a key; its sid."""
    command(up, "services", "update", up.account["SENDCODE_SERVICE_SID"],
            "--web-origin", "shop.example", "--press-key")  # fmt: skip
    up.fault("+12025550191", callbacks="reversed", times=1)
    for to in ("+12025550191", ELSEWHERE[0], PHONE):
        up.start_code(to)
    arrived(up, PHONE)
    answer = up.http.post(f"/sandbox/v1/numbers/{PHONE}", json={"answer": "manual"})
    assert answer.status_code == 200, answer.text
    up.fault("+49151*", late=20, channel="sms")
    up.start_code(PHONE, "call")
    call = until(lambda: [one for one in up.sent(PHONE) if one["kind"] == "call.create"])[0]["sid"]
    return str(call)


def told(up: Up, call: str, word: str, **body: str) -> None:
    """Tell a call on the phone something, as soon as it fits."""
    path = f"/sandbox/v1/calls/{call}/{word}"
    until(lambda: up.http.post(path, json=body).status_code == 200, about=word)


def asked(up: Up, call: str) -> None:
    """Wait until the call asks for a key."""
    page = f"/sandbox/phone?to=%2B{PHONE[1:]}"
    until(lambda: "The call asks for a key" in up.http.get(page).text, about="a question")


def history(up: Up) -> None:
    """Counts of the last day's minutes, which the relay leaves as they are."""
    dice = random.Random(4711)
    newest = int(time.time() * 1000) // MINUTE * MINUTE
    at = [newest - back * MINUTE for back in range(1, 1440)]
    rows = [_minute(dice, minute, country) for minute in at for country in SHARES]
    engine = create_engine(up.database_url)
    with engine.begin() as connection:
        connection.execute(insert(minute_looks).prefix_with("OR REPLACE"),
                           [{"minute": minute, "looked_at": NEVER} for minute in at])  # fmt: skip
        connection.execute(insert(minutes).prefix_with("OR REPLACE"), rows)
        costs = [_cost(row) for row in rows if row["accepted"]]
        connection.execute(insert(minute_costs).prefix_with("OR REPLACE"), costs)
    engine.dispose()


def _cost(row: dict[str, Any]) -> dict[str, Any]:
    names = ("minute", "channel", "country")
    micros = row["accepted"] * MICROS[row["country"]]
    return {name: row[name] for name in names} | {"currency": "USD", "micros": micros}


def _minute(dice: random.Random, minute: int, country: str) -> dict[str, Any]:
    wave = 1.3 + math.sin(minute / MINUTE / 40) + 0.5 * math.sin(minute / MINUTE / 7)
    codes = max(0, round(SHARES[country] * wave * dice.uniform(0.7, 1.3)))
    failing = 1.0 if country == "KE" else 0.02
    failed = sum(dice.random() < failing for _ in range(codes))
    accepted = codes - failed if country == "KE" else codes
    waits = dict.fromkeys(WAITS, 0)
    for _ in range(accepted):
        waits[WAITS[min(len(WAITS) - 1, max(0, round(dice.gauss(2.2, 1.1))))]] += 1
    delivered = codes - failed
    return {
        "minute": minute, "channel": "sms", "country": country, "codes": codes,
        "approved": round(delivered * dice.uniform(0.75, 0.95)), "deliveries": codes,
        "accepted": accepted, "delivered": delivered, "failed": failed, **waits,
    }  # fmt: skip


def approved(up: Up, to: str) -> None:
    """A code that came back right."""
    up.start_code(to)
    assert up.check(arrived(up, to)["code"], To=to).json()["status"] == "approved"


def arrived(up: Up, to: str) -> dict[str, Any]:
    """The newest message on a phone; the first ones wait until the worker has loaded its SDK."""
    return until(lambda: up.inbox(to), seconds=60, about="a message")[0]


def state_of(up: Up, started: dict[str, Any]) -> str:
    return str(up.delivery(started["send_code_attempts"][0]["attempt_sid"])["state"])


def act(up: Up, verb: str, /, **values: object) -> None:
    answer = up.http.post(f"/operator/v1/{verb}", json=values)
    assert answer.status_code == 200, answer.text


def command(up: Up, *words: str) -> str:
    """What a `sendcode` command prints."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "worker.cli", *words],
        env=up.environment, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout.strip()
