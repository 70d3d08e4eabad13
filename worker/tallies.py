"""Counts of the last while that all processes share in Redis, of what stands out only.

Time is cut into parts, each a sorted set that ends by itself and keeps what was counted most in it:
whoever sends whatever, it stays small.
"""

import time
from collections import Counter
from typing import Any

import redis

PER_PART = 500  # of a part, the most counted, that are read


class Tally:
    """
    :param name: of its keys in Redis
    :param part: seconds of a part
    :param parts: how many count; the last is the present one, so up to `part` seconds less
    :param most: how many a part keeps
    """

    def __init__(
        self, client: "redis.Redis", name: str, part: int, parts: int, most: int = 2000
    ) -> None:
        self._client = client
        self._name = name
        self._part = part
        self._parts = parts
        self._most = most

    def put(self, pipe: Any, what: str, count: int = 1) -> None:
        """Have a pipeline count it.

        :param what: no number, and nothing that a caller chose
        """
        key = self._keys()[0]
        pipe.zincrby(key, count, what)
        pipe.zremrangebyrank(key, 0, -self._most - 1)
        pipe.expire(key, self._part * (self._parts + 1))

    def read(self) -> Counter[str]:
        """
        :raises redis.RedisError: Redis does not answer
        """
        with self._client.pipeline(transaction=False) as pipe:
            for key in self._keys():
                pipe.zrevrange(key, 0, PER_PART - 1, withscores=True)
            found = pipe.execute()
        total: Counter[str] = Counter()
        for part in found:
            total.update({what.decode(): int(count) for what, count in part})
        return total

    def _keys(self) -> list[str]:
        """Those of the parts, the present one first."""
        last = int(time.time()) // self._part
        return [f"sendcode:{self._name}:{last - back}" for back in range(self._parts)]
