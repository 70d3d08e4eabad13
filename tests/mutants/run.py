"""usage: ./dev mutants [NAME ...]

Takes each guard out of a copy of the code and runs the tests that say they need it. A mutant of
which one test does not fail has survived: the exit code is then 1. A test whose servers did not
start, or that took too long, has not failed. First the tests must pass in an unchanged copy, or the
exit code is 2.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from queue import Queue

from tests.mutants.table import MUTANTS
from tests.mutants.words import Mutant

ROOT = Path(__file__).parents[2]
COPIED = ("worker", "api_stub", "tests", "docs", "pyproject.toml", "README.md")
AT_ONCE = 2
PASSED, FAILED = 0, 1  # pytest's words; others mean that it could not run the tests
UNDECIDED = -1


def mutated(mutant: Mutant, root: Path) -> str:
    """The file's text with the guard taken out.

    :raises ValueError: the old text does not stand there exactly once
    """
    text = (root / mutant.file).read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: stands {text.count(mutant.old)} times in {mutant.file}")
    return text.replace(mutant.old, mutant.new)


def caught(mutant: Mutant, copies: Queue[Path]) -> list[bool]:
    """Of each test of the mutant whether it failed, as it should.

    :param copies: those that nobody uses now. They are kept, so that a mutant has one module to
        compile and not all of them.
    """
    copy = copies.get()
    try:
        (copy / mutant.file).write_text(mutated(mutant, ROOT))
        return [run(copy, test) == FAILED for test in mutant.tests]
    finally:
        shutil.copy2(ROOT / mutant.file, copy / mutant.file)
        copies.put(copy)


@contextmanager
def copied() -> Iterator[Path]:
    """A folder with what the tests need."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        for name in COPIED:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, Path(folder, name), ignore=ignored)
            else:
                shutil.copy(ROOT / name, Path(folder, name))
        yield Path(folder)


def run(copy: Path, *tests: str) -> int:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=short", *tests]
    # What the model finds need not be cut down to its shortest form.
    environment = {**os.environ, "PYTHONPATH": str(copy), "SENDCODE_TEST_MODEL_RAW": "1"}
    done = subprocess.run(command, cwd=copy, env=environment, stdout=subprocess.PIPE, check=False)
    said = done.stdout.decode(errors="replace")
    verdict = done.returncode if done.returncode != FAILED or judged(said) else UNDECIDED
    if verdict not in (PASSED, FAILED) or (verdict and len(tests) > 1):
        print(said)
    return verdict


def judged(said: str) -> bool:
    """Whether it is a test's word, and not a busy machine's."""
    return "\nFAILED " in said and "from pytest-timeout" not in said


def main(names: list[str]) -> int:
    unknown = set(names) - {mutant.name for mutant in MUTANTS}
    if unknown:
        print(f"no such mutant: {', '.join(sorted(unknown))}")
        return 2
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    for mutant in chosen:
        mutated(mutant, ROOT)  # all of them can be made, before the first one is
    copies: Queue[Path] = Queue()
    with ExitStack() as stack:
        for _ in range(AT_ONCE):
            copies.put(stack.enter_context(copied()))
        return verdicts(chosen, copies)


def verdicts(chosen: list[Mutant], copies: Queue[Path]) -> int:
    """
    :returns: the exit code
    """
    copy = copies.get()
    if run(copy, *sorted({test for mutant in chosen for test in mutant.tests})) != PASSED:
        print("the tests fail with every guard in its place: nothing can be said")
        return 2
    copies.put(copy)
    survived = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(partial(caught, copies=copies), chosen)
        for mutant, verdict in zip(chosen, found, strict=True):
            survived += not all(verdict)
            for test, failed in zip(mutant.tests, verdict, strict=True):
                word, name = "caught" if failed else "SURVIVED", test.rpartition("::")[2]
                print(f"{word:8}  {mutant.name:42}  {name}", flush=True)
    print(f"{len(chosen)} mutants, {survived} survived")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
