"""`sendcode` commands, each a process of its own with its own environment, input and output.

They are forked from one process that has imported the command line: to import it is most of what
a command costs, and the tests run hundreds.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

_LOCK = threading.Lock()
SECONDS = 60  # as long as a command may take


def run(
    words: Iterable[str], environment: Mapping[str, str], stdin: str = ""
) -> tuple[int, str, str]:
    """A command's exit code, output and errors."""
    with tempfile.TemporaryDirectory() as folder, _LOCK:
        files = [Path(folder, name) for name in ("stdin", "stdout", "stderr")]
        files[0].write_text(stdin)
        job = {"words": [*words], "env": dict(environment), "files": [*map(str, files)]}
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(job) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return code, files[1].read_text(), files[2].read_text()


@cache
def _server() -> "subprocess.Popen[str]":
    """It ends with its input, so with this process."""
    return subprocess.Popen(
        [sys.executable, "-P", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _serve() -> None:
    from worker.cli import main

    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(job)
            main(prog_name="sendcode")
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


def _become(job: Mapping[str, list[str]]) -> None:
    signal.alarm(SECONDS)
    os.environ.clear()
    os.environ.update(job["env"])
    sys.argv[1:] = job["words"]
    ways = (os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_WRONLY | os.O_CREAT)
    for target, (path, way) in enumerate(zip(job["files"], ways, strict=True)):
        os.dup2(os.open(path, way, 0o600), target)
    sys.stdin = os.fdopen(0)


if __name__ == "__main__":
    _serve()
