"""The data folder of `./dev up`: made once, kept, readable by its owner alone."""

import base64
import os
import secrets
from functools import cached_property
from pathlib import Path

DEFAULT = ".sendcode"
PUBLIC = (
    "SENDCODE_URL",
    "SENDCODE_ACCOUNT_SID",
    "SENDCODE_AUTH_TOKEN",
    "SENDCODE_SERVICE_SID",
    "SENDCODE_AUTHY_API_KEY",
)
SECRET = ("SENDCODE_SECRET_KEYS", "SENDCODE_TWILIO_ACCOUNT_SID", "SENDCODE_TWILIO_AUTH_TOKEN")


def write_private(path: Path, text: str) -> None:
    """Replace a file as a whole, mode 0600 from its first byte."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)


class Home:
    """Paths and credentials of one data folder; the credentials are made when first asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()
        for folder in (self.root, self.run, self.log):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @classmethod
    def default(cls) -> "Home":
        return cls(Path(os.environ.get("SENDCODE_HOME") or DEFAULT))

    @cached_property
    def public(self) -> dict[str, str]:
        """What a client needs: `dev.env`."""
        return self._kept("dev.env", PUBLIC)

    @cached_property
    def secret(self) -> dict[str, str]:
        """What only our own processes need: `secrets.env`."""
        return self._kept("secrets.env", SECRET)

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def log(self) -> Path:
        return self.root / "log"

    def pid_file(self, name: str) -> Path:
        return self.run / f"{name}.pid"

    def log_file(self, name: str) -> Path:
        return self.log / f"{name}.log"

    def publish(self, **values: str) -> None:
        """Change values of `dev.env`, such as `SENDCODE_URL`."""
        self.public.update(values)
        write_private(self.root / "dev.env", _lines(self.public))

    def keep_settings(self, values: dict[str, str]) -> None:
        """Write down with which settings the processes run, for commands beside them."""
        write_private(self.root / "settings.env", _lines(values))

    def _kept(self, name: str, wanted: tuple[str, ...]) -> dict[str, str]:
        path = self.root / name
        found = _read(path)
        values = {key: found.get(key) or _made(key) for key in wanted}
        if values != found:
            write_private(path, _lines(values))
        path.chmod(0o600)
        return values


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {key: value for key, _, value in pairs}


def _lines(values: dict[str, str]) -> str:
    return "".join(f"{key}={value}\n" for key, value in values.items())


def _made(key: str) -> str:
    if key.endswith("ACCOUNT_SID"):
        return f"AC{secrets.token_hex(16)}"
    if key.endswith("AUTH_TOKEN"):
        return secrets.token_hex(16)
    if key == "SENDCODE_SECRET_KEYS":
        return f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}"
    return ""  # the URL, the service and its Authy key come later
