"""The processes of one row, that come back when they die."""

import signal
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.chaos.parts import Part
from worker.embedded.stack import PYTHON

WORKER = (*PYTHON, "worker.cli", "worker")

Each = Mapping[str, Mapping[str, str]]


def crew(
    folder: Path,
    env: Mapping[str, str],
    *,
    api: int,
    sandbox: int,
    workers: int,
    relays: int,
    command: tuple[str, ...],
    each: Each,
) -> dict[str, Part]:
    """The processes by their names (sandbox, api, relay1, …, worker1, …), not yet started.

    :param api: its port, as `sandbox`
    :param command: of a worker
    :param each: what only the process of a name has in its environment
    """
    serve = ("uvicorn", "api_stub.sandbox.app:create_app", "--factory", "--host", "127.0.0.1")
    commands: dict[str, tuple[str, ...]] = {
        "sandbox": (*PYTHON, *serve, "--port", str(sandbox), "--no-access-log"),
        "api": (*PYTHON, "worker.cli", "api", "--port", str(api)),
    }
    commands |= {f"relay{n + 1}": (*PYTHON, "worker.cli", "relay") for n in range(relays)}
    commands |= {f"worker{n + 1}": command for n in range(workers)}
    ready = {"sandbox": _answers(sandbox, "/sandbox/livez"), "api": _answers(api, "/readyz")}
    return {
        name: Part(name, argv, {**env, **each.get(name, {})}, folder, ready.get(name))
        for name, argv in commands.items()
    }


def start(parts: Mapping[str, Part]) -> None:
    """Start all and wait until they are ready."""
    for part in parts.values():
        part.start()
    for part in parts.values():
        part.wait()


def end(parts: Mapping[str, Part]) -> None:
    """kill -9 of all, also of stopped ones."""
    for part in parts.values():
        part.signal(signal.SIGCONT)
        part.keep = False
        part.signal(signal.SIGKILL)


def _answers(port: int, path: str) -> Callable[[], bool]:
    def ask() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=3) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    return ask
