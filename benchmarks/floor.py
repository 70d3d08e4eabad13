"""The floor under a check over HTTP: uvicorn, one thread, one UPDATE. Nothing is looked at.

`python -m benchmarks.floor PORT`, with the database in FLOOR_DATABASE_URL.
"""

import os
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import uvicorn
from anyio import to_thread

_UPDATE = "UPDATE floor SET checks = checks + 1 WHERE id = %s RETURNING checks"
_local = threading.local()


def _check(row: int) -> bytes:
    if not hasattr(_local, "connection"):
        _local.connection = psycopg.connect(os.environ["FLOOR_DATABASE_URL"], autocommit=True)
    found = _local.connection.execute(_UPDATE, (row,)).fetchone()
    return b'{"checks": %d}' % found[0]


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] == "lifespan":
        to_thread.current_default_thread_limiter().total_tokens = 32
        for _ in range(2):
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
        return
    body = (await receive())["body"]
    answer = await to_thread.run_sync(_check, int(body))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="error")
