"""What may reach a log line, at every level."""

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from tests.unit.test_settings import COMPLETE
from worker import logs
from worker.settings import load

NUMBER = "+447400123456"


@pytest.fixture(params=["debug", "info"])
def lines(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = (list(root.handlers), root.level, structlog.get_config())
    logs.configure(load(**COMPLETE, log_level=request.param, log_format="json"))
    written = io.StringIO()
    root.handlers[0].setStream(written)  # type: ignore[attr-defined]
    yield written
    root.handlers[:], level, _ = before
    root.setLevel(level)
    structlog.reset_defaults()


def test_celery_prints_no_message_it_cannot_use(lines: io.StringIO) -> None:
    """A message with an unknown task, a bad body or a bad protocol leaves no word of itself."""
    consumer = logging.getLogger("celery.worker.consumer.consumer")
    body: dict[str, Any] = {"to": NUMBER}
    consumer.error("Received unregistered task of type %s.\nbody was:\n%r", "x", body)
    consumer.warning("Received and deleted unknown message.\n\nbody was: %s", body)
    consumer.error("Received invalid task message: %s", body)
    consumer.critical("Can't decode message body: %r", body, exc_info=ValueError(NUMBER))
    logging.getLogger("celery.pool").debug("TaskPool: Apply (args:%r)", (NUMBER,))
    logging.getLogger("celery.app.trace").error("Task failed: %s", NUMBER)
    logging.getLogger("kombu.transport").debug("published %s", NUMBER)
    logging.getLogger("twilio.http_client").info("To=%s", NUMBER)
    assert NUMBER[1:] not in lines.getvalue()
    assert lines.getvalue().count("A message that is no job of ours was dropped") == 4


def test_lost_connections_are_still_told(lines: io.StringIO) -> None:
    """Celery's lines about its broker stay."""
    logging.getLogger("celery.worker.consumer.consumer").warning(
        "consumer: Connection to broker lost. Trying to re-establish the connection..."
    )
    assert "Connection to broker lost" in lines.getvalue()


SLIPS = [
    ("sent to %s", "+447400123456"),
    ("sent to %s", "+44 7400 123-456"),
    ("sent to %s", "+1 (202) 555-0123"),
    ("GET /2010/Messages.json?To=%s", "%2B447400123456"),
    ("called %s", "447400123456"),
    ("cannot reach %s", "redis://user:hunter2hunter2@broker:6379/0"),
    ("Authorization: %s", "Basic QUM6dG9rZW50b2tlbg=="),
]


@pytest.mark.kills("line-is-not-looked-at")
@pytest.mark.parametrize(("text", "secret"), SLIPS)
def test_a_slip_is_taken_out_of_a_line(lines: io.StringIO, text: str, secret: str) -> None:
    """A number, or credentials, in a library's text or as a value of ours, also within a list."""
    logging.getLogger("anything").warning(text, secret)
    structlog.get_logger().warning("ours.slipped", where={"tried": [text % secret]})
    written = re.sub('"ts": "[^"]*"', "", lines.getvalue())  # its digits may be any
    assert written.count("[redacted]") >= 2
    for part in (secret, "7400", "hunter2", "555-0123", "QUM6"):
        assert part not in written


@pytest.mark.kills("line-is-not-looked-at")
def test_values_are_taken_out_by_their_names(lines: io.StringIO) -> None:
    """What is called a code, a number or a password goes, whatever it looks like."""
    structlog.get_logger().warning("ours.slipped", code="042137", to=NUMBER, password="hunter2")
    (line,) = map(json.loads, lines.getvalue().splitlines())
    assert {line[name] for name in ("code", "to", "password")} == {"[redacted]"}


def test_what_helps_stays_in_a_line(lines: io.StringIO) -> None:
    """Sids, times, counts, error codes, addresses and masked numbers are no secrets."""
    told = {
        "verification": "VE01a2137a59dd0bb52f87bdae1f0d62f4",
        "delivery": f"VL{'1' * 32}",
        "error_code": "30003",
        "at": 1764086666123,
        "address": "192.0.2.17",
        "number": None,
        "target": "+44********56",
        "job": "sendcode-19444@host-0123456789",
        "url": "http://127.0.0.1:47310/healthz",
    }
    structlog.get_logger().warning("ours.told", **told)
    (line,) = map(json.loads, lines.getvalue().splitlines())
    assert {name: line[name] for name in told} == told


@pytest.mark.kills("exception-with-its-values")
def test_an_exception_is_its_type_and_place(lines: io.StringIO) -> None:
    """A traceback's values, which may hold a number, are not written."""
    try:
        raise ValueError(f"bad {NUMBER}")
    except ValueError:
        logging.getLogger("anything").exception("it broke")
        structlog.get_logger().error("ours.broke", exc_info=True)
    written = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [line["exception"] for line in written] == ["ValueError", "ValueError"]
    assert all("test_logs.py" in line["where"] for line in written)
    assert NUMBER[1:] not in lines.getvalue()


FORGED = 'x\r\n{"event": "audit.forged", "level": "info"}\x1b[2J\x1b]0;y\x07'
CLEAR = "A\x1b[2J\x1b]0;y\x07\x9bB"


class Odd:
    def __repr__(self) -> str:
        return CLEAR


def test_a_value_makes_no_line_of_its_own(lines: io.StringIO) -> None:
    """What a stranger sent may end lines, and move a terminal's cursor: it stays within one."""
    structlog.get_logger().warning("sign_in.refused", browser=FORGED, page=[FORGED])
    logging.getLogger("uvicorn.error").warning("bad request: %s", FORGED)
    written = lines.getvalue()
    assert [json.loads(line)["level"] for line in written.splitlines()] == ["warning", "warning"]
    assert "\x1b" not in written
    assert "\x07" not in written


def test_on_a_terminal_neither(monkeypatch: pytest.MonkeyPatch, lines: io.StringIO) -> None:
    """Nor in the format for a terminal, which shows a value without blanks as it is."""
    logs.configure(load(**COMPLETE, log_format="console"))
    logging.getLogger().handlers[0].setStream(lines)  # type: ignore[attr-defined]
    structlog.get_logger().warning("sign_in.refused", browser=FORGED)
    logging.getLogger("uvicorn.error").warning("bad request: %s", FORGED)
    logged = structlog.get_logger()
    logged.warning("sign_in.refused", browser=CLEAR, page=[CLEAR], more={CLEAR: (CLEAR,)})
    with logs.about(service=CLEAR):
        logged.warning("sign_in.refused", what=Odd())
    written = lines.getvalue()
    assert len(written.splitlines()) == 4
    for control in ("\x1b[2J", "\x1b]0", "\x07", "\x9b", "\r"):
        assert control not in written
    assert "A\\x1b[2J" in written
