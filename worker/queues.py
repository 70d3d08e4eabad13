"""What waits in the broker's queues. Reads only."""

import json
from typing import Any

import redis

PUBLISHED_AT = "published_at"  # the header of a job that says when; see also worker.limits


def depth(broker: "redis.Redis", queue: str) -> int:
    """Messages that wait for a worker."""
    return int(broker.llen(queue))


def oldest_waiting(broker: "redis.Redis", queue: str) -> int | None:
    """When the message that is served next was published (ms since 1970 UTC), None when empty.

    0 for a message that does not say so: one published by a backend of its own.
    """
    raw: Any = broker.lindex(queue, -1)
    if raw is None:
        return None
    try:
        return int(json.loads(raw)["headers"][PUBLISHED_AT])
    except (ValueError, KeyError, TypeError, OverflowError):
        return 0
