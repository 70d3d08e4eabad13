"""usage: ./dev mutants [NAME ...]

Takes each guard out of a copy of the code and runs the tests that say they need it. A mutant whose
tests still pass has survived: the exit code is then 1.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.table import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
COPIED = ("worker", "api_stub", "tests", "docs", "pyproject.toml", "README.md")
AT_ONCE = 2
FAILED = 1  # pytest's word for "tests ran and some failed"


def mutated(mutant: Mutant, root: Path) -> str:
    """The file's text with the guard taken out.

    :raises ValueError: the old text does not stand there exactly once
    """
    text = (root / mutant.file).read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: stands {text.count(mutant.old)} times in {mutant.file}")
    return text.replace(mutant.old, mutant.new)


def verdicts(mutant: Mutant) -> Iterator[tuple[str, bool]]:
    """Each test of the mutant and whether it failed, as it should."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder)
        for name in COPIED:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, copy / name, ignore=ignored)
            else:
                shutil.copy(ROOT / name, copy / name)
        (copy / mutant.file).write_text(mutated(mutant, ROOT))
        for test in mutant.tests:
            yield test, _run(copy, test) == FAILED


def _run(copy: Path, test: str) -> int:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", test]
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, check=False)
    return done.returncode


def main(names: list[str]) -> int:
    unknown = set(names) - {mutant.name for mutant in MUTANTS}
    if unknown:
        print(f"no such mutant: {', '.join(sorted(unknown))}")
        return 2
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    for mutant in chosen:
        mutated(mutant, ROOT)  # all of them can be made, before the first one is
    survived = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for mutant, found in zip(
            chosen, pool.map(lambda m: list(verdicts(m)), chosen), strict=True
        ):
            for test, failed in found:
                survived += not failed
                name = test.rpartition("::")[2]
                word = "caught" if failed else "SURVIVED"
                print(f"{word:8}  {mutant.name:42}  {name}", flush=True)
    print(f"{len(chosen)} mutants, {survived} survived")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
