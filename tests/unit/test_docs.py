"""The documentation says what the code says and names nothing that is not there."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from worker import codes
from worker.cli import main
from worker.db import Database
from worker.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Variables that are no settings: of `./dev up`, of its clients, of the readiness of a process, and
# of the tests.
OTHERS = {
    "SENDCODE_HOME",
    "SENDCODE_BROKER_BINARY",
    "SENDCODE_URL",
    "SENDCODE_SERVICE_SID",
    "SENDCODE_AUTHY_API_KEY",
    "SENDCODE_READY_FILE",
    "SENDCODE_COMPLETE",
    "SENDCODE_TEST_MODEL_STEPS",
}
SETTINGS = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
# In backticks: a path below a folder of ours, or a file at the top.
PATH = re.compile(
    r"`(?:\./)?((?:worker|api_stub|tests|docs|benchmarks|requirements|\.ci)/[\w./-]*"
    r"|Dockerfile|dev|[\w-]+\.(?:md|toml|yml))(?: \w+)?`"
)


def code_free(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The names GitHub gives to a page's headings."""
    titles = re.findall(r"^#+ (.+)$", code_free(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def variables(text: str) -> set[str]:
    """Variables that must be settings, without the `_FILE` of those that name a file."""
    found = set(re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b", text)) - OTHERS
    return {name.removesuffix("_FILE") for name in found} - {f"{PREFIX}X"}


def test_the_settings_table_is_what_the_code_says() -> None:
    """README.md lists every setting with its default and meaning, as `worker.settings` has them."""
    command = [sys.executable, str(ROOT / "docs/generate_settings.py"), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """A relative link names a file that exists, and a heading that it has."""
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", code_free(page.read_text())):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_exists(page: Path) -> None:
    """A path of this repository that a page names is there."""
    for path in PATH.findall(page.read_text()):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_variable_is_a_setting(page: Path) -> None:
    """A `SENDCODE_` variable that a page names is read by the code."""
    assert variables(page.read_text()) <= SETTINGS


def test_the_compose_file_names_settings_only() -> None:
    """docker-compose.yml sets no `SENDCODE_` variable that nothing reads."""
    text = (ROOT / "docker-compose.yml").read_text()
    assert variables(text) <= SETTINGS
    for service in yaml.safe_load(text)["services"].values():
        for name in service.get("environment", {}):
            if name.startswith(PREFIX):
                assert name.removesuffix("_FILE") in SETTINGS, name


def test_a_variable_that_is_none_is_seen() -> None:
    """The tests above can fail."""
    assert variables("SENDCODE_NO_SUCH_FILE: x, SENDCODE_LOG_LEVEL") - SETTINGS == {
        "SENDCODE_NO_SUCH"
    }
    assert PATH.findall("`worker/no_such.py` and `./dev up`") == ["worker/no_such.py", "dev"]


def test_the_command_table_is_complete() -> None:
    """README.md names every command of `sendcode`, and every subcommand."""
    text = (ROOT / "README.md").read_text()
    table = text[text.index("\n## Command line\n") : text.index("\n## Settings\n")]
    for name, command in main.commands.items():
        for word in (name, *(command.commands if isinstance(command, click.Group) else ())):
            assert re.search(rf"[` ]{word}[` ]", table), word


@pytest.mark.parametrize(
    "name", ["README.md", "docs/deploy.md", "docs/scale.md", "docker-compose.yml"]
)
def test_a_process_has_two_pools(name: str, tmp_path: Path) -> None:
    """Whoever adds up connections is told of both pools that a process has."""
    pools = len(Database(f"sqlite:///{tmp_path}/x").engines)
    told = [line for line in text_of(name) if "SENDCODE_DATABASE_POOL_SIZE" in line]
    assert told
    for line in told:
        assert f"{pools} × " in line or "each of a process's two pools" in line


def text_of(name: str) -> list[str]:
    return (ROOT / name).read_text().splitlines()


def test_lookup_is_told_once() -> None:
    """The page of compatibility says of look-ups what the setting does, and nothing against it."""
    page = (ROOT / "docs" / "compatibility.md").read_text()
    assert re.findall(r"`lookup` is[^.]*", page) == ["`lookup` is `{}` without `LookupEnabled`"]


def test_digits_are_drawn_as_decided() -> None:
    """The decision names as many digits of one HOTP value as the code draws."""
    page = " ".join((ROOT / "docs" / "decisions.md").read_text().split())
    words = dict(enumerate(("one", "two", "three", "four", "five", "six", "seven", "eight"), 1))
    drawn = f"drawn {words[codes._CHUNK]} at a time; a HOTP value above the last whole multiple of"
    assert f"{drawn} 10^{codes._CHUNK} is" in page
