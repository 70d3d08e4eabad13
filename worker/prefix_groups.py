"""Codes in groups by how their numbers begin. No I/O.

A prefix is shown where it tells of no single person: it leaves `HIDDEN` digits of each of its
numbers unsaid, and has `FEWEST` numbers that no longer one shows. The others count to a shorter
one, which ends behind the calling code: a whole country is no prefix.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from worker import phone
from worker.errors import InvalidParameterError
from worker.states import NOT_ARRIVED, Channel, DeliveryState

LONGEST = 7  # digits of a prefix, calling code and all: as many as a block takes
HIDDEN = 4  # digits of each number that no prefix tells, at least
FEWEST = 3  # different numbers, at least


@dataclass(frozen=True, slots=True)
class Code:
    """
    :param number: E.164
    :param decided: so old that it will not come back any more
    :param states: of its deliveries
    """

    number: str = field(repr=False)
    country: str
    created_at: int
    decided: bool
    approved: bool
    states: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """
    :param counts: of `codes`, `decided`, `approved`, `delivered` and `failed`; approved are those
        of the decided alone
    """

    counts: Counter[str] = field(default_factory=Counter)
    countries: Counter[str] = field(default_factory=Counter)
    numbers: set[str] = field(default_factory=set, repr=False)
    moments: list[int] = field(default_factory=list)

    def take(self, code: Code) -> None:
        self.counts["codes"] += 1
        self.counts["decided"] += code.decided
        self.counts["approved"] += code.decided and code.approved
        for state in code.states:
            self.counts["delivered"] += state == DeliveryState.DELIVERED
            self.counts["failed"] += state in NOT_ARRIVED
        self.countries[code.country] += 1
        self.numbers.add(code.number)
        self.moments.append(code.created_at)

    def add(self, other: "Tally") -> None:
        self.counts.update(other.counts)
        self.countries.update(other.countries)
        self.numbers |= other.numbers
        self.moments += (min(other.moments), max(other.moments))


def grouped(codes: Iterable[Code]) -> tuple[dict[str, Tally], int]:
    """What there is of each prefix that is shown, all its numbers counted, also those of a longer
    one; and how many codes have none.
    """
    longest: dict[str, Tally] = {}
    for code in codes:
        end = 1 + min(LONGEST, len(code.number) - 1 - HIDDEN)
        longest.setdefault(code.number[:end], Tally()).take(code)
    names, few = _chosen(longest)
    return _with_longer(names, longest), few


def _chosen(longest: Mapping[str, Tally]) -> tuple[set[str], int]:
    """The prefixes to show, the longest that may be; and how many codes are left over."""
    names: set[str] = set()
    few = 0
    left: dict[str, Tally] = {}
    for name, tally in longest.items():
        left.setdefault(name, Tally()).add(tally)
    for size in range(1 + LONGEST, 0, -1):
        for name in [one for one in left if len(one) == size]:
            rest = left.pop(name)
            if not _is_behind_code(name):
                few += rest.counts["codes"]
            elif len(rest.numbers) >= FEWEST and not _is_number(name):
                names.add(name)
            else:
                left.setdefault(name[:-1], Tally()).add(rest)
    return names, few


def _with_longer(names: set[str], longest: Mapping[str, Tally]) -> dict[str, Tally]:
    found: dict[str, Tally] = {}
    for name, tally in longest.items():
        for size in range(2, len(name) + 1):
            if name[:size] in names:
                found.setdefault(name[:size], Tally()).add(tally)
    return found


def _is_behind_code(prefix: str) -> bool:
    code = phone.calling_code(prefix)
    return bool(code) and len(prefix) > len(code)


def _is_number(prefix: str) -> bool:
    """Whether it is a whole number by itself, as which a block would read it."""
    try:
        phone.parse(prefix, Channel.CALL)
    except InvalidParameterError:
        return False
    return True
