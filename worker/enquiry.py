"""Enquiry: ask the provider about an accepted delivery on which no receipt came."""

from collections.abc import Callable, Sequence

import structlog
from sqlalchemy import select

from worker.db import Database
from worker.errors import OutcomeUnknownError, ProviderError
from worker.models import deliveries
from worker.providers import Provider
from worker.states import Channel, DeliveryState

log = structlog.get_logger()

_d = deliveries.c
_OPEN = (DeliveryState.ACCEPTED, DeliveryState.SENT)


class Enquiry:
    """
    :param apply: what a receipt is given to, see `worker.receipts.Receipts.apply`
    """

    def __init__(self, db: Database, provider: Provider, apply: Callable[..., object]) -> None:
        self._db = db
        self._provider = provider
        self._apply = apply

    def ask(self, sids: Sequence[str]) -> None:
        """Ask about those of `sids` that are still open. The answer counts as a receipt."""
        with self._db.statement() as connection:
            rows = connection.execute(
                select(_d.sid, _d.channel, _d.provider_sid).where(
                    _d.sid.in_(sids), _d.state.in_(_OPEN), _d.provider_sid.is_not(None)
                )
            ).all()
        for row in rows:
            channel = Channel(row.channel)
            try:
                report = self._provider.report(channel, row.provider_sid)
            except (ProviderError, OutcomeUnknownError) as error:
                log.warning("receipt.not_told", delivery=row.sid, reason=error.code)
                continue
            self._apply(
                row.sid,
                provider=self._provider.name,
                provider_sid=row.provider_sid,
                status=report.status,
                words=self._provider.words[channel],
                error_code=report.error_code,
                call_may_help=self._provider.may_help(report.error_code),
            )
