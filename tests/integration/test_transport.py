"""The transport keeps what kombu keeps, in kombu's own keys, for less."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from kombu import Connection, Queue

from worker.embedded.processes import wait_for
from worker.transport import FORGET_AT

NAME = "transported"


@pytest.fixture
def broker(broker_url: str) -> Iterator["redis.Redis"]:
    client = redis.Redis.from_url(broker_url)
    client.flushdb()
    yield client
    client.close()


def connect(url: str, transport: str = "worker.transport:Transport") -> Connection:
    options = {"visibility_timeout": 180, "priority_steps": [0]}
    return Connection(url, transport=transport, transport_options=options)


def publish(connection: Connection) -> None:
    queue = Queue(NAME, channel=connection.default_channel)
    queue.declare()
    connection.Producer().publish({"ids": [1]}, routing_key=NAME, serializer="json")


def take(connection: Connection) -> Any:
    taken: list[Any] = []
    queue = Queue(NAME, channel=connection.default_channel)
    with connection.Consumer([queue], callbacks=[lambda _, message: taken.append(message)]):
        connection.drain_events(timeout=5)
    return taken[0]


def idle(connection: Connection) -> None:
    """One round of the loop of a worker that gets no message."""
    queue = Queue(NAME, channel=connection.default_channel)
    with connection.Consumer([queue]), suppress(TimeoutError):
        connection.drain_events(timeout=0.05)


def unacked(broker: "redis.Redis") -> tuple[int, int]:
    return broker.hlen("unacked"), broker.zcard("unacked_index")  # type: ignore[return-value]


@pytest.mark.parametrize("end", ["ack", "reject"])
def test_a_taken_message_is_noted_until_it_ends(
    broker: "redis.Redis", broker_url: str, end: str
) -> None:
    """From the pop to the acknowledgement it is in the hash and in the index, then in neither."""
    with connect(broker_url) as connection:
        publish(connection)
        message = take(connection)
        assert (broker.llen(NAME), unacked(broker)) == (0, (1, 1))
        getattr(message, end)()
        assert wait_for(lambda: idle(connection) or unacked(broker) == (0, 0), 5)
        assert broker.llen(NAME) == 0


def test_the_next_message_takes_the_acknowledgements_along(
    broker: "redis.Redis", broker_url: str
) -> None:
    """One command notes a message and forgets all that ended before."""
    with connect(broker_url) as connection:
        for _ in range(3):
            publish(connection)
        for _ in range(2):
            take(connection).ack()
        last = take(connection)
        assert (broker.hkeys("unacked"), broker.zrange("unacked_index", 0, -1)) == (
            [last.delivery_tag.encode()],
            [last.delivery_tag.encode()],
        )


def test_a_stop_forgets_what_ended_and_hands_back_the_rest(
    broker: "redis.Redis", broker_url: str
) -> None:
    """A worker that stops leaves nothing behind: neither done work nor work in hand."""
    with connect(broker_url) as connection:
        publish(connection)
        publish(connection)
        done, _ = take(connection), take(connection)
        done.ack()
    assert (broker.llen(NAME), unacked(broker)) == (1, (0, 0))


def test_acknowledgements_do_not_pile_up(broker: "redis.Redis", broker_url: str) -> None:
    """A hundred are sent, though nothing comes."""
    with connect(broker_url) as connection:
        for _ in range(FORGET_AT):
            publish(connection)
        held = [take(connection) for _ in range(FORGET_AT)]
        for message in held:
            message.ack()
        assert unacked(broker) == (0, 0)


def test_a_requeued_message_comes_again(broker: "redis.Redis", broker_url: str) -> None:
    """What is handed back is in the queue and nowhere else."""
    with connect(broker_url) as connection:
        publish(connection)
        take(connection).requeue()
        assert (broker.llen(NAME), unacked(broker)) == (1, (0, 0))


def test_a_worker_without_it_restores_what_one_with_it_took(
    broker: "redis.Redis", broker_url: str
) -> None:
    """The form is kombu's own: a message whose worker died returns by any transport of kombu's."""
    with connect(broker_url) as ours, connect(broker_url, "redis") as stock:
        publish(ours)
        tag = take(ours).delivery_tag
        stock.default_channel.qos.restore_by_tag(tag)
        assert (broker.llen(NAME), unacked(broker)) == (1, (0, 0))
        assert take(stock).payload == {"ids": [1]}


def test_a_broker_that_forgot_the_scripts_is_told_again(
    broker: "redis.Redis", broker_url: str
) -> None:
    """A restart or a failover between two messages loses nothing."""
    with connect(broker_url) as connection:
        publish(connection)
        take(connection).ack()
        broker.script_flush()
        publish(connection)
        message = take(connection)
        assert unacked(broker) == (1, 1)
        broker.script_flush()
        message.ack()
        assert wait_for(lambda: idle(connection) or unacked(broker) == (0, 0), 5)
