"""The provider of one row: what it is ordered to do wrong, and what it saw."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from api_stub.sandbox.codes import find
from tests.chaos.settings import ACCOUNT, TOKEN
from worker.embedded.broker import free_port


@dataclass(frozen=True, slots=True)
class Message:
    """One message or call that it accepted.

    :param end: its final word, `delivered` or `undelivered`
    """

    delivery: str
    number: str = field(repr=False)
    sid: str
    code: str | None = field(repr=False)
    end: str
    callback: str


@dataclass(frozen=True, slots=True)
class Request:
    """One request that reached it, also a refused one. `at` in seconds since 1970."""

    delivery: str
    kind: str
    at: float


class Sandbox:
    """The sandbox's own file is read, so that it may be asked while the sandbox is down.

    :param file: where it keeps what it saw
    """

    def __init__(self, file: Path) -> None:
        self.file, self.port = file, free_port()

    def order(self, to: str = "*", **spec: Any) -> None:
        """Order what it does wrong."""
        answer = httpx.post(
            f"http://127.0.0.1:{self.port}/sandbox/v1/faults",
            json={"to": to, **spec},
            auth=(ACCOUNT, TOKEN),
            timeout=10,
            trust_env=False,
        )
        answer.raise_for_status()

    def messages(self) -> list[Message]:
        """What it accepted, in order."""
        with self._store() as store:
            rows = store.execute(
                "SELECT params, recipient, sid, body, channel, undelivered FROM items ORDER BY id"
            ).fetchall()
        found = []
        for params, number, sid, body, channel, undelivered in rows:
            code, url = find(body, channel), _callback(params)
            end = "delivered" if undelivered is None else "undelivered"
            found.append(
                Message(_delivery(url), number, sid, code.code if code else None, end, url)
            )
        return found

    def code_of(self, number: str) -> str | None:
        """The code that last reached a phone."""
        with self._store() as store:
            row = store.execute(
                "SELECT body, channel FROM items WHERE recipient = ? ORDER BY id DESC LIMIT 1",
                (number,),
            ).fetchone()
        found = find(*row) if row else None
        return found.code if found else None

    def sends(self) -> list[Request]:
        """The requests to send, in order."""
        return self._requests("kind LIKE '%.create'")

    def requests(self, number: str) -> list[Request]:
        """What reached it for a number, in order."""
        return self._requests("recipient = ? AND params != '{}'", number)

    def last_send(self) -> float:
        """When it was last asked to send, in seconds since 1970; 0 before that."""
        with self._store() as store:
            row = store.execute(
                "SELECT created FROM requests WHERE kind LIKE '%.create' ORDER BY id DESC LIMIT 1"
            ).fetchone()
        return float(row[0]) if row else 0.0

    def _requests(self, where: str, *values: str) -> list[Request]:
        query = f"SELECT params, kind, created FROM requests WHERE {where} ORDER BY id"
        with self._store() as store:
            rows = store.execute(query, values).fetchall()
        return [Request(_delivery(_callback(params)), kind, at) for params, kind, at in rows]

    @contextmanager
    def _store(self) -> Iterator[sqlite3.Connection]:
        store = sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=10)
        try:
            yield store
        finally:
            store.close()


def _callback(params: str) -> str:
    return str(json.loads(params).get("StatusCallback", [""])[0])


def _delivery(url: str) -> str:
    """Our callback's address ends with the delivery's sid."""
    return url.rpartition("/")[2]
