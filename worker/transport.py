"""kombu's Redis transport with less work for each message: it keeps its client, and notes a message
as unacknowledged by one command that also forgets those which have ended.

As it comes, kombu makes a client for every message it publishes, takes or acknowledges, and sends
four commands for each of the latter two. That was half of a worker's CPU time.
"""

from contextlib import suppress
from functools import cached_property
from time import monotonic, time
from typing import Any

from kombu.transport import redis, virtual
from kombu.utils.json import dumps

# An acknowledgement that is lost with its process is a message that comes again, and finds
# nothing to do.
FORGET_WITHIN = 0.2  # seconds an acknowledgement waits for company
FORGET_AT = 100

# Keys are the hash of messages and the index by time that `restore_visible` reads.
_FORGET = """
local function forget(first)
  if #ARGV >= first then
    redis.call('ZREM', KEYS[2], unpack(ARGV, first))
    redis.call('HDEL', KEYS[1], unpack(ARGV, first))
  end
end
"""
_APPEND = f"""{_FORGET}
forget(4)
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
"""
_ENDED = f"{_FORGET} forget(1)"


class QoS(redis.QoS):
    """Unacknowledged messages, in kombu's own keys and form: other workers may restore them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ended: list[str] = []
        self._ended_since = 0.0

    def append(self, message: Any, delivery_tag: str) -> None:
        delivery = message.delivery_info
        kept = dumps([message._raw, delivery["exchange"], delivery["routing_key"]])
        self._run(self._noting, delivery_tag, time(), kept, *self._take_ended())
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        if not self._ended:
            self._ended_since = monotonic()
        self._ended.append(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)
        if len(self._ended) >= FORGET_AT:
            self.forget_ended()

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        if requeue:
            super().reject(delivery_tag, requeue=True)
        else:
            self.ack(delivery_tag)

    def restore_unacked_once(self, stderr: Any = None) -> None:
        with suppress(*self.channel.connection_errors):  # then nothing can be restored either
            self.forget_ended()
        super().restore_unacked_once(stderr)

    def forget_old(self) -> None:
        """Forget what has ended, when that has waited long enough."""
        if self._ended and monotonic() - self._ended_since >= FORGET_WITHIN:
            self.forget_ended()

    def forget_ended(self) -> None:
        """Forget what has ended."""
        ended = self._take_ended()
        if ended:
            self._run(self._forgetting, *ended)

    def _take_ended(self) -> list[str]:
        ended, self._ended = self._ended, []
        return ended

    @cached_property
    def _noting(self) -> Any:
        return self.channel._create_client().register_script(_APPEND)

    @cached_property
    def _forgetting(self) -> Any:
        return self.channel._create_client().register_script(_ENDED)

    def _run(self, script: Any, *arguments: Any) -> None:
        keys = [self.unacked_key, self.unacked_index_key]
        with self.channel.conn_or_acquire() as client:
            script(keys, arguments, client)


class Channel(redis.Channel):
    """A channel that keeps its client as long as its pool."""

    QoS = QoS
    _kept: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:  # such a client holds a connection of its own
            return super()._create_client(asynchronous=True)
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()
        return self._kept


class SentinelChannel(Channel, redis.SentinelChannel):
    """The same, at the master that Sentinel names."""


class Poller(redis.MultiChannelPoller):
    """Sends the acknowledgements that no message came along to take."""

    def on_poll_start(self) -> None:
        for channel in self._channels:
            channel.qos.forget_old()
        super().on_poll_start()


class Transport(redis.Transport):
    Channel = Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle: Any = Poller()


class SentinelTransport(Transport, redis.SentinelTransport):
    default_port = redis.SentinelTransport.default_port
    Channel = SentinelChannel
