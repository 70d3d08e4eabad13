"""Metrics, rules and their tests, held to promtool where it is on PATH: `python -m tests.promtool`.

Debian's package `prometheus` has it. Without it a line says what was not checked, and that is all.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import REGISTRY, Metric

from worker import gauges, metrics

ALERTS = Path(__file__).parents[1] / "docs" / "alerts"
ENDINGS = {
    "counter": ["_total"],
    "gauge": [""],
    "histogram": ['_bucket{le="+Inf"}', "_sum", "_count"],
}
STEPS = {
    "check metrics": [],
    "check rules": [str(ALERTS / "sendcode.rules.yml")],
    "test rules": [str(ALERTS / "sendcode.test.yml")],
}


def families() -> list[Metric]:
    """Everything that sendcode shows to Prometheus, without the library's own."""
    assert metrics
    every = [*REGISTRY.collect(), *gauges.families().values()]
    return [family for family in every if family.name.startswith("sendcode_")]


def names() -> set[str]:
    """The names of all series, without labels."""
    return {name.partition("{")[0] for family in families() for name in _series(family)}


def exposition() -> str:
    """One sample of each series: promtool leaves out families that have none."""
    return "".join(
        f"# HELP {head} {family.documentation}\n# TYPE {head} {family.type}\n"
        + "".join(f"{name} 1\n" for name in _series(family))
        for family in families()
        for head in [family.name + ("_total" if family.type == "counter" else "")]
    )


def _series(family: Metric) -> Iterable[str]:
    return [family.name + ending for ending in ENDINGS[family.type]]


def main() -> int:
    promtool = shutil.which("promtool")
    if promtool is None:
        sys.stdout.write(
            "promtool is not on PATH: metrics and alert rules are not checked by it"
            " (Debian, Ubuntu: apt-get install prometheus)\n"
        )
        return 0
    failed = 0
    for words, files in STEPS.items():
        command = [promtool, *words.split(), *files]
        failed |= subprocess.run(command, input=exposition(), text=True, check=False).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main())
