"""Sending: two worker processes take a filled queue, then serve half of that rate."""

import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.machine import Meter, calibrate, used
from benchmarks.rig import Rig
from worker.embedded.processes import Child, wait_for

THREADS = 8  # of the producer when it keeps a pace
LEFT = 0.97  # the end of the queue is not measured: the processes run dry one by one


@dataclass(frozen=True)
class Contender:
    """Who is measured.

    :param producer: what fills the queue, see `benchmarks.producer`
    :param threads: of the producer when it fills the queue
    """

    name: str
    producer: str
    queue: str
    threads: int


TUTORIAL = Contender("tutorial", "tutorial", "celery", threads=1)
OURS = Contender("ours", "start", "sms", threads=4)


def _listening(rig: Rig) -> int:
    return int(rig.redis.info("clients")["blocked_clients"])  # type: ignore[index]


@dataclass(frozen=True)
class Sent:
    """One contender at one latency. `queue` and `send` are CPU ms per code, by process: putting
    the codes into the queue, and taking them out. Latencies are ms from accept to provider."""

    contender: str
    latency: int
    rate: float
    measured: int
    filled: float
    queue: dict[str, float]
    send: dict[str, float]
    others: float
    commands: float
    half_rate: float
    half_count: int
    late: float
    p50: float
    p95: float
    p99: float
    speed: float
    faults: list[str]

    @property
    def worker(self) -> float:
        return self.send["worker"]

    @property
    def total(self) -> float:
        """All CPU but the provider's: worker, producer, database, broker, relay."""
        spent = {**self.send, "provider": 0.0}
        return sum(spent.values()) + sum(self.queue.values())


def measure(
    rig: Rig, who: Contender, latency: int, count: int, seconds: float, longer: float = 1
) -> Sent:
    """
    :param latency: the provider's, ms
    :param count: codes in the queue before the workers start
    :param seconds: longest time measured on the full queue, and the time at half load
    :param longer: times that long
    """
    seconds *= longer
    env = rig.fresh()
    slow = [calibrate()]
    rig.provider.reset(latency / 1000)
    servers = {"database": [rig.postgres_pid], "broker": [rig.broker_pid]}
    numbers = rig.numbers.take(count)

    groups: dict[str, list[Child]] = {}
    try:
        if who is OURS:
            groups["relay"] = [rig.start("relay", ["-m", "worker.cli", "relay"], env)]
        filled, queue = _fill(rig, who, env, numbers)
        _start(rig, who, env, groups)
        pids = {name: [c.pid for c in children] for name, children in groups.items()}
        meter = Meter(servers | pids | {"provider": [rig.provider.process.pid]})
        rate, measured, spent, commands = _drain(rig, meter, count, seconds)
        slow.append(calibrate())
        faults = list(filled["faults"]) + _finish(rig, who, numbers)
        rig.provider.reset(latency / 1000)
        job = {
            "items": rig.numbers.take(int(rate / 2 * seconds) + 20),
            "threads": THREADS,
            "rate": rate / 2,
            "seconds": seconds,
            "warm": 20,
        }
        paced = rig.run("benchmarks.producer", job, env, who.producer)
        _settle(rig, len(job["items"]))
        waits = _waits(rig, paced["accepted"])
    finally:
        for child in (child for children in groups.values() for child in children):
            child.signal(signal.SIGCONT)
            child.signal(signal.SIGTERM)
        for child in (child for children in groups.values() for child in children):
            child.stop(10)
    faults += list(paced["faults"])
    if len(waits) < len(paced["accepted"]):
        faults.append(f"{len(paced['accepted']) - len(waits)} codes never came at half load")
    ours = sum(seconds for name, seconds in spent.items() if name != "machine")
    return Sent(
        contender=who.name,
        latency=latency,
        rate=rate,
        measured=measured,
        filled=filled["done"] / filled["seconds"],
        queue=queue,
        send={n: s / measured * 1000 for n, s in spent.items() if n != "machine"},
        others=(spent["machine"] - ours) / measured * 1000,
        commands=commands,
        half_rate=rate / 2,
        half_count=len(waits),
        late=paced["late"] * 1000,
        p50=_at(waits, 50),
        p95=_at(waits, 95),
        p99=_at(waits, 99),
        speed=len(slow) / sum(slow),
        faults=faults,
    )


def _fill(
    rig: Rig, who: Contender, env: Mapping[str, str], numbers: list[str]
) -> tuple[Any, dict[str, float]]:
    """Put a code for each number into the queue; what the producer did, CPU ms per code."""
    servers = {"database": [rig.postgres_pid], "broker": [rig.broker_pid]}
    meter = Meter(servers)
    before = meter.read()
    job = {"items": numbers, "threads": who.threads, "rate": None, "seconds": 60, "warm": 20}
    filled = rig.run("benchmarks.producer", job, env, who.producer)
    spent = used(before, meter.read())
    queue = {name: spent[name] / len(numbers) * 1000 for name in servers}
    return filled, queue | {"producer": filled["cpu"] / filled["done"] * 1000}


def _start(
    rig: Rig, who: Contender, env: Mapping[str, str], groups: dict[str, list[Child]]
) -> None:
    """Start the workers while the queue is put aside, so that no start is measured."""
    relays = groups.get("relay", [])
    for relay in relays:  # it would see an empty queue, and publish everything again
        relay.signal(signal.SIGSTOP)
    rig.redis.rename(who.queue, "held")
    if who is TUTORIAL:
        command = ["-m", "celery", "-A", "benchmarks.tutorial", "worker", "-P", "prefork"]
        groups["worker"] = [rig.start("tutorial", [*command, "-c", "2"], env)]
        if not wait_for(lambda: _listening(rig) > 0, 30):
            raise SystemExit(f"bench: the tutorial did not start: {rig.tail('tutorial')}")
    else:
        names = {"worker1": ["worker"], "worker2": ["worker"]}
        groups["worker"] = list(rig.start_ours(names, env).values())
    rig.redis.rename("held", who.queue)
    for relay in relays:
        relay.signal(signal.SIGCONT)


def _drain(
    rig: Rig, meter: Meter, count: int, seconds: float
) -> tuple[float, int, dict[str, float], float]:
    """Codes per second once the workers run warm, how many, their CPU, broker commands of each."""
    warm, deadline = min(count // 8, 100), time.monotonic() + 30
    while rig.provider.count()[0] < warm and time.monotonic() < deadline:
        time.sleep(0.02)
    if rig.provider.count()[0] == 0:
        raise SystemExit("bench: the workers send nothing")
    commands, before = _commands(rig), meter.read()
    first, begun = rig.provider.count()
    end = time.monotonic() + seconds
    while rig.provider.count()[0] < count * LEFT and time.monotonic() < end:
        time.sleep(0.05)
    last, ended = rig.provider.count()
    spent = used(before, meter.read())
    made = last - first
    return made / (ended - begun), made, spent, (_commands(rig) - commands) / made


def _commands(rig: Rig) -> int:
    return int(rig.redis.info("stats")["total_commands_processed"])  # type: ignore[index]


def _finish(rig: Rig, who: Contender, numbers: list[str]) -> list[str]:
    """Let ours deliver the rest and see that each phone got one; drop the tutorial's rest."""
    if who is TUTORIAL:
        rig.redis.delete(who.queue)
        _settle(rig, None, 1.5)
        return []
    _settle(rig, len(numbers))
    reached = [to for to, _ in rig.provider.arrivals()]
    faults = []
    if missing := len(set(numbers) - set(reached)):
        faults.append(f"{missing} of {len(numbers)} codes were not sent")
    if doubled := len(reached) - len(set(reached)):
        faults.append(f"{doubled} codes were sent twice")
    return faults


def _settle(rig: Rig, expected: int | None, patience: float = 3) -> None:
    """Wait until as many came, or none has come for a while."""
    seen, since = -1, time.monotonic()
    while seen != expected and time.monotonic() - since < patience:
        if (now := rig.provider.count()[0]) != seen:
            seen, since = now, time.monotonic()
        time.sleep(0.1)


def _waits(rig: Rig, accepted: Mapping[str, float]) -> list[float]:
    """ms from accept to the first arrival at the provider, sorted."""
    first: dict[str, float] = {}
    for to, at in rig.provider.arrivals():
        first.setdefault(to, at)
    return sorted((first[to] - at) * 1000 for to, at in accepted.items() if to in first)


def _at(values: list[float], percent: int) -> float:
    return values[min(len(values) - 1, len(values) * percent // 100)]
