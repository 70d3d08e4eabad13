"""Whether receipts come by callback, on both databases."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import insert, text

from api_stub.console.looks import Looks
from tests.helpers import delivery
from tests.integration.test_console import ann
from tests.integration.test_records import start
from tests.pages import Page
from tests.standin import Standin
from worker import receipt_health
from worker.models import deliveries, new_sid
from worker.providers.twilio_errors import MESSAGE_STATUSES
from worker.receipt_health import ENOUGH, OLD_ENOUGH, WITHIN, Told
from worker.services import Service
from worker.wiring import Sendcode

__all__ = ["ann"]


@pytest.fixture
def pattern(parts: Sendcode, service: Service) -> str:
    """A delivery whose copies the tests hand over."""
    return start(parts, service)


def handed_over(
    parts: Sendcode, pattern: str, many: int, sender: str = "main", ago: int = OLD_ENOUGH + 5000
) -> list[str]:
    """Deliveries that the provider accepted some ms ago."""
    row = dict(delivery(parts, pattern)._mapping)
    at = row["created_at"] - ago
    sids = [f"VL{at:012x}{new_sid('VL')[14:]}" for _ in range(many)]
    more = {"state": "accepted", "sender": sender, "accepted_at": at, "created_at": at}
    with parts.db.begin() as connection:
        copies = [row | more | {"sid": sid, "provider_sid": f"SM{sid[2:]}"} for sid in sids]
        connection.execute(insert(deliveries), copies)
    return sids


def tell(parts: Sendcode, sid: str, status: str = "delivered", *, asked: bool = False) -> None:
    parts.receipts.apply(
        *(sid,),
        provider="twilio",
        provider_sid=f"SM{sid[2:]}",
        status=status,
        words=MESSAGE_STATUSES,
        asked=asked,
    )


def test_callbacks_are_told_from_answers(parts: Sendcode, pattern: str) -> None:
    """What we asked for is no callback, also where it is the same word; a callback that comes after
    our answer is one."""
    first, second, third = handed_over(parts, pattern, 3)
    tell(parts, first, asked=True)
    tell(parts, second, "sent", asked=True)
    assert parts.receipt_health.look() == {"main": Told("main", 3, 0, None)}
    tell(parts, second, "delivered")
    tell(parts, first)
    tell(parts, first, asked=True)
    tell(parts, third, asked=True)
    found = parts.receipt_health.look()["main"]
    assert (found.accepted, found.told) == (3, 2)
    assert found.last_at is not None
    assert not found.missing


def test_an_enquiry_is_no_callback(
    parts: Sendcode, service: Service, provider: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to our question moves the delivery, and does not count as its callback."""
    sid = start(parts, service)
    parts.dispatch.deliver([sid])
    provider.kept[0]["status"] = "delivered"
    parts.enquiry.ask([sid])
    assert delivery(parts, sid).state == "delivered"
    monkeypatch.setattr(receipt_health, "OLD_ENOUGH", -5000)
    assert parts.receipt_health.look() == {"main": Told("main", 1, 0, None)}


def test_only_what_had_time_for_a_receipt_counts(parts: Sendcode, pattern: str) -> None:
    """Deliveries of the last minute, those accepted in it, those that nobody accepted and those
    older than a quarter of an hour are left out, and each sender stands for itself."""
    handed_over(parts, pattern, 2, ago=OLD_ENOUGH - 30_000)
    handed_over(parts, pattern, 2, ago=WITHIN + 5000)
    late, unsent, *rest = handed_over(parts, pattern, 4)
    with parts.db.begin() as connection:
        change = "UPDATE deliveries SET accepted_at = {} WHERE sid = :sid"
        now = delivery(parts, pattern).created_at
        connection.execute(text(change.format(now)), {"sid": late})
        connection.execute(text(change.format("NULL")), {"sid": unsent})
    handed_over(parts, pattern, 1, sender="two")
    tell(parts, rest[0])
    found = parts.receipt_health.look()
    assert {name: (one.accepted, one.told) for name, one in found.items()} == {
        "main": (2, 1),
        "two": (1, 0),
    }


def test_one_receipt_among_many_is_no_silence(parts: Sendcode, pattern: str) -> None:
    """A sender is missing its receipts from so many acceptances on, until one has come."""
    (sid, *_) = handed_over(parts, pattern, ENOUGH - 1)
    assert not parts.receipt_health.look()["main"].missing
    handed_over(parts, pattern, 1)
    assert parts.receipt_health.look()["main"].missing
    tell(parts, sid, "sent")
    assert not parts.receipt_health.look()["main"].missing


def test_the_look_is_bounded(
    parts: Sendcode, pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both databases read the newest deliveries by their sids and the receipts of each by its own,
    whatever the tables hold."""
    explain = "EXPLAIN QUERY PLAN " if parts.db.dialect == "sqlite" else "EXPLAIN "
    with parts.db.begin() as connection:
        if parts.db.dialect == "postgresql":
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            connection.execute(text("SET LOCAL enable_sort = off"))
        statement = receipt_health._TOLD.params(**receipt_health.window(2_000_000_000_000))
        compiled = statement.compile(parts.db.engine, compile_kwargs={"literal_binds": True})
        plan = str(connection.exec_driver_sql(f"{explain}{compiled}".replace("%", "%%")).all())
    assert "ix_receipts_delivery_sid" in plan
    assert "pk_deliveries" in plan or "sqlite_autoindex_deliveries" in plan
    assert "SCAN deliveries" not in plan
    assert "SCAN receipts" not in plan
    handed_over(parts, pattern, 5)
    handed_over(parts, pattern, 4, ago=OLD_ENOUGH - 30_000)  # take no place of the older
    monkeypatch.setattr(receipt_health, "_TOLD", _of_most(monkeypatch, 3))
    assert parts.receipt_health.look()["main"].accepted == 3


def _of_most(monkeypatch: pytest.MonkeyPatch, most: int) -> object:
    monkeypatch.setattr(receipt_health, "MOST", most)
    return receipt_health._told()


def test_the_overview_says_that_no_receipt_comes(
    parts: Sendcode, pattern: str, ann: TestClient
) -> None:
    """A sender whose receipts are missing needs attention, in the words of the alert, and no
    longer once one has come."""
    said = "main has its messages accepted, and no receipt comes"
    sids = handed_over(parts, pattern, ENOUGH)
    for sid in sids:
        tell(parts, sid, asked=True)
    assert said in Page(ann.get("/console/").text).text
    tell(parts, sids[0])
    concerns = Looks(lambda: parts).look().concerns
    assert said not in [one.what for one in concerns]
