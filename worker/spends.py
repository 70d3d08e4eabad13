"""What is counted of the days' budgets in Redis; `worker.limits` counts, in its one round trip."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import redis

from worker.errors import LimitsUnavailableError

ALL, MESSAGES = "all", "messages"
DAY_MS = 86_400_000
# What the database knows of a day is the least that was used in it. What it does not know yet is
# under way, and counted here.
_AT_LEAST = """
local time = redis.call('TIME')
local today = math.floor(time[1] / 86400)
for i, key in ipairs(KEYS) do
  local day, used = tonumber(ARGV[1]), ARGV[i + 1]
  local kept = redis.call('HMGET', key, 'day', 'used')
  if day < today then day, used = today, '0' end
  if not kept[1] or tonumber(kept[1]) < day
    or (tonumber(kept[1]) == day and tonumber(kept[2]) < tonumber(used)) then
    redis.call('HSET', key, 'day', day, 'used', used)
    redis.call('PEXPIRE', key, 172800000)
  end
end
"""


@dataclass(frozen=True, slots=True)
class Spend:
    """What one send takes of a budget: `most` in a day of UTC.

    :param scope: `all`, a country, or a service's sid
    :param unit: `messages`, or a currency, of which `most` and `takes` are micros
    """

    scope: str
    unit: str
    most: int
    takes: int

    @property
    def redis_key(self) -> str:
        return f"sendcode:budget:{self.scope}:{self.unit}"


Recall = Callable[[Sequence[tuple[str, str]]], tuple[int, list[int]]]
"""Of each scope and unit what the database knows was spent today, and which day that is."""


class Budgets:
    """
    :param recall: asks the database
    """

    def __init__(self, client: "redis.Redis", recall: Recall) -> None:
        self._client = client
        self._recall = recall
        self._at_least = client.register_script(_AT_LEAST)

    def learn(self, spends: Sequence[Spend]) -> None:
        """Count at least what the database knows was spent today, as after the broker was emptied.

        :raises sqlalchemy.exc.SQLAlchemyError: the database does not answer
        :raises LimitsUnavailableError: Redis does not answer
        """
        day, amounts = self._recall([(spend.scope, spend.unit) for spend in spends])
        try:
            self._at_least(keys=[spend.redis_key for spend in spends], args=[day, *amounts])
        except redis.RedisError as error:
            raise LimitsUnavailableError(type(error).__name__) from None

    def spent(self, spends: Sequence[Spend]) -> list[int | None]:
        """What is used of each budget today; None where it is not counted yet.

        :raises LimitsUnavailableError: Redis does not answer
        """
        try:
            with self._client.pipeline(transaction=False) as pipe:
                pipe.time()
                for spend in spends:
                    pipe.hmget(spend.redis_key, "day", "used")
                (seconds, _), *found = pipe.execute()
        except redis.RedisError as error:
            raise LimitsUnavailableError(type(error).__name__) from None
        today = seconds * 1000 // DAY_MS
        return [
            None if day is None else int(used) if int(day) >= today else 0 for day, used in found
        ]
