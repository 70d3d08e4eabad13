"""Circuits and paces: which sender may be used now. One state for all workers, in Redis.

A circuit opens when a sender keeps failing by the provider's fault, and lets one delivery through
every few seconds to find out whether it works again. Losing the state costs a few failures.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import redis
import structlog

from worker import outage
from worker.errors import LimitsUnavailableError
from worker.senders import Sender
from worker.states import Channel

log = structlog.get_logger()

OPENS_AT = 5  # failures; a success takes one back, so over half must fail, or five in a row
PROBE_EVERY = 5_000  # ms
FORGET_AFTER = 600_000  # ms without a word
CLEAN_FOR = 1.0  # seconds a process trusts that a sender without failures still has none

# Takes a place in the pace of the first sender whose circuit is closed or wants a probe. A place
# further ahead than the code lives is not taken.
_PERMIT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local soonest, why = -1, ''
for i = 1, #KEYS / 2 do
  local circuit, pace, interval = KEYS[2 * i - 1], KEYS[2 * i], tonumber(ARGV[2 + i])
  local found = redis.call('HMGET', circuit, 'score', 'probe_at', 'forced')
  local probe_at = tonumber(found[2] or 0)
  if found[3] == 'open' then probe_at = now + ARGV[1] elseif found[3] then probe_at = 0 end
  local wait, reason = probe_at - now, 'circuit_open'
  if probe_at == 0 or wait <= 0 then
    wait = 0
    if interval > 0 then
      local slot = math.max(tonumber(redis.call('GET', pace) or 0), now)
      wait, reason = slot - now, 'sender_pace'
      if wait < tonumber(ARGV[2]) then
        local ends = slot + interval
        redis.call('SET', pace, string.format('%.3f', ends), 'PX', math.ceil(ends - now) + 1000)
        reason = ''
      end
    else
      reason = ''
    end
    if reason == '' then
      if probe_at > 0 then redis.call('HSET', circuit, 'probe_at', now + ARGV[1]) end
      local failing = found[3] and 0 or tonumber(found[1] or 0)
      return {i, tostring(wait), probe_at > 0 and 1 or 0, failing}
    end
  end
  if soonest < 0 or wait < soonest then soonest, why = wait, reason end
end
return {0, tostring(soonest), why}
"""
_FAILED = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('HEXISTS', KEYS[1], 'forced') == 1 then return 0 end
local score = redis.call('HINCRBY', KEYS[1], 'score', 1)
local opened = 0
if redis.call('HEXISTS', KEYS[1], 'probe_at') == 0 and score >= tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'opened_at', now, 'probe_at', now + ARGV[2])
  opened = 1
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return opened
"""
# Only the probe's success closes: an older call may have ended well before the trouble began.
_WORKED = """
if redis.call('HEXISTS', KEYS[1], 'forced') == 1 then return 0 end
if redis.call('HEXISTS', KEYS[1], 'probe_at') == 1 then
  if ARGV[1] == '1' then return redis.call('DEL', KEYS[1]) end
elseif redis.call('HINCRBY', KEYS[1], 'score', -1) <= 0 then
  redis.call('DEL', KEYS[1])
end
return 0
"""

# By hand. What was counted before is forgotten, so that it begins closed when it is let go.
_FORCE = """
redis.call('DEL', KEYS[1])
if ARGV[1] == '' then return 0 end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'forced', ARGV[1])
if ARGV[1] == 'open' then
  redis.call('HSET', KEYS[1], 'opened_at', time[1] * 1000 + math.floor(time[2] / 1000))
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""


class Forced(StrEnum):
    """What an operator keeps a circuit at."""

    OPEN = "open"
    CLOSED = "closed"


class CircuitState(StrEnum):
    CLOSED = "closed"
    HALF_OPEN = "half-open"  # the next delivery is the probe
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to hand over by `sender`, `wait` seconds from now.

    :param probe: its outcome decides whether the sender's circuit closes
    :param failing: the circuit counts failures, so a success must be told
    """

    sender: Sender
    wait: float
    probe: bool
    failing: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """No sender now: every circuit is open, or the pace leaves no place within the code's life.

    :param wait: seconds until the soonest may be asked again
    """

    reason: str
    wait: float


@dataclass(frozen=True, slots=True)
class Circuit:
    """What an operator sees. `opened_at` is ms since 1970 UTC.

    :param forced: an operator keeps it so
    """

    sender: str
    channel: Channel
    state: CircuitState
    failures: int
    opened_at: int | None
    forced: bool = False


class Circuits:
    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        self._permit = client.register_script(_PERMIT)
        self._failed = client.register_script(_FAILED)
        self._worked = client.register_script(_WORKED)
        self._force = client.register_script(_FORCE)
        self._clean: dict[tuple[str, Channel], float] = {}

    def permit(
        self, channel: Channel, senders: Sequence[Sender], within: float, paid: str | None = None
    ) -> Permit | Refusal:
        """The first of `senders` that may be used, in one round trip at most.

        :param within: seconds a place in a sender's pace may lie ahead
        :param paid: the sender whose place this delivery has already waited for
        :raises LimitsUnavailableError: Redis does not answer
        """
        first = senders[0]
        unpaced = not first.pace(channel) or first.name == paid
        if unpaced and self._clean.get((first.name, channel), 0) > time.monotonic():
            return Permit(first, 0, probe=False, failing=False)
        keys = [key for s in senders for key in (_circuit(s.name, channel), s.pace_key(channel))]
        paces = [s.pace(channel) if s.name != paid else 0 for s in senders]
        intervals = [1000 / pace if pace else 0 for pace in paces]
        chosen, wait, *rest = self._run(
            self._permit, keys, [PROBE_EVERY, int(within * 1000), *intervals]
        )
        if not chosen:
            return Refusal(_text(rest[0]), max(0.0, float(wait) / 1000))
        probe, score = rest
        sender = senders[chosen - 1]
        if probe:
            log.warning("circuit.half_open", sender=sender.name, channel=channel)
        elif not score:
            self._clean[sender.name, channel] = time.monotonic() + CLEAN_FOR
        return Permit(sender, float(wait) / 1000, bool(probe), failing=bool(probe or score))

    def failed(self, sender: str, channel: Channel) -> None:
        """The sender did not work, by the provider's fault or the account's.

        :raises LimitsUnavailableError: Redis does not answer
        """
        self._clean.pop((sender, channel), None)
        if self._run(
            self._failed, [_circuit(sender, channel)], [OPENS_AT, PROBE_EVERY, FORGET_AFTER]
        ):
            log.error("circuit.opened", sender=sender, channel=channel)

    def worked(self, permit: Permit, channel: Channel) -> None:
        """The sender did what `permit` allowed.

        :raises LimitsUnavailableError: Redis does not answer
        """
        if not permit.failing:
            return
        name = permit.sender.name
        if self._run(self._worked, [_circuit(name, channel)], [int(permit.probe)]):
            log.warning("circuit.closed", sender=name, channel=channel)

    def force(self, sender: str, channel: Channel, state: Forced | None, seconds: int) -> None:
        """Keep a circuit open or closed for so long, whatever its calls come to; None: let it go.

        :raises LimitsUnavailableError: Redis does not answer
        """
        self._clean.pop((sender, channel), None)
        self._run(self._force, [_circuit(sender, channel)], [state or "", seconds * 1000])

    def all(self, senders: Sequence[Sender]) -> list[Circuit]:
        """Every circuit as it stands.

        :raises LimitsUnavailableError: Redis does not answer
        """
        pairs = [(s.name, channel) for s in senders for channel in Channel if channel in s.channels]
        try:
            with self._client.pipeline(transaction=False) as pipe:
                pipe.time()
                for name, channel in pairs:
                    pipe.hmget(
                        _circuit(name, channel), ["score", "opened_at", "probe_at", "forced"]
                    )
                (seconds, micros), *found = pipe.execute()
        except redis.RedisError as error:
            raise LimitsUnavailableError(type(error).__name__) from None
        now = seconds * 1000 + micros // 1000
        return [_view(*pair, values, now) for pair, values in zip(pairs, found, strict=True)]

    def _run(self, script: Any, keys: list[str], arguments: list[Any]) -> Any:
        try:
            found = script(keys=keys, args=arguments)
        except redis.RedisError as error:
            outage.lost(error)
            raise LimitsUnavailableError(type(error).__name__) from None
        outage.over()
        return found


def _view(name: str, channel: Channel, values: list[Any], now: int) -> Circuit:
    score, opened_at, probe_at = (int(value) if value else 0 for value in values[:3])
    state, forced = CircuitState.CLOSED, values[3] and _text(values[3])
    if forced == Forced.OPEN:
        state = CircuitState.OPEN
    elif probe_at:
        state = CircuitState.OPEN if probe_at > now else CircuitState.HALF_OPEN
    return Circuit(name, channel, state, score, opened_at or None, forced=bool(forced))


def _circuit(sender: str, channel: Channel) -> str:
    return f"sendcode:circuit:{sender}:{channel.value}"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
