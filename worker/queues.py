"""What waits in the broker's queues. Reads only."""

import base64
import json
from typing import Any

import redis


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
        body = json.loads(base64.b64decode(json.loads(raw)["body"]))
        return int(body[0][1])
    except (ValueError, KeyError, IndexError, TypeError, OverflowError):
        return 0
