"""What `sendcode demo` sends, what is ordered of the carrier, and what came of it. No I/O."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil
from secrets import SystemRandom
from typing import Any

from worker import phone
from worker.states import Channel, DeliveryState
from worker.verifications import Delivery

# 555-0100 to 0199 are kept for fiction in every area: no phone has one. Many areas, since those of
# one are neighbours to the limits; not 202, whose numbers people try by hand and some of which
# always misbehave.
AREAS = (
    *(207, 208, 225, 253, 319, 402, 406, 423, 505, 515),
    *(605, 608, 701, 715, 801, 802, 907, 918, 970, 985),
)
LINES = range(100, 200)
MOST = 500  # so that the usual limit of neighbours lets two demos in an hour pass
CALLS = 5  # every fifth is a call
NOT_SENT = "not sent"
STEPS = ("accepted", "delivered")
FAULT, CODE = "undelivered", 30003  # Twilio's: the phone cannot be reached
_drawn = SystemRandom()


@dataclass(frozen=True, slots=True)
class Sample:
    """
    :param fails: the carrier is ordered not to deliver it
    :param checks: its code is checked once it is there
    """

    to: str = field(repr=False)
    channel: Channel
    fails: bool
    checks: bool


@dataclass(slots=True)
class Row:
    """A sample and how far it came.

    :param verification: its sid once it was started
    :param refused: why it was not
    """

    sample: Sample
    verification: str = ""
    delivery: Delivery | None = None
    refused: str = ""
    approved: bool = False

    @property
    def state(self) -> str:
        if self.delivery is None:
            return "refused" if self.refused else NOT_SENT
        return self.delivery.state

    @property
    def ended(self) -> bool:
        return bool(self.refused) or (self.delivery is not None and self.delivery.state.final)

    @property
    def as_ordered(self) -> bool:
        if self.delivery is None:
            return False
        if self.sample.fails:
            told = self.delivery.state, self.delivery.error_code
            return told == (DeliveryState.UNDELIVERED, str(CODE))
        arrived = self.delivery.state is DeliveryState.DELIVERED
        return arrived and self.approved == self.sample.checks

    def took(self, step: str) -> int | None:
        """ms from its start to `accepted` or `delivered`; None where it was not."""
        at = None if self.delivery is None else getattr(self.delivery, f"{step}_at")
        return None if at is None or self.delivery is None else at - self.delivery.created_at

    def shown(self) -> dict[str, Any]:
        """What may be told of it."""
        delivery = self.delivery
        return {
            "verification": self.verification or None,
            "delivery": delivery and delivery.sid,
            "number": phone.mask(self.sample.to),
            "channel": self.sample.channel,
            "state": self.state,
            "error_code": delivery and delivery.error_code,
            "refused": self.refused or None,
            "approved": self.approved,
            "accepted_ms": self.took("accepted"),
            "delivered_ms": self.took("delivered"),
            "failure_ordered": self.sample.fails,
            "as_ordered": self.as_ordered,
        }


def samples(
    count: int, failure_rate: float, channels: Sequence[Channel], taken: Collection[str]
) -> list[Sample]:
    """
    :param failure_rate: share that fails, to the nearest whole; of the others about half is checked
    :param channels: the last is for one of every `CALLS`, the first for the others
    :param taken: numbers that others have ordered something for
    """
    free = [to for area in AREAS for n in LINES if (to := f"+1{area}555{n:04}") not in taken]
    numbers = _drawn.sample(free, count)
    failing = set(_drawn.sample(range(count), round(count * failure_rate)))
    made = []
    for i, to in enumerate(numbers):
        channel = channels[0] if (i + 1) % CALLS else channels[-1]
        made.append(Sample(to, channel, i in failing, i not in failing and i % 2 == 0))
    return made


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Counts, and ms to each step that half and nearly all were within."""
    ordered = [row for row in rows if row.as_ordered]
    return {
        "wanted": len(rows),
        "sent": sum(row.delivery is not None for row in rows),
        "delivered": sum(row.state == DeliveryState.DELIVERED for row in rows),
        "approved": sum(row.approved for row in rows),
        "failed_as_ordered": sum(row.sample.fails for row in ordered),
        "unexpected": len(rows) - len(ordered),
        **{f"{step}_ms": _spread(row.took(step) for row in rows) for step in STEPS},
    }


def _spread(found: Iterable[int | None]) -> dict[str, int | None]:
    times = sorted(ms for ms in found if ms is not None)
    return {f"p{share}": _within(times, share) for share in (50, 95)}


def _within(times: Sequence[int], share: int) -> int | None:
    """The ms that `share` percent lie within; None of none."""
    return times[max(0, ceil(len(times) * share / 100) - 1)] if times else None
