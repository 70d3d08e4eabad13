"""A worker process: Celery on threads, told once to stop."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import redis
import structlog
from celery import signals

from worker import __version__, celery_app, logs, metrics, presence, tracing
from worker.duty import Duty
from worker.settings import Settings
from worker.watchdog import Watchdog
from worker.wiring import redis_client

log = structlog.get_logger()

DEAF = 70  # exit codes
STUCK = 75
ANNOUNCE_EVERY = 5.0  # seconds
LEAVE_WITHIN = 3.0  # seconds in which a worker that ends says so
STOP_WITHIN = 20.0  # seconds after the signal; the relay recovers what is in flight even then


def run_worker(
    settings: Settings, queues: Sequence[str], name: str | None, ready: Callable[[], None]
) -> int:
    """Run until SIGTERM or SIGINT: take no more, finish what is in flight, hand back the rest.

    :returns: the exit code
    """
    app = celery_app.configure(settings)
    from worker import tasks

    name = name or f"sendcode-{os.getpid()}@{socket.gethostname()}"
    logs.of_process(worker=name)
    logs.told_settings(settings, "worker")
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
        hostname=name,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        loglevel=settings.log_level.upper(),
    )
    stop = threading.Event()
    metrics.serve(settings.metrics_host, settings.metrics_port)
    tracing.configure(settings.otlp_endpoint, __version__)
    end = _watch(settings, queues, worker, stop)
    _bound_the_stop()
    worker.start()
    stop.set()
    end()
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


def _watch(
    settings: Settings, queues: Sequence[str], worker: Any, stop: threading.Event
) -> Callable[[], None]:
    """End the process, for its supervisor to start anew, once it has gone deaf. Until it ends, say
    that it is up, and do what an operator wants.

    :returns: says that it has ended
    """
    broker = redis_client(settings)
    watchdog = Watchdog(broker, queues, settings.worker_slots)
    duty = Duty(
        quiet=lambda: _take(worker, queues, watchdog, wanted=False),
        work=lambda: _take(worker, queues, watchdog, wanted=True),
        stop=lambda: os.kill(os.getpid(), signal.SIGTERM),
    )
    signals.task_prerun.connect(lambda **_: watchdog.job_began(), weak=False)
    signals.task_postrun.connect(lambda **_: watchdog.job_ended(), weak=False)
    signals.task_prerun.connect(partial(_began, duty), weak=False)
    signals.task_postrun.connect(lambda task_id, **_: duty.job_ended(task_id), weak=False)
    signals.task_failure.connect(
        lambda exception, **_: duty.job_crashed(type(exception).__name__), weak=False
    )
    wake, ended = threading.Event(), threading.Event()

    def drain(**_: object) -> None:
        duty.drain()
        stop.set()
        wake.set()

    signals.worker_shutting_down.connect(drain, weak=False)
    threading.Thread(
        target=watchdog.run, args=(stop, lambda: os._exit(DEAF)), name="watchdog", daemon=True
    ).start()
    words = (broker, worker.hostname, watchdog, duty, wake, ended)
    presence_thread = threading.Thread(target=_announce, args=words, name="presence", daemon=True)
    presence_thread.start()

    def end() -> None:
        ended.set()
        wake.set()
        presence_thread.join(LEAVE_WITHIN)

    return end


def _began(duty: Duty, task_id: str, task: Any, args: Any = (), **_: object) -> None:
    """Sids of deliveries alone are told: other arguments may hold a number."""
    ours = args[0] if task.name == celery_app.DELIVER and args else ()
    sids = [sid for sid in ours if isinstance(sid, str) and sid.startswith("VL")]
    duty.job_began(task_id, task.name, sids)


def _announce(
    broker: "redis.Redis",
    name: str,
    watchdog: Watchdog,
    duty: Duty,
    wake: threading.Event,
    ended: threading.Event,
) -> None:
    while not ended.is_set():
        order = None
        with suppress(redis.RedisError):
            facts = {"version": __version__, **duty.facts()}
            order = presence.announce(broker, name, watchdog.slots, watchdog.running, **facts)
        if order is not None:
            duty.obey(order)
            continue  # say at once what it does now
        wake.wait(ANNOUNCE_EVERY)
        wake.clear()
    with suppress(redis.RedisError):
        presence.leave(broker, name)


def _take(worker: Any, queues: Sequence[str], watchdog: Watchdog, wanted: bool) -> None:
    """Take messages, or none any more.

    The consumer is touched in its own thread. While it connects anew it has no queues to cancel,
    and begins with those that are selected then.
    """
    watchdog.resting = not wanted
    known = worker.app.amqp.queues
    (known.select if wanted else known.deselect)(list(queues))

    def turn() -> None:
        consumer = worker.consumer
        if consumer.task_consumer is not None:
            for name in queues:
                (consumer.add_task_queue if wanted else consumer.cancel_task_queue)(name)

    worker.consumer.call_soon(turn)
