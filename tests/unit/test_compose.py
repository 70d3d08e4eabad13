"""docker-compose.yml is parsed and held to its promises; no container runs here."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from tests.unit.test_settings import COMPLETE
from worker.cli import main
from worker.settings import load

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if one["image"].startswith("sendcode:")}
ONCE = {"migrate"}  # runs to its end; the others wait for that
SECRET_WORDS = ("PASSWORD", "TOKEN", "KEYS", "DATABASE_URL", "BROKER_URL", "SECRET")
ENV_FILE = {  # what docs/deploy.md writes into .env
    "SENDCODE_PUBLIC_URL": "https://codes.example.com",
    "SENDCODE_ACCOUNT_SID": COMPLETE["account_sid"],
    "SENDCODE_TWILIO_ACCOUNT_SID": COMPLETE["twilio_account_sid"],
    "SENDCODE_TWILIO_FROM": COMPLETE["twilio_from"],
}


def seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text.removesuffix("s"))


def words(test: list[str]) -> list[str]:
    return shlex.split(test[1]) if test[0] == "CMD-SHELL" else test[1:]


def is_command(arguments: list[str]) -> bool:
    """Whether `sendcode` takes these arguments."""
    command: click.Command = main
    with click.Context(main) as context:
        while isinstance(command, click.Group):
            found = command.get_command(context, arguments[0])
            if found is None:
                return False
            command, arguments = found, arguments[1:]
        try:
            command.make_parser(context).parse_args(list(arguments))
        except click.UsageError:
            return False
    return True


def test_the_services() -> None:
    """The layout is the one the documentation describes."""
    assert set(SERVICES) == {"postgres", "valkey", "migrate", "api", "worker", "relay"}
    assert set(OURS) == {"migrate", "api", "worker", "relay"}


@pytest.mark.parametrize("name", SERVICES)
def test_it_is_looked_after(name: str) -> None:
    """A service that stays up has a health check and starts again; what runs once is waited for."""
    service = SERVICES[name]
    if name in ONCE:
        assert service["restart"] == "on-failure"
        waits = {"condition": "service_completed_successfully"}
        for other in OURS.keys() - ONCE:
            assert OURS[other]["depends_on"][name] == waits
        return
    assert service["restart"] == "unless-stopped"
    check = service["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert seconds(check["timeout"]) <= seconds(check["interval"])


@pytest.mark.parametrize("name", SERVICES)
def test_the_image_is_pinned(name: str) -> None:
    """An image names its version."""
    assert re.search(r":\d", SERVICES[name]["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_stands_in_the_file(name: str) -> None:
    """A secret comes by file: no value, no default, and no password inside an address."""
    for variable, value in SERVICES[name].get("environment", {}).items():
        if any(word in variable for word in SECRET_WORDS):
            assert variable.endswith("_FILE"), variable
            assert str(value).startswith("/run/secrets/"), variable
    for text in re.findall(r"\$\{[^}]*\}", (ROOT / "docker-compose.yml").read_text()):
        assert ":?" in text, f"{text} has a default"
    assert not re.search(r"://[^/\s]*:[^/\s]*@", str(SERVICES[name]))


@pytest.mark.parametrize("name", SERVICES)
def test_every_secret_is_declared_and_used(name: str) -> None:
    """What a service reads under /run/secrets it was given, from a file this stack declares."""
    given = set(SERVICES[name].get("secrets", []))
    assert given <= set(COMPOSE["secrets"])
    assert set(re.findall(r"/run/secrets/(\w+)", str(SERVICES[name]))) == given


def test_the_documentation_makes_every_secret() -> None:
    """The commands of docs/deploy.md write each secret file, and no other."""
    declared = {one["file"] for one in COMPOSE["secrets"].values()}
    made = set(re.findall(r"> (secrets/[\w]+)", (ROOT / "docs/deploy.md").read_text()))
    assert {f"./{file}" for file in made} == declared
    assert {one: f"./secrets/{one}" for one in COMPOSE["secrets"]} == {
        name: one["file"] for name, one in COMPOSE["secrets"].items()
    }


def test_the_worker_scales() -> None:
    """Nothing ties a worker to one name, port or host."""
    tied = {"container_name", "ports", "hostname", "network_mode", "volumes"}
    for name in ("worker", "relay"):
        assert not tied & set(SERVICES[name])


def test_work_in_flight_may_end() -> None:
    """A worker gets the time that a provider call and its record take."""
    assert seconds(SERVICES["worker"]["stop_grace_period"]) >= 20


@pytest.mark.parametrize("name", OURS)
def test_the_command_exists(name: str) -> None:
    """What a service runs is a command of `sendcode`, with options that it takes."""
    assert is_command(OURS[name]["command"])
    test = words(OURS[name].get("healthcheck", {}).get("test", ["CMD"]))
    if test and test[0] == "sendcode":
        assert is_command(test[1 : test.index("|")])


@pytest.mark.parametrize("arguments", [["no-such-command"], ["api", "--no-such-option"]])
def test_a_command_that_is_none_is_seen(arguments: list[str]) -> None:
    """The test above can fail."""
    assert not is_command(arguments)


@pytest.mark.parametrize("name", OURS)
def test_the_settings_are_complete(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the secret files and `.env` in place the settings load, and Twilio is the provider."""
    (tmp_path / "secret_keys").write_text(f"{COMPLETE['secret_keys']}\n")
    (tmp_path / "database_url").write_text("postgresql+psycopg://sendcode:x@postgres/sendcode\n")
    (tmp_path / "broker_url").write_text("redis://:x@valkey:6379/0\n")
    (tmp_path / "auth_token").write_text("token\n")
    (tmp_path / "twilio_auth_token").write_text("secret\n")
    for variable, value in (ENV_FILE | OURS[name]["environment"]).items():
        known = value.replace("/run/secrets", str(tmp_path))
        monkeypatch.setenv(variable, ENV_FILE[variable] if "${" in value else known)
    settings = load()
    assert settings.provider == "twilio"
    assert settings.database_url == "postgresql+psycopg://sendcode:x@postgres/sendcode"


def test_the_broker_keeps_what_it_is_given() -> None:
    """Valkey writes to disk, evicts nothing and asks for a password."""
    script = SERVICES["valkey"]["command"][-1]
    for part in ("--appendonly yes", "--maxmemory-policy noeviction", "requirepass $$(cat "):
        assert part in script


def test_the_image_runs_as_nobody_special_and_installs_what_is_locked() -> None:
    """The image's last stage has a user of its own, and every installation is by hash or alone."""
    text = (ROOT / "Dockerfile").read_text()
    last = text[text.rindex("\nFROM ") :]
    assert re.search(r"^USER (?!0|root)\w+$", last, re.MULTILINE)
    assert 'ENTRYPOINT ["sendcode"]' in last
    for line in re.findall(r"pip (?:install|wheel) .*", text):
        assert "--require-hashes" in line or "--no-deps" in line
    assert "SENDCODE_" not in text


LOCKED_ALONE = """
import importlib.metadata, re, sys

def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()

locked = {plain(name) for name in re.findall(r"^([\\w.-]+)==", open(sys.argv[1]).read(), re.M)}
hidden = {
    top
    for top, packages in importlib.metadata.packages_distributions().items()
    if not {plain(name) for name in packages} & (locked | {"sendcode"})
}

class Hide:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"{name} is not in the lock file")

sys.meta_path.insert(0, Hide)
import api_stub.app, kombu.transport.redis, uvicorn
import worker.cli, worker.process, worker.relay, worker.tasks
"""


def test_the_locked_packages_are_enough() -> None:
    """What the image installs is enough: all processes import with every other package hidden."""
    command = [sys.executable, "-c", LOCKED_ALONE, str(ROOT / "requirements/runtime.txt")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-500:]
