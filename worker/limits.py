"""Limits per number: sliding windows in Redis, all or nothing, in one round trip."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import redis

from worker.errors import LimitReachedError, LimitsUnavailableError

# Each key is a list of the times (ms) of the last sends, at most as many as its limit allows.
# Redis's clock decides, so every process sees the same window.
_ADMIT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local refused, longest = 0, 0
for i, key in ipairs(KEYS) do
  local most, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local wait = 0
  if most == 0 then
    wait = window
  else
    local oldest = redis.call('LINDEX', key, -most)
    if oldest then wait = oldest + window - now end
  end
  if wait > longest then refused, longest = i, wait end
end
if refused > 0 then return {refused, longest} end
for i, key in ipairs(KEYS) do
  redis.call('RPUSH', key, now)
  redis.call('LTRIM', key, -ARGV[2 * i - 1], -1)
  redis.call('PEXPIRE', key, ARGV[2 * i])
end
return {0, 0}
"""


_RELEASE = """
for _, key in ipairs(KEYS) do redis.call('RPOP', key) end
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` sends in any `window` seconds under `key`, a keyed hash and never a number."""

    name: str
    key: str = field(repr=False)
    most: int
    window: int

    @property
    def redis_key(self) -> str:
        return f"sendcode:limit:{self.name}:{self.key}"


class Limits:
    """Admission by limits that all processes share. Without Redis nothing is admitted."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        self._admit = client.register_script(_ADMIT)
        self._release = client.register_script(_RELEASE)

    def admit(self, limits: Sequence[Limit]) -> None:
        """Count one send against every limit, or against none.

        :raises LimitReachedError: names the limit that opens last, and when
        :raises LimitsUnavailableError: Redis does not answer
        """
        arguments = [n for limit in limits for n in (limit.most, limit.window * 1000)]
        try:
            refused, wait = self._admit(keys=[limit.redis_key for limit in limits], args=arguments)
        except redis.RedisError as error:
            raise LimitsUnavailableError(type(error).__name__) from None
        if refused:
            raise LimitReachedError(limits[refused - 1].name, max(1, -(-int(wait) // 1000)))

    def release(self, limits: Sequence[Limit]) -> None:
        """Take back one admission: what it was for was never written.

        :raises LimitsUnavailableError: Redis does not answer
        """
        try:
            self._release(keys=[limit.redis_key for limit in limits])
        except redis.RedisError as error:
            raise LimitsUnavailableError(type(error).__name__) from None

    def forget(self, limits: Sequence[Limit]) -> None:
        """Give the counted sends back, as after an approval or a cancel.

        :raises LimitsUnavailableError: Redis does not answer
        """
        try:
            self._client.delete(*(limit.redis_key for limit in limits))
        except redis.RedisError as error:
            raise LimitsUnavailableError(type(error).__name__) from None
