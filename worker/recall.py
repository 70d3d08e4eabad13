"""The limits' lists of sends in Redis, and how those of a number are learnt after they were lost.

A marker says from when on the lists are whole: what was counted before it may be missing. A list
that is there was learnt or is whole; one that holds no send, and needs not be learnt, holds a 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import redis

from worker.errors import LimitsUnavailableError
from worker.states import Channel

# Beside the limits' own keys, which all are lists with an end.
SINCE = "sendcode:limits:since"
# Ages, not times: the clocks of database and Redis may differ.
_LEARN = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local at = 2
for i = 2, #KEYS do
  local window, ages = ARGV[at], tonumber(ARGV[at + 1])
  if redis.call('EXISTS', KEYS[i]) == 0 then
    if ages == 0 then redis.call('RPUSH', KEYS[i], 0) end
    for j = at + 2, at + 1 + ages do redis.call('RPUSH', KEYS[i], now - ARGV[j]) end
    redis.call('PEXPIRE', KEYS[i], window)
  end
  at = at + 2 + ages
end
"""
_NOTHING_WAS_SENT = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], 0) end"
)
_FORGET = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = tonumber(redis.call('GET', KEYS[1]) or 0)
for i = 2, #KEYS do
  redis.call('DEL', KEYS[i])
  if since > now - ARGV[i - 1] then
    redis.call('RPUSH', KEYS[i], 0)
    redis.call('PEXPIRE', KEYS[i], ARGV[i - 1])
  end
end
"""


@dataclass(frozen=True, slots=True)
class Sends:
    """Which sends a limit counts, in the database's words.

    :param indexes: of the number, as many as are known; the first is the one of the limit's key
    :param service: sid of the only service whose sends count, until they are given back
    :param channel: the only channel whose sends count
    """

    indexes: tuple[bytes, ...] = field(repr=False)
    service: str | None = None
    channel: Channel | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` sends in any `window` seconds under `key`, which tells no number: a keyed
    hash, a sid or a country.

    :param sends: what the database is asked for when their list was lost; None: it cannot tell
    """

    name: str
    key: str = field(repr=False)
    most: int
    window: int
    sends: Sends | None = None

    @property
    def redis_key(self) -> str:
        return f"sendcode:limit:{self.name}:{self.key}"


class History(Protocol):
    """What the database knows of sends.

    :raises sqlalchemy.exc.SQLAlchemyError: it does not answer
    """

    def has_any(self, window: int) -> bool:
        """Whether there may be a send in the last `window` seconds."""

    def ages(self, sends: Sends, most: int, window: int) -> list[int]:
        """How long ago, in ms, the last sends were; the oldest first, and no more than `most`."""


class Lists:
    """
    :param history: asks the database
    """

    def __init__(self, client: "redis.Redis", history: History) -> None:
        self._history = history
        self._learn = client.register_script(_LEARN)
        self._nothing_was_sent = client.register_script(_NOTHING_WAS_SENT)
        self._forget = client.register_script(_FORGET)

    def begin(self, limits: Sequence[Limit], since: int) -> None:
        """Say that all is whole where nothing was sent before the marker, as at first.

        :param since: the marker that was just set; another means that all was lost again
        :raises sqlalchemy.exc.SQLAlchemyError: the database does not answer
        :raises LimitsUnavailableError: Redis does not answer
        """
        if self._history.has_any(max(limit.window for limit in limits)):
            return
        try:
            self._nothing_was_sent(keys=[SINCE], args=[since])
        except redis.RedisError as error:
            raise LimitsUnavailableError(type(error).__name__) from None

    def learn(self, limits: Sequence[Limit], since: int) -> None:
        """Fill the lists that are missing with what the database knows; those there stay.

        :param since: the marker before the database is asked; another means that all was lost
            again, and nothing is filled
        :raises sqlalchemy.exc.SQLAlchemyError: the database does not answer
        :raises LimitsUnavailableError: Redis does not answer
        """
        keys, arguments = [SINCE], [since]
        for limit in limits:
            if limit.sends:
                ages = self._history.ages(limit.sends, limit.most, limit.window)
                keys.append(limit.redis_key)
                arguments += [limit.window * 1000, len(ages), *ages]
        try:
            self._learn(keys=keys, args=arguments)
        except redis.RedisError as error:
            raise LimitsUnavailableError(type(error).__name__) from None

    def forget(self, limits: Sequence[Limit]) -> None:
        """Empty the lists, not to be learnt again.

        :raises LimitsUnavailableError: Redis does not answer
        """
        try:
            self._forget(
                keys=[SINCE, *(limit.redis_key for limit in limits)],
                args=[limit.window * 1000 for limit in limits],
            )
        except redis.RedisError as error:
            raise LimitsUnavailableError(type(error).__name__) from None
