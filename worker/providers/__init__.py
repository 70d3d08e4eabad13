"""What dispatch hands to a provider and what it gets back."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from worker.states import Channel


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message or call. `content` is the SMS text, or the TwiML of a call.

    :param to: E.164
    :param remaining: seconds the code still lives; whole, at least 1
    :param callback_url: where the provider reports; carries the delivery's sid
    """

    delivery_sid: str
    channel: Channel
    to: str = field(repr=False)
    content: str = field(repr=False)
    callback_url: str
    remaining: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took the request: its sid and its own first word on it."""

    sid: str
    status: str


class Provider(Protocol):
    name: str

    def send(self, outgoing: Outgoing) -> Accepted:
        """Hand over one message or call.

        :raises worker.errors.ProviderError: surely not accepted
        :raises worker.errors.OutcomeUnknownError: perhaps accepted
        """

    def find(self, outgoing: Outgoing, since: datetime) -> Accepted | None:
        """Ask whether `outgoing` was accepted after `since` (UTC), or None.

        :raises worker.errors.ProviderError: the provider could not be asked
        :raises worker.errors.OutcomeUnknownError: the provider did not answer
        """
