"""What README.md says to type, typed as it stands there."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pyotp
import pytest

from tests.acceptance.running import Up
from tests.acceptance.sdks.environments import Environments
from tests.servers import missing

pytestmark = [
    pytest.mark.parametrize("up", ["sqlite"], indirect=True),
    pytest.mark.timeout(400),  # the environments are made once, from the registries
]

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text()
NUMBER = "+12025550123"
SECONDS = 90


def block(heading: str, nth: int = 0) -> str:
    """A block of code below a heading."""
    section = TEXT[TEXT.index(f"\n### {heading}\n") :]
    return re.findall(r"```(?:sh|python)\n(.*?)```", section, re.S)[nth]


def shell(up: Up, folder: Path, *blocks: str) -> str:
    """What the last of some blocks prints, each typed into the same shell where `./dev up` ran."""
    if shutil.which("curl") is None:
        missing("curl is not on PATH")
    here = folder / ".sendcode"
    if not here.exists():
        here.symlink_to(up.root)
    words = ["bash", "-euc", "\n".join(blocks)]
    done = subprocess.run(
        words,
        cwd=folder,
        env=up.plain,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Typed:
    """A program that asks, and is answered as a person would."""

    def __init__(self, up: Up, python: str, program: str, **more: str) -> None:
        self._process = subprocess.Popen(
            [python, "-I", "-u", "-c", program],
            env=up.plain | up.account | more,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout

    def line(self) -> str:
        return self._out.readline().strip()

    def answer(self, text: str) -> None:
        self._in.write(f"{text}\n")
        self._in.flush()

    def end(self) -> str:
        """What it printed until its end."""
        output, errors = self._process.communicate(timeout=SECONDS)
        assert self._process.returncode == 0, errors
        return output


def newest(up: Up) -> int:
    return int(next(iter(up.inbox(NUMBER)), {"id": 0})["id"])


def python_of(sdks: Environments, name: str) -> str:
    return str(sdks.folder(name) / "bin" / "python")


def test_a_code_is_sent_and_checked_with_curl(up: Up, tmp_path: Path) -> None:
    """The three commands send a code, read it, and tell a wrong one from the right one."""
    after = newest(up)
    send, read, check = block("Send a code"), block("Send a code", 1), block("Check it")
    settings = send.partition("\n\n")[0]
    assert json.loads(shell(up, tmp_path, send))["status"] == "pending"
    code = up.wait(NUMBER, after=after)["code"]
    assert json.loads(shell(up, tmp_path, settings, read))["to"] == NUMBER
    assert json.loads(shell(up, tmp_path, settings, check))["status"] in ("pending", "approved")
    right = check.replace("123456", code)
    assert json.loads(shell(up, tmp_path, settings, right))["status"] == "approved"


def test_the_twilio_sdk(up: Up, sdks: Environments) -> None:
    """The program asks for the code of its call, and prints that it was approved."""
    after = newest(up)
    program = Typed(up, python_of(sdks, "twilio-9"), block("The Twilio SDK"))
    message = up.wait(NUMBER, after=after)
    assert message["channel"] == "call"
    program.answer(message["code"])
    assert program.end().endswith("approved\n")


def test_code_for_authy(up: Up, sdks: Environments) -> None:
    """The program that was written for Authy asks for the code of its text, and takes it."""
    after = newest(up)
    program = Typed(up, python_of(sdks, "authy"), block("Code for Authy"))
    program.answer(up.wait(NUMBER, after=after)["code"])
    assert program.end().endswith("True\n")


def test_an_authenticator_app(up: Up, sdks: Environments) -> None:
    """An app is enrolled by its first code, and the next one signs in."""
    client = block("The Twilio SDK").partition("\n\nstarted")[0]
    program = Typed(up, python_of(sdks, "twilio-9"), f"{client}\n{block('Authenticator apps')}")
    app = pyotp.parse_uri(program.line())
    assert isinstance(app, pyotp.TOTP)
    now = int(time.time())
    program.answer(app.at(now))
    program.answer(app.at(now + 30))
    output = program.end()
    assert re.findall(r"verified|approved", output) == ["verified", "approved"]


def test_celery(up: Up, tmp_path: Path) -> None:
    """A code that is enqueued with the broker that the text says where to find arrives."""
    after = newest(up)
    (export,) = re.findall(r"`(export BROKER_URL=.*?)`", TEXT)
    broker = shell(up, tmp_path, export, 'printf %s "$BROKER_URL"')
    Typed(up, sys.executable, block("Celery"), BROKER_URL=broker).end()
    assert up.wait(NUMBER, after=after)["channel"] == "sms"
