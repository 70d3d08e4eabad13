"""A worker that dies on order, or lives with settings of its broker that nobody should choose.

`CHAOS_DIE_AT` names the points, that take turns, and `CHAOS_DIE_EVERY` how many jobs later at most;
the parent has imported everything already and forks the next life when one has died, so that a
life is short to begin. `CHAOS_VISIBILITY` shortens the visibility timeout, in seconds.

Everything that reaches into the core or its libraries is in this module.
"""

import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from http.client import HTTPConnection
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

from celery import signals
from kombu.transport.virtual import QoS

from worker import celery_app
from worker.celery_app import DELIVER
from worker.embedded.processes import dies_with_parent
from worker.process import run_worker
from worker.providers.twilio import TwilioProvider
from worker.settings import Settings, load

POINTS = {
    "taken": "a message was taken, nothing is claimed",
    "claimed": "the claim is committed, the provider not called",
    "called": "the request is written, no answer came",
    "answered": "the provider said 201, nothing is written down",
    "written": "the outcome is written, the message not acknowledged",
    "acked": "the message is acknowledged",
}


WARM = (
    "celery.apps.worker",
    "celery.concurrency.thread",
    "kombu.transport.redis",
    "phonenumbers",
    "sqlalchemy.dialects.postgresql.psycopg",
    "worker.consumer",
    "worker.messages",
    "worker.tasks",
)


class Fuse:
    """Kills this process when its point was passed often enough."""

    def __init__(self, point: str, passes: int) -> None:
        self._point, self._left = point, passes
        self._lock = threading.Lock()

    def passed(self, point: str) -> None:
        if point != self._point:
            return
        with self._lock:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


def wire(fuse: Fuse) -> None:
    """Have every point report to the fuse."""
    signals.task_prerun.connect(_told(fuse, "taken"), weak=False)
    signals.task_postrun.connect(_told(fuse, "written"), weak=False)
    send, write = TwilioProvider.send, HTTPConnection.send
    ack: Callable[[Any, Any], None] = QoS.ack

    def sending(self: Any, outgoing: Any) -> Any:
        fuse.passed("claimed")
        accepted = send(self, outgoing)
        fuse.passed("answered")
        return accepted

    def writing(self: Any, data: Any) -> None:
        write(self, data)
        if isinstance(data, bytes) and b"StatusCallback=" in data:
            fuse.passed("called")

    def acking(self: Any, delivery_tag: Any) -> None:
        ack(self, delivery_tag)
        fuse.passed("acked")

    TwilioProvider.send = sending  # type: ignore[method-assign]
    HTTPConnection.send = writing  # type: ignore[method-assign]
    setattr(QoS, "ack", acking)  # noqa: B010 - kombu has no types


def _told(fuse: Fuse, point: str) -> Callable[..., None]:
    def tell(sender: Any = None, **_: Any) -> None:
        if getattr(sender, "name", "") == DELIVER:
            fuse.passed(point)

    return tell


def shorten(seconds: float) -> None:
    """The visibility timeout, and how often what is past it is given out again."""
    made = celery_app.configuration

    def configuration(settings: Settings) -> dict[str, Any]:
        found = made(settings)
        found["visibility_timeout"] = seconds
        found["broker_transport_options"] |= {
            "visibility_timeout": seconds,
            "unacked_restore_interval": 1,
            "unacked_mutex_expire": 1,
        }
        return found

    celery_app.configuration = configuration


def live(settings: Settings, point: str, passes: int) -> int:
    """One life."""
    if point:
        wire(Fuse(point, passes))
    return run_worker(settings, celery_app.QUEUES, None, _ready)


def _ready() -> None:
    Path(os.environ["SENDCODE_READY_FILE"]).touch()


def main() -> int:
    settings = load()
    if seconds := os.environ.get("CHAOS_VISIBILITY"):
        shorten(float(seconds))
    points = os.environ.get("CHAOS_DIE_AT", "")
    return _lives(settings, points.split(",")) if points else live(settings, "", 0)


def _lives(settings: Settings, points: list[str]) -> int:
    """Fork a life after the other, and write down how many were killed; SIGTERM ends all."""
    _warm()
    chance = random.Random(os.environ["CHAOS_SEED"])
    most, deaths = int(os.environ["CHAOS_DIE_EVERY"]), 0
    wanted = int(os.environ["CHAOS_DEATHS"])
    child = 0

    def end(number: int, frame: FrameType | None) -> None:
        if child:
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
        os._exit(0)

    while True:
        passes, point = chance.randint(1, most), points[deaths % len(points)]
        tie = dies_with_parent(signal.SIGKILL)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            if tie:
                tie()
            code = live(settings, point if deaths < wanted else "", passes)
            sys.stderr.flush()
            os._exit(code)
        signal.signal(signal.SIGTERM, end)
        _, status = os.waitpid(child, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            deaths += 1
            Path(os.environ["CHAOS_COUNT"]).write_text(str(deaths))


def _warm() -> None:
    """Import what a life will need, without opening a connection or starting a thread."""
    for module in WARM:
        import_module(module)


if __name__ == "__main__":
    sys.exit(main())
