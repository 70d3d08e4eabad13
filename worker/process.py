"""A worker process: Celery on threads, told once to stop."""

import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import redis
import structlog
from celery import signals

from worker import __version__, celery_app, logs, metrics, presence, tracing
from worker.settings import Settings
from worker.watchdog import Watchdog
from worker.wiring import redis_client

log = structlog.get_logger()

DEAF = 70  # exit codes
STUCK = 75
ANNOUNCE_EVERY = 5.0  # seconds
STOP_WITHIN = 20.0  # seconds after the signal; the relay recovers what is in flight even then


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
    signals.worker_ready.connect(
        lambda **_: log.info("worker.started", queues=",".join(queues), version=__version__),
        weak=False,
    )
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
    stop = threading.Event()
    metrics.serve(settings.metrics_host, settings.metrics_port)
    tracing.configure(settings.otlp_endpoint, __version__)
    _watch(settings, queues, worker.hostname, stop)
    _bound_the_stop()
    worker.start()
    stop.set()
    tracing.close()
    log.info("worker.stopped", exit_code=int(worker.exitcode or 0))
    return int(worker.exitcode or 0)


def _bound_the_stop() -> None:
    """End the process for good when what is in flight does not end in time."""

    def give_up() -> None:
        log.error("worker.stop_forced", seconds=STOP_WITHIN)
        os._exit(STUCK)

    def begin(**_: object) -> None:
        log.info("worker.draining", seconds=STOP_WITHIN)
        timer = threading.Timer(STOP_WITHIN, give_up)
        timer.daemon = True
        timer.start()

    signals.worker_shutting_down.connect(begin, weak=False)


def _watch(settings: Settings, queues: Sequence[str], name: str, stop: threading.Event) -> None:
    """End the process, for its supervisor to start anew, once it has gone deaf. Until it stops,
    say that it is up.
    """
    broker = redis_client(settings)
    watchdog = Watchdog(broker, queues, settings.worker_slots)
    signals.task_prerun.connect(lambda **_: watchdog.job_began(), weak=False)
    signals.task_postrun.connect(lambda **_: watchdog.job_ended(), weak=False)
    signals.worker_shutting_down.connect(lambda **_: stop.set(), weak=False)
    threading.Thread(
        target=watchdog.run, args=(stop, lambda: os._exit(DEAF)), name="watchdog", daemon=True
    ).start()
    threading.Thread(
        target=_announce, args=(broker, name, watchdog, stop), name="presence", daemon=True
    ).start()


def _announce(broker: "redis.Redis", name: str, watchdog: Watchdog, stop: threading.Event) -> None:
    stopping = False
    while not stopping:
        with suppress(redis.RedisError):
            presence.announce(broker, name, watchdog.slots, watchdog.running)
        stopping = stop.wait(ANNOUNCE_EVERY)
    with suppress(redis.RedisError):
        presence.leave(broker, name)
