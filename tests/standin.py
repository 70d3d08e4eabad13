"""A stand-in for Twilio's REST API that answers as told and keeps what it was sent."""

import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests import leaks


@dataclass
class Standin:
    """`script` holds what the next requests get: a status, or `drop`, `hang`."""

    url: str
    script: deque[Any] = field(default_factory=deque)
    sent: list[dict[str, str]] = field(default_factory=list)
    kept: list[dict[str, Any]] = field(default_factory=list)
    lists: int = 0
    hide: bool = False  # lists answer as if nothing was there
    refuses: tuple[int, int] | None = None  # status and code that every list is answered with
    hang_seconds: float = 3.0
    latency: float = 0.0


def _handler(standin: Standin) -> type[BaseHTTPRequestHandler]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            kind = "messages" if self.path.endswith("Messages.json") else "calls"
            form["kind"] = kind
            with lock:
                step = standin.script.popleft() if standin.script else 201
                standin.sent.append(form)
                leaks.used.sent(form["To"], form.get("Body", ""), form.get("Twiml", ""))
            time.sleep(standin.latency)
            if step in (201, "drop", "hang"):
                resource = self._keep(kind, form)
            if step == 201:
                self._answer(201, resource)
            elif step == "drop":
                self.connection.close()
                self.close_connection = True
            elif step == "hang":
                time.sleep(standin.hang_seconds)
                self.close_connection = True
            elif step == "lost":  # not kept, not answered
                self.connection.close()
                self.close_connection = True
            else:
                status, code, headers = step
                self._answer(status, {"code": code, "message": "no", "status": status}, headers)

        def _keep(self, kind: str, form: dict[str, str]) -> dict[str, Any]:
            with lock:
                number = len(standin.kept) + 1
                resource = {
                    "sid": f"{'SM' if kind == 'messages' else 'CA'}{number:032x}",
                    "kind": kind,
                    "status": "queued",
                    "to": form["To"],
                    "from": form.get("From"),
                    "body": form.get("Body"),
                    "direction": "outbound-api",
                    "date_created": formatdate(usegmt=True),
                    "date_sent": None,
                    "account_sid": "AC" + "1" * 32,
                }
                standin.kept.append(resource)
            return resource

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            name = parts.path.rsplit("/", 1)[-1].removesuffix(".json")
            if name not in ("Messages", "Calls"):
                with lock:
                    found = [r for r in standin.kept if r["sid"] == name]
                self._answer(*((200, found[0]) if found else (404, {"code": 20404})))
                return
            if standin.refuses:
                status, code = standin.refuses
                self._answer(status, {"code": code, "message": "no", "status": status})
                return
            kind = "messages" if "Messages" in parts.path else "calls"
            to = parse_qs(parts.query).get("To", [None])[0]
            with lock:
                standin.lists += 1
                found = [
                    r
                    for r in reversed(standin.kept)
                    if r["kind"] == kind and r["to"] == to and not standin.hide
                ]
            self._answer(
                200, {kind: found, "page": 0, "page_size": 50, "next_page_uri": None, "uri": ""}
            )

        def _answer(
            self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None
        ) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    return Handler


@contextmanager
def standin() -> Iterator[Standin]:
    state = Standin("")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
