"""Receipts in any order, three times, not at all, forged, and before our own write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx
from twilio.request_validator import RequestValidator

from tests.chaos.report import Outcome
from tests.chaos.rig import Rig
from tests.chaos.rows import Size, conclude, row
from tests.chaos.sandbox import Message
from tests.chaos.settings import PROVIDER_ACCOUNT, PROVIDER_TOKEN
from tests.chaos.world import World
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
    count = size.of(300, 40)
    with World(rig, "receipts") as world:
        # The provider holds its answer back, so that receipts come before we know its sid.
        world.sandbox.order(callbacks="none", delay_ms=1500)
        numbers = [next(rig.numbers) for _ in range(count)]
        for number in numbers[::4]:
            world.sandbox.order(
                number, callbacks="none", delay_ms=1500, fail="undelivered", code=30003
            )
        for number in numbers:
            world.start(number)
        world.until(lambda: len(world.sandbox.messages()) == count, 60)
        world.pause(1)
        sent = _schedule(world)
        with httpx.Client(timeout=10, trust_env=False) as http:
            refused = [_post(http, receipt) for receipt in sent if not receipt.genuine]
            taken = [_post(http, receipt) for receipt in sent if receipt.genuine]
        conclude(world, made)
        made.injected = len(sent)
        kept = world.rows("SELECT * FROM receipts WHERE provider_sid = :sid", sid=FORGERY)
        states = {r["sid"]: r["state"] for r in world.rows("SELECT sid, state FROM deliveries")}
        made.fail(*wrong(refused, taken, len(kept), states, world.sandbox.messages()))


def wrong(
    refused: Sequence[int],
    taken: Sequence[int],
    kept: int,
    states: Mapping[str, str],
    messages: Sequence[Message],
) -> list[str]:
    """
    :param refused: what forged receipts were answered
    :param taken: what genuine ones were answered
    :param kept: forged receipts in the database
    :param states: of the deliveries
    """
    found = []
    if set(refused) != {403}:
        found.append(f"forged receipts were answered {sorted(set(refused))}")
    if set(taken) != {200}:
        found.append(f"genuine receipts were answered {sorted(set(taken))}")
    if kept:
        found.append(f"{kept} forged receipts were kept")
    others = [m for m in messages if states.get(m.delivery) != m.end]
    if others:
        found.append(f"{len(others)} of {len(messages)} ended in another state")
    return found


def _schedule(world: World) -> list[Receipt]:
    chance = world.random
    made: list[Receipt] = []
    for m in world.sandbox.messages():
        for status in ("queued", "sent", m.end):
            if chance.random() >= DROPPED:
                made += [Receipt(m.callback, m.number, m.sid, status)] * 3
        if chance.random() < FORGED * 10 / 3:  # of the three words, so a tenth of all receipts
            made.append(Receipt(m.callback, m.number, FORGERY, ENDS[m.end], genuine=False))
            made.append(Receipt(m.callback, m.number, m.sid, ENDS[m.end], genuine=False))
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
