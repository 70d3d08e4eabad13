"""A PostgreSQL server that is killed and comes back."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from worker.embedded.broker import free_port
from worker.embedded.postgres import USER, Postgres
from worker.embedded.postgres_binaries import find_binaries, other_user, reachable
from worker.embedded.processes import StartError, dies_with_parent, wait_for


class PostgresServer(Postgres):
    """A PostgreSQL server that may be killed and started again on its data.

    What is committed survives the death of every one of its processes; only the machine's own
    death would need fsync, and that is not played here.
    """

    OPTIONS = ("fsync=off", "synchronous_commit=on", "max_connections=200", "max_wal_size=2GB")

    def __init__(self) -> None:
        self._user = other_user()
        self.folder = Path(tempfile.mkdtemp(prefix="sc-chaos-pg-", dir="/tmp"))
        if self._user:
            shutil.chown(self.folder, self._user["user"], self._user["group"])
        self._binaries = reachable(find_binaries(), self.folder)
        self.port = free_port()
        super().__init__(f"postgresql+psycopg://{USER}@127.0.0.1:{self.port}")
        self._process: subprocess.Popen[bytes] | None = None
        initdb: list[str | Path] = [self._binaries / "initdb", "-D", self._data, "-U", USER]
        subprocess.run(
            [*initdb, "-E", "UTF8", "-N", "--no-locale", "--auth=trust"],
            cwd=self.folder,
            capture_output=True,
            check=True,
            **self._user,
        )
        self.start()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        """Start it and wait; a killed one's last children may hold its memory for a moment.

        :raises StartError: it does not answer within 30 s
        """
        end = time.monotonic() + 30
        while time.monotonic() < end:
            self.launch()
            if wait_for(lambda: not self.alive or self.answers(), 20) and self.alive:
                return
            time.sleep(0.2)
        raise StartError("postgres did not start")

    def launch(self) -> None:
        """Start it without waiting."""
        command: list[str | Path] = [self._binaries / "postgres", "-D", self._data]
        command += ["-p", str(self.port)]
        sockets = f"unix_socket_directories={self.folder}"
        for option in (*self.OPTIONS, "listen_addresses=127.0.0.1", sockets):
            command += ["-c", option]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=dies_with_parent(signal.SIGQUIT),
                **self._user,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def look(self) -> None:
        if not self.alive:
            self.launch()

    def kill9(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill9()
        shutil.rmtree(self.folder, ignore_errors=True)


def own_process_ids(pid: int) -> list[int]:
    """The process and its children, from /proc; for signals that must reach all of a server."""
    found = [pid]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            if parent == pid:
                found.append(int(entry.name))
    return [found_pid for found_pid in found if os.path.exists(f"/proc/{found_pid}")]
