"""Environments of their own for the SDKs, from the registries, as their lock files say.

They are kept in `.sdks/` under the lock's digest, so that a second run finds them made.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]
LOCKS = ROOT / "requirements" / "sdks"
KEPT = ROOT / ".sdks"
PYTHONS = ("authy", "twilio-6", "twilio-7", "twilio-8", "twilio-9")
NODES = ("node-authy", "node-authy-client", "node-twilio-4", "node-twilio-5", "node-twilio-6")
AXE = "node-axe"
NPM_CI = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")


class EnvironmentMissingError(Exception):
    """An environment cannot be made; the message says what is needed."""


def axe() -> str:
    """The script of axe-core, which finds what keeps people from using a page.

    :raises EnvironmentMissingError: npm is missing, or its registry was not reached
    """
    KEPT.mkdir(exist_ok=True)
    return (_made(AXE) / "node_modules" / "axe-core" / "axe.min.js").read_text()


class Environments:
    """Makes all of them side by side, while the tests of the first ones run already."""

    def __init__(self) -> None:
        KEPT.mkdir(exist_ok=True)
        self._pool = ThreadPoolExecutor(3)
        self._made = {name: self._pool.submit(_made, name) for name in (*PYTHONS, *NODES)}

    def folder(self, name: str) -> Path:
        """The folder of an environment that is made.

        :raises EnvironmentMissingError: a program is missing, or a registry was not reached
        """
        return self._made[name].result(timeout=300)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def command(folder: Path, driver: str) -> list[str]:
    """What runs a driver with the SDK of an environment."""
    script = Path(__file__).with_name(driver)
    if script.suffix == ".py":
        return [str(folder / "bin" / "python"), "-I", str(script)]
    return ["node", str(script), str(folder / "node_modules")]


def has_node() -> bool:
    return all(shutil.which(program) for program in ("node", "npm"))


def _made(name: str) -> Path:
    node = name in (*NODES, AXE)
    lock = LOCKS / name / "package-lock.json" if node else LOCKS / f"{name}.txt"
    digest = hashlib.sha256(lock.read_bytes() + str(sys.version_info[:2]).encode())
    folder = KEPT / f"{name}-{digest.hexdigest()[:12]}"
    with _alone(name):
        if not (folder / "made").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            _fill_node(name, folder) if node else _fill_python(lock, folder)
            (folder / "made").touch()
    return folder


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Several processes of one test run may want the same environment."""
    with (KEPT / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fill_python(lock: Path, folder: Path) -> None:
    python, uv = str(folder / "bin" / "python"), shutil.which("uv")
    wanted = ("--quiet", "--require-hashes", "-r", str(lock))
    if uv:
        _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
        _run(uv, "pip", "install", "--python", python, *wanted)
        return
    _run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    _run(*pip, "install", "--no-input", "--no-compile", *wanted)


def _fill_node(name: str, folder: Path) -> None:
    if not has_node():
        raise EnvironmentMissingError("node or npm is not on PATH")
    for file in (LOCKS / name).iterdir():
        shutil.copy(file, folder)
    _run("npm", *NPM_CI, where=folder)


def _run(*words: str, where: Path = ROOT) -> None:
    plain = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run(
        words, cwd=where, env=plain, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        raise EnvironmentMissingError(f"{' '.join(words[:4])} failed: {done.stderr[-1500:]}")
