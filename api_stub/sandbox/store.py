"""What the sandbox received, in a SQLite file of its own, so that it survives a restart."""

import json
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Channel = Literal["sms", "call"]
Params = dict[str, list[str]]

SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
  id INTEGER PRIMARY KEY AUTOINCREMENT, sid TEXT NOT NULL UNIQUE, channel TEXT NOT NULL,
  recipient TEXT NOT NULL, sender TEXT NOT NULL, body TEXT NOT NULL, status TEXT NOT NULL,
  error_code INTEGER, params TEXT NOT NULL, undelivered INTEGER, callbacks TEXT,
  arrived INTEGER UNIQUE, created REAL NOT NULL, updated REAL NOT NULL, begun REAL, ended REAL);
CREATE INDEX IF NOT EXISTS items_recipient ON items (recipient, id);
CREATE INDEX IF NOT EXISTS items_inbox ON items (recipient, arrived);
CREATE INDEX IF NOT EXISTS items_status ON items (status);
CREATE TABLE IF NOT EXISTS requests (
  id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, recipient TEXT NOT NULL,
  sender TEXT NOT NULL, status_code INTEGER, sid TEXT, params TEXT NOT NULL, created REAL NOT NULL);
CREATE INDEX IF NOT EXISTS requests_recipient ON requests (recipient, id);
CREATE TABLE IF NOT EXISTS faults (
  id INTEGER PRIMARY KEY AUTOINCREMENT, recipient TEXT NOT NULL, spec TEXT NOT NULL,
  remaining INTEGER);
CREATE TABLE IF NOT EXISTS counters (recipient TEXT PRIMARY KEY, requests INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS unlisted (item INTEGER PRIMARY KEY, until REAL NOT NULL);
CREATE TABLE IF NOT EXISTS delayed (item INTEGER PRIMARY KEY, until REAL NOT NULL);
CREATE TABLE IF NOT EXISTS standings (
  item INTEGER PRIMARY KEY, ignored INTEGER NOT NULL DEFAULT 0, asks REAL,
  languages TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS numbers (recipient TEXT PRIMARY KEY, answer TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS callbacks (
  id INTEGER PRIMARY KEY AUTOINCREMENT, item INTEGER NOT NULL, url TEXT NOT NULL,
  params TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS callbacks_item ON callbacks (item, id);
"""

FINAL = ("delivered", "undelivered", "completed", "busy", "no-answer", "failed", "canceled")


@dataclass(frozen=True, slots=True)
class Item:
    """One message or call that was accepted. `arrived` is its number in the phone's inbox."""

    id: int
    sid: str
    channel: Channel
    recipient: str
    sender: str
    body: str
    status: str
    error_code: int | None
    params: Params
    undelivered: int | None
    callbacks: str | None
    arrived: int | None
    created: float
    updated: float
    begun: float | None
    ended: float | None

    def param(self, name: str) -> str:
        return self.params.get(name, [""])[0]

    @property
    def final(self) -> bool:
        return self.status in FINAL


def _item(row: sqlite3.Row) -> Item:
    return Item(**{**dict(row), "params": json.loads(row["params"])})


class Store:
    """The file. Every call is short and made from the event loop's thread."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.db.row_factory = sqlite3.Row
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=NORMAL")
        self.db.execute("PRAGMA busy_timeout=3000")
        self.db.executescript(SCHEMA)

    def close(self) -> None:
        self.db.close()

    def add(self, **values: Any) -> Item:
        now = time.time()
        values |= {"params": json.dumps(values["params"]), "created": now, "updated": now}
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        row = self.db.execute(
            f"INSERT INTO items ({names}) VALUES ({marks}) RETURNING *",  # noqa: S608 - our names
            tuple(values.values()),
        ).fetchone()
        return _item(row)

    def hide(self, item: Item, seconds: float) -> None:
        """Let lists not show the item for a while."""
        self.db.execute("INSERT INTO unlisted VALUES (?, ?)", (item.id, time.time() + seconds))

    def delay(self, item: Item, seconds: float) -> None:
        """Let the item reach its phone that much later."""
        self.db.execute("INSERT INTO delayed VALUES (?, ?)", (item.id, time.time() + seconds))

    def delayed(self, item: Item) -> float:
        """How many seconds the item is still on its way beyond the usual."""
        row = self.db.execute("SELECT until FROM delayed WHERE item = ?", (item.id,)).fetchone()
        return max(0.0, row["until"] - time.time()) if row else 0.0

    def change(self, item: Item, **values: Any) -> Item:
        values["updated"] = time.time()
        pairs = ", ".join(f"{name} = ?" for name in values)
        row = self.db.execute(
            f"UPDATE items SET {pairs} WHERE id = ? RETURNING *",  # noqa: S608 - our names
            (*values.values(), item.id),
        ).fetchone()
        return _item(row)

    def arrive(self, item: Item) -> Item:
        """Put the item into the phone's inbox under the next number."""
        self.db.execute(
            "UPDATE items SET arrived = (SELECT coalesce(max(arrived), 0) + 1 FROM items)"
            " WHERE id = ? AND arrived IS NULL",
            (item.id,),
        )
        return self.one("id = ?", item.id) or item

    def one(self, where: str, *values: Any) -> Item | None:
        found = self.some(where, *values, limit=1)
        return found[0] if found else None

    def some(
        self, where: str, *values: Any, order: str = "id DESC", limit: int = -1, offset: int = 0
    ) -> list[Item]:
        """Items by a condition of ours; whatever a caller sent goes into `values`."""
        rows: Iterable[sqlite3.Row] = self.db.execute(
            f"SELECT * FROM items WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?",  # noqa: S608
            (*values, limit, offset),
        )
        return [_item(row) for row in rows]

    def unfinished(self) -> list[Item]:
        marks = ", ".join("?" * len(FINAL))
        return self.some(f"status NOT IN ({marks})", *FINAL, order="id")

    def last_id(self) -> int:
        row = self.db.execute("SELECT coalesce(max(id), 0) FROM items").fetchone()
        return int(row[0])
