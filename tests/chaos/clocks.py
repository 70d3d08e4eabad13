"""The clock of one process is wrong. The database's clock is the one that counts, and is right.

`libfaketime` is preloaded: Debian's package `faketime`, or the file in `CHAOS_FAKETIME`.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.chaos.report import Outcome
from tests.chaos.rig import Rig
from tests.chaos.rows import LONG, NotRunError, Size, conclude, row
from tests.chaos.world import World

RATE = 15
LIFE = 60
SLACK = 3.0  # seconds
PARTS = ("worker1", "api", "relay1")
CLOCK = "clock"


def library() -> str:
    """The library to preload.

    :raises NotRunError: none on this machine
    """
    named = os.environ.get("CHAOS_FAKETIME", "")
    found = [named] if named else map(str, Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    for path in found:
        if Path(path).exists():
            return path
    raise NotRunError("no libfaketime: install Debian's package faketime")


def _clock(folder: Path, name: str) -> dict[str, str]:
    return {
        "LD_PRELOAD": library(),
        "FAKETIME_TIMESTAMP_FILE": str(folder / f"{name}.clock"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def _set(folder: Path, name: str, offset: str) -> None:
    draft = folder / f"{name}.clock.new"
    draft.write_text(f"{offset}\n")
    draft.replace(folder / f"{name}.clock")


def _shows(clock: dict[str, str]) -> float:
    """How far off the clock is of a process that has this one, in seconds."""
    command = [sys.executable, "-S", "-c", "import time; print(time.time())"]
    began = time.time()
    told = subprocess.run(command, env=clock, capture_output=True, text=True, check=True).stdout
    return float(told) - (began + time.time()) / 2


def _wrong(rig: Rig, made: Outcome, name: str, offsets: tuple[str, ...]) -> None:
    """Each process in turn has each offset, and is right again afterwards."""
    folder = rig.folder / f"{name}-clocks"
    folder.mkdir()
    for part in PARTS:
        _set(folder, part, "+0")
    each = {part: _clock(folder, part) for part in PARTS}
    with World(rig, name, workers=2, life=LIFE, each=each) as world:
        world.run_load(RATE)
        world.pause(2)
        for part in PARTS:
            for offset in offsets:
                _set(folder, part, offset)
                shown = _shows(each[part])
                world.demand(abs(shown - float(offset)) < SLACK, f"a clock {shown:.1f} s off")
                world.pause(15)
                _set(folder, part, "+0")
                world.fault_over(f"a clock of {part} at {offset} s")
                world.pause(5)
        conclude(world, made, slack=SLACK)


@row("clock-3s", "clock of worker, api, relay 3 s off, either way", forms=LONG)
def three_seconds(rig: Rig, size: Size, made: Outcome) -> None:
    _wrong(rig, made, "clock-3s", ("+3", "-3"))


@row("clock-5min", "clock of worker, api, relay jumps by 5 min, either way", forms=LONG)
def five_minutes(rig: Rig, size: Size, made: Outcome) -> None:
    _wrong(rig, made, "clock-5min", ("+300", "-300"))
