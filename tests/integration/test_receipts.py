"""Receipts in any order, on both databases."""

import itertools

import pytest

from tests.helpers import count, delivery
from tests.integration.conftest import ACCOUNT, NUMBER
from worker.providers.twilio_errors import CALL_STATUSES, MESSAGE_STATUSES
from worker.services import Service
from worker.states import Channel, DeliveryState
from worker.verifications import Start
from worker.wiring import Sendcode


def queued(parts: Sendcode, service: Service, channel: Channel = Channel.SMS) -> str:
    started = parts.verifications.start(ACCOUNT, Start(service.sid, NUMBER, channel=channel))
    return started.deliveries[-1].sid


@pytest.mark.kills("receipt-twice")
def test_every_order_ends_delivered(parts: Sendcode, service: Service) -> None:
    """Queued, sent and delivered in any order, each twice, end as delivered."""
    sids = itertools.cycle([queued(parts, service) for _ in range(3)])
    for index, order in enumerate(itertools.permutations(["queued", "sent", "delivered"])):
        sid = next(sids)
        with parts.db.begin() as connection:
            connection.exec_driver_sql("UPDATE deliveries SET state = 'sending'")
        for status in [*order, *order]:
            parts.receipts.apply(
                sid,
                provider="twilio",
                provider_sid=f"SM{index}",
                status=status,
                words=MESSAGE_STATUSES,
            )
        assert delivery(parts, sid).state == DeliveryState.DELIVERED, order


@pytest.mark.kills("busy-counts-as-delivered")
@pytest.mark.parametrize("status", ["busy", "no-answer", "failed", "canceled"])
def test_an_unanswered_call_is_no_delivery(parts: Sendcode, service: Service, status: str) -> None:
    """A call that nobody took is undelivered, whatever word the provider has for it."""
    sid = queued(parts, service, Channel.CALL)
    parts.receipts.apply(
        sid, provider="twilio", provider_sid="CA1", status=status, words=CALL_STATUSES
    )
    assert delivery(parts, sid).state == DeliveryState.UNDELIVERED


@pytest.mark.kills("receipts-move-back")
def test_a_final_state_does_not_move_back(parts: Sendcode, service: Service) -> None:
    """After delivered, neither an older word nor a failure changes anything."""
    sid = queued(parts, service)
    for status in ["delivered", "sent", "undelivered", "failed"]:
        parts.receipts.apply(
            sid, provider="twilio", provider_sid="SM1", status=status, words=MESSAGE_STATUSES
        )
    assert delivery(parts, sid).state == DeliveryState.DELIVERED


def test_unknown_words_and_deliveries_change_nothing(parts: Sendcode, service: Service) -> None:
    """An unseen status or an unknown delivery writes no receipt."""
    sid = queued(parts, service)
    for target, status in ((sid, "teleported"), ("VL" + "0" * 32, "sent")):
        assert not parts.receipts.apply(
            target, provider="twilio", provider_sid="SM1", status=status, words=MESSAGE_STATUSES
        )
    assert count(parts, "receipts") == 0


@pytest.mark.parametrize("first", ["delivered", "undelivered"])
def test_of_two_messages_one_that_arrives_is_enough(
    parts: Sendcode, service: Service, first: str
) -> None:
    """Where an unknown outcome made two messages, their receipts end the same in either order."""
    sid = queued(parts, service)
    parts.receipts.apply(
        sid, provider="twilio", provider_sid="SM1", status="queued", words=MESSAGE_STATUSES
    )
    words = [("SM2", "delivered"), ("SM1", "undelivered")]
    for provider_sid, status in words if first == "delivered" else reversed(words):
        parts.receipts.apply(
            sid,
            provider="twilio",
            provider_sid=provider_sid,
            status=status,
            words=MESSAGE_STATUSES,
        )
    row = delivery(parts, sid)
    assert (row.state, row.provider_sid) == (DeliveryState.DELIVERED, "SM2")


@pytest.mark.kills("failure-of-a-twin-counts")
def test_a_strangers_failure_is_not_ours(parts: Sendcode, service: Service) -> None:
    """A failure of a message other than the one on record does not end the delivery."""
    sid = queued(parts, service)
    for provider_sid, status in (("SM1", "sent"), ("SM2", "undelivered")):
        parts.receipts.apply(
            sid,
            provider="twilio",
            provider_sid=provider_sid,
            status=status,
            words=MESSAGE_STATUSES,
        )
    row = delivery(parts, sid)
    assert (row.state, row.provider_sid) == (DeliveryState.SENT, "SM1")


@pytest.mark.kills("one-message-makes-the-other-deaf")
def test_one_message_of_two_deliveries_tells_both(parts: Sendcode, service: Service) -> None:
    """A message that was taken for two deliveries is each one's: what we were told of one does not
    make the other deaf."""
    sids = [queued(parts, service) for _ in range(2)]
    with parts.db.begin() as connection:
        connection.exec_driver_sql("UPDATE deliveries SET state = 'accepted', provider_sid = 'SM1'")
    for sid, asked in zip(sids, (True, False), strict=True):
        parts.receipts.apply(
            sid,
            provider="twilio",
            provider_sid="SM1",
            status="delivered",
            words=MESSAGE_STATUSES,
            asked=asked,
        )
    assert [delivery(parts, sid).state for sid in sids] == ["delivered", "delivered"]
    with parts.db.statement() as connection:
        told = connection.exec_driver_sql("SELECT delivery_sid, asked FROM receipts").all()
    assert {sid: bool(asked) for sid, asked in told} == dict(zip(sids, (True, False), strict=True))
