"""Real Valkey, SQLite and PostgreSQL, one database per test."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.servers import postgres, start_broker
from tests.standin import Standin, standin
from worker import migrations
from worker.db import Database
from worker.services import Service
from worker.settings import SAMPLE_KEY, Settings, load
from worker.wiring import Sendcode

ACCOUNT = "AC" + "a" * 32
NUMBER = "+447400123456"


@pytest.fixture(scope="session")
def broker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    broker = start_broker(tmp_path_factory.mktemp("broker"))
    yield broker.url
    broker.stop()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Makes a migrated database of a dialect and gives its URL."""
    folder = tmp_path_factory.mktemp("sqlite")
    template = folder / "template.db"
    db = Database(f"sqlite:///{template}")
    migrations.upgrade(db)
    db.close()
    counter = itertools.count()
    with postgres() as server:
        db = Database(server.create("template"))
        migrations.upgrade(db)
        db.close()

        def make(dialect: str) -> str:
            name = f"test_{next(counter)}"
            if dialect == "postgresql":
                return server.create(name, template="template")
            path = folder / f"{name}.db"
            shutil.copy(template, path)
            return f"sqlite:///{path}"

        yield make


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, migrated: Callable[[str], str]) -> str:
    return migrated(request.param)


@pytest.fixture
def provider() -> Iterator[Standin]:
    with standin() as server:
        yield server


@pytest.fixture
def make_settings(database_url: str, broker_url: str, provider: Standin) -> Callable[..., Settings]:
    def make(**changes: Any) -> Settings:
        values: dict[str, Any] = {
            "database_url": database_url,
            "broker_url": broker_url,
            "secret_keys": f"k1:{SAMPLE_KEY}",
            "account_sid": ACCOUNT,
            "auth_token": "t" * 32,
            "twilio_base_url": provider.url,
            "twilio_account_sid": "AC" + "1" * 32,
            "twilio_auth_token": "provider-token",
            "twilio_from": "+447700900999",
            "public_url": "https://codes.example.com",
            "read_timeout": 1.0,
        }
        return load(**(values | changes))

    return make


@pytest.fixture
def make_parts(
    make_settings: Callable[..., Settings],
) -> Iterator[Callable[..., Sendcode]]:
    made = []

    def make(**changes: Any) -> Sendcode:
        parts = Sendcode(make_settings(**changes))
        made.append(parts)
        parts.redis.flushdb()
        _ = parts.celery
        return parts

    yield make
    for parts in made:
        parts.db.close()
        parts.redis.close()


@pytest.fixture
def parts(make_parts: Callable[..., Sendcode]) -> Sendcode:
    return make_parts()


@pytest.fixture
def service(parts: Sendcode) -> Service:
    return parts.services.create(ACCOUNT, "Example")
