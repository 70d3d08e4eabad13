"""Circuits by hand: keep one open or closed."""

from collections.abc import Sequence

import structlog

from worker.audit import Operator, clean_reason, write_down
from worker.circuits import Circuits, Forced
from worker.db import Database
from worker.errors import InvalidParameterError
from worker.operations.words import Outcome, Result, acting, check_span, done_or_would
from worker.senders import Sender
from worker.states import Channel

log = structlog.get_logger()
HOUR = 3600
AUTO = "auto"


class Forcing:
    def __init__(self, db: Database, circuits: Circuits, senders: Sequence[Sender]) -> None:
        self._db = db
        self._circuits = circuits
        self._senders = {sender.name: sender for sender in senders}

    @acting("circuit")
    def set(
        self,
        by: Operator,
        sender: str,
        channel: str,
        state: str,
        reason: str,
        until: int = HOUR,
        *,
        dry_run: bool = False,
    ) -> Outcome:
        """Keep a sender's circuit open or closed for every worker, within a second, or leave it
        to what its calls come to again.

        :param state: `open`, `closed` or `auto`
        :param until: seconds after which it is left to itself in any case
        :raises InvalidParameterError: no such sender, channel or state, or no reason
        :raises LimitsUnavailableError: Redis does not answer
        """
        reason = clean_reason(reason)
        check_span(until)
        known = self._senders.get(sender)
        if known is None or channel not in known.channels:
            raise InvalidParameterError("Sender", f"must be one of: {', '.join(self._senders)}")
        if state not in (*Forced, AUTO):
            raise InvalidParameterError("State", f"must be one of: {', '.join(Forced)}, {AUTO}")
        target, of = f"{sender}/{channel}", Channel(channel)
        (found,) = (c for c in self._circuits.all([known]) if c.channel is of)
        before = {"state": found.state.value, "forced": found.forced}
        if state == AUTO and not found.forced:
            return Outcome(f"circuit.{state}", target, Result.UNCHANGED, before)
        after = {"state": state, "seconds": None if state == AUTO else until}
        if not dry_run:
            with self._db.begin() as connection:
                write_down(connection, by, f"circuit.{state}", target, reason, before, after)
                self._circuits.force(sender, of, None if state == AUTO else Forced(state), until)
            log.warning("circuit.forced", sender=sender, channel=channel, state=state, by=by.name)
        return Outcome(f"circuit.{state}", target, done_or_would(dry_run), before, after)
