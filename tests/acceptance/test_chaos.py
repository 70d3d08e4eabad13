"""Break everything, a few times each: `./dev chaos` is the long form of the same rows."""

import re
import subprocess
import sys

import pytest

from tests.acceptance.running import plain_environment
from tests.chaos.__main__ import ALL
from tests.servers import must_have_broker, must_have_postgres
from worker.embedded.postgres import GIVEN

SEED = "20261125"
# A group is one test, so that suites in several processes run each row once.
GROUPS = (
    ("together",),
    ("die-anywhere", "receipts", "broker-limits"),
    ("provider-cases", "workers-away", "broker-visibility"),
)
SHORT = [name for name, row in ALL.items() if "short" in row.forms]


def test_every_short_row_is_run() -> None:
    """No row of the short form is left out here."""
    assert sorted(SHORT) == sorted(name for group in GROUPS for name in group)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("group", GROUPS, ids="+".join)
def test_nothing_lost_nothing_twice_nothing_late(group: tuple[str, ...]) -> None:
    """While this is broken, every accepted start ends, once and in time, by all three records."""
    must_have_broker()
    must_have_postgres()
    env = {k: v for k, v in plain_environment().items() if k != GIVEN}
    command = [sys.executable, "-m", "tests.chaos", "--short", "--seed", SEED, "--only", *group]
    said = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    for name in group:
        found = re.search(rf"^\| `{name}` .* (\w+) \|$", said.stdout, re.MULTILINE)
        assert found, said.stdout + said.stderr
        assert found[1] == "holds", said.stdout
