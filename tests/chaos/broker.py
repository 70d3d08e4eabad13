"""What may befall the broker, and the way to it."""

import resource
import shutil
import signal
from collections import Counter
from collections.abc import Callable

from tests.chaos.judge import Judgement
from tests.chaos.report import Outcome
from tests.chaos.rig import Rig
from tests.chaos.rows import LONG, Size, conclude, row
from tests.chaos.settings import CHAOS_WORKER, SHORT
from tests.chaos.world import World

RATE = 20
CONSUMES_WITHIN = 20.0  # seconds after connections were forgotten
SLOW_MS = 5000  # a provider call, over twice the shortened visibility timeout

Fault = Callable[[World, Size], None]


def flush(world: World, size: Size) -> None:
    for _ in range(size.of(15, 2)):
        world.redis.flushall()
        world.fault_over("FLUSHALL")
        world.pause(size.of(3, 2))


def lose_file(world: World, size: Size) -> None:
    for _ in range(size.of(5, 1)):
        world.watches_broker = False
        world.broker.kill9()
        for folder in world.broker.broker.folder.glob("appendonlydir"):
            shutil.rmtree(folder)
        world.broker.start()
        world.watches_broker = True
        world.fault_over("a restart without the file")
        world.pause(size.of(6, 3))


def freeze(world: World, size: Size) -> None:
    for _ in range(size.of(3, 1)):
        child = world.broker.broker.child
        assert child is not None
        child.signal(signal.SIGSTOP)
        world.pause(size.of(20, 4))
        child.signal(signal.SIGCONT)
        world.fault_over("a pause")
        world.pause(size.of(15, 3))


def cut(world: World, size: Size) -> None:
    assert world.proxy is not None
    for _ in range(size.of(30, 3)):
        world.proxy.cut()
        world.fault_over("a cut of all connections")
        world.pause(world.random.uniform(0.5, 2))


def forget(world: World, size: Size) -> None:
    assert world.proxy is not None
    for _ in range(size.of(4, 1)):
        world.proxy.forget()
        world.fault_over("connections forgotten without a word")
        world.pause(size.of(25, 12))


def fill(world: World, size: Size) -> None:
    """No memory: every write is refused."""
    for _ in range(size.of(3, 1)):
        world.redis.config_set("maxmemory", 1)
        refused(world, size.of(15, 4), "no memory")
        world.redis.config_set("maxmemory", 0)
        world.fault_over("no memory")
        world.pause(size.of(20, 4))


def refused(world: World, seconds: float, what: str) -> None:
    """Meanwhile starts get a clear 503; otherwise nothing was broken, or an answer was made up."""
    before, alive = len(world.answers), world.broker.pid
    world.pause(seconds)
    told = Counter(a.status for a in world.answers[before:] if a.kind == "start")
    world.demand(told[503] * 2 > told.total(), f"starts were answered {dict(told)} by {what}")
    world.demand(world.broker.pid == alive, f"the broker died of {what}")


def fill_disk(world: World, size: Size) -> None:
    """The append-only file may grow no more: writes fail as on a full disk."""
    for _ in range(size.of(3, 1)):
        files = world.broker.broker.folder.glob("appendonlydir/*.aof")
        limit = max((file.stat().st_size for file in files), default=0)
        before = resource.prlimit(world.broker.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(world.broker.pid, resource.RLIMIT_FSIZE, (limit, before[1]))
        refused(world, size.of(15, 5), "a full disk")
        resource.prlimit(world.broker.pid, resource.RLIMIT_FSIZE, before)
        world.fault_over("a full disk")
        world.pause(size.of(20, 4))


FAULTS: dict[str, tuple[str, Fault]] = {
    "broker-flush": ("broker emptied by FLUSHALL", flush),
    "broker-file": ("broker killed, restarted without its file", lose_file),
    "broker-pause": ("broker stopped for 20 s (SIGSTOP)", freeze),
    "broker-cut": ("all connections to the broker reset", cut),
    "broker-half-open": ("connections to the broker forgotten without FIN", forget),
    "broker-memory": ("broker at maxmemory, 15 s", fill),
    "broker-disk": ("no room for the broker's file, 15 s", fill_disk),
}


def _broken(rig: Rig, size: Size, made: Outcome, name: str, faults: list[Fault]) -> Judgement:
    """Load before, during and after the faults; afterwards the queue drains by itself."""
    settings = {"SENDCODE_LIMIT_SENDS": "2"}
    with World(rig, name, workers=2, proxied=True, settings=settings) as world:
        world.sandbox.order(delay_ms=50)
        world.run_load(RATE)
        world.pause(2)
        for fault in faults:
            fault(world, size)
        found = conclude(world, made)
        drained = world.until(lambda: not world.redis.llen("sms"), 30)
        if not drained:
            made.fail("the queue did not drain by itself")
        return found


def _row(name: str, about: str, fault: Fault) -> None:
    @row(name, about, forms=LONG)
    def broken(rig: Rig, size: Size, made: Outcome) -> None:
        found = _broken(rig, size, made, name, [fault])
        if fault is forget and (found.recovery or 0.0) > CONSUMES_WITHIN:
            made.fail(f"consumed again after {found.recovery:.1f} s only")


for _name, (_about, _fault) in FAULTS.items():
    _row(_name, _about, _fault)


@row("broker-limits", "FLUSHALL and a pause, against guesses and limits")
def limits(rig: Rig, size: Size, made: Outcome) -> None:
    """Guesses and a number's sends outlive the broker, emptied or without its file; limits refuse
    while it is away."""
    settings = {"SENDCODE_LIMIT_SENDS": "2"}
    with World(rig, "broker-limits", settings=settings) as world:
        number, once = next(rig.numbers), next(rig.numbers)
        told = [world.start(number).status for _ in range(3)]
        told.append(world.start(once).status)
        started = world.start(next(rig.numbers))
        guesses = [_guess(world, started.number, started.verification) for _ in range(3)]
        world.redis.flushall()
        world.fault_over("FLUSHALL")
        told += [world.start(to).status for to in (number, once, once)]
        lose_file(world, size)
        told += [world.start(to).status for to in (number, once)]
        guesses += [_guess(world, started.number, started.verification) for _ in range(3)]
        child = world.broker.broker.child
        assert child is not None
        child.signal(signal.SIGSTOP)
        other = next(rig.numbers)
        told.append(world.start(other).status)
        child.signal(signal.SIGCONT)
        world.fault_over("a pause")
        world.until(lambda: world.start(other).status == 201, 20)
        if told != [201, 201, 429, 201, *(429, 201, 429), *(429, 429), 503]:
            made.fail(f"limits answered {told}")
        if guesses != [200] * 5 + [429]:
            made.fail(f"guesses were answered {guesses}")
        conclude(world, made)


def _guess(world: World, number: str, verification: str) -> int:
    return world.client().check(number, verification, "000000", False).status


@row("broker-visibility", "visibility timeout 2 s, provider calls of 5 s")
def visibility(rig: Rig, size: Size, made: Outcome) -> None:
    settings = SHORT | {
        "CHAOS_VISIBILITY": "2",
        "SENDCODE_READ_TIMEOUT": "8",
        "SENDCODE_LEASE_SECONDS": "23",
        "SENDCODE_LOG_LEVEL": "debug",
    }
    with World(
        rig, "broker-visibility", workers=2, command=CHAOS_WORKER, settings=settings
    ) as world:
        world.sandbox.order(delay_ms=SLOW_MS)
        world.run_load(6, size.of(200, 24))
        world.until(lambda: world.load is not None and world.load.full, 120)
        world.pause(SLOW_MS / 1000 + 1)
        seen = _taken_again(world)
        world.injected = seen
        conclude(world, made)
        calls = world.rows("SELECT sum(tries) AS tries, count(*) AS n FROM deliveries")[0]
        if calls["tries"] != calls["n"]:
            made.fail(f"{calls['tries']} claims of {calls['n']} deliveries")
        if not seen:
            made.fail("no message was given out a second time, so nothing was tried")


def _taken_again(world: World) -> int:
    """How many messages Celery gave out although they were being worked on."""
    return sum(part.log.read_text().count('"job.discarded"') for part in world.named("worker"))
