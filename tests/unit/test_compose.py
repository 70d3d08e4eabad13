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


def of_profile(profile: str) -> set[str]:
    return {name for name, one in SERVICES.items() if profile in one.get("profiles", [])}


def mounted(name: str) -> dict[str, Path]:
    """The files of this repository that a service sees, by their paths in its container."""
    binds = (volume.split(":") for volume in SERVICES[name].get("volumes", []))
    return {bind[1]: ROOT / bind[0] for bind in binds if bind[0].startswith("./")}


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
    always = {name for name, service in SERVICES.items() if not service.get("profiles")}
    assert always == {"postgres", "valkey", "migrate", "api", "worker", "relay"}
    assert of_profile("monitoring") == {"prometheus", "alertmanager", "grafana"}
    assert of_profile("flower") == {"flower"}
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
    assert re.search(r":v?\d", SERVICES[name]["image"])


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
    files = [path.read_text() for path in mounted(name).values() if path.is_file()]
    assert set(re.findall(r"/run/secrets/(\w+)", str([SERVICES[name], *files]))) == given


def test_the_documentation_makes_every_secret() -> None:
    """The commands of docs/deploy.md write each secret file, and no other."""
    declared = {one["file"] for one in COMPOSE["secrets"].values()}
    made = set(re.findall(r"> (secrets/[\w]+)", (ROOT / "docs/deploy.md").read_text()))
    assert {f"./{file}" for file in made} == declared
    assert {one: f"./secrets/{one}" for one in COMPOSE["secrets"]} == {
        name: one["file"] for name, one in COMPOSE["secrets"].items()
    }


def test_the_documentation_makes_the_first_operator() -> None:
    """The api listens beyond its container, so docs/deploy.md makes an operator before it is
    started, with a command that exists."""
    assert "0.0.0.0" in OURS["api"]["command"]
    text = (ROOT / "docs/deploy.md").read_text()
    made = re.search(r"^docker compose run --rm api (operators add .*)$", text, re.MULTILINE)
    assert made is not None
    assert is_command(made[1].split())
    assert made.start() < text.index("docker compose up -d")


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


def test_what_is_aside_is_reached_from_this_host_alone() -> None:
    """Ports of monitoring and Flower are bound to loopback: two of them ask for no password."""
    for name in of_profile("monitoring") | of_profile("flower"):
        for port in SERVICES[name]["ports"]:
            assert port.startswith("127.0.0.1:"), name
        assert SERVICES[name]["cap_drop"] == ["ALL"]


def test_mounted_files_exist_and_cannot_be_written() -> None:
    """Every file a container is given is there, and read-only."""
    for name, service in SERVICES.items():
        for path in mounted(name).values():
            assert path.exists(), path
        for volume in service.get("volumes", []):
            assert volume.endswith(":ro") or not volume.startswith("./"), volume


def test_prometheus_finds_what_is_there() -> None:
    """It scrapes api, workers and relay where they answer, with the account's credentials, reads
    the rules that were given to it, and tells the Alertmanager of the stack."""
    files = mounted("prometheus")
    config = yaml.safe_load(files["/etc/prometheus/sendcode.yml"].read_text())
    api, others = config["scrape_configs"]
    assert api["static_configs"] == [{"targets": ["api:8080"]}]
    assert api["basic_auth"]["password_file"] == "/run/secrets/auth_token"
    assert f"s/{api['basic_auth']['username']}/" in SERVICES["prometheus"]["command"][0]
    (found,) = others["dns_sd_configs"]
    assert set(found["names"]) == {"worker", "relay"}
    for name in found["names"]:
        environment = OURS[name]["environment"]
        assert environment["SENDCODE_METRICS_PORT"] == str(found["port"])
        assert environment["SENDCODE_METRICS_HOST"] == "0.0.0.0"
        assert "ports" not in OURS[name]
    assert set(config["rule_files"]) <= set(files)
    assert config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == [
        "alertmanager:9093"
    ]


def test_grafana_shows_the_dashboard() -> None:
    """Its source is the stack's Prometheus, and its provider reads where the dashboard lies."""
    files = mounted("grafana")
    sources = files["/etc/grafana/provisioning/datasources"] / "sendcode.yml"
    assert yaml.safe_load(sources.read_text())["datasources"][0]["url"] == "http://prometheus:9090"
    providers = files["/etc/grafana/provisioning/dashboards"] / "sendcode.yml"
    path = yaml.safe_load(providers.read_text())["providers"][0]["options"]["path"]
    assert (files[path] / "sendcode.json").exists()


def test_alerts_reach_a_receiver_that_exists() -> None:
    """The Alertmanager's route ends at one of its receivers, and it silences alerts that exist."""
    config = yaml.safe_load((ROOT / "deploy/alertmanager.yml").read_text())
    assert config["route"]["receiver"] in {one["name"] for one in config["receivers"]}
    rules = (ROOT / "docs/alerts/sendcode.rules.yml").read_text()
    for name in re.findall(r"Sendcode\w+", (ROOT / "deploy/alertmanager.yml").read_text()):
        assert f"alert: {name}\n" in rules


def test_flower_asks_for_its_own_password() -> None:
    """Flower has a password of its own by file, and the broker's address by file too."""
    script = SERVICES["flower"]["command"][0]
    assert 'FLOWER_BASIC_AUTH="operator:$$(cat /run/secrets/flower_password)"' in script
    assert "environment" not in SERVICES["flower"]


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
