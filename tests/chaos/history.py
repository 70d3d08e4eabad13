"""The three records of one row: the provider's, the database's and the client's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.chaos.client import Answer
from tests.chaos.world import World


@dataclass
class History:
    """

    :param messages: deliveries and codes of what the provider accepted, in order
    :param calls: deliveries and times (s since 1970) of every request to send, refused ones too
    """

    answers: Sequence[Answer]
    deliveries: dict[str, dict[str, Any]]
    verifications: dict[str, dict[str, Any]]
    messages: list[tuple[str, str | None]]
    calls: list[tuple[str, float]]


def read(world: World) -> History:
    """All three records, once the row has settled."""
    deliveries = world.rows("SELECT * FROM deliveries")
    return History(
        answers=world.answers,
        deliveries={row["sid"]: row for row in deliveries},
        verifications={r["sid"]: r for r in world.rows("SELECT * FROM verifications")},
        messages=[(message.delivery, message.code) for message in world.sandbox.messages()],
        calls=[(request.delivery, request.at) for request in world.sandbox.sends()],
    )
