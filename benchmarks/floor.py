"""The floors under a check over HTTP: uvicorn, a thread, and what a server is asked. No routing, no
parameters, no credentials, no code.

`/` is one UPDATE; `/trips` is as many round trips as a right code's check takes: a SELECT and an
UPDATE through psycopg, and one script in the broker through redis-py.

`python -m benchmarks.floor PORT`, with FLOOR_DATABASE_URL and FLOOR_BROKER_URL.
"""

import os
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import redis
import uvicorn
from anyio import to_thread

_SELECT = "SELECT * FROM floor WHERE id = %s"
_UPDATE = "UPDATE floor SET checks = checks + 1 WHERE id = %s RETURNING checks"
_local = threading.local()
_broker = redis.Redis.from_url(os.environ["FLOOR_BROKER_URL"])
_script = _broker.register_script("return redis.call('DEL', KEYS[1])")


def _connection() -> psycopg.Connection[Any]:
    if not hasattr(_local, "connection"):
        _local.connection = psycopg.connect(os.environ["FLOOR_DATABASE_URL"], autocommit=True)
    found: psycopg.Connection[Any] = _local.connection
    return found


def _check(row: int) -> bytes:
    found = _connection().execute(_UPDATE, (row,)).fetchone()
    return b'{"checks": %d}' % found[0]  # type: ignore[index]


def _trips(row: int) -> bytes:
    _connection().execute(_SELECT, (row,)).fetchone()
    answer = _check(row)
    _script(keys=[f"floor:{row}"])
    return answer


_WORK = {"/": _check, "/trips": _trips}


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
    answer = await to_thread.run_sync(_WORK[scope["path"]], int(body))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="error")
