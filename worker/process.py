"""A worker process: Celery on threads, told once to stop."""

import os
import socket
from collections.abc import Callable, Sequence

from celery import signals

from worker import celery_app, logs
from worker.settings import Settings


def run_worker(
    settings: Settings, queues: Sequence[str], name: str | None, ready: Callable[[], None]
) -> int:
    """Run until SIGTERM or SIGINT: take no more, finish what is in flight, hand back the rest.

    :returns: the exit code
    """
    app = celery_app.configure(settings)
    from worker import tasks

    tasks.use(settings)
    signals.setup_logging.connect(lambda **_: logs.configure(settings), weak=False)
    signals.worker_ready.connect(lambda **_: ready(), weak=False)
    worker = app.Worker(
        pool="threads",
        concurrency=settings.worker_slots,
        queues=list(queues),
        hostname=name or f"sendcode-{os.getpid()}@{socket.gethostname()}",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        loglevel=settings.log_level.upper(),
    )
    worker.start()
    return int(worker.exitcode or 0)
