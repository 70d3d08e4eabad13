"""A backend that enqueues by Celery: it knows a task's name, a queue and the broker, no more."""

import json
import pickle
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Producer

from tests.acceptance.running import NUMBERS, Up, until

TASK = "sendcode.send_code"
# What a backend writes: celery alone, and names.
PRODUCER = """
import json, sys
from celery import Celery

app = Celery(broker=sys.argv[1])
for job in json.load(sys.stdin):
    app.send_task(**job)
assert "worker" not in sys.modules
"""


def enqueue(up: Up, *jobs: dict[str, Any]) -> None:
    """Publish jobs from a process that imports celery and nothing of ours."""
    subprocess.run(
        [sys.executable, "-P", "-c", PRODUCER, up.broker_url],
        input=json.dumps(jobs).encode(),
        env=up.plain,
        cwd="/",
        check=True,
        timeout=30,
    )


def job(up: Up, to: str, channel: str = "sms", **kwargs: Any) -> dict[str, Any]:
    service = up.account["SENDCODE_SERVICE_SID"]
    kwargs = {"to": to, "channel": channel, "service": service, **kwargs}
    return {"name": TASK, "kwargs": kwargs, "queue": channel}


def publish(up: Up, body: bytes, content_type: str, **headers: Any) -> None:
    """Put a message of any kind into the queue."""
    with Connection(up.broker_url) as connection:
        Producer(connection.channel()).publish(
            body,
            routing_key="sms",
            content_type=content_type,
            content_encoding="binary" if "python" in content_type else "utf-8",
            headers=headers,
        )


def still_works(up: Up, worker: int) -> None:
    """The same worker process takes the next delivery, and the code arrives."""
    to = next(NUMBERS)
    up.start_code(to)
    assert up.wait(to)["code"]
    assert up.pid("worker") == worker


@pytest.mark.parametrize("channel", ["sms", "call"])
def test_a_code_that_was_enqueued_arrives(up: Up, to: str, channel: str) -> None:
    """A job published by name reaches the phone, and a check by number approves its code."""
    enqueue(up, job(up, to, channel))
    message = up.wait(to)
    assert message["channel"] == channel
    answer = up.check(message["code"], To=to)
    assert (answer.json()["status"], answer.json()["channel"]) == ("approved", channel)


def test_a_locale_in_the_job(up: Up, to: str) -> None:
    """The job's locale is the language of the text."""
    enqueue(up, job(up, to, locale="de"))
    up.wait(to)
    query = "SELECT locale FROM verifications ORDER BY created_at DESC LIMIT 1"
    assert up.rows(query) == [{"locale": "de"}]


def test_the_same_request_is_one_message(up: Up, to: str) -> None:
    """Jobs with the same request_id, also at once, send one message."""
    request = f"order {uuid.uuid4()}"
    enqueue(up, *[job(up, to, request_id=request)] * 3)
    up.wait(to)
    enqueue(up, job(up, to, request_id=request))
    nothing_else_goes_out(up, to)


def test_the_same_message_twice_is_one_code(up: Up, to: str) -> None:
    """A job without a request_id that the broker hands out twice sends one message."""
    enqueue(up, *[{**job(up, to), "task_id": str(uuid.uuid4())}] * 2)
    up.wait(to)
    nothing_else_goes_out(up, to)


def nothing_else_goes_out(up: Up, to: str) -> None:
    """Once the queue is empty and all is sent, there was one message."""
    until(lambda: up.redis().llen("sms") == 0)
    still_works(up, up.pid("worker"))
    up.settle()
    assert len(up.inbox(to)) == len(up.sent(to)) == 1


def test_jobs_that_make_no_sense(up: Up, to: str) -> None:
    """Jobs with garbage for arguments write, send and log nothing, and the worker goes on."""
    up.settle()
    before, worker = up.footprint(), up.pid("worker")
    good = job(up, to)
    service = good["kwargs"]["service"]
    bad: list[dict[str, Any]] = [
        {"to": "not a number", "service": service},
        {"to": "+1900555", "service": service},
        {"to": int(to), "service": service},
        {"to": None, "service": service},
        {"to": [to], "service": service},
        {"to": to, "service": service, "channel": "pigeon"},
        {"to": to, "service": service, "channel": 7},
        {"to": to},
        {"to": to, "service": "VA" + "0" * 32},
        {"to": to, "service": {"a": "b"}},
        {"to": to, "service": f"{service}\0"},
        {"to": to, "service": service, "locale": "xx-XX"},
        {"to": to, "service": service, "locale": 9},
        {"to": to, "service": service, "request_id": "a\0b"},
        {"to": to, "service": service, "unknown": 1},
        {"service": service},
        {},
    ]
    jobs: list[dict[str, Any]] = [{**good, "kwargs": kwargs} for kwargs in bad]
    jobs += [{**good, "kwargs": {}, "args": args} for args in ([], [[to]], [to] * 9)]
    enqueue(up, *jobs)
    until(lambda: up.redis().llen("sms") == 0)
    still_works(up, worker)
    assert up.sent(to) == []
    after = up.footprint()
    for name in ("verifications", "deliveries", "sent"):
        assert after[name] == before[name] + 1, name  # the good one's
    assert after["requests"] == before["requests"]
    assert to[1:] not in (up.root / "log" / "worker.log").read_text()


class Marker:
    """Unpickled, it would leave a file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self._path, "w")


JSON, YAML, PICKLE = "application/json", "application/x-yaml", "application/x-python-serialize"
HEADERS = {"task": TASK, "id": "3f0a7a52-9d1c-4b0e-8f6e-0d6c5f0b7c11", "lang": "py"}
# TO and MARKER stand for the test's number and file.
MESSAGES: dict[str, tuple[str, bytes, dict[str, Any]]] = {
    "YAML": (YAML, b"!!python/object/apply:builtins.open [MARKER, w]", HEADERS),
    "text": ("text/plain", b"TO" * 10_000, HEADERS),
    "task of the system": (JSON, b'[["TO"], {}, {}]', HEADERS | {"task": "os.system"}),
    "task misspelled": (JSON, b'[["TO"], {}, {}]', HEADERS | {"task": "sendcode.sendcode"}),
    "task of celery": (JSON, b'[["TO"], {}, {}]', HEADERS | {"task": "celery.chord"}),
    "arguments in a header": (JSON, b"[[], {}, {}]", HEADERS | {"task": "x", "argsrepr": "TO"}),
    "no headers": (JSON, b'[["TO"], {}, {}]', {}),
    "no id": (JSON, b'[["TO"], {}, {}]', {"task": TASK}),
    "broken JSON": (JSON, b'[["TO', HEADERS),
    "deep JSON": (JSON, b"[" * 5_000, HEADERS),
    "object": (JSON, b'{"to": "TO"}', HEADERS),
    "old protocol": (JSON, b'{"task": "x", "id": "y", "args": ["TO"], "kwargs": {}}', {}),
    "empty list": (JSON, b"[]", HEADERS),
    "null": (JSON, b"null", HEADERS),
    "arguments of no kind": (JSON, b'["TO", "TO", "TO"]', HEADERS),
    "bad eta": (JSON, b'[["TO"], {}, {}]', HEADERS | {"eta": "TO"}),
    "bad expires": (JSON, b'[["TO"], {}, {}]', HEADERS | {"expires": "TO"}),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_that_is_no_job(up: Up, to: str, tmp_path: Path, name: str) -> None:
    """A malformed message is dropped without a word of it in the log; the worker goes on."""
    kind, body, headers = MESSAGES[name]
    body = body.replace(b"TO", to.encode()).replace(b"MARKER", str(tmp_path / "made").encode())
    headers = {key: str(value).replace("TO", to) for key, value in headers.items()}
    worker = up.pid("worker")
    publish(up, body, kind, **headers)
    still_works(up, worker)
    assert not (tmp_path / "made").exists()
    assert up.sent(to) == []
    assert to[1:] not in (up.root / "log" / "worker.log").read_text()


def test_a_pickle_is_not_opened(up: Up, tmp_path: Path) -> None:
    """A pickle that would run code when it is read does nothing; the worker goes on."""
    worker, made = up.pid("worker"), tmp_path / "made"
    publish(up, pickle.dumps(Marker(str(made))), PICKLE, **HEADERS)
    still_works(up, worker)
    assert not made.exists()
