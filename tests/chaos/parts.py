"""Processes that are killed and come back: sendcode's own, and a PostgreSQL server."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from worker.embedded.broker import free_port
from worker.embedded.postgres import USER, Postgres
from worker.embedded.postgres_binaries import find_binaries, other_user, reachable
from worker.embedded.processes import Child, Spec, StartError, dies_with_parent, wait_for

PAUSE = 0.3  # seconds before a dead process is started again, as a supervisor would


class Part:
    """One process that is kept running while `keep` is true.

    :param ready: asked until it answers True, after a start that waits
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        folder: Path,
        ready: Callable[[], bool] | None = None,
    ) -> None:
        self.name, self.keep = name, True
        self.log = folder / f"{name}.log"
        self.mark = folder / f"{name}.ready"
        self.ready = ready or self.mark.exists
        self.lives = 0
        self._spec = Spec(
            name,
            command,
            {**env, "SENDCODE_READY_FILE": str(self.mark)},
            ready=lambda pid: self.ready(),
            death_signal=signal.SIGKILL,
        )
        self._child: Child | None = None
        self._again_at: float | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.ended() is None

    def start(self) -> None:
        self.keep, self._again_at = True, None
        self.mark.unlink(missing_ok=True)
        self._child = Child.start(self._spec, self.log)
        self.lives += 1

    def wait(self, seconds: float = 40) -> None:
        """Wait until it is ready.

        :raises StartError: it is not, with the end of its log
        """
        if not wait_for(lambda: self.ready() or not self.alive, seconds, 0.05) or not self.alive:
            raise StartError(f"{self.name} did not start:\n{self.tail()}")

    def look(self) -> None:
        """Start it again when it died, after a pause."""
        if self.alive or not self.keep:
            return
        now = time.monotonic()
        if self._again_at is None:
            self._again_at = now + PAUSE
        elif now >= self._again_at:
            self.start()

    def signal(self, number: signal.Signals) -> None:
        if self._child is not None:
            self._child.signal(number)

    def kill9(self) -> None:
        self.signal(signal.SIGKILL)
        assert self._child is not None
        self._child.wait(5)

    def stop(self, seconds: float = 10) -> bool:
        """SIGTERM, and no restart; whether it ended by itself within the time."""
        self.keep = False
        if self._child is None:
            return True
        self._child.signal(signal.SIGCONT)
        self._child.signal(signal.SIGTERM)
        ended = self._child.wait(seconds)
        self._child.kill()
        return ended

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""


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
