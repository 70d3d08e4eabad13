import ast
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEV = ROOT / "dev"


def dev(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, DEV, *arguments], capture_output=True, text=True, check=False, timeout=20
    )


def test_old_python_can_read_it() -> None:
    """A Python as old as 3.6 parses the script, so that it can say in one line what is needed."""
    ast.parse(DEV.read_text(), feature_version=(3, 6))


def test_imports_standard_library_only() -> None:
    """The script needs nothing installed: every import is of the standard library."""
    tree = ast.parse(DEV.read_text())
    names = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    assert names
    assert names <= sys.stdlib_module_names
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]


def test_help_names_every_command() -> None:
    """`./dev help` exits with 0 and names every command."""
    done = dev("help")
    assert done.returncode == 0
    words = ("up", "cli", "test", "mutants", "bench", "chaos", "shots", "lock")
    assert all(f"\n  {word} " in done.stdout for word in words)


def test_unknown_words_are_refused_in_one_line() -> None:
    """An unknown command or test part ends with a non-zero exit and one line."""
    for words in (("upp",), ("test", "units")):
        done = dev(*words)
        assert done.returncode == 1
        assert re.fullmatch(r"dev: no such .*\n", done.stderr)


def test_missing_venv_module_is_one_line(tmp_path: Path) -> None:
    """Without the venv module and without uv, one line says what to install."""
    copy = tmp_path / "dev"
    copy.write_text(DEV.read_text())
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "dev.txt").touch()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "ensurepip.py").write_text("raise ImportError")
    done = subprocess.run(
        [sys.executable, copy, "test", "unit"],
        env={"PATH": str(tmp_path), "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 1
    assert re.fullmatch(r"dev: .*install its venv package.*\n", done.stderr)


def test_too_old_python_is_one_line(tmp_path: Path) -> None:
    """On an old Python with no newer one on PATH, one line names the version that is needed."""
    copy = tmp_path / "dev"
    copy.write_text(DEV.read_text().replace("OLDEST = (3, 11)", "OLDEST = (99, 0)"))
    done = subprocess.run(
        [sys.executable, copy, "up"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 1
    assert re.fullmatch(r"dev: this is Python .* 3\.11 or later is needed.*\n", done.stderr)


def test_is_a_program() -> None:
    """`dev` and `.ci/run` can be run as they are, and `.ci/run` calls `./dev test`."""
    run = ROOT / ".ci" / "run"
    for path in (DEV, run):
        assert os.stat(path).st_mode & stat.S_IXUSR
    assert "set -euo pipefail" in run.read_text()
    assert "exec ./dev test" in run.read_text()


def test_cli_says_what_it_needs(tmp_path: Path) -> None:
    """`./dev cli` for a folder in which nothing was started yet names the way there."""
    done = subprocess.run(
        [sys.executable, DEV, "cli", "status"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        env={**os.environ, "SENDCODE_HOME": str(tmp_path)},
    )
    assert done.returncode == 1
    assert "run ./dev up first" in done.stderr
