"""Break everything, a few times each: `./dev chaos` is the long form of the same rows."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.running import plain_environment
from tests.chaos.__main__ import ALL
from tests.servers import must_have_broker, must_have_postgres
from worker.embedded.postgres import GIVEN

SEED = "20261125"
# Run side by side, since most of a run is waiting.
GROUPS = (
    ("together",),
    ("die-anywhere", "receipts", "broker-limits"),
    ("provider-cases", "workers-away", "broker-visibility"),
)
SHORT = [name for name, row in ALL.items() if "short" in row.forms]

Runs = dict[str, "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def runs(folder: Path) -> Iterator[Runs]:
    """A process for each group, by the names of its rows."""
    must_have_broker()
    must_have_postgres()
    env = {k: v for k, v in plain_environment().items() if k != GIVEN}
    started: Runs = {}
    for group in GROUPS:
        command = [sys.executable, "-m", "tests.chaos", "--short", "--seed", SEED, "--only", *group]
        run = subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started |= dict.fromkeys(group, run)
    yield started
    for run in started.values():
        run.kill()


@pytest.fixture(scope="module")
def said() -> dict[int, str]:
    return {}


def test_every_short_row_is_run() -> None:
    """No row of the short form is left out here."""
    assert sorted(SHORT) == sorted(name for group in GROUPS for name in group)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SHORT)
def test_nothing_lost_nothing_twice_nothing_late(
    runs: Runs, said: dict[int, str], name: str
) -> None:
    """While this is broken, every accepted start ends, once and in time, by all three records."""
    run = runs[name]
    if run.pid not in said:
        said[run.pid] = run.communicate()[0]
    found = re.search(rf"^\| `{name}` .* (\w+) \|$", said[run.pid], re.MULTILINE)
    assert found, said[run.pid]
    assert found[1] == "holds", said[run.pid]
