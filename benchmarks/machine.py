"""What the machine is, and the CPU time of process trees, from /proc."""

import json
import os
import platform
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def _processes() -> dict[int, tuple[int, float]]:
    """Of each process: its parent, and its CPU seconds with those of its ended children."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found[int(entry.name)] = (int(fields[1]), sum(map(int, fields[11:15])) / _TICK)
    return found


def parent(pid: int) -> int:
    return _processes()[pid][0]


class Meter:
    """CPU seconds of named groups of processes, each with all its descendants.

    :param groups: root pids by name
    """

    def __init__(self, groups: Mapping[str, Iterable[int]]) -> None:
        self._groups = {name: list(pids) for name, pids in groups.items()}

    def read(self) -> dict[str, float]:
        """Seconds since each group began, and `machine`: what all processes used."""
        processes = _processes()
        children: dict[int, list[int]] = {}
        for pid, (its_parent, _) in processes.items():
            children.setdefault(its_parent, []).append(pid)

        def tree(pid: int) -> float:
            own = processes[pid][1] if pid in processes else 0.0
            return own + sum(map(tree, children.get(pid, [])))

        seconds = {name: sum(map(tree, pids)) for name, pids in self._groups.items()}
        busy = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]))
        seconds["machine"] = (sum(busy[:8]) - busy[3] - busy[4]) / _TICK
        return seconds


def used(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """CPU seconds between two readings."""
    return {name: after[name] - before[name] for name in after}


def calibrate() -> float:
    """CPU seconds of a fixed piece of Python: how slow the machine is at this moment."""
    begun = time.process_time()
    for number in range(20_000):
        json.loads(json.dumps({"a": [number] * 10, "b": {str(number): "text" * 10}}))
    return time.process_time() - begun


def cpu_model() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1].strip() if found else platform.processor() or platform.machine()


def cores() -> int:
    return len(os.sched_getaffinity(0))
