"""Pages are made in threads: making one looks at broker and database, which may take long."""

import ast
from pathlib import Path

import pytest

MODULES = sorted((Path(__file__).parents[2] / "api_stub" / "console").glob("*.py"))
BAD = """
def _form(): return page(1)
def _other(): return _form()
async def door(): return _other()
async def fine(): return await run_in_threadpool(_form)
async def direct(): return page(2)
"""


def on_the_loop(source: str) -> list[str]:
    """The coroutines that make a page themselves, or by another function of the module."""
    every = [one for one in ast.walk(ast.parse(source)) if _is_function(one)]
    making, before = {"page"}, 0
    while before != len(making):
        before = len(making)
        making |= {f.name for f in every if isinstance(f, ast.FunctionDef) and _calls(f) & making}
    return [f.name for f in every if isinstance(f, ast.AsyncFunctionDef) and _calls(f) & making]


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _calls(function: ast.AST) -> set[str]:
    """The names of what it calls."""
    calls = [one.func for one in ast.walk(function) if isinstance(one, ast.Call)]
    return {one.id for one in calls if isinstance(one, ast.Name)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_no_page_is_made_on_the_loop(path: Path) -> None:
    """No coroutine of the console makes a page; a thread does."""
    assert on_the_loop(path.read_text()) == []


def test_a_page_on_the_loop_is_found() -> None:
    """The test above can fail."""
    assert on_the_loop(BAD) == ["door", "direct"]
