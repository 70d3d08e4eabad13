"""`/metrics` for Prometheus: this api's counters, and the gauges of the whole installation."""

import asyncio
from collections.abc import Iterable
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from api_stub.auth import may_read
from worker import metrics
from worker.gauges import Gauges
from worker.wiring import Sendcode

log = structlog.get_logger()
router = APIRouter(include_in_schema=False)

PATIENCE = 3.0  # seconds for the gauges; a scrape that gets none still gets the counters


class _Seen(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


@router.get("/metrics")
async def show(request: Request, account: Annotated[str, Depends(may_read)]) -> Response:
    text = metrics.text() + _text(_Seen(await _gauges(request)))
    return Response(text, media_type=CONTENT_TYPE_LATEST)


async def _gauges(request: Request) -> list[Metric]:
    """The gauges, or nothing where broker or database hangs. Scrapes share the look that is on,
    so that looks do not pile up.
    """
    parts: Sendcode = request.app.state.parts
    act = parts.operations
    gauges = Gauges(parts.standing, lambda: _answers(parts), act.pauses.all, act.budgets.all)
    look: asyncio.Future[list[Metric]] | None = getattr(request.app.state, "look", None)
    if look is None or look.done():
        look = asyncio.ensure_future(run_in_threadpool(lambda: list(gauges.collect())))
        request.app.state.look = look
    done, _ = await asyncio.wait({look}, timeout=PATIENCE)
    if not done:
        log.warning("metrics.late", seconds=PATIENCE)
        return []
    return look.result()


def _answers(parts: Sendcode) -> bool:
    try:
        return bool(parts.redis.ping())
    except Exception:
        return False


def _text(collector: Collector) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return generate_latest(registry)
