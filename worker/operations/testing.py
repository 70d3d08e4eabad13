"""Try a sender out: a real test message by it alone, or a question that shows its credentials."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, select

from worker import failures, phone
from worker.audit import Operator, clean_reason, write_down
from worker.db import Database
from worker.errors import (
    InvalidParameterError,
    NotFoundError,
    OutcomeUnknownError,
    PausedError,
    ProviderError,
)
from worker.holds import Holds, PauseKind
from worker.models import deliveries
from worker.operations.words import Outcome, acting, done_or_would, require_admin
from worker.providers import Provider
from worker.senders import Sender
from worker.states import Channel, DeliveryState
from worker.verifications import Start, Verification

LOOK_EVERY = 0.2  # seconds
PATIENCE = 5.0  # seconds in which a worker usually has handed it over
_d = deliveries.c
_STATE = select(_d.state, _d.error_code, _d.provider_sid)
_UNDECIDED = (DeliveryState.QUEUED, DeliveryState.SENDING)


class Starter(Protocol):
    """Starts a verification, see `worker.verifications`; `also` is of the same transaction."""

    def __call__(
        self, wanted: Start, also: Callable[[Connection, str, str], object]
    ) -> Verification: ...


class Testing:
    """
    :param service: the sid of the service that a test is of where none is named; None without any
    :param providers: by the sender's name
    """

    def __init__(
        self,
        db: Database,
        holds: Holds,
        senders: Sequence[Sender],
        start: Starter,
        service: Callable[[], str | None],
        providers: Callable[[], Mapping[str, Provider]],
    ) -> None:
        self._db = db
        self._holds = holds
        self._senders = {sender.name: sender for sender in senders}
        self._start = start
        self._service = service
        self._providers = providers

    @acting("test.send")
    def send(
        self,
        by: Operator,
        sender: str,
        channel: str,
        to: str,
        reason: str,
        *,
        service: str | None = None,
        wait: float = PATIENCE,
        dry_run: bool = False,
    ) -> Outcome:
        """Send a code to a number by one sender, through the queue, the limits and the dispatch
        that every code takes, and no other sender and no step of a plan in its place.

        :param service: `VA…`; the account's oldest otherwise
        :param wait: seconds until it is told how it stands, whatever it does then
        :returns: in `after` its `delivery`, `state` and, where there is one, `error_code` with
            what that means
        :raises InvalidParameterError: no such sender or channel, an unusable number, no reason
        :raises ActionRefusedError: `not_allowed`, the operator is no administrator
        :raises PausedError: the sender is paused
        :raises SendcodeError: as of every start
        """
        reason, target = clean_reason(reason), f"sender {sender}/{channel}"
        require_admin(by, "send a test")
        of = self._channel_of(sender, channel)
        number = phone.parse(to, of).e164
        if sender in self._holds.now().senders:
            raise PausedError(PauseKind.SENDER.value, sender)
        service = service or self._service()
        if service is None:
            raise NotFoundError("service")
        after: dict[str, Any] = {"to": phone.mask(number), "service": service}
        if not dry_run:

            def note(connection: Connection, verification: str, delivery: str) -> None:
                after.update(verification=verification, delivery=delivery)
                write_down(
                    connection, by, "test.send", target, reason, after={"test": True} | after
                )

            self._start(Start(service, number, of, only_by=sender), note)
            after |= self._outcome(after["delivery"], wait)
        return Outcome("test.send", target, done_or_would(dry_run), after=after)

    @acting("test.credentials")
    def check(self, by: Operator, sender: str, reason: str, *, dry_run: bool = False) -> Outcome:
        """Ask the sender's provider something that only the account may know, and change nothing.

        :returns: in `after` the `answer`: `accepted`, `refused` or `none`, with the code of what
            is wrong and its meaning
        :raises InvalidParameterError: no such sender, or no reason
        """
        reason = clean_reason(reason)
        self._known(sender)
        target = f"sender {sender}"
        after: dict[str, Any] = {"asks": "for the account's newest message"}
        if not dry_run:
            after |= self._asked(sender)
            with self._db.begin() as connection:
                write_down(connection, by, "test.credentials", target, reason, after=after)
        return Outcome("test.credentials", target, done_or_would(dry_run), after=after)

    def _asked(self, sender: str) -> dict[str, Any]:
        try:
            self._providers()[sender].check()
        except ProviderError as error:
            return {"answer": "refused", **_explained(error.code)}
        except OutcomeUnknownError as error:
            return {"answer": "none", **_explained(error.code)}
        return {"answer": "accepted"}

    def _outcome(self, delivery: str, wait: float) -> dict[str, Any]:
        """How it stands once the provider has taken or refused it, or after `wait` seconds."""
        give_up = time.monotonic() + wait
        while True:
            with self._db.statement() as connection:
                row = connection.execute(_STATE.where(_d.sid == delivery)).one()
            if row.state not in _UNDECIDED or time.monotonic() > give_up:
                break
            time.sleep(LOOK_EVERY)
        known = {"state": row.state, "provider_sid": row.provider_sid}
        return known | (_explained(row.error_code) if row.error_code else {})

    def _known(self, sender: str) -> Sender:
        if sender not in self._senders:
            raise InvalidParameterError("Sender", f"must be one of: {', '.join(self._senders)}")
        return self._senders[sender]

    def _channel_of(self, sender: str, channel: str) -> Channel:
        channels = self._known(sender).channels
        if channel not in channels:
            names = ", ".join(sorted(channels))
            raise InvalidParameterError("Channel", f"of this sender must be one of: {names}")
        return Channel(channel)


def _explained(code: str) -> dict[str, str]:
    return {
        "error_code": code,
        "meaning": failures.cause(code),
        "next_step": failures.next_step(code),
    }
