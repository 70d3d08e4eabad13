"""The table of mutants fits the code and the tests, so that `./dev mutants` can run."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.run import judged, mutated
from tests.mutants.table import MUTANTS
from tests.mutants.words import Mutant

ROOT = Path(__file__).parents[2]


def kills(function: ast.FunctionDef) -> set[str]:
    """The mutants that a test's marks name."""
    marks = [d for d in function.decorator_list if isinstance(d, ast.Call)]
    return {
        value.value
        for mark in marks
        if ast.unparse(mark.func) == "pytest.mark.kills"
        for value in mark.args
        if isinstance(value, ast.Constant)
    }


def marked() -> set[tuple[str, str]]:
    """Every mark in the tests: the test's node id and a mutant."""
    found = set()
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                where = f"{path.relative_to(ROOT)}::{node.name}"
                found |= {(where, name) for name in kills(node)}
    return found


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_can_be_made(mutant: Mutant) -> None:
    """What a mutant replaces stands once in its file, and what comes of it is still Python."""
    ast.parse(mutated(mutant, ROOT))
    assert mutant.tests


def test_every_mutant_has_a_name_of_its_own() -> None:
    """No two mutants share a name."""
    assert max(Counter(mutant.name for mutant in MUTANTS).values()) == 1


def test_marks_and_table_say_the_same() -> None:
    """A test that is marked for a mutant is in its row of the table, and the other way round."""
    listed = {(test.partition("[")[0], mutant.name) for mutant in MUTANTS for test in mutant.tests}
    assert marked() == listed


def test_only_a_tests_own_word_counts() -> None:
    """A test that took too long, or whose servers did not start, has not caught a mutant."""
    assert judged("1 failed\nFAILED tests/unit/test_x.py::test_y - assert 1 == 2\n")
    assert not judged("\nFAILED tests/x.py::y - Failed: Timeout (>120.0s) from pytest-timeout.\n")
    assert not judged("1 error\nERROR tests/unit/test_x.py::test_y - StartError: broker\n")
