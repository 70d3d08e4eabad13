"""Every request the provider's side received, refused ones too: what a test counts."""

import json
import time
from typing import Any

from api_stub.sandbox.store import Params, Store
from api_stub.sandbox.wire import iso

UNTOLD = ("Body", "Twiml")  # they carry the code


def opened(store: Store, kind: str, params: Params) -> int:
    """Note that a request came in; its status is null until it is answered."""
    told = {name: values for name, values in params.items() if name not in UNTOLD}
    to, sender = (params.get(name, [""])[0] for name in ("To", "From"))
    cursor = store.db.execute(
        "INSERT INTO requests (kind, recipient, sender, params, created) VALUES (?, ?, ?, ?, ?)",
        (kind, to, sender, json.dumps(told), time.time()),
    )
    return int(cursor.lastrowid or 0)


def accepted(store: Store, entry: int, sid: str) -> None:
    store.db.execute("UPDATE requests SET sid = ? WHERE id = ?", (sid, entry))


def answered(store: Store, entry: int, status: int | None) -> None:
    """Note the answer; None when the connection was cut without one."""
    store.db.execute("UPDATE requests SET status_code = ? WHERE id = ?", (status, entry))


def entries(store: Store, to: str, limit: int) -> list[dict[str, Any]]:
    """The newest entries first; `to` empty means every number."""
    rows = store.db.execute(
        "SELECT * FROM requests WHERE ? = '' OR recipient = ? ORDER BY id DESC LIMIT ?",
        (to, to, limit),
    )
    return [
        {
            "id": row["id"],
            "kind": row["kind"],
            "to": row["recipient"],
            "from": row["sender"],
            "status_code": row["status_code"],
            "sid": row["sid"],
            "params": json.loads(row["params"]),
            "created_at": iso(row["created"]),
        }
        for row in rows
    ]
