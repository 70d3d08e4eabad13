"""Real Valkey, SQLite and PostgreSQL, an empty database for each test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.databases import Databases
from tests.databases import databases as make_databases
from tests.integration.receiving import Receiver, receiving
from tests.servers import start_broker
from tests.standin import Standin, standin
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
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    with make_databases(tmp_path_factory.mktemp("databases")) as lender:
        yield lender


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, databases: Databases) -> Iterator[str]:
    with databases.lend(request.param) as url:
        yield url


@pytest.fixture
def provider() -> Iterator[Standin]:
    with standin() as server:
        yield server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


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
