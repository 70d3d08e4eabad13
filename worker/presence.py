"""Which worker processes are up and what they do: each says so every few seconds, and is told then
what an operator wants of it.

That a process is up does not show that it takes messages; the heartbeat through the queue does.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import redis

GONE_AFTER = 30  # seconds without a word, also of an order that nobody took
_WORKERS = "sendcode:workers"  # names by the time of their last word


class State(StrEnum):
    WORKING = "working"
    QUIET = "quiet"  # takes nothing, and finishes what it has
    DRAINING = "draining"  # ends once it has finished


class Order(StrEnum):
    QUIET = "quiet"
    WORK = "work"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Worker:
    """Times are ms since 1970 UTC.

    :param busy: slots with a job
    :param jobs: what it does now: `task`, `sid` of a delivery where it has one, and `since`
    :param error: the kind of the last job that crashed
    :param heard_at: its last word
    """

    name: str
    slots: int
    busy: int
    state: str = State.WORKING.value
    version: str = ""
    started_at: int | None = None
    jobs: tuple[Mapping[str, Any], ...] = ()
    error: str | None = None
    error_at: int | None = None
    heard_at: int | None = None


def announce(broker: "redis.Redis", name: str, slots: int, busy: int, **more: Any) -> Order | None:
    """Say that worker `name` is up, and take what it is to do.

    :param more: the other facts of `Worker`
    :raises redis.RedisError: the broker does not answer
    """
    now = time.time()
    word = json.dumps({"slots": slots, "busy": busy, **more}, separators=(",", ":"))
    with broker.pipeline(transaction=False) as pipe:
        pipe.zadd(_WORKERS, {name: now})
        pipe.zremrangebyscore(_WORKERS, 0, now - GONE_AFTER)
        pipe.set(_key(name), word, ex=GONE_AFTER)
        pipe.getdel(_order(name))
        order: Any = pipe.execute()[-1]
    return _known(order)


def leave(broker: "redis.Redis", name: str) -> None:
    """Say that worker `name` ends.

    :raises redis.RedisError: the broker does not answer
    """
    with broker.pipeline(transaction=False) as pipe:
        pipe.zrem(_WORKERS, name)
        pipe.delete(_key(name), _order(name))
        pipe.execute()


def give(broker: "redis.Redis", name: str, order: Order) -> None:
    """Tell worker `name` what to do at its next word; the last order holds.

    :raises redis.RedisError: the broker does not answer
    """
    broker.set(_order(name), order.value, ex=GONE_AFTER)


def ordered(broker: "redis.Redis", name: str) -> Order | None:
    """What worker `name` is still to be told.

    :raises redis.RedisError: the broker does not answer
    """
    order: Any = broker.get(_order(name))
    return _known(order)


def all_workers(broker: "redis.Redis") -> list[Worker]:
    """Those that said so within `GONE_AFTER`, by name.

    :raises redis.RedisError: the broker does not answer
    """
    found: Any = broker.zrange(_WORKERS, 0, -1, withscores=True)
    heard = {name.decode(): int(at * 1000) for name, at in found}
    names = sorted(heard)
    words: Any = broker.mget([_key(name) for name in names]) if names else []
    return [
        _read(name, word, heard[name])
        for name, word in zip(names, words, strict=True)
        if word is not None  # else it has not been heard of for too long
    ]


def _read(name: str, word: bytes, heard_at: int) -> Worker:
    try:
        facts = dict(json.loads(word))
    except (ValueError, TypeError):  # of a version before, while one takes over from the other
        busy, _, slots = word.decode().partition("/")
        return Worker(name, int(slots), int(busy), heard_at=heard_at)
    facts["jobs"] = tuple(facts.get("jobs", ()))
    known = {fact: facts[fact] for fact in Worker.__dataclass_fields__ if fact in facts}
    return Worker(**known | {"name": name, "heard_at": heard_at})


def _key(name: str) -> str:
    return f"sendcode:worker:{name}"


def _known(order: bytes | None) -> Order | None:
    return Order(order.decode()) if order and order.decode() in tuple(Order) else None


def _order(name: str) -> str:
    return f"sendcode:order:{name}"
