"""An HTTP client in a process of its own: kept connections, raw sockets, one request after another.

`python -m benchmarks.load` reads a job from stdin and writes what came back to stdout.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator

import uvloop


class Connection(asyncio.Protocol):
    def __init__(self, run: "Run") -> None:
        self._run = run
        self._data = b""
        self._transport: asyncio.Transport
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._next()

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        if not _is_whole(head.lower(), body):
            return
        self._data = b""
        self._run.took.append(time.monotonic() - self._sent)
        self._run.statuses[head[9:12].decode()] += 1
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        self._run.over()

    def _next(self) -> None:
        body = self._run.next()
        if body is None:
            self._transport.close()
            return
        self._sent = time.monotonic()
        self._transport.write(b"%s%d\r\n\r\n%s" % (self._run.head, len(body), body))


def _is_whole(head: bytes, body: bytes) -> bool:
    start = head.find(b"content-length:")
    if start < 0:  # chunked, as Node answers; no body of JSON holds this
        return body.endswith(b"0\r\n\r\n")
    return len(body) >= int(head[start + 15 :].split(b"\r\n", 1)[0])


class Run:
    def __init__(self, head: bytes, bodies: Iterator[bytes], connections: int, until: float):
        self.head = head
        self.took: list[float] = []
        self.statuses = Counter[str]()
        self._bodies = bodies
        self._open = connections
        self._until = until
        self.done = asyncio.get_running_loop().create_future()

    def next(self) -> bytes | None:
        return next(self._bodies, None) if time.monotonic() < self._until else None

    def over(self) -> None:
        self._open -= 1
        if not self._open:
            self.done.set_result(None)


async def main() -> None:
    job = json.load(sys.stdin)
    headers = {"Host": "127.0.0.1", "Content-Type": "application/x-www-form-urlencoded"}
    lines = [f"{name}: {value}" for name, value in (headers | job["headers"]).items()]
    head = f"POST {job['path']} HTTP/1.1\r\n" + "\r\n".join([*lines, "Content-Length: "])
    begun = time.monotonic()
    run = Run(
        head.encode(),
        iter([body.encode() for body in job["bodies"]]),
        job["connections"],
        begun + job["seconds"],
    )
    worked = time.process_time()
    for _ in range(job["connections"]):
        await asyncio.get_running_loop().create_connection(
            lambda: Connection(run), "127.0.0.1", job["port"]
        )
    await run.done
    done = {
        "done": len(run.took),
        "statuses": run.statuses,
        "seconds": time.monotonic() - begun,
        "cpu": time.process_time() - worked,
        "took": run.took,
    }
    json.dump(done, sys.stdout)


if __name__ == "__main__":
    uvloop.run(main())
