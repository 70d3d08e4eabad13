"""Codes by how their numbers begin: where they go that do not come back, on both databases."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import event, text

from tests.integration.conftest import ACCOUNT
from tests.integration.operating import ANN
from tests.integration.test_records import set_to, start
from worker import models, prefixes
from worker.prefixes import Found
from worker.services import Service
from worker.settings import SAMPLE_KEY
from worker.wiring import Sendcode

PUMPED = [f"+44740012345{n}" for n in range(6)]
USUAL = [f"+44798712345{n}" for n in range(8)]
FRENCH = [f"+3361234567{n}" for n in range(4)]


@pytest.fixture
def ago(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes what is started from now on some seconds old: a sid begins with the time."""

    def back(seconds: int) -> None:
        then = SimpleNamespace(time_ns=lambda: time.time_ns() - seconds * 10**9)
        monkeypatch.setattr(models, "time", then)

    monkeypatch.setattr(prefixes, "FRESH", 0)
    back(600)
    return back


def come_back(parts: Sendcode, *sids: str) -> None:
    with parts.db.begin() as connection:
        for sid in sids:
            statement = (
                "UPDATE verifications SET status = 'approved' WHERE sid ="
                " (SELECT verification_sid FROM deliveries WHERE sid = :sid)"
            )
            connection.execute(text(statement), {"sid": sid})


def pump(parts: Sendcode, service: Service) -> None:
    """More codes that come back than pumped ones, which arrive and do not."""
    come_back(parts, *(start(parts, service, to) for to in USUAL[1:]))
    start(parts, service, USUAL[0])
    for to in PUMPED:
        set_to(parts, start(parts, service, to), state="delivered")


def names(found: Found) -> list[str]:
    return [one.prefix for one in found.prefixes]


@pytest.mark.usefixtures("ago")
def test_pumping_comes_first(parts: Sendcode, service: Service) -> None:
    """The prefix whose codes arrive and do not come back stands before one that is used, with its
    figures, and can be blocked as it stands there; then it is told to be blocked."""
    pump(parts, service)
    found = parts.prefixes.look(3600)
    assert names(found) == ["+4474001", "+4479871"]
    first, second = found.prefixes
    assert (first.codes, first.numbers, first.decided, first.approved) == (6, 6, 6, 0)
    assert (first.delivered, first.failed, first.country, first.conversion) == (6, 0, "GB", 0.0)
    assert (second.approved, second.conversion, second.delivered) == (7, 7 / 8, 0)
    assert (found.codes, found.few, found.sealed, found.at_least) == (14, 0, 0, False)
    assert first.last_at - first.first_at < 60_000
    assert (first.first_at % 60_000, first.last_at % 60_000) == (0, 0)
    assert not first.blocked
    parts.operations.blocks.block(ANN, first.prefix, "pumping")
    assert [one.blocked for one in parts.prefixes.look(3600).prefixes] == [True, False]
    parts.operations.blocks.block(ANN, "+4479", "all of these")
    assert [one.blocked for one in parts.prefixes.look(3600).prefixes] == [True, True]


def test_young_codes_are_not_decided(
    parts: Sendcode, service: Service, ago: Callable[[int], None]
) -> None:
    """A code of the last five minutes counts as asked for and not as lost; a prefix of such alone
    stands behind the suspicious ones and before those that are used."""
    pump(parts, service)
    ago(60)
    come_back(parts, *(start(parts, service, to) for to in FRENCH))
    start(parts, service, "+447400123458")
    found = parts.prefixes.look(3600)
    assert names(found) == ["+4474001", "+3361234", "+4479871"]
    pumped, french, _ = found.prefixes
    assert (pumped.codes, pumped.decided, pumped.conversion) == (7, 6, 0.0)
    assert (french.codes, french.decided, french.approved, french.conversion) == (4, 0, 0, None)
    assert names(parts.prefixes.look(120)) == ["+3361234"]


@pytest.mark.usefixtures("ago")
def test_a_code_counts_once_however_often_it_was_sent(parts: Sendcode, service: Service) -> None:
    """Resends of a code are deliveries of it and no codes of their own."""
    sids = [start(parts, service, to) for to in PUMPED[:3] for _ in range(2)]
    for sid in sids[::2]:
        set_to(parts, sid, state="undelivered")
    (one,) = parts.prefixes.look(3600).prefixes
    assert (one.codes, one.numbers, one.failed, one.delivered) == (3, 3, 3, 0)
    assert one.arrival == 0.0


@pytest.mark.usefixtures("ago")
def test_a_key_that_is_gone_is_counted(make_parts: Callable[..., Sendcode]) -> None:
    """Codes whose number cannot be opened any more are told as such, and the others grouped."""
    older = make_parts()
    service = older.services.create(ACCOUNT, "Example")
    for to in USUAL[:4]:
        start(older, service, to)
    newer = make_parts(secret_keys=f"k2:{SAMPLE_KEY[::-1]}")
    for to in PUMPED[:3]:
        start(newer, service, to)
    found = newer.prefixes.look(3600)
    assert (names(found), found.codes, found.sealed) == (["+4474001"], 7, 4)


def test_a_look_is_bounded(
    parts: Sendcode,
    service: Service,
    ago: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many codes there are, the newest of the decided ones and of the others are looked
    at, and of one country those among more; where there may be older ones it says so."""
    for to in FRENCH[:3]:
        start(parts, service, to)
    for to in PUMPED:
        start(parts, service, to)
    ago(0)
    start(parts, service, FRENCH[3])
    assert not parts.prefixes.look(3600).at_least
    monkeypatch.setattr(prefixes, "MOST", 4)
    found = parts.prefixes.look(3600)
    assert (names(found), found.codes, found.at_least) == (["+4474001"], 5, True)
    there = parts.prefixes.look(3600, "fr")
    assert (names(there), there.codes, there.at_least) == (["+3361234"], 4, False)
    there = parts.prefixes.look(3600, "GB")
    assert (names(there), there.codes, there.at_least) == (["+4474001"], 4, True)
    monkeypatch.setattr(prefixes, "MOST_OF_SOME", 8)
    there = parts.prefixes.look(3600, "FR")
    assert (names(there), there.codes, there.at_least) == (["+3361234"], 3, True)
    monkeypatch.setattr(prefixes, "MOST_OF_SOME", 5)
    assert (names(parts.prefixes.look(3600, "FR")), parts.prefixes.look(300, "FR").codes) == ([], 1)
    monkeypatch.setattr(prefixes, "ROWS", 0)
    assert parts.prefixes.look(3600).prefixes == []


def plans(parts: Sendcode, country: str) -> list[str]:
    """How the database reads for a look, statement by statement."""
    asked: list[tuple[str, Any]] = []
    explain = "EXPLAIN QUERY PLAN " if parts.db.dialect == "sqlite" else "EXPLAIN "

    def note(connection: Any, cursor: Any, statement: str, given: Any, *rest: Any) -> None:
        if "verifications" in statement:
            asked.append((statement, given))

    event.listen(parts.db.single, "before_cursor_execute", note)
    parts.prefixes.look(3600, country)
    event.remove(parts.db.single, "before_cursor_execute", note)
    with parts.db.begin() as connection:
        if parts.db.dialect == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        return [
            str(connection.exec_driver_sql(f"{explain}{statement}", given).all())
            for statement, given in asked
        ]


@pytest.mark.parametrize("country", ["", "GB"])
def test_the_primary_key_serves_a_look(parts: Sendcode, service: Service, country: str) -> None:
    """Both databases read the newest codes in the order of their sids and no further, and their
    deliveries by index; nothing is sorted before it is bounded."""
    start(parts, service)
    found = plans(parts, country)
    assert len(found) == (4 if country else 2)
    for plan in found:
        if parts.db.dialect == "sqlite":
            assert "SEARCH verifications USING INDEX sqlite_autoindex_verifications_1" in plan
            assert "SCAN verifications" not in plan
        else:
            assert plan.index("Limit") < plan.index("pk_verifications")
            assert "Sort" not in plan[plan.index("Limit") :]
    assert all("ix_deliveries_verification_sid" in plan for plan in found[::2])
