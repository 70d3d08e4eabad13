"""Receipts in any order, three times, not at all, forged, and before our own write."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

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
EARLY = 20  # messages, fewer than a worker has slots
HELD_MS = 15_000
PATIENT = {"SENDCODE_READ_TIMEOUT": "25", "SENDCODE_LEASE_SECONDS": "62"}
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
    with World(rig, "receipts", settings=PATIENT) as world:
        numbers = [next(rig.numbers) for _ in range(count)]
        _start(world, numbers)
        sending = world.rows("SELECT sid FROM deliveries WHERE state = 'sending'")
        early = {row["sid"] for row in sending} & {a.delivery for a in world.told[-EARLY:]}
        sent = _schedule(world, numbers[-EARLY:])
        with httpx.Client(timeout=10, trust_env=False) as http:
            told = [(receipt.genuine, _post(http, receipt)) for receipt in sent]
        conclude(world, made)
        made.injected = len(sent)
        kept = world.rows("SELECT * FROM receipts WHERE provider_sid = :sid", sid=FORGERY)
        states = {r["sid"]: r["state"] for r in world.rows("SELECT sid, state FROM deliveries")}
        made.fail(*wrong(told, len(kept), len(early), states, world.sandbox.messages()))


def _start(world: World, numbers: Sequence[str]) -> None:
    """Until the provider has them all. Of the last ones it holds its answers back, so that their
    receipts come before we know its sid."""
    for place, number in enumerate(numbers):
        fault: dict[str, object] = {"callbacks": "none"}
        if place % 4 == 0:
            fault |= {"fail": "undelivered", "code": 30003}
        if place >= len(numbers) - EARLY:
            fault |= {"delay_ms": HELD_MS}
        world.sandbox.order(number, **fault)
    client = world.client()
    for part in (numbers[:-EARLY], numbers[-EARLY:]):
        before = len(world.told)
        world.told += [client.start(number) for number in part]
        world.until(partial(_has, world, before + len(part)), 60)


def _has(world: World, count: int) -> bool:
    return len(world.sandbox.messages()) == count


def wrong(
    told: Sequence[tuple[bool, int]],
    kept: int,
    early: int,
    states: Mapping[str, str],
    messages: Sequence[Message],
) -> list[str]:
    """
    :param told: of each receipt whether it was genuine and what it was answered
    :param kept: forged receipts in the database
    :param early: deliveries whose receipts came before our own write
    :param states: of the deliveries
    """
    found = []
    for genuine, word, status in ((False, "forged", 403), (True, "genuine", 200)):
        answers = {answer for kind, answer in told if kind is genuine}
        if answers != {status}:
            found.append(f"{word} receipts were answered {sorted(answers)}")
    if early < EARLY / 2:
        found.append(f"the receipts of {early} deliveries only came before our own write")
    if kept:
        found.append(f"{kept} forged receipts were kept")
    others = [m for m in messages if states.get(m.delivery) != m.end]
    if others:
        found.append(f"{len(others)} of {len(messages)} ended in another state")
    return found


def _schedule(world: World, first: Collection[str]) -> list[Receipt]:
    """
    :param first: numbers whose receipts come before the others'
    """
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
    return sorted(made, key=lambda receipt: receipt.number not in first)


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
