"""The way out: which sender hands a delivery over, and what its circuit learns from that."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import structlog

from worker import logs, metrics, phone, tracing
from worker.circuits import Circuits, Permit, Refusal
from worker.errors import LimitsUnavailableError, OutcomeUnknownError, ProviderError
from worker.prepared import Row
from worker.providers import LAST_SECOND, Accepted, Outgoing, Provider
from worker.senders import Sender
from worker.states import Channel, ErrorKind

log = structlog.get_logger()

SLEEPS_FOR = 1.0  # seconds a worker waits itself for a place in a sender's pace
TOO_MANY = (
    "429",
    "20429",
    "10004",
    "14107",
    "21611",
    "30001",
    "30022",
    "63018",
)  # our pace, no fault


class LaterError(Exception):
    """Nothing was handed over; it may be, `wait` seconds from now.

    :param slot_of: the sender whose pace has a place at that time
    :param spread: many deliveries may meet this at once, and should not come back at once
    """

    def __init__(
        self, reason: str, wait: float, *, slot_of: str | None = None, spread: bool = False
    ) -> None:
        super().__init__(f"{reason}, again in {wait:.1f} s")
        self.reason = reason
        self.wait = wait
        self.slot_of = slot_of
        self.spread = spread


class Route:
    """
    :param senders: the preferred one first
    :param providers: by the sender's name
    """

    def __init__(
        self, senders: Sequence[Sender], providers: Mapping[str, Provider], circuits: Circuits
    ) -> None:
        self._providers = providers
        self._circuits = circuits
        self._senders = {c: [s for s in senders if c in s.channels] for c in Channel}
        self._last: dict[Channel, str] = {c: s[0].name for c, s in self._senders.items() if s}

    def first(self, channel: Channel) -> str | None:
        """The sender that a delivery will most likely go by, to be written with its claim."""
        return self._last.get(channel)

    def name_of(self, sender: str) -> str:
        """Whose words its answers are in: the provider's name."""
        return self._providers[sender].name

    def find(
        self, job: Row, outgoing: Outgoing, others: Callable[[], Collection[str]]
    ) -> Accepted | None:
        """Whether the provider has it. A question that fails is asked again; it sent nothing.

        :param others: see `worker.providers.Provider.find`
        :raises ProviderError: the provider could not be asked
        """
        provider = self._providers.get(job["sender"])
        if provider is None:
            log.error("sender.missing", sender=job["sender"])
            raise ProviderError("ask_no_sender", ErrorKind.TRANSIENT)
        since = datetime.fromtimestamp(job["created_at"] / 1000, UTC)
        try:
            return provider.find(outgoing, since, others)
        except (ProviderError, OutcomeUnknownError) as error:
            raise ProviderError(f"ask_{error.code}"[:32], ErrorKind.TRANSIENT) from None

    def hand_over(
        self,
        job: Row,
        outgoing: Outgoing,
        write_by: float,
        use: Callable[[str], bool],
        paused: Collection[str] = (),
    ) -> tuple[Sender, Accepted] | None:
        """Hand over by the first sender that can, trying the next where one surely did not take it.

        :param write_by: on the monotonic clock; a try that would begin later is not made
        :param use: writes down by whom it goes next; False when the claim is lost
        :param paused: senders that are not used now
        :returns: None when the claim is lost
        :raises LaterError: no sender may be used now
        :raises ProviderError: surely not accepted, by any sender
        :raises OutcomeUnknownError: perhaps accepted
        """
        channel, current = outgoing.channel, job["sender"]
        candidates = [
            s
            for s in self._senders[channel]
            if s.name not in paused and job["only_by"] in (None, s.name)
        ]
        if paused and self._senders[channel] and not candidates:
            raise LaterError("sender_paused", 1.0, spread=True)  # the last one, since the claim
        refused: ProviderError | None = None
        while candidates:
            permit = self._permit(channel, candidates, outgoing, job["slot_of"], refused)
            time.sleep(permit.wait)
            name = permit.sender.name
            # A receipt of the first message may have come while the provider was asked about it.
            if (name != current or job["doubts"]) and not use(name):
                return None
            current = self._last[channel] = name
            if time.monotonic() > write_by:
                # This process slept or a provider was slow: the claim may be lost before an
                # answer could come.
                raise LaterError("claim_too_old", 0)
            if outgoing.remaining <= LAST_SECOND:
                raise LaterError("expired", LAST_SECOND)  # which no sender is to blame for
            try:
                accepted = self._attempt(name, outgoing)
            except ProviderError as error:
                self._learn(permit, channel, error)
                if error.kind in (ErrorKind.PERMANENT, ErrorKind.CHANNEL):
                    raise
                refused = error
                candidates = [s for s in candidates if s is not permit.sender]
            except OutcomeUnknownError:
                self._tell_failed(name, channel)
                raise
            else:
                self._tell_worked(permit, channel)
                return permit.sender, accepted
        raise refused or ProviderError("no_sender", ErrorKind.ROUTE)

    def _attempt(self, name: str, outgoing: Outgoing) -> Accepted:
        provider, began = self._providers[name], time.monotonic()
        log.debug("attempt.started", sender=name)
        try:
            with metrics.attempt(name, outgoing.channel), tracing.child("provider", sender=name):
                accepted = provider.send(outgoing)
        except ProviderError as error:
            log.warning(
                "attempt.failed",
                error_class=error.kind.value,
                error_code=error.code,
                **_of_try(name, provider, outgoing, began),
            )
            raise
        except OutcomeUnknownError as error:
            log.warning(
                "attempt.timed_out",
                error_class="unknown",
                error_code=error.code,
                **_of_try(name, provider, outgoing, began),
            )
            raise
        log.info(
            "attempt.accepted",
            provider_sid=accepted.sid[:34],
            **_of_try(name, provider, outgoing, began),
        )
        return accepted

    def _permit(
        self,
        channel: Channel,
        candidates: Sequence[Sender],
        outgoing: Outgoing,
        paid: str | None,
        refused: ProviderError | None,
    ) -> Permit:
        try:
            permit = self._circuits.permit(
                channel, candidates, outgoing.remaining - LAST_SECOND, paid
            )
        except LimitsUnavailableError:
            raise LaterError("circuits_unavailable", 1.0, spread=True) from None
        if isinstance(permit, Refusal):
            if refused:
                raise refused
            raise LaterError(permit.reason, permit.wait, spread=True)
        if permit.wait > SLEEPS_FOR:
            raise LaterError("sender_pace", permit.wait, slot_of=permit.sender.name)
        return permit

    def _learn(self, permit: Permit, channel: Channel, error: ProviderError) -> None:
        if error.kind in (ErrorKind.ACCOUNT, ErrorKind.ROUTE):
            log.error("provider.account_alarm", sender=permit.sender.name, error_code=error.code)
        faulty = error.kind is ErrorKind.ACCOUNT or (
            error.kind is ErrorKind.TRANSIENT and error.code not in TOO_MANY
        )
        if faulty:
            self._tell_failed(permit.sender.name, channel)
        else:
            self._tell_worked(permit, channel)  # it answered; the number or our pace is to blame

    # What a circuit should learn is lost while Redis is away; the next delivery teaches it again.

    def _tell_failed(self, sender: str, channel: Channel) -> None:
        with suppress(LimitsUnavailableError):
            self._circuits.failed(sender, channel)

    def _tell_worked(self, permit: Permit, channel: Channel) -> None:
        with suppress(LimitsUnavailableError):
            self._circuits.worked(permit, channel)


def _of_try(sender: str, provider: Provider, outgoing: Outgoing, began: float) -> dict[str, Any]:
    return {
        "sender": sender,
        "provider": provider.name,
        "number_masked": phone.mask(outgoing.to),
        "duration_ms": logs.ms_since(began),
    }
