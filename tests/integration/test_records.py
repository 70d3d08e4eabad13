"""What operators find on record, on both databases."""

import csv
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import pytest
from sqlalchemy import text

from tests.helpers import delivery
from tests.integration.conftest import ACCOUNT, NUMBER
from worker import failures, records
from worker.errors import InvalidParameterError, NotFoundError
from worker.failures import OURS
from worker.filters import Filters
from worker.providers.twilio_errors import MEANINGS
from worker.providers.twilio_errors import MESSAGE_STATUSES as WORDS
from worker.services import Service
from worker.states import Channel
from worker.verifications import Start
from worker.wiring import Sendcode

FRENCH = "+33612345678"


def start(
    parts: Sendcode, service: Service, to: str = NUMBER, channel: Channel = Channel.SMS
) -> str:
    return parts.verifications.start(ACCOUNT, Start(service.sid, to, channel)).deliveries[-1].sid


def set_to(parts: Sendcode, which: str, /, **values: Any) -> None:
    changes = ", ".join(f"{name} = :{name}" for name in values)
    with parts.db.begin() as connection:
        connection.execute(
            text(f"UPDATE deliveries SET {changes} WHERE sid = :which"), {"which": which, **values}
        )


def found(parts: Sendcode, **filters: Any) -> list[str]:
    return [one["sid"] for one in parts.records.page(Filters(**filters)).records]


def test_failures_are_grouped_by_code_channel_and_country(
    parts: Sendcode, service: Service
) -> None:
    """Equal failures are one line with count, share and the newest; the cause is in words."""
    british = [start(parts, service, f"+4474001234{n}") for n in range(50, 53)]
    french = start(parts, service, FRENCH)
    start(parts, service, "+447400123499")  # waits, and is no failure
    for sid in british:
        set_to(parts, sid, state="undelivered", error_code="30003")
    set_to(parts, french, state="expired")
    first, second = parts.failures.groups(3600)
    assert (first.code, first.channel, first.country, first.count) == ("30003", "sms", "GB", 3)
    assert (first.share, first.sample, first.cause) == (0.75, british[-1], MEANINGS[30003])
    assert first.first_at <= first.last_at
    assert (second.code, second.country, second.count) == ("expired", "FR", 1)


def test_old_failures_are_not_in_the_window(parts: Sendcode, service: Service) -> None:
    """A failure older than the window is not counted."""
    sid = start(parts, service)
    old = f"VL{int(sid[2:14], 16) - 7_200_000:012x}{sid[14:]}"
    set_to(parts, sid, state="failed", error_code="21211", sid=old)
    assert parts.failures.groups(3600) == []
    assert [group.sample for group in parts.failures.groups(8000)] == [old]


@pytest.mark.parametrize("some", [(), (failures._v.country == "FR",)])
def test_the_index_serves_the_failures(parts: Sendcode, some: tuple[Any, ...]) -> None:
    """Both databases read failures from their own index, not from the table, and a bounded number
    of them whatever is looked for."""
    explain = "EXPLAIN QUERY PLAN " if parts.db.dialect == "sqlite" else "EXPLAIN "
    statement = failures._PARTS.where(*some).params(since="VL0", began=0, part=1, most=7)
    compiled = statement.compile(parts.db.engine, compile_kwargs={"literal_binds": True})
    with parts.db.begin() as connection:
        if parts.db.dialect == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        rows = connection.exec_driver_sql(f"{explain}{compiled}".replace("%", "%%")).all()
    plan = str(rows)
    assert "ix_deliveries_failed" in plan
    if parts.db.dialect == "postgresql":
        join, limit = plan.index("Nested Loop"), plan.index("Limit")
        assert join < limit < plan.index("ix_deliveries_failed"), "what is joined is bounded"


@pytest.mark.kills("a-country-hides-behind-another")
def test_a_country_is_found_behind_another(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failures of one country or channel are found however many fail elsewhere, up to a bound
    that is told."""
    monkeypatch.setattr(failures, "MOST", 2)
    monkeypatch.setattr(failures, "GROUPS", 1)
    french = start(parts, service, FRENCH, Channel.CALL)
    british = [start(parts, service, f"+4474001234{n}") for n in range(50, 53)]
    for sid in (french, *british):
        set_to(parts, sid, state="failed", error_code="21408")
    everywhere = parts.failures.look(3600)
    assert (everywhere.total, everywhere.looked_at, everywhere.at_least) == (2, 2, True)
    for there in ({"country": "FR"}, {"channel": "call"}, {"country": "FR", "channel": "call"}):
        found = parts.failures.look(3600, **there)
        assert [group.sample for group in found.groups] == [french]
        assert (found.total, found.groups[0].share, found.at_least) == (1, 1.0, False)
    assert parts.failures.look(3600, "FR", "sms").groups == []
    monkeypatch.setattr(failures, "MOST_OF_SOME", 3)
    found = parts.failures.look(3600, "FR")
    assert (found.groups, found.looked_at, found.at_least) == ([], 3, True)


def test_every_code_is_explained() -> None:
    """A code of Twilio's, a word of ours and an unknown one all get a cause and a next step."""
    for code in [
        *map(str, MEANINGS),
        *OURS,
        "http_301",
        "http_401",
        "http_503",
        "ask_connect",
        "99999",
    ]:
        assert failures.cause(code) not in ("", "unknown"), code
        assert failures.next_step(code), code
    assert failures.cause("21408") == MEANINGS[21408]


def test_filters_narrow_the_page(parts: Sendcode, service: Service) -> None:
    """State, channel, country, code and number each leave what they name, the newest first."""
    british, french = start(parts, service), start(parts, service, FRENCH)
    call = start(parts, service, FRENCH, Channel.CALL)
    set_to(parts, french, state="failed", error_code="21408")
    assert found(parts) == [call, french, british]
    assert found(parts, country="FR") == [call, french]
    assert found(parts, channel="call") == [call]
    assert found(parts, state="failed") == found(parts, error_code="21408") == [french]
    assert found(parts, error_code="none") == [call, british]
    assert found(parts, error_code="none", country="FR") == [call]
    assert found(parts, state="queued", country="FR") == [call]
    assert found(parts, number="+33 6 12 34 56 78") == [call, french]
    assert found(parts, number="+447400123499") == []
    with pytest.raises(InvalidParameterError):
        found(parts, number="nonsense")


def test_a_service_or_a_sender_leaves_its_own(parts: Sendcode, service: Service) -> None:
    """What one service asked for, or one sender has handed over, is found alone, in requests and in
    failures, with the share of its own."""
    other = parts.services.create(ACCOUNT, "Other")
    ours, theirs = start(parts, service), start(parts, other)
    for sid, sender in ((ours, "first"), (theirs, "second")):
        set_to(parts, sid, state="failed", error_code="21408", sender=sender)
    assert found(parts, service=service.sid) == found(parts, sender="first") == [ours]
    assert found(parts, service=service.sid, sender="second") == []
    for where in ({"service": other.sid}, {"sender": "second"}):
        (group,) = parts.failures.look(3600, **where).groups
        assert (group.sample, group.count, group.share) == (theirs, 1, 1.0)
    assert parts.failures.look(3600, service=other.sid, sender="first").groups == []


def test_no_page_shows_a_number(parts: Sendcode, service: Service) -> None:
    """Numbers are masked, in the list and in the timeline; no code and no secret is in either."""
    sid = start(parts, service)
    (listed,) = parts.records.page(Filters()).records
    shown = parts.records.timeline(parts.records.find(sid))
    assert listed["number"] == shown["number"] == "+44********56"
    for one in (listed, shown):
        assert NUMBER[1:] not in str(one)
        assert not {"salt", "code_digest", "number_sealed", "number_index"} & set(one)


def test_pages_follow_each_other(parts: Sendcode, service: Service) -> None:
    """Pages show each delivery once, whatever is added meanwhile, and the last one has no next."""
    sids = [start(parts, service, f"+4474001234{n}") for n in range(50, 55)]
    page = parts.records.page(Filters(), limit=2)
    start(parts, service, FRENCH)
    seen = [one["sid"] for one in page.records]
    while page.next:
        page = parts.records.page(Filters(), page.next, limit=2)
        seen += [one["sid"] for one in page.records]
    assert seen == sids[::-1]


def test_a_rare_match_is_found_page_by_page(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page looks at a bounded number of deliveries, and `next` goes on where it stopped."""
    monkeypatch.setattr(records, "SCAN", 2)
    rare = start(parts, service, FRENCH)
    for n in range(50, 55):
        start(parts, service, f"+4474001234{n}")
    page = parts.records.page(Filters(country="FR"))
    assert (page.records, bool(page.next)) == ([], True)
    seen = []
    while page.next:
        page = parts.records.page(Filters(country="FR"), page.next)
        seen += [one["sid"] for one in page.records]
    assert seen == [rare]


def test_an_export_is_every_page(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that matches comes as CSV, page by page and no more than asked for, numbers masked; what
    a spreadsheet would take for a formula is none."""
    monkeypatch.setattr(records, "EXPORTED", 2)
    sids = [start(parts, service, f"+4474001234{n}") for n in range(50, 55)]
    start(parts, service, FRENCH)
    set_to(parts, sids[0], sender='=HYPERLINK("x")')
    pages = parts.records.export(Filters(country="GB"))
    head, *lines = chain.from_iterable(pages)
    assert head == ",".join(records.COLUMNS) + "\n"
    rows = list(csv.DictReader([head, *lines]))
    assert [row["sid"] for row in rows] == sids[::-1]
    assert {row["number"] for row in rows} == {f"'+44********{n}" for n in range(50, 55)}
    assert rows[-1]["sender"] == '\'=HYPERLINK("x")'
    assert datetime.fromisoformat(rows[0]["created_at"]) <= datetime.now(UTC)
    some = chain.from_iterable(parts.records.export(Filters(country="GB"), most=3))
    assert list(some) == [head, *lines[:3]]
    one = chain.from_iterable(parts.records.export(Filters(number="+44 7400 123451")))
    assert [row["sid"] for row in csv.DictReader(one)] == [sids[1]]
    with pytest.raises(InvalidParameterError):
        parts.records.export(Filters(number="nonsense"))


@pytest.mark.kills("an-export-looks-for-ever")
def test_an_export_comes_as_it_is_looked_for(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look gives what it has found, also where that is nothing: whoever reads waits for one
    look and not for a rare match behind hundreds of them."""
    start(parts, service, FRENCH)
    for n in range(50, 55):
        start(parts, service, f"+4474001234{n}")
    monkeypatch.setattr(records, "SCAN", 2)
    pages = parts.records.export(Filters(country="FR"))
    assert [len(page) for page in pages] == [1, 0, 0, 1, 0]


def test_any_sid_leads_to_its_verification(parts: Sendcode, service: Service) -> None:
    """The provider's sid is found by its receipt or its delivery, and receipts come in order."""
    sid = start(parts, service)
    owner = delivery(parts, sid).verification_sid
    set_to(parts, sid, state="accepted", provider_sid="SM" + "1" * 32)
    assert [parts.records.find(one) for one in (owner, sid, "SM" + "1" * 32)] == [owner] * 3
    for status in ("sent", "delivered"):
        parts.receipts.apply(
            sid, provider="twilio", provider_sid="SM" + "2" * 32, status=status, words=WORDS
        )
    assert parts.records.find("SM" + "2" * 32) == owner
    (sent,) = parts.records.timeline(owner)["deliveries"]
    assert [word["status"] for word in sent["receipts"]] == ["sent", "delivered"]
    for missing in ("VL" + "0" * 32, "SM" + "9" * 32):
        with pytest.raises(NotFoundError):
            parts.records.find(missing)
    with pytest.raises(NotFoundError):
        parts.records.timeline("VE" + "0" * 32)


def test_a_key_that_is_gone_hides_the_number_alone(parts: Sendcode, service: Service) -> None:
    """A row whose secret key is no longer configured is listed, without its number."""
    start(parts, service)
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE verifications SET key_id = 'gone'"))
    (listed,) = parts.records.page(Filters()).records
    assert listed["number"] is None


def test_a_group_has_its_trend_and_samples(parts: Sendcode, service: Service) -> None:
    """The failures of a window lie in its parts, the newest in the last; samples are some of them,
    the newest first."""
    old, *new = [start(parts, service, f"+4474001234{n}") for n in range(50, 55)]
    for sid in (old, *new):
        set_to(parts, sid, state="failed", error_code="21211")
    earlier = f"VL{int(old[2:14], 16) - 3_000_000:012x}{old[14:]}"
    set_to(parts, old, sid=earlier, created_at=int(earlier[2:14], 16))
    (group,) = parts.failures.groups(3600)
    assert group.count == sum(group.trend) == 5
    assert len(group.trend) == failures.PARTS
    assert group.trend[-1] == 4
    assert group.samples == (new[-1], new[0], earlier)


def test_a_numbers_index_finds_it(parts: Sendcode, service: Service) -> None:
    """What stands for a number finds what the number finds, and holds no digit of it."""
    sid = start(parts, service, FRENCH)
    start(parts, service)
    indexes = parts.records.indexes("+33 6 12 34 56 78")
    page = parts.records.page(Filters(), indexes=indexes)
    assert [one["sid"] for one in page.records] == [sid]
    assert FRENCH.encode() not in b"".join(indexes)
