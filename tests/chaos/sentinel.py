"""A master, a replica and three sentinels; the master is killed and the replica takes over."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import redis

from tests.chaos.parts import Part
from tests.chaos.report import Outcome
from tests.chaos.rig import Rig
from tests.chaos.rows import LONG, NotRunError, Size, conclude, row
from tests.chaos.world import World
from worker.embedded.broker import find_binary, free_port
from worker.settings import Settings

MASTER = "sendcode"
SENTINELS = 3
QUORUM = 2
SERVER = """\
bind 127.0.0.1
port {port}
dir {folder}
appendonly yes
save ""
maxmemory-policy noeviction
repl-diskless-sync-delay 0
"""
WATCHER = """\
bind 127.0.0.1
port {port}
dir {folder}
sentinel monitor {master} 127.0.0.1 {watched} {quorum}
sentinel down-after-milliseconds {master} 2000
sentinel failover-timeout {master} 3000
"""
RATE = 15
CONSUMES_WITHIN = 20.0  # seconds after the master's death


class Group:
    """Two servers and their sentinels, without passwords, on loopback ports."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._binary = folder, find_binary()
        self.servers = [self._server(f"server{n}") for n in range(2)]
        first, second = self.servers
        first[1].start()
        first[1].wait()
        second[1].start()
        second[1].wait()
        _at(second[0]).replicaof("127.0.0.1", first[0])
        self.watchers = [self._watcher(f"sentinel{n}", first[0]) for n in range(SENTINELS)]
        for _, part in self.watchers:
            part.start()
        for _, part in self.watchers:
            part.wait()

    @property
    def url(self) -> str:
        return ";".join(f"sentinel://127.0.0.1:{port}/0" for port, _ in self.watchers)

    def master(self) -> int | None:
        """The port of the master, as most sentinels see it; None while they do not agree."""
        told = []
        for port, _ in self.watchers:
            with suppress(redis.RedisError, TypeError):
                found: Any = _at(port).sentinel_get_master_addr_by_name(MASTER)
                told.append(int(found[1]))
        return next((port for port in told if told.count(port) >= QUORUM), None)

    def is_whole(self) -> bool:
        """Whether the master has its replica, so that it may be killed."""
        port = self.master()
        with suppress(redis.RedisError):
            return port is not None and _at(port).info("replication")["connected_slaves"] == 1
        return False

    def close(self) -> None:
        for _, part in [*self.servers, *self.watchers]:
            part.keep = False
            part.signal(signal.SIGKILL)

    def _server(self, name: str) -> tuple[int, Part]:
        return self._part(name, SERVER, ())

    def _watcher(self, name: str, watched: int) -> tuple[int, Part]:
        return self._part(name, WATCHER, ("--sentinel",), watched=watched)

    def _part(
        self, name: str, template: str, options: tuple[str, ...], **values: int
    ) -> tuple[int, Part]:
        port, folder = free_port(), self._folder / name
        folder.mkdir(parents=True)
        file = folder / "conf"
        known = {"port": port, "folder": folder, "master": MASTER, "quorum": QUORUM}
        file.write_text(template.format(**known, **values))
        command = (str(self._binary), str(file), *options)
        return port, Part(name, command, {}, self._folder, lambda: _pings(port))


def _at(port: int) -> "redis.Redis":
    return redis.Redis(port=port, socket_timeout=2)


def _pings(port: int) -> bool:
    try:
        return bool(_at(port).ping())
    except redis.RedisError:
        return False


@contextmanager
def _group(folder: Path) -> Iterator[Group]:
    made = Group(folder)
    try:
        yield made
    finally:
        made.close()


@row("sentinel", "the master of a Sentinel group killed, the replica takes over", forms=LONG)
def sentinel(rig: Rig, size: Size, made: Outcome) -> None:
    if "broker_master" not in Settings.model_fields:
        raise NotRunError("this version has no setting for a Sentinel group yet")
    with _group(rig.folder / "sentinel") as group:
        settings = {"SENDCODE_BROKER_URL": group.url, "SENDCODE_BROKER_MASTER": MASTER}
        with World(rig, "sentinel", workers=2, settings=settings) as world:
            world.run_load(RATE)
            world.pause(3)
            for _ in range(size.of(4, 1)):
                world.until(group.is_whole, 30)
                _fail_over(world, group, made)
                world.pause(15)
            conclude(world, made)
            made.note = f"from the master's death to the next hand-over: {made.note}"


def _fail_over(world: World, group: Group, made: Outcome) -> None:
    """kill -9 of the master; it comes back, as a replica, once another has taken over."""
    before, killed = group.master(), time.monotonic()
    part = dict(group.servers)[before or group.servers[0][0]]
    part.keep = False
    part.kill9()
    if not world.until(lambda: group.master() not in (None, before), 30):
        made.fail("the sentinels chose no other master")
    world.fault_over("a failover")
    part.start()
    chosen = time.time()
    world.until(lambda: world.sandbox.last_send() >= chosen, 2 * CONSUMES_WITHIN)
    took = time.monotonic() - killed
    made.note = f"{made.note} {took:.1f} s".lstrip()
    if took > CONSUMES_WITHIN:
        made.fail(f"consumed again {took:.1f} s after the master's death only")
