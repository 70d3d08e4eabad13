"""One row's world: fresh databases, processes that come back, and those who ask."""

import random
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import redis

from tests.chaos import crew
from tests.chaos.client import Answer, Client
from tests.chaos.load import Load
from tests.chaos.parts import Part
from tests.chaos.passing import Passing
from tests.chaos.proxy import Proxy
from tests.chaos.records import Records
from tests.chaos.rig import Rig
from tests.chaos.sandbox import Sandbox
from tests.chaos.settings import ACCOUNT, TOKEN, numbers
from worker.embedded.broker import free_port

LIFE = 600  # seconds, of a code where nothing else is said


class World(Passing):
    """Use as a context manager, from the main thread.

    :param workers: how many; their names are worker1, worker2, …
    :param life: of a code, seconds
    :param command: of a worker, in place of `sendcode worker`
    :param proxied: the broker is reached through `proxy`
    :param settings: further `SENDCODE_*`
    :param each: what only the process of a name has in its environment
    """

    def __init__(
        self,
        rig: Rig,
        name: str,
        *,
        workers: int = 1,
        relays: int = 1,
        life: int = LIFE,
        database: str = "postgresql",
        command: tuple[str, ...] = crew.WORKER,
        proxied: bool = False,
        settings: Mapping[str, str] | None = None,
        each: crew.Each | None = None,
    ) -> None:
        self.rig, self.random = rig, random.Random(f"{rig.seed} {name}")
        self.folder = rig.folder / "rows" / name
        self.folder.mkdir(parents=True)
        self.broker = rig.broker
        self.broker.start()
        self.redis.flushall()
        rig.numbers = numbers()  # there are too few for all rows, and the data is fresh
        self.port, self.sandbox = free_port(), Sandbox(self.folder / "sandbox.db")
        self.proxy = Proxy(rig.broker.broker.port) if proxied else None
        env = self._environment(rig.database(database, self.folder), settings or {})
        self.records = Records(env["SENDCODE_DATABASE_URL"], self.look)
        if life != LIFE:
            self.records.set_life(life, database)
        self.service = str(self.rows("SELECT sid FROM services")[0]["sid"])
        self.load: Load | None = None
        self.told: list[Answer] = []  # what a row's own client was answered
        sizes = {"workers": workers, "relays": relays}
        ports = {"api": self.port, "sandbox": self.sandbox.port}
        made = crew.crew(self.folder, env, **ports, **sizes, command=command, each=each or {})
        super().__init__(made, rig.broker, rig.postgres)

    def __enter__(self) -> Self:
        crew.start(self.parts)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.load:
            self.load.stop()
        crew.end(self.parts)
        self.records.close()
        if self.proxy:
            self.proxy.close()

    @property
    def redis(self) -> "redis.Redis":
        return redis.Redis.from_url(self.broker.url, socket_timeout=5)

    def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        """What a query finds in the database; tried again while that comes back."""
        return self.records.rows(query, **values)

    def named(self, kind: str) -> list[Part]:
        return [part for name, part in self.parts.items() if name.startswith(kind)]

    # Who asks

    def client(self) -> Client:
        return Client(f"http://127.0.0.1:{self.port}", (ACCOUNT, TOKEN), self.service)

    def start(self, number: str, channel: str = "sms") -> Answer:
        """Start one code by the row's own client."""
        answer = self.client().start(number, channel)
        self.told.append(answer)
        return answer

    def run_load(self, rate: float, wanted: int | None = None, most: int = 0) -> Load:
        """
        :param most: messages that may wait; then the load does, so that slow workers keep up
        """
        seed, broker = self.random.randrange(2**32), self.redis

        def brake() -> bool:
            return bool(most) and int(broker.llen("sms")) > most

        source = (self.client, self.rig.numbers, self.sandbox.code_of)
        self.load = Load(*source, rate, seed, wanted=wanted, brake=brake)
        return self.load

    @property
    def answers(self) -> list[Answer]:
        """Everything that clients were told."""
        return self.told + (self.load.answers if self.load else [])

    def settle(self, seconds: float) -> bool:
        """Stop the load and wait until every delivery has ended; whether all have."""
        if self.load:
            self.load.stop()
        return self.until(self.records.have_ended, seconds)

    def _environment(self, database: str, settings: Mapping[str, str]) -> dict[str, str]:
        env = self.rig.settings | {
            "SENDCODE_DATABASE_URL": database,
            "SENDCODE_PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            "SENDCODE_SANDBOX_URL": f"http://127.0.0.1:{self.sandbox.port}",
            "SENDCODE_SANDBOX_DB": str(self.sandbox.file),
            **settings,
        }
        if self.proxy:
            real, ours = self.broker.broker.port, self.proxy.port
            env["SENDCODE_BROKER_URL"] = self.broker.url.replace(f":{real}/", f":{ours}/")
        return env
