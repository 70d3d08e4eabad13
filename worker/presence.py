"""Which worker processes are up, with their slots: each says so every few seconds.

That a process is up does not show that it takes messages; the heartbeat through the queue does.
"""

import time
from dataclasses import dataclass
from typing import Any

import redis

GONE_AFTER = 30  # seconds without a word
_WORKERS = "sendcode:workers"  # names by the time of their last word


@dataclass(frozen=True, slots=True)
class Worker:
    """
    :param busy: slots with a job
    """

    name: str
    slots: int
    busy: int


def announce(broker: "redis.Redis", name: str, slots: int, busy: int) -> None:
    """Say that worker `name` is up.

    :raises redis.RedisError: the broker does not answer
    """
    now = time.time()
    with broker.pipeline(transaction=False) as pipe:
        pipe.zadd(_WORKERS, {name: now})
        pipe.zremrangebyscore(_WORKERS, 0, now - GONE_AFTER)
        pipe.set(_key(name), f"{busy}/{slots}", ex=GONE_AFTER)
        pipe.execute()


def leave(broker: "redis.Redis", name: str) -> None:
    """Say that worker `name` ends.

    :raises redis.RedisError: the broker does not answer
    """
    with broker.pipeline(transaction=False) as pipe:
        pipe.zrem(_WORKERS, name)
        pipe.delete(_key(name))
        pipe.execute()


def all_workers(broker: "redis.Redis") -> list[Worker]:
    """Those that said so within `GONE_AFTER`, by name.

    :raises redis.RedisError: the broker does not answer
    """
    found: Any = broker.zrange(_WORKERS, 0, -1)
    names = sorted(name.decode() for name in found)
    words: Any = broker.mget([_key(name) for name in names]) if names else []
    workers = []
    for name, word in zip(names, words, strict=True):
        if word is not None:  # else it has not been heard of for too long
            busy, _, slots = word.decode().partition("/")
            workers.append(Worker(name, int(slots), int(busy)))
    return workers


def _key(name: str) -> str:
    return f"sendcode:worker:{name}"
