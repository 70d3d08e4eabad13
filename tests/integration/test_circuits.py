"""Circuits and paces on a real Valkey, shared by two processes' worth of clients."""

import time
from collections.abc import Iterator

import pytest
import redis

from tests.helpers import at_once
from worker import circuits as circuits_module
from worker.circuits import OPENS_AT, Circuits, CircuitState, Permit, Refusal
from worker.errors import LimitsUnavailableError
from worker.senders import Sender
from worker.states import Channel

SMS, CALL = Channel.SMS, Channel.CALL


def sender(name: str, per_second: float = 0) -> Sender:
    return Sender(name, "AC1", "token", "+12025550100", "", frozenset(Channel), per_second)


ONE, TWO = sender("one"), sender("two")


@pytest.fixture
def client(broker_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(broker_url)
    client.flushdb()
    yield client
    client.close()


@pytest.fixture
def circuits(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Circuits:
    monkeypatch.setattr(circuits_module, "PROBE_EVERY", 300)
    return Circuits(client)


def fail(circuits: Circuits, name: str, times: int = OPENS_AT) -> None:
    for _ in range(times):
        circuits.failed(name, SMS)


def chosen(found: Permit | Refusal) -> str:
    assert isinstance(found, Permit)
    return found.sender.name


def test_the_first_sender_is_used_while_it_works(circuits: Circuits) -> None:
    """Without failures the preferred sender hands everything over."""
    assert [chosen(circuits.permit(SMS, [ONE, TWO], 600)) for _ in range(3)] == ["one"] * 3


def test_a_circuit_opens_for_every_worker(circuits: Circuits, client: redis.Redis) -> None:
    """After enough failures all workers take the next sender, on that channel alone."""
    other_worker = Circuits(client)
    fail(circuits, "one", OPENS_AT - 1)
    assert chosen(other_worker.permit(SMS, [ONE, TWO], 600)) == "one"
    fail(circuits, "one", 1)
    assert chosen(other_worker.permit(SMS, [ONE, TWO], 600)) == "two"
    assert chosen(other_worker.permit(CALL, [ONE, TWO], 600)) == "one"


@pytest.mark.kills("success-takes-no-failure-back")
def test_half_the_calls_failing_do_not_open_it_and_most_do(circuits: Circuits) -> None:
    """A success takes one failure back, so it opens where failures prevail."""
    for _ in range(20):
        circuits.failed("one", SMS)
        found = circuits.permit(SMS, [ONE, TWO], 600)
        assert isinstance(found, Permit)
        circuits.worked(found, SMS)
    assert chosen(circuits.permit(SMS, [ONE, TWO], 600)) == "one"
    for _ in range(OPENS_AT):
        fail(circuits, "one", 2)
        found = circuits.permit(SMS, [ONE, TWO], 600)
        assert isinstance(found, Permit)
        if found.sender is ONE:
            circuits.worked(found, SMS)
    assert chosen(circuits.permit(SMS, [ONE, TWO], 600)) == "two"


def test_one_probe_at_a_time(
    circuits: Circuits, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of twenty that ask when a probe is due one goes by the sender, and the rest by the next."""
    monkeypatch.setattr(circuits_module, "PROBE_EVERY", 60_000)
    fail(circuits, "one")
    client.hset("sendcode:circuit:one:sms", "probe_at", 1)  # due long ago
    found = at_once(20, lambda _: chosen(circuits.permit(SMS, [ONE, TWO], 600)))
    assert sorted(found) == ["one"] + ["two"] * 19


def test_a_good_probe_closes_it(circuits: Circuits) -> None:
    """The probe's success closes the circuit; the success of an older call does not."""
    older = circuits.permit(SMS, [ONE], 600)
    fail(circuits, "one")
    assert isinstance(older, Permit)
    circuits.worked(Permit(ONE, 0, probe=False, failing=True), SMS)
    assert chosen(circuits.permit(SMS, [ONE, TWO], 600)) == "two"
    time.sleep(0.35)
    probe = circuits.permit(SMS, [ONE, TWO], 600)
    assert isinstance(probe, Permit)
    assert probe.probe
    circuits.worked(probe, SMS)
    assert [c.state for c in circuits.all([ONE]) if c.channel is SMS] == [CircuitState.CLOSED]
    assert chosen(circuits.permit(SMS, [ONE, TWO], 600)) == "one"


def test_a_bad_probe_keeps_it_open(circuits: Circuits) -> None:
    """A probe that fails leaves the circuit open until the next probe is due."""
    fail(circuits, "one")
    time.sleep(0.35)
    assert chosen(circuits.permit(SMS, [ONE, TWO], 600)) == "one"
    circuits.failed("one", SMS)
    assert chosen(circuits.permit(SMS, [ONE, TWO], 600)) == "two"
    states = {c.channel: c.state for c in circuits.all([ONE])}
    assert states == {SMS: CircuitState.OPEN, CALL: CircuitState.CLOSED}


def test_all_open_says_when_to_come_back(circuits: Circuits) -> None:
    """With every circuit open nobody is let through, and the wait is until the soonest probe."""
    fail(circuits, "one")
    found = circuits.permit(SMS, [ONE], 600)
    assert isinstance(found, Refusal)
    assert found.reason == "circuit_open"
    assert 0 < found.wait <= 0.3


def test_a_pace_is_shared_by_all_workers(client: redis.Redis) -> None:
    """However many workers ask at once, a sender's places lie as far apart as its pace says."""
    slow = sender("slow", per_second=20)
    workers = [Circuits(client) for _ in range(4)]
    found = at_once(20, lambda i: workers[i % 4].permit(SMS, [slow], 600))
    waits = sorted(p.wait for p in found if isinstance(p, Permit))
    assert len(waits) == 20
    # Each place is 50 ms after the one before it; the askers' own clocks differ by their delay.
    assert waits[-1] > 0.05 * 19 - 0.4
    assert client.get(slow.pace_key(SMS)) is not None


def test_no_place_beyond_the_codes_life_is_taken(client: redis.Redis) -> None:
    """Who would have to wait longer than the code lives takes no place from those behind."""
    slow = sender("slow", per_second=1)
    circuits = Circuits(client)
    taken = [circuits.permit(SMS, [slow], 2.5) for _ in range(6)]
    assert sum(isinstance(p, Permit) for p in taken) == 3
    refusals = [p for p in taken if isinstance(p, Refusal)]
    assert {r.reason for r in refusals} == {"sender_pace"}
    assert max(r.wait for r in refusals) <= 3


def test_a_place_waited_for_is_not_paid_twice(client: redis.Redis) -> None:
    """A delivery that comes back at its place goes at once and takes no other."""
    slow = sender("slow", per_second=1)
    circuits = Circuits(client)
    circuits.permit(SMS, [slow], 600)
    before = client.get(slow.pace_key(SMS))
    again = circuits.permit(SMS, [slow], 600, paid="slow")
    assert isinstance(again, Permit)
    assert again.wait == 0
    assert client.get(slow.pace_key(SMS)) == before


def test_every_key_ends_by_itself(circuits: Circuits, client: redis.Redis) -> None:
    """No key of a circuit or a pace stays for ever."""
    fail(circuits, "one", 1)
    circuits.permit(SMS, [sender("slow", 5)], 600)
    keys = client.keys("sendcode:*")
    assert len(keys) == 2
    assert all(0 < client.pttl(key) <= 600_000 for key in keys)


def test_without_redis_nobody_is_let_through() -> None:
    """Circuits and paces that cannot be asked allow nothing."""
    nowhere = redis.Redis(port=1, socket_connect_timeout=0.2)
    with pytest.raises(LimitsUnavailableError):
        Circuits(nowhere).permit(SMS, [ONE], 600)
