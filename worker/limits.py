"""Limits of sends: sliding windows in Redis, all or nothing, in one round trip."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import redis

from worker import outage
from worker.errors import (
    BudgetExceededError,
    LimitReachedError,
    LimitsUnavailableError,
    OverloadedError,
    RequestRunningError,
)
from worker.recall import SINCE, History, Lists
from worker.recall import Limit as Limit
from worker.refusals import Refusals
from worker.spends import Budgets, Recall, Spend
from worker.states import Channel, Lane, queue_of

# Each limit's key is a list of the times (ms) of the last sends, at most as many as it allows.
# Redis's clock decides, so every process sees the same window. What may refuse comes before
# anything is written: all or nothing. The last keys are of budgets: the day of UTC, and what was
# used of it. One that is not there was lost with the broker, or is new: it is learnt first. So is
# a list of the first limits, whose sends the database knows, while it may be lost: see `Lists`.
# A script that stood in line while Redis was stalled does nothing: who sent it has gone.
_ADMIT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local not_after = tonumber(ARGV[#ARGV])
if not_after > 0 and now >= not_after then return {-6, 0, now} end
local most_starts, patience, hold = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local first = 6 + ARGV[4]
local share, usual, busy, running, whole = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
if hold > 0 and redis.call('EXISTS', running) == 1 then return {-1, 0} end
local known = tonumber(ARGV[5])
if known > 0 then
  local since = tonumber(redis.call('GET', whole) or -1)
  if since < 0 then
    redis.call('SET', whole, now)
    return {-4, now}
  end
  for i = first, first + known - 1 do
    local at = 6 + 2 * (i - first)
    if since > now - ARGV[at + 1] and redis.call('EXISTS', KEYS[i]) == 0 then return {-5, since} end
  end
end
local refused, longest = 0, 0
local last = #KEYS - tonumber(ARGV[#ARGV - 1])
for i = first, last do
  local at = 6 + 2 * (i - first)
  local most, window = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local wait = 0
  if most == 0 then
    wait = window
  else
    local oldest = redis.call('LINDEX', KEYS[i], -most)
    if oldest then wait = oldest + window - now end
  end
  if wait > longest then refused, longest = i - first + 1, wait end
end
local today = math.floor(now / 86400000)
for i = last + 1, #KEYS do
  local at = 6 + 2 * (i - first)
  local most, takes = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local kept = redis.call('HMGET', KEYS[i], 'day', 'used')
  if not kept[1] then return {-3, 0} end
  local day = math.max(tonumber(kept[1]), today)
  local used = day > tonumber(kept[1]) and 0 or tonumber(kept[2])
  local wait = (day + 1) * 86400000 - now
  if (used >= most or used + takes > most) and wait > longest then
    refused, longest = i - first + 1, wait
  end
end
if refused > 0 then return {refused, longest} end
local lane, due = 0, 0
if most_starts > 0 then
  due = math.max(tonumber(redis.call('GET', share) or 0), now)
  if due - now > 10000 - 10000 / most_starts then lane = 1 end
end
if patience > 0 then
  local oldest = redis.call('LINDEX', lane == 1 and busy or usual, -1)
  local read, message = pcall(cjson.decode, oldest or '')
  local at = read and type(message) == 'table' and type(message.headers) == 'table'
    and tonumber(message.headers.published_at)
  if at and now - at > patience then return {-2, now - at} end
  local soonest = -1
  for i = 6, first - 1 do
    local wait = tonumber(redis.call('GET', KEYS[i]) or 0) - now
    if soonest < 0 or wait < soonest then soonest = math.max(wait, 0) end
  end
  if soonest > patience then return {-2, soonest} end
end
for i = first, last do
  local at = 6 + 2 * (i - first)
  redis.call('RPUSH', KEYS[i], now)
  redis.call('LTRIM', KEYS[i], -ARGV[at], -1)
  redis.call('PEXPIRE', KEYS[i], ARGV[at + 1])
end
for i = last + 1, #KEYS do
  if tonumber(redis.call('HGET', KEYS[i], 'day')) < today then
    redis.call('HSET', KEYS[i], 'day', today, 'used', 0)
  end
  redis.call('HINCRBY', KEYS[i], 'used', ARGV[6 + 2 * (i - first) + 1])
  redis.call('PEXPIRE', KEYS[i], 172800000)
end
if most_starts > 0 and lane == 0 then
  redis.call('SET', share, string.format('%.3f', due + 10000 / most_starts), 'PX', 20000)
end
if hold > 0 then redis.call('SET', running, now, 'PX', hold) end
return {0, lane, now}
"""

_RELEASE = """
for i, key in ipairs(KEYS) do
  local takes = ARGV[i - #KEYS + #ARGV]
  if not takes then
    redis.call('RPOP', key)
  elseif tonumber(redis.call('HGET', key, 'used') or 0) >= tonumber(takes) then
    redis.call('HINCRBY', key, 'used', '-' .. takes)
  end
end
"""


@dataclass(frozen=True, slots=True)
class Share:
    """What keeps one service's starts from delaying the others', and all of them from being late.

    :param most: starts in ten seconds; those above it go to the busy lane. 0: no busy lane
    :param patience: seconds the oldest job of the lane may have waited, or a new one would have
        to wait for a place in a sender's pace; 0: any time
    :param paces: Redis's keys of the senders' paces; empty where one has none
    """

    service_sid: str
    channel: Channel
    most: int
    patience: int
    paces: tuple[str, ...] = ()


NO_SHARE = Share("", Channel.SMS, 0, 0)
ANSWERS_WITHIN = 2  # seconds, after which a call to Redis is given up
RUNNING_FOR = 30_000  # ms after which a request that was never finished may be made again
ASKED = 6  # times at most, where what was lost has to be learnt in between
COME_BACK = 5  # seconds, to a caller who was refused because codes wait too long


class Limits:
    """Admission by limits that all processes share. Without Redis nothing is admitted."""

    def __init__(self, client: "redis.Redis", recall: Recall, history: History) -> None:
        self._client = client
        self._lists = Lists(client, history)
        self.budgets = Budgets(client, recall)
        self.refusals = Refusals(client)
        self._admit = client.register_script(_ADMIT)
        self._release = client.register_script(_RELEASE)
        self._ahead: int | None = None  # ms, Redis's clock of our monotonic one; None: not known

    def admit(
        self,
        limits: Sequence[Limit],
        share: Share = NO_SHARE,
        running: str | None = None,
        spends: Sequence[Spend] = (),
    ) -> Lane:
        """Count one send against every limit and budget, or against none; the lane it goes to.

        :param running: marks a request as being answered until `finish`
        :raises LimitReachedError: names the limit that opens last, and when
        :raises BudgetExceededError: it is a budget that opens last
        :raises OverloadedError: the lane's oldest job has waited longer than `share` says
        :raises RequestRunningError: `running` is marked already
        :raises LimitsUnavailableError: Redis does not answer
        """
        limits = sorted(limits, key=lambda limit: limit.sends is None)
        keys = [f"sendcode:share:{share.service_sid}"]
        keys += [queue_of(share.channel, lane) for lane in (Lane.USUAL, Lane.BUSY)]
        keys += [_running(running), SINCE, *share.paces, *(limit.redis_key for limit in limits)]
        keys += [spend.redis_key for spend in spends]
        hold = RUNNING_FOR if running else 0
        arguments = [share.most, share.patience * 1000, hold, len(share.paces)]
        arguments.append(sum(limit.sends is not None for limit in limits))
        arguments += [n for limit in limits for n in (limit.most, limit.window * 1000)]
        arguments += [n for spend in spends for n in (spend.most, spend.takes)]
        arguments.append(len(spends))
        verdict, value = self._answer(keys, arguments, limits, spends)
        if verdict == -1:
            raise RequestRunningError("the same request is still running")
        if verdict == -2:
            raise OverloadedError(COME_BACK)
        wait = max(1, -(-int(value) // 1000))
        if verdict > len(limits):
            raise BudgetExceededError(spends[verdict - 1 - len(limits)].scope, wait)
        if verdict:
            raise LimitReachedError(limits[verdict - 1].name, wait)
        return Lane.BUSY if value else Lane.USUAL

    def _answer(
        self,
        keys: list[str],
        arguments: list[int],
        limits: Sequence[Limit],
        spends: Sequence[Spend],
    ) -> tuple[int, int]:
        """The verdict, once what was lost is learnt."""
        for _ in range(ASKED):
            verdict, value = self._asked(keys, arguments)
            if verdict == -3:
                self.budgets.learn(spends)
            elif verdict == -4:
                self._lists.begin(limits, value)
            elif verdict == -5:
                self._lists.learn(limits, value)
            elif verdict != -6:  # too late, or its clock is another: by now that is known
                return verdict, value
        raise LimitsUnavailableError("counts are lost as fast as they are learnt")

    def _asked(self, keys: list[str], arguments: list[int]) -> tuple[int, int]:
        """The verdict of a script that does nothing once nobody waits for it."""
        not_after = 0
        if self._ahead is not None:
            not_after = _monotonic_ms() + self._ahead + ANSWERS_WITHIN * 1000
        try:
            verdict, value, *now = self._admit(keys=keys, args=[*arguments, not_after])
        except redis.RedisError as error:
            outage.lost(error)
            raise LimitsUnavailableError(type(error).__name__) from None
        outage.over()
        if now:
            self._ahead = int(now[0]) - _monotonic_ms()  # the least it can be
        return int(verdict), int(value)

    def used(self, limits: Sequence[Limit]) -> list[tuple[int, int]]:
        """Of each limit: sends that count now, and seconds until it opens again; 0: it is open.

        :raises LimitsUnavailableError: Redis does not answer
        """
        try:
            with self._client.pipeline(transaction=False) as pipe:
                pipe.time()
                for limit in limits:
                    pipe.lrange(limit.redis_key, 0, -1)
                (seconds, micros), *found = pipe.execute()
        except redis.RedisError as error:
            raise LimitsUnavailableError(type(error).__name__) from None
        now = seconds * 1000 + micros // 1000
        return [
            _use(limit, [int(at) for at in times], now)
            for limit, times in zip(limits, found, strict=True)
        ]

    def finish(self, running: str) -> None:
        """The request is answered. Without Redis the mark ends by itself."""
        with suppress(redis.RedisError):
            self._client.delete(_running(running))

    def release(self, limits: Sequence[Limit], spends: Sequence[Spend] = ()) -> None:
        """Take back one admission: what it was for was never written. Without Redis the windows end
        by themselves.
        """
        with suppress(redis.RedisError):
            self._release(
                keys=[limit.redis_key for limit in limits] + [spend.redis_key for spend in spends],
                args=[spend.takes for spend in spends],
            )

    def forget(self, limits: Sequence[Limit]) -> None:
        """Give the counted sends back, as after an approval or a cancel.

        :raises LimitsUnavailableError: Redis does not answer
        """
        self._lists.forget(limits)

    def counted(self, limits: Sequence[Limit]) -> dict[str, int]:
        """How many sends are counted, by the limit's name; without those that count none.

        :raises LimitsUnavailableError: Redis does not answer
        """
        try:
            with self._client.pipeline(transaction=False) as pipe:
                for limit in limits:
                    pipe.lrange(limit.redis_key, 0, -1)
                lists = pipe.execute()
        except redis.RedisError as error:
            raise LimitsUnavailableError(type(error).__name__) from None
        found: dict[str, int] = {}
        for limit, times in zip(limits, lists, strict=True):
            if size := sum(int(at) > 0 for at in times):
                found[limit.name] = found.get(limit.name, 0) + size
        return found


def _use(limit: Limit, times: list[int], now: int) -> tuple[int, int]:
    ends = sorted(at + limit.window * 1000 for at in times)
    counting = [end for end in ends if end > now]
    if len(counting) < limit.most:
        return len(counting), 0
    wait = counting[-limit.most] - now if limit.most else limit.window * 1000
    return len(counting), max(1, -(-wait // 1000))


def _monotonic_ms() -> int:
    return int(time.monotonic() * 1000)


def _running(request: str | None) -> str:
    return f"sendcode:running:{request or ''}"
