"""Enquiry: ask the provider about an accepted delivery on which no receipt came."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy import bindparam, select, update

from worker import metrics
from worker.db import Database
from worker.errors import OutcomeUnknownError, ProviderError
from worker.models import deliveries, verifications
from worker.money import Money
from worker.providers import Provider
from worker.states import Channel, DeliveryState, ErrorKind

log = structlog.get_logger()

REST = 10  # seconds in which a sender that hangs or refuses all is not asked
_d, _v = deliveries.c, verifications.c
_OPEN = (DeliveryState.ACCEPTED, DeliveryState.SENT)
_TOLD = (
    update(deliveries)
    .where(_d.sid == bindparam("b_sid"), _d.price_told.is_not(True))
    .values(
        price_micros=bindparam("b_micros"),
        price_currency=bindparam("b_currency"),
        price_told=True,
    )
)


class Enquiry:
    """
    :param providers: by the sender's name
    :param apply: what a receipt is given to, see `worker.receipts.Receipts.apply`
    :param most: how many may ask at once, so that codes find a worker's other slots free
    """

    def __init__(
        self,
        db: Database,
        providers: Mapping[str, Provider],
        apply: Callable[..., object],
        most: int,
    ) -> None:
        self._db = db
        self._providers = providers
        self._apply = apply
        self._turns = threading.BoundedSemaphore(most)
        self._rests: dict[str, float] = {}  # until when (monotonic) a sender is not asked

    def ask(self, sids: Sequence[str]) -> None:
        """Ask about those of `sids` that are still open. The answer counts as a receipt. What is
        not asked now the relay brings up again.
        """
        if not self._turns.acquire(blocking=False):
            log.info("receipt.not_asked", deliveries=len(sids), reason="busy")
            return
        try:
            self._ask(sids)
        finally:
            self._turns.release()

    def _ask(self, sids: Sequence[str]) -> None:
        with self._db.statement() as connection:
            rows = connection.execute(
                select(
                    *(_d.sid, _d.channel, _d.sender, _d.provider_sid, _d.price_micros),
                    _v.country,
                )
                .join(verifications, _v.sid == _d.verification_sid)
                .where(_d.sid.in_(sids), _d.state.in_(_OPEN), _d.provider_sid.is_not(None))
            ).all()
        for row in rows:
            channel = Channel(row.channel)
            provider = self._providers.get(row.sender)
            if provider is None:
                log.error("sender.missing", sender=row.sender, delivery=row.sid)
                continue
            if self._rests.get(row.sender, 0) > time.monotonic():
                continue
            try:
                report = provider.report(channel, row.provider_sid)
            except (ProviderError, OutcomeUnknownError) as error:
                if isinstance(error, OutcomeUnknownError) or error.kind is ErrorKind.TRANSIENT:
                    self._rests[row.sender] = time.monotonic() + REST
                log.warning("receipt.not_told", delivery=row.sid, reason=error.code)
                continue
            if report.price is not None:
                self._price(row, provider.name, report.price)
            self._apply(
                row.sid,
                provider=provider.name,
                provider_sid=row.provider_sid,
                status=report.status,
                words=provider.words[channel],
                error_code=report.error_code,
                hope=provider.may_help(report.error_code),
                asked=True,
            )

    def _price(self, row: Any, provider: str, price: Money) -> None:
        """The provider's word takes an estimate's place; an estimate was counted already."""
        values = {"b_sid": row.sid, "b_micros": price.micros, "b_currency": price.currency}
        with self._db.statement() as connection:
            first = connection.execute(_TOLD, values).rowcount
        if first and row.price_micros is None:
            metrics.cost(provider, row.channel, row.country, price.currency, price.micros)
