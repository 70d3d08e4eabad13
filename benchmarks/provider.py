"""A provider that costs next to nothing: takes Twilio's Messages requests and answers 201.

`python -m benchmarks.provider` prints its port. It keeps the time of every arrival with its `To`;
`GET /_reset?latency=0.1`, `/_count` and `/_log` are the bench's own.
"""

import asyncio
import json
import sys
import time
from urllib.parse import parse_qs, unquote_plus

import uvloop

_ANSWER = {
    "account_sid": "AC" + "1" * 32,
    "api_version": "2010-04-01",
    "body": "not repeated",
    "date_created": "Wed, 25 Nov 2026 09:00:00 +0000",
    "date_sent": None,
    "date_updated": "Wed, 25 Nov 2026 09:00:00 +0000",
    "direction": "outbound-api",
    "error_code": None,
    "error_message": None,
    "from": "+15005550006",
    "messaging_service_sid": None,
    "num_media": "0",
    "num_segments": "1",
    "price": None,
    "price_unit": "USD",
    "status": "queued",
    "subresource_uris": {"media": "/2010-04-01/Media.json"},
    "to": "+15005550006",
    "uri": "/2010-04-01/Messages.json",
}
_JSON = json.dumps({"sid": "SM%032x", **_ANSWER})


class State:
    latency = 0.0
    arrivals: list[tuple[str, float]] = []  # noqa: RUF012 - one state in this process


class Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._data = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._data += data
        while True:
            head, found, rest = self._data.partition(b"\r\n\r\n")
            if not found:
                return
            size = _length(head)
            if len(rest) < size:
                return
            self._data = rest[size:]
            self._answer(head, rest[:size])

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET /_"):
            self._transport.write(_http(200, _control(head.split(b" ", 2)[1].decode())))
            return
        arrived = time.time()
        State.arrivals.append((_to(body), arrived))
        answer = _http(201, _JSON % len(State.arrivals))
        if State.latency:
            asyncio.get_running_loop().call_later(State.latency, self._transport.write, answer)
        else:
            self._transport.write(answer)


def _length(head: bytes) -> int:
    start = head.lower().find(b"content-length:")
    return int(head[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0


def _to(body: bytes) -> str:
    found = next((part for part in body.split(b"&") if part.startswith(b"To=")), b"To=")
    return unquote_plus(found[3:].decode())


def _http(status: int, body: str) -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n{body}".encode()


def _control(target: str) -> str:
    path, _, query = target.partition("?")
    if path == "/_reset":
        State.latency = float(parse_qs(query)["latency"][0])
        State.arrivals = []
    if path == "/_log":
        return json.dumps(State.arrivals)
    return json.dumps([len(State.arrivals), time.time()])


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(
        Connection, "127.0.0.1", 0, backlog=1024
    )
    print(server.sockets[0].getsockname()[1])
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
