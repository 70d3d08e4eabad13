"""Dispatch: claim a delivery, hand it to a provider, write down what came of it.

The claim is committed before the provider is called and the outcome is written only under that
claim, so a repeated, late or resurrected job does nothing. No connection is held meanwhile.
"""

import logging
import random
import time
from collections.abc import Callable, Sequence

import structlog
from cryptography.exceptions import InvalidTag

from worker import logs, metrics, tracing
from worker.codes import Keyring
from worker.db import Database
from worker.dispatch import rows
from worker.dispatch.content import Content
from worker.dispatch.costs import cost_of
from worker.dispatch.route import LaterError, Route
from worker.dispatch.rows import Rows
from worker.errors import KeyMissingError, OutcomeUnknownError, ProviderError
from worker.holds import Holds
from worker.prepared import Row
from worker.providers import Accepted, Outgoing
from worker.settings import Settings
from worker.states import BLOCKED, Channel, DeliveryState, ErrorKind

log = structlog.get_logger()

DOUBLINGS = 32  # of the wait between two tries; a day's code may have a thousand tries


class Dispatch:
    """Takes deliveries to their provider.

    :param follow: takes the next step of a plan after the delivery it is given
    :param holds: what operators have paused and blocked
    """

    def __init__(
        self,
        db: Database,
        keyring: Keyring,
        route: Route,
        settings: Settings,
        follow: Callable[[str], object],
        holds: Holds,
    ) -> None:
        self._rows = Rows(db, settings.lease_seconds)
        self._content = Content(keyring, settings.base_url)
        self._route = route
        self._settings = settings
        self._prices = settings.price_list()
        self._follow = follow
        self._holds = holds

    def deliver(self, sids: Sequence[str], published_at: int | None = None) -> None:
        """Deliver what is due of `sids`; anything else among them is left alone.

        :param published_at: when the broker was told, ms since 1970 UTC
        """
        for sid in sids:
            self._deliver(sid, published_at)

    def spoken(self, sid: str) -> str | None:
        """The TwiML that reads the code, once the callee has pressed a key; None when it died."""
        job = self._rows.spoken(sid)
        return None if job is None else self._content.spoken(job)

    def _deliver(self, sid: str, published_at: int | None) -> None:
        clock = time.monotonic()  # before the row is read, so that its life is not overrated
        held = self._holds.now()
        job = self._rows.claim(
            sid, published_at, self._route.first(Channel.SMS), self._route.first(Channel.CALL), held
        )
        if job is None:
            return
        metrics.taken(job["queue"], job["waited"] / 1000)
        with logs.about(
            delivery=sid,
            verification=job["verification_sid"],
            service=job["service_sid"],
            channel=job["channel"],
            country=job["country"],
            queue=job["queue"],
            number_hash=logs.number_hash(job["number_index"]),
        ):
            log.debug("job.started", tries=job["tries"], waited_ms=job["waited"])
            self._work(job, clock)

    def _work(self, job: Row, clock: float) -> None:
        try:
            outgoing = self._content.outgoing(job, dies_at=clock + job["left"] / 1000)
        except (ValueError, KeyMissingError, InvalidTag) as error:
            log.error("job.refused", error_class=type(error).__name__)
            metrics.skipped(job["channel"], "cannot_render")
            self._failed(job, "cannot_render")
            return
        try:
            with tracing.span(
                *("deliver", job["verification_sid"]),
                since=clock,
                delivery=job["sid"],
                channel=job["channel"],
            ):
                self._hand_over(job, outgoing, clock)
        except ProviderError as error:
            self._refused(job, error)
        except OutcomeUnknownError as error:
            self._again(job, error.code, self._settings.settle_seconds, doubt=1)
        except LaterError as error:
            # Those that found no sender come back one by one; a place in a pace has its own time.
            spread = self._backoff(job["tries"]) if error.spread else 0
            self._later(job, error, error.wait + spread)

    def _hand_over(self, job: Row, outgoing: Outgoing, claimed: float) -> None:
        if job["doubts"]:
            found = self._route.find(job, outgoing, lambda: self._rows.others(job))
            if found is not None:
                log.info("delivery.reconciled", sender=job["sender"], doubts=job["doubts"])
                self._accepted(job, job["sender"], found, outgoing)
                self._timed(job, claimed)
                return
            if job["doubts"] > 1:
                # It was repeated once already; a third message is worse than none.
                metrics.skipped(job["channel"], "outcome_unknown")
                self._failed(job, "outcome_unknown", here=True)
                return
        if job["blocked"] or self._holds.is_blocked_by_prefix(job["account_sid"], outgoing.to):
            metrics.skipped(job["channel"], BLOCKED)
            self._failed(job, BLOCKED)
            return
        handed = self._route.hand_over(
            job,
            outgoing,
            write_by=claimed + self._settings.lease_seconds - self._settings.longest_request,
            use=lambda sender: bool(self._rows.write(rows.BY, job, b_sender=sender)),
            paused=self._holds.now().senders,
        )
        if handed is not None:
            sender, accepted = handed
            self._accepted(job, sender.name, accepted, outgoing)
            self._timed(job, claimed)

    def _timed(self, job: Row, claimed: float) -> None:
        metrics.handed_over(job["channel"], job["age"] / 1000 + time.monotonic() - claimed)

    def _accepted(self, job: Row, sender: str, accepted: Accepted, outgoing: Outgoing) -> None:
        provider = self._route.name_of(sender)
        cost = cost_of(self._prices, outgoing, job["country"], accepted)
        written = self._rows.write(
            rows.ACCEPTED,
            job,
            b_provider=provider,
            b_provider_sid=accepted.sid[:34],
            **cost.values(),
        )
        if written:
            cost.count(provider, job["channel"], job["country"])

    def _refused(self, job: Row, error: ProviderError) -> None:
        if error.kind is ErrorKind.PERMANENT:
            self._failed(job, error.code)
        elif error.kind in (ErrorKind.CHANNEL, ErrorKind.ROUTE):
            self._failed(job, error.code, here=True)
        else:
            self._again(job, error.code, max(error.retry_after or 0, self._backoff(job["tries"])))

    def _backoff(self, tries: int) -> float:
        s = self._settings
        longest = s.retry_base_seconds * 2 ** min(tries - 1, DOUBLINGS)
        return random.uniform(0, min(s.retry_cap_seconds, longest))  # noqa: S311

    def _again(self, job: Row, code: str, wait: float, doubt: int = 0) -> None:
        """After a try that failed or whose outcome is unknown."""
        if self._put_off(job, code, wait, doubt=doubt):
            log.info("retry.scheduled", error_code=code, tries=job["tries"], wait_ms=_ms(wait))

    def _later(self, job: Row, error: LaterError, wait: float) -> None:
        """Without a try."""
        if self._put_off(job, error.reason, wait, slot_of=error.slot_of):
            # A place in a pace is what a busy sender gives to each; the others are trouble.
            level = logging.DEBUG if error.slot_of else logging.INFO
            log.log(level, "job.deferred", reason=error.reason, wait_ms=_ms(wait))

    def _put_off(
        self, job: Row, code: str, wait: float, doubt: int = 0, slot_of: str | None = None
    ) -> bool:
        """Whether it is queued again: not where the code's life ends before."""
        written = self._rows.write(
            rows.LATER,
            job,
            b_wait=_ms(wait),
            b_error=code[:32],
            b_doubt=doubt,
            b_slot=slot_of,
        )
        if written == DeliveryState.QUEUED:
            metrics.put_off(job["channel"], code)
            return True
        if written:
            log.warning("delivery.failed", error_code=code, reason="no_time_left")
            metrics.discarded(job["queue"], "no_time_left")
            self._follow(job["sid"])
        return False

    def _failed(self, job: Row, code: str, *, here: bool = False) -> None:
        """
        :param here: another channel may get through, so the plan goes on at once
        """
        statement = rows.FAILED_HERE if here else rows.FAILED
        if self._rows.write(statement, job, b_error=code[:32]):
            log.warning("delivery.failed", error_code=code)
            if here:
                self._follow(job["sid"])


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
