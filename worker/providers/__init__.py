"""What dispatch hands to a provider and what it gets back."""

import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from worker.money import Money
from worker.states import Channel, DeliveryState

LAST_SECOND = 1.0  # of a code's life, in which nothing is sent: a validity counts whole seconds
_WORD = re.compile(r"[0-9A-Za-z]+", re.ASCII)
_CODE = re.compile(r"[0-9]{4,10}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message or call. `content` is the SMS text, or the TwiML of a call.

    :param to: E.164
    :param dies_at: when the code dies, on this process's monotonic clock
    :param callback_url: where the provider reports; carries the delivery's sid
    :param send_digits: keys that a call presses once it is answered, for an extension
    :param messaging_service_sid: sends an SMS in the place of the sender in the settings
    :param code: that the text of an SMS holds
    :param replaced: the code may be another than the one a message before had
    """

    delivery_sid: str
    channel: Channel
    to: str = field(repr=False)
    content: str = field(repr=False)
    callback_url: str
    dies_at: float
    messaging_service_sid: str | None = None
    send_digits: str | None = None
    code: str | None = field(default=None, repr=False)
    replaced: bool = False

    def may_read(self, text: str) -> bool:
        """Whether this SMS may have had this text: a resend changes the words around the code, or
        brings another code of the backend's own.
        """
        # No pattern of the code: `re` would keep it.
        if text == self.content or self.code in _WORD.findall(text):
            return True
        return self.replaced and _CODE.sub("", text) == _CODE.sub("", self.content)

    @property
    def remaining(self) -> float:
        """Seconds the code still lives; negative when it is dead."""
        return self.dies_at - time.monotonic()


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took the request: its sid and its own first word on it.

    :param price: where it is told so early
    """

    sid: str
    status: str
    price: Money | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The provider's present word on what it accepted, and its code for why not, if any.

    :param price: None while it is not told
    """

    status: str
    error_code: str | None
    price: Money | None = None


class Provider(Protocol):
    name: str
    words: Mapping[Channel, Mapping[str, DeliveryState]]
    """The provider's words for where a delivery stands, and what each means."""

    def may_help(self, error_code: str | None) -> bool:
        """Whether another try may reach a number that was not reached for this reason."""

    def check(self) -> None:
        """Ask for something that only the account may know, to see that the credentials hold.

        :raises worker.errors.ProviderError: they do not, or the provider could not be asked
        :raises worker.errors.OutcomeUnknownError: the provider did not answer
        """

    def report(self, channel: Channel, provider_sid: str) -> Report:
        """Ask how an accepted delivery fares.

        :raises worker.errors.ProviderError: the provider could not be asked
        :raises worker.errors.OutcomeUnknownError: the provider did not answer
        """

    def send(self, outgoing: Outgoing) -> Accepted:
        """Hand over one message or call, unless its code is dead or dies before it is written.

        :raises worker.errors.ProviderError: surely not accepted
        :raises worker.errors.OutcomeUnknownError: perhaps accepted
        """

    def find(
        self, outgoing: Outgoing, since: datetime, known: Callable[[], Collection[str]]
    ) -> Accepted | None:
        """Ask whether `outgoing` was accepted after `since` (UTC), or None. Of several the oldest:
        those after it are of later deliveries.

        :param known: looks up the provider's sids of other deliveries, which this one cannot be;
            called after the provider has answered, since they are written meanwhile
        :raises worker.errors.ProviderError: the provider could not be asked
        :raises worker.errors.OutcomeUnknownError: the provider did not answer
        """
