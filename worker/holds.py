"""What operators have paused and blocked, as every process knows it: within two seconds.

The send path asks for each code, so the answer is kept for a second. While nothing is paused it
costs a look at the clock.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    String,
    and_,
    case,
    cast,
    exists,
    literal,
    null,
    or_,
    select,
    union_all,
)

from worker.codes import Keyring
from worker.db import Database, now_ms, then_ms
from worker.door_tables import safe_numbers
from worker.errors import PausedError
from worker.models import deliveries, verifications
from worker.operator_tables import blocked_numbers, blocks, budgets, pauses
from worker.senders import Sender
from worker.states import Channel, Lane, queue_of

FRESH = 1.0  # seconds in which nobody asks again
STALE = 1.5  # seconds from which everybody waits for the one who asks

_p, _b, _n, _u = pauses.c, blocks.c, blocked_numbers.c, budgets.c
_d, _v = deliveries.c, verifications.c
_PREFIX, _BUDGET = literal("prefix"), literal("budget")
_NO_BUDGET = (cast(null(), String(8)), cast(null(), BigInteger))
IN_FORCE = case((_u.until > then_ms(), _u.for_now), else_=_u.most)
"""What a budget allows now, as a value; NULL where there is none."""
_READ = union_all(
    select(_p.kind, _p.name, (_p.until - then_ms()).label("left"), *_NO_BUDGET).where(
        or_(_p.until.is_(None), _p.until > then_ms())
    ),
    select(_PREFIX, _b.name, _b.until - then_ms(), *_NO_BUDGET).where(
        _b.kind == "prefix", or_(_b.until.is_(None), _b.until > then_ms())
    ),
    select(_BUDGET, _u.scope, cast(null(), BigInteger), _u.unit, IN_FORCE).where(
        IN_FORCE.is_not(None)
    ),
)


class PauseKind(StrEnum):
    """What can be paused."""

    QUEUE = "queue"
    CHANNEL = "channel"
    COUNTRY = "country"  # ISO 3166 code of the numbers
    SENDER = "sender"


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent in a day of UTC.

    :param scope: `all`, a country, or a service's sid
    :param unit: `messages`, or the currency of which `most` are micros
    """

    scope: str
    unit: str
    most: int


@dataclass(frozen=True, slots=True)
class Held:
    """What is paused, which prefixes are blocked, and what may be spent.

    :param queues: those of paused channels too
    :param channels: also those whose every sender is paused
    :param left: seconds until a pause ends by itself, by kind and name; without those that do not
    """

    queues: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()
    countries: frozenset[str] = frozenset()
    senders: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    budgets: tuple[Budget, ...] = ()
    left: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether deliveries of some kind stay where they are."""
        return bool(self.queues or self.countries)

    def refuse(self, channel: str, country: str) -> None:
        """
        :raises PausedError: nothing goes out over this channel, or to this country
        """
        if found := self._pause(channel, country):
            raise PausedError(*found, self.left.get(found))

    def pause_of(self, queue: str, channel: str, country: str) -> str | None:
        """What keeps such a delivery where it is, such as `country GB`; None where nothing does."""
        found = self._pause(channel, country)
        if found is None and queue in self.queues:
            found = PauseKind.QUEUE.value, queue
        return " ".join(found) if found else None

    def _pause(self, channel: str, country: str) -> tuple[str, str] | None:
        """Kind and name of the pause that lets nothing out by this channel or to this country."""
        if country in self.countries:
            return PauseKind.COUNTRY.value, country
        return (PauseKind.CHANNEL.value, channel) if channel in self.channels else None

    def free(self) -> ColumnElement[bool]:
        """The deliveries that nothing holds, as a condition."""
        free = _d.queue.not_in(sorted(self.queues))
        if not self.countries:
            return free
        there = and_(_v.sid == _d.verification_sid, _v.country.in_(sorted(self.countries)))
        return and_(free, ~exists().where(there))


NOTHING_HELD = Held()


class Holds:
    """
    :param senders: all of them; a channel has none left when each of its own is paused
    """

    def __init__(self, db: Database, keyring: Keyring, senders: Sequence[Sender]) -> None:
        self._db = db
        self._keyring = keyring
        self._senders = senders
        self._held = Held()
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    def now(self) -> Held:
        """What holds now, as of a second ago at most."""
        age = time.monotonic() - self._read_at
        if age >= FRESH and self._lock.acquire(blocking=age >= STALE):
            try:
                if time.monotonic() - self._read_at >= FRESH:
                    self._read()
            finally:
                self._lock.release()
        return self._held

    def refresh(self) -> Held:
        """What holds, asked anew: this process has just changed something."""
        with self._lock:
            self._read()
            return self._held

    def channels_of(self, sender: str) -> tuple[list[Channel], list[Channel]]:
        """The channels of a sender that no other one serves now, and those that another does."""
        paused = self.now().senders | {sender}
        others = {c for one in self._senders if one.name not in paused for c in one.channels}
        own = {c for one in self._senders if one.name == sender for c in one.channels}
        return sorted(own - others), sorted(own & others)

    def is_blocked_by_prefix(self, account_sid: str, number: str) -> bool:
        """Whether a blocked prefix is this number's, which is not on the account's safe list.

        :param number: E.164
        """
        prefixes = self.now().prefixes
        if not prefixes or not number.startswith(prefixes):
            return False
        vouched = select(safe_numbers.c.sid).where(
            safe_numbers.c.account_sid == account_sid,
            safe_numbers.c.number_index.in_(self._keyring.number_indexes(number)),
        )
        with self._db.statement() as connection:
            return connection.execute(vouched).first() is None

    def _read(self) -> None:
        asked = time.monotonic()
        with self._db.statement() as connection:
            rows = connection.execute(_READ).all()
        self._held = _held(rows, self._senders)
        self._read_at = asked


def blocks_number(is_it: Callable[[ColumnElement[bytes]], ColumnElement[bool]]) -> Any:
    """Whether an operator has blocked a number, as a condition.

    :param is_it: compares an index with the number's
    """
    alive = or_(_n.until.is_(None), _n.until > now_ms())
    return exists().where(is_it(_n.number_index), alive)


def vouches_for(
    is_it: Callable[[ColumnElement[bytes]], ColumnElement[bool]], account_sid: Any
) -> Any:
    """Whether a number is on an account's safe list, as a condition.

    :param is_it: compares an index with the number's
    """
    n = safe_numbers.c
    return exists().where(n.account_sid == account_sid, is_it(n.number_index))


def _held(rows: Iterable[Sequence[Any]], senders: Sequence[Sender]) -> Held:
    found: dict[str, set[str]] = {}
    left = {}
    spendable = []
    for kind, name, ms, unit, most in rows:
        if unit is not None:
            spendable.append(Budget(name, unit, int(most)))
            continue
        found.setdefault(kind, set()).add(name)
        if ms is not None:
            left[kind, name] = max(1, -(-int(ms) // 1000))
    paused = frozenset(found.get(PauseKind.SENDER, ()))
    channels = found.get(PauseKind.CHANNEL, set()) | _without_sender(paused, senders)
    of_channels = {queue_of(Channel(channel), lane) for channel in channels for lane in Lane}
    return Held(
        queues=frozenset(found.get(PauseKind.QUEUE, set()) | of_channels),
        channels=frozenset(channels),
        countries=frozenset(found.get(PauseKind.COUNTRY, ())),
        senders=paused,
        prefixes=tuple(sorted(found.get("prefix", ()))),
        budgets=tuple(spendable),
        left=left,
    )


def _without_sender(paused: frozenset[str], senders: Sequence[Sender]) -> set[str]:
    """Channels that have senders, all of them paused."""
    names = {c: {s.name for s in senders if c in s.channels} for c in Channel}
    return {channel.value for channel, own in names.items() if own and own <= paused}
