"""Tells once that the broker is away from this process, and once that it is back."""

import threading
import time

import structlog

log = structlog.get_logger()

_lock = threading.Lock()
_since: float | None = None  # on the monotonic clock


def lost(error: Exception) -> None:
    """It did not answer, or the connection to it broke."""
    global _since
    with _lock:
        if _since is not None:
            return
        _since = time.monotonic()
    log.error("broker.lost", error_class=type(error).__name__)


def over() -> None:
    """It answered."""
    global _since
    if _since is None:
        return
    with _lock:
        since, _since = _since, None
    if since is not None:
        log.warning("broker.restored", duration_ms=int((time.monotonic() - since) * 1000))
