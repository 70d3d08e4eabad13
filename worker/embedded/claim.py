"""One supervisor per data folder: the lock, and what a killed supervisor left behind."""

import fcntl
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from worker.embedded.processes import MARK, Child, StartError

PATIENCE = 3.0


def claim(path: Path, about: str) -> int:
    """Hold the lock file while the returned descriptor is open.

    :param about: what the next one is told, such as our URL
    :raises StartError: another process holds it
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(descriptor, 500).decode(errors="replace").strip()
        os.close(descriptor)
        raise StartError(f"already running {holder}") from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"(pid {os.getpid()}) at {about}\n".encode())
    return descriptor


def stop_leftovers(pid_files: Path, root: Path, adopted: int | None = None) -> None:
    """Stop the processes named by the pid files that carry the mark of `root`, but the adopted."""
    left = []
    for path in pid_files.glob("*.pid"):
        pid = read_pid(path)
        if pid is not None and pid != adopted and is_ours(pid, root):
            left.append(Child(pid))
        path.unlink(missing_ok=True)
    for child in left:
        child.signal(signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    for child in left:
        if not child.wait(deadline - time.monotonic()):
            child.kill()


def is_ours(pid: int, root: Path) -> bool:
    """Whether the process carries this data folder's mark: a recycled pid does not."""
    mark = f"{MARK}={root}"
    with suppress(OSError):
        return mark.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    command = ["ps", "eww", "-o", "command=", "-p", str(pid)]
    with suppress(OSError):
        shown = subprocess.run(command, capture_output=True, check=False).stdout  # noqa: S603
        return f" {mark} " in f" {shown.decode(errors='replace').strip()} "
    return False


def read_pid(path: Path) -> int | None:
    """The pid in a file, or None."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
