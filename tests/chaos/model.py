"""Random steps of everybody, with kills at every border, against the plain model: many of them.

`./dev test` takes 10,000 steps of the same test.
"""

import os
import subprocess
import sys
from pathlib import Path

from tests.chaos.report import Outcome
from tests.chaos.rig import Rig
from tests.chaos.rows import LONG, Size, row

ROOT = Path(__file__).parents[2]
TEST = "tests/integration/model/test_model.py"
STEPS = "SENDCODE_TEST_MODEL_STEPS"
TAIL = 40  # lines of pytest's that are shown when it fails


@row("model", "100,000 random steps and kills against a plain model", forms=LONG)
def model(rig: Rig, size: Size, made: Outcome) -> None:
    """Its own servers, and its own limit of time, which grows with the steps."""
    steps = size.of(100_000, 2_000)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", TEST]
    env = {**os.environ, STEPS: str(steps)}
    done = subprocess.run(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    made.note = f"{steps} steps"
    if done.returncode or "1 passed" not in done.stdout:
        end = "\n".join(done.stdout.splitlines()[-TAIL:])
        made.fail(f"the model test ended with {done.returncode}:\n{end}")
