"""One run of schemathesis, as a process of its own: its hooks and settings are global."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.running import Up

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Size:
    """
    :param phases: `coverage` takes every bound of every schema, `fuzzing` draws at random,
        `stateful` walks from what an answer names to what takes it
    :param examples: per operation and phase, at most
    """

    seed: int
    phases: str
    examples: int

    @staticmethod
    def long(seed: int) -> "Size":
        return Size(seed, "coverage,fuzzing,stateful", 60)


SHORT = Size(seed=1, phases="fuzzing", examples=4)


@dataclass(frozen=True)
class Found:
    """
    :param answers: how many by status
    :param links: how many of the document's were followed to a success, and how many it has
    :param passed: every check, for every answer
    """

    seed: int
    answers: dict[str, int]
    links: tuple[int, int]
    passed: bool
    said: str

    @property
    def requests(self) -> int:
        return sum(self.answers.values())


def run(up: Up, folder: Path, size: Size) -> Found:
    """Every operation of the document, with all checks and both kinds of data."""
    counted = folder / f"answers-{size.seed}.json"
    # One worker: Python 3.11 cannot parse its sources in two threads, as hypothesis does.
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis as s; s()"]
    command += ["--no-color", "run", f"{up.url}/openapi.json", "--auth", ":".join(up.credentials)]
    command += ["--checks", "all", "--mode", "all", "--phases", size.phases, "--workers", "1"]
    command += ["--request-timeout", "60"]  # a busy machine is slow, which is no fault
    command += ["--seed", str(size.seed), "--max-examples", str(size.examples)]
    command += ["--generation-database", "none", "--no-shrink", "--continue-on-failure"]
    ours = {"SCHEMATHESIS_HOOKS": "tests.fuzz.hooks", "PYTHONPATH": str(ROOT)}
    environment = up.plain | ours | {"SENDCODE_TEST_ANSWERS": str(counted)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    said = f"{done.stdout}\n{done.stderr}"
    assert counted.exists(), said
    told = json.loads(counted.read_text())
    (links,) = told["links"] or [(0, 0)]
    return Found(size.seed, told["answers"], tuple(links), done.returncode == 0, said)
