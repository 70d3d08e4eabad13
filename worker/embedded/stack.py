"""The processes of `./dev up`: their environment, commands, readiness and order of stopping."""

import http.client
import os
import sys
from collections.abc import Callable

from worker.embedded.broker import Broker
from worker.embedded.home import Home
from worker.embedded.processes import MARK, Spec

PYTHON = (sys.executable, "-P", "-m")
SENDER = "+442079460018"  # a number set aside for fiction


class Stack:
    """One machine's processes on one data folder.

    :param broker: None when `SENDCODE_BROKER_URL` names one
    """

    def __init__(self, home: Home, port: int, sandbox_port: int, broker: Broker | None) -> None:
        self.home, self.port, self.sandbox_port, self.broker = home, port, sandbox_port, broker
        self.url = f"http://127.0.0.1:{port}"
        self._database = home.root / "sendcode.db"
        self.database_is_new = (
            not self._database.exists() and "SENDCODE_DATABASE_URL" not in _given()
        )
        self.env = self._environment()

    @property
    def sandbox(self) -> Spec:
        command = (
            *(*PYTHON, "uvicorn", "api_stub.sandbox.app:create_app", "--factory"),
            *("--host", "127.0.0.1", "--port", str(self.sandbox_port)),
            *("--no-access-log", "--timeout-graceful-shutdown", "1"),  # its queries name numbers
            *("--timeout-keep-alive", "130"),
        )
        ready = _answers(self.sandbox_port, "/sandbox/livez")
        return Spec("sandbox", command, self.env, ready, stop_by=8.5)

    @property
    def api(self) -> Spec:
        command = (*PYTHON, "worker.cli", "api", "--host", "127.0.0.1", "--port", str(self.port))
        return Spec("api", command, self.env, _answers(self.port, "/readyz"), stop_by=2.0)

    @property
    def relay(self) -> Spec:
        return self._quiet("relay", stop_by=3.0)

    @property
    def worker(self) -> Spec:
        return self._quiet("worker", stop_by=7.5)

    def _quiet(self, name: str, stop_by: float) -> Spec:
        """A process without a port: it touches a file when it is ready."""
        file = self.home.run / f"{name}.ready"
        env = self.env | {"SENDCODE_READY_FILE": str(file)}
        return Spec(name, (*PYTHON, "worker.cli", name), env, lambda pid: file.exists(), stop_by)

    @property
    def settings(self) -> dict[str, str]:
        """The settings of its processes; a command with them is none of them."""
        return {
            name: value
            for name, value in self.env.items()
            if name.startswith("SENDCODE_") and name not in (MARK, "SENDCODE_HOME")
        }

    def _environment(self) -> dict[str, str]:
        """The user's environment, under what this folder decides."""
        public, secret = self.home.public, self.home.secret
        ours = {
            MARK: str(self.home.root),
            "SENDCODE_ACCOUNT_SID": public["SENDCODE_ACCOUNT_SID"],
            "SENDCODE_AUTH_TOKEN": public["SENDCODE_AUTH_TOKEN"],
            "SENDCODE_PUBLIC_URL": self.url,
            "SENDCODE_PROVIDER": "sandbox",
            "SENDCODE_SANDBOX_URL": f"http://127.0.0.1:{self.sandbox_port}",
            "SENDCODE_SANDBOX_DB": str(self.home.root / "sandbox.db"),
            "SENDCODE_TWILIO_BASE_URL": "",
            "SENDCODE_TWILIO_ACCOUNT_SID": secret["SENDCODE_TWILIO_ACCOUNT_SID"],
            "SENDCODE_TWILIO_AUTH_TOKEN": secret["SENDCODE_TWILIO_AUTH_TOKEN"],
            "SENDCODE_TWILIO_FROM": SENDER,
        }
        defaults = {
            "SENDCODE_DATABASE_URL": f"sqlite:///{self._database}",
            "SENDCODE_SECRET_KEYS": secret["SENDCODE_SECRET_KEYS"],
            # Fictional numbers are all neighbours, and what the sandbox takes costs nothing.
            "SENDCODE_LIMIT_RANGE": "0",
            "SENDCODE_LIMIT_COUNTRY": "0",
        }
        if self.broker:
            ours["SENDCODE_BROKER_URL"] = self.broker.url
        ours |= {name: value for name, value in defaults.items() if name not in _given()}
        theirs = {k: v for k, v in os.environ.items() if k.removesuffix("_FILE") not in ours}
        return theirs | ours


def _given() -> set[str]:
    """The settings that the user's environment carries, as values or by file."""
    return {name.removesuffix("_FILE") for name, value in os.environ.items() if value}


def _answers(port: int, path: str) -> Callable[[int], bool]:
    def ask(pid: int) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ask
