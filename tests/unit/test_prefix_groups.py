"""Codes by how their numbers begin: which prefixes are shown, and what they never tell."""

import random

import pytest

from worker import phone
from worker.operations.blocks import is_prefix
from worker.prefix_groups import Code, Tally, grouped
from worker.states import DeliveryState

CODES = ("+1", "+44", "+49", "+43", "+371", "+883", "+683", "+290")


def code(number: str, at: int = 0, *, approved: bool = False, decided: bool = True) -> Code:
    return Code(number, "GB", at, decided, approved, (DeliveryState.DELIVERED,))


def counts(tallies: dict[str, Tally]) -> dict[str, tuple[int, int]]:
    """Codes and numbers by prefix."""
    return {name: (one.counts["codes"], len(one.numbers)) for name, one in tallies.items()}


def crowd(seed: int) -> list[str]:
    """Numbers of every length, many of them neighbours."""
    chance = random.Random(seed)
    near = [f"{chance.choice(CODES)}{chance.randrange(10**4)}" for _ in range(12)]
    heads = [*CODES, *near]
    numbers = []
    for _ in range(300):
        head = chance.choice(heads)
        size = chance.randrange(max(8, len(head) + 1), 17)
        numbers.append(head + "".join(str(chance.randrange(10)) for _ in range(size - len(head))))
    return numbers


def test_neighbours_are_shown_by_their_longest_prefix() -> None:
    """Numbers that follow each other are one line of seven digits, calling code and all, with
    codes, numbers, outcomes and times."""
    codes = [code(f"+8835100012345{n}", 100 - n, approved=n == 1) for n in range(4)]
    codes.append(code("+88351000123450", 200, decided=False))
    found, few = grouped(codes)
    assert (counts(found), few) == ({"+8835100": (5, 4)}, 0)
    tally = found["+8835100"]
    wanted = {"codes": 5, "decided": 4, "approved": 1, "delivered": 5, "failed": 0}
    assert (tally.counts, min(tally.moments), max(tally.moments)) == (wanted, 97, 200)


def test_too_few_numbers_count_to_a_shorter_prefix() -> None:
    """What fewer than three numbers share is part of a shorter prefix, which counts all that
    begins so; what is alone in its country is not shown."""
    pumped = [code(f"+44740012345{n}") for n in range(5)]
    strewn = [code(f"+4474{n}0123456") for n in range(1, 4)]
    alone = [code("+33612345678"), code("+33712345678"), code("+33712345678")]
    found, few = grouped([*pumped, *strewn, *alone])
    assert (counts(found), few) == ({"+4474001": (5, 5), "+4474": (8, 8)}, 3)


def test_one_number_is_never_a_line() -> None:
    """However many codes one number or two are sent, they have no prefix."""
    for numbers in (["+447400123456"], ["+447400123456", "+447400123457"]):
        found, few = grouped([code(number) for number in numbers * 50])
        assert (found, few) == ({}, 50 * len(numbers))


@pytest.mark.parametrize("seed", range(40))
def test_no_prefix_tells_of_one_person(seed: int) -> None:
    """Whatever numbers there are: a prefix has three numbers that no longer one has, ends behind
    the calling code, leaves four digits of each number, and is blocked as a prefix."""
    numbers = crowd(seed)
    found, few = grouped(map(code, numbers))
    left = set(numbers)
    for name in sorted(found, key=len, reverse=True):
        own = found[name].numbers & left
        left -= own
        assert len(own) >= 3
        assert len(phone.calling_code(name)) < len(name) <= 1 + 7
        assert all(one.startswith(name) for one in found[name].numbers)
        assert min(map(len, found[name].numbers)) - len(name) >= 4
        assert is_prefix(name)
    assert few == sum(number in left for number in numbers)


def test_what_is_a_number_by_itself_is_no_prefix() -> None:
    """Where the first seven digits are a whole number, which a block would take for one, the
    line is a shorter prefix."""
    assert not is_prefix("+4930123")
    found, few = grouped(code(f"+49301234567{n}") for n in range(3))
    assert (list(found), few) == (["+493012"], 0)


def test_no_number_is_written_out() -> None:
    """Neither a code nor a tally shows its numbers where it is printed."""
    found, _ = grouped(code(f"+44740012345{n}") for n in range(3))
    for text in (repr(found), repr(code("+447400123456"))):
        assert "0012345" not in text
