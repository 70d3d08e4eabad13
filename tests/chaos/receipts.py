"""Receipts in any order, three times, not at all, forged, and before our own write."""

import json
import sqlite3
from dataclasses import dataclass

import httpx
from twilio.request_validator import RequestValidator

from tests.chaos.report import Outcome
from tests.chaos.rig import PROVIDER_ACCOUNT, PROVIDER_TOKEN, Rig, World
from tests.chaos.rows import Size, conclude, row
from worker.embedded.stack import SENDER

DROPPED = FORGED = 0.1
FORGERY = "SM" + "f" * 32  # the sid that every forged receipt carries
ENDS = {"delivered": "undelivered", "undelivered": "delivered"}


@dataclass(frozen=True)
class Receipt:
    url: str
    number: str
    sid: str
    status: str
    genuine: bool = True


@row("receipts", "receipts shuffled, tripled, 10 % dropped, 10 % forged, before our own write")
def receipts(rig: Rig, size: Size, made: Outcome) -> None:
    """The final state is what the provider says, and a forgery has no effect."""
    assert made.violations is not None
    count = size.of(300, 40)
    with World(rig, "receipts") as world:
        # The provider holds its answer back, so that receipts come before we know its sid.
        world.order(callbacks="none", delay_ms=1500)
        numbers = [next(rig.numbers) for _ in range(count)]
        for number in numbers[::4]:
            world.order(number, callbacks="none", delay_ms=1500, fail="undelivered", code=30003)
        for number in numbers:
            world.start(number)
        world.until(lambda: len(_items(world)) == count, 60)
        world.pause(1)
        sent = _schedule(world)
        with httpx.Client(timeout=10, trust_env=False) as http:
            refused = [_post(http, receipt) for receipt in sent if not receipt.genuine]
            taken = [_post(http, receipt) for receipt in sent if receipt.genuine]
        conclude(world, made)
        made.injected = len(sent)
        if set(refused) != {403}:
            made.violations.append(f"forged receipts were answered {sorted(set(refused))}")
        if set(taken) != {200}:
            made.violations.append(f"genuine receipts were answered {sorted(set(taken))}")
        kept = world.rows("SELECT * FROM receipts WHERE provider_sid = :sid", sid=FORGERY)
        if kept:
            made.violations.append(f"{len(kept)} forged receipts were kept")
        states = {r["sid"]: r["state"] for r in world.rows("SELECT sid, state FROM deliveries")}
        wrong = [sid for sid, _, _, status, _ in _items(world) if states.get(sid) != status]
        if wrong:
            made.violations.append(f"{len(wrong)} of {count} ended in another state")


def _items(world: World) -> list[tuple[str, str, str, str, str]]:
    """Delivery, number, the provider's sid, its final word and the URL of each message."""
    with sqlite3.connect(f"file:{world.sandbox_file}?mode=ro", uri=True, timeout=10) as store:
        rows = store.execute("SELECT params, recipient, sid, undelivered FROM items").fetchall()
    store.close()
    found = []
    for params, number, sid, undelivered in rows:
        url = json.loads(params)["StatusCallback"][0]
        word = "delivered" if undelivered is None else "undelivered"
        found.append((url.rpartition("/")[2], number, sid, word, url))
    return found


def _schedule(world: World) -> list[Receipt]:
    chance = world.random
    made: list[Receipt] = []
    for _, number, sid, end, url in _items(world):
        for status in ("queued", "sent", end):
            if chance.random() >= DROPPED:
                made += [Receipt(url, number, sid, status)] * 3
        if chance.random() < FORGED * 10 / 3:  # of the three words, so a tenth of all receipts
            made.append(Receipt(url, number, FORGERY, ENDS[end], genuine=False))
            made.append(Receipt(url, number, sid, ENDS[end], genuine=False))
    chance.shuffle(made)
    return made


def _post(http: httpx.Client, receipt: Receipt) -> int:
    values = {
        "AccountSid": PROVIDER_ACCOUNT,
        "MessageSid": receipt.sid,
        "MessageStatus": receipt.status,
        "To": receipt.number,
        "From": SENDER,
    }
    if receipt.status == "undelivered":
        values["ErrorCode"] = "30003"
    token = PROVIDER_TOKEN if receipt.genuine else "another's"
    signature = RequestValidator(token).compute_signature(receipt.url, values)
    return http.post(
        receipt.url, data=values, headers={"X-Twilio-Signature": signature}
    ).status_code
