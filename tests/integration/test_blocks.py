"""Blocks: numbers and prefixes that nothing is sent to, on both databases."""

from collections.abc import Callable
from threading import Thread

import pytest
from sqlalchemy import text

from tests.helpers import at_once, count, delivery
from tests.integration.conftest import ACCOUNT
from tests.integration.doors import door, refused
from tests.integration.operating import AMERICAN, ANN, BRITISH, audited, delivery_of, start
from tests.standin import Standin
from worker.errors import BlockedError, InvalidParameterError
from worker.services import Service
from worker.settings import SAMPLE_KEY
from worker.wiring import Sendcode

PREFIX = "+44740"


@pytest.mark.kills("blocked-number-starts")
@pytest.mark.parametrize("what", [BRITISH, "+44 7400 123-456", PREFIX])
def test_a_start_to_what_is_blocked_is_refused(
    parts: Sendcode, service: Service, what: str
) -> None:
    """A start to a blocked number, in any spelling, or prefix is refused, counted by no limit;
    another number's is not."""
    parts.operations.blocks.block(ANN, what, "pumping")
    with pytest.raises(BlockedError):
        start(parts, service)
    assert (count(parts, "verifications"), parts.redis.keys("sendcode:limit:*")) == (0, [])
    assert start(parts, service, AMERICAN).sid
    parts.operations.blocks.unblock(ANN, what, "not after all")
    parts.holds.refresh()
    assert start(parts, service).sid


@pytest.mark.kills("blocked-number-is-sent-to")
@pytest.mark.parametrize("what", [BRITISH, PREFIX])
def test_what_waits_for_a_blocked_number_fails(
    parts: Sendcode, service: Service, provider: Standin, what: str
) -> None:
    """A delivery that was accepted before the block is not sent: it fails as blocked."""
    sid = delivery_of(parts, service)
    parts.operations.blocks.block(ANN, what, "pumping")
    parts.dispatch.deliver([sid])
    row = delivery(parts, sid)
    assert (row.state, row.error_code, provider.sent) == ("failed", "blocked", [])


def test_the_backend_gets_twilios_words(parts: Sendcode, service: Service) -> None:
    """The doors answer 403 with 60410, as for an attempt that Twilio's Fraud Guard blocks; a
    paused country is 60605 and a paused channel 60223, as where they are switched off."""
    client = door(parts)
    path, form = f"/v2/Services/{service.sid}/Verifications", {"To": BRITISH, "Channel": "sms"}
    parts.operations.blocks.block(ANN, PREFIX, "pumping")
    refused(client.post(path, data=form), 403, 60410)
    parts.operations.blocks.unblock(ANN, PREFIX, "over")
    parts.operations.pauses.pause(ANN, "country", "GB", "why", 60)
    answer = client.post(path, data=form)
    refused(answer, 403, 60605)
    assert answer.headers["retry-after"] == "60"
    parts.operations.pauses.resume(ANN, "country", "GB", "over")
    parts.operations.pauses.pause(ANN, "channel", "sms", "why")
    refused(client.post(path, data=form), 400, 60223)


@pytest.mark.kills("safe-list-passes-no-prefix")
def test_the_safe_list_opens_a_prefix_and_no_number(
    parts: Sendcode, service: Service, provider: Standin
) -> None:
    """A number on the safe list passes a blocked prefix, at the start and when it is sent, and
    does not pass a block of its own."""
    parts.safelist.add(ACCOUNT, BRITISH)
    parts.operations.blocks.block(ANN, PREFIX, "pumping")
    parts.dispatch.deliver([delivery_of(parts, service)])
    assert [sent["To"] for sent in provider.sent] == [BRITISH]
    parts.operations.blocks.block(ANN, BRITISH, "this one too")
    with pytest.raises(BlockedError):
        start(parts, service)


def test_a_block_ends_by_itself(parts: Sendcode, service: Service) -> None:
    """After its time a number and a prefix are free again, and the relay forgets the rows."""
    for what in (BRITISH, PREFIX):
        parts.operations.blocks.block(ANN, what, "for a while", 60)
    with parts.db.begin() as connection:
        for table in ("blocks", "blocked_numbers"):
            connection.execute(text(f"UPDATE {table} SET until = until - 61000"))
    parts.holds.refresh()
    assert start(parts, service).sid
    assert parts.operations.blocks.all() == []
    parts.operations.end_overdue()
    assert (count(parts, "blocks"), count(parts, "blocked_numbers")) == (0, 0)


def test_a_block_holds_under_every_key(make_parts: Callable[..., Sendcode]) -> None:
    """A number that was blocked before the secret key was rotated stays blocked."""
    older = make_parts()
    service = older.services.create(ACCOUNT, "Example")
    older.operations.blocks.block(ANN, BRITISH, "pumping")
    newer = make_parts(secret_keys=f"k2:{SAMPLE_KEY[::-1]},k1:{SAMPLE_KEY}")
    with pytest.raises(BlockedError):
        start(newer, service)
    assert newer.operations.blocks.block(ANN, BRITISH, "again").before is not None
    assert count(newer, "blocks") == 1


def test_no_number_is_kept_or_shown(parts: Sendcode) -> None:
    """List and audit log show a blocked number masked, and no row holds it."""
    parts.operations.blocks.block(ANN, BRITISH, "as asked")
    (block,) = parts.operations.blocks.all()
    assert (block.kind, block.name) == ("number", "+44********56")
    with parts.db.statement() as connection:
        for table in ("blocks", "audit"):
            rows = connection.execute(text(f"SELECT * FROM {table}")).all()
            assert BRITISH[3:] not in str(rows)


@pytest.mark.parametrize("what", [BRITISH, PREFIX])
def test_two_at_once_make_one_block(parts: Sendcode, what: str) -> None:
    """However many block and unblock it at once, there is one block, then none."""
    act = parts.operations.blocks
    at_once(6, lambda n: act.block(ANN, what, f"reason {n}"))
    assert len(act.all()) == 1
    at_once(6, lambda _: act.unblock(ANN, what, "over"))
    assert (act.all(), count(parts, "blocked_numbers")) == ([], 0)
    assert act.unblock(ANN, what, "over").result == "unchanged"


def test_a_dry_run_blocks_nothing(parts: Sendcode, service: Service) -> None:
    """A dry run says what would be blocked or opened, and leaves it."""
    act = parts.operations.blocks
    assert act.block(ANN, BRITISH, "why", dry_run=True).result == "would"
    assert start(parts, service).sid
    act.block(ANN, PREFIX, "why")
    assert act.unblock(ANN, PREFIX, "why", dry_run=True).result == "would"
    assert [one.action for one in audited(parts)] == ["block.set"]
    assert len(act.all()) == 1


def test_a_block_can_be_taken_away_by_its_sid(parts: Sendcode) -> None:
    """Who sees a masked number can unblock it without knowing it."""
    parts.operations.blocks.block(ANN, BRITISH, "why")
    (block,) = parts.operations.blocks.all()
    ended = parts.operations.blocks.unblock(ANN, block.sid, "over")
    assert (ended.result, ended.target) == ("done", "+44********56")
    assert parts.operations.blocks.all() == []


@pytest.mark.parametrize("what", ["+44740012345678", "+12345678", "44740", "+0", "+", "x", ""])
def test_what_cannot_be_blocked(parts: Sendcode, what: str) -> None:
    """What is neither number nor prefix of up to seven digits is refused without repeating it."""
    with pytest.raises(InvalidParameterError) as refused_it:
        parts.operations.blocks.block(ANN, what, "why")
    assert not what or len(what) < 5 or what not in str(refused_it.value)
    assert parts.operations.blocks.all() == []


@pytest.mark.parametrize("what", [BRITISH, PREFIX])
def test_a_block_that_ends_while_it_is_renewed_holds(
    parts: Sendcode, service: Service, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A block that the relay ends while an operator sets it again is there afterwards."""
    blocks = parts.operations.blocks
    blocks.block(ANN, what, "pumping", 60)
    with parts.db.begin() as connection:
        connection.execute(text("UPDATE blocks SET until = 1"))
    whole, ended = type(blocks)._load, Thread(target=blocks.end_overdue)

    def late(self: object, *given: object) -> object:
        monkeypatch.undo()
        found = whole(blocks, *given)  # type: ignore[arg-type]
        ended.start()
        ended.join(0.5)  # where it can, it ends the block now; else once we are done
        return found

    monkeypatch.setattr(type(blocks), "_load", late)
    blocks.block(ANN, what, "pumping again")
    ended.join()
    parts.holds.refresh()
    with pytest.raises(BlockedError):
        start(parts, service)


def test_two_blocks_of_one_prefix_are_one(parts: Sendcode) -> None:
    """Of two operators who block a new prefix at once, the later one's reason and end hold."""
    blocks = parts.operations.blocks
    with parts.db.begin() as connection:
        target, before = blocks._target(PREFIX), None
        blocks._set(connection, ANN, target, before, "first", 60)
        blocks._set(connection, ANN, target, before, "second", None)
    assert [(block.reason, block.until) for block in blocks.all()] == [("second", None)]
