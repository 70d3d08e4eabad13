"""Fails a run in whose output a code or a number of its own tests is found.

A pytest plugin. Tests, the stand-in for Twilio and the sandbox's store tell which codes and numbers
were used. What this process writes is looked through after each test: every line of ours as it is
before the last look at it would take something out, and what pytest captured. What processes wrote
into files is looked through when the run ends, in each process of xdist.

The rule, for codes of a few digits are also counts, times, ports and pids by chance:

- A number is looked for anywhere, in any spelling, with and without its country code.
- A spoken code ("4, 8, 2, 9") is looked for anywhere.
- A written code counts where it stands alone: no letter, digit or part of a time, a date, an
  address or a fraction beside it, and no unit or `pid` either.
- Of a line in JSON only strings can hold a written code, since a code is never a number in the
  program, and of those not `ts` and what is named a code of an error.
- One of four or five digits counts only in a line that names a verification or a delivery.
"""

import json
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import phonenumbers
import pytest
import structlog

from api_stub.sandbox.codes import find
from api_stub.sandbox.store import Store
from worker import logs, phone
from worker.embedded.demo import EXAMPLE_NUMBER

SAID = "codes or numbers in the output"
_LOGS = re.compile(r".*\.log(\.\d+)?|output|errors|stderr", re.ASCII)
_NO_CODES = {"ts", "error_code", "exit_code", "status_code"}
_SID = re.compile(r"V[EL][0-9a-f]{32}", re.ASCII)
_TOKEN = re.compile(
    r"(?<![\w.+-])(?<!\d:)(?<!localhost:)(?<!pid[ =])(?<!port[ =])(?<!process \[)"
    r"\d{4,10}(?![\w:-]|\.\d| (?:[kKM]?i?B|ms|s|bytes|seconds)\b)",
    re.ASCII,
)
_SPOKEN = re.compile(r"(?<!\d)\d(?:, \d){3,9}(?!\d)", re.ASCII)
_DIGITS = re.compile(r"\d{8,}", re.ASCII)
_BETWEEN = re.compile(r"(?<=\d)[ ().-]{1,2}(?=\d)", re.ASCII)
_EXAMPLE = f"--data-urlencode To={EXAMPLE_NUMBER}"  # of the request that `./dev up` prints
_NUMBER = re.compile(r"\+\d{8,15}", re.ASCII)


class Used:
    """Codes and numbers, the latter as digits without and with their country code."""

    def __init__(self) -> None:
        self.codes: set[str] = set()
        self.numbers: set[str] = set()

    def code(self, digits: str) -> str:
        self.codes.add(digits)
        return digits

    def number(self, e164: str) -> None:
        try:
            number = phonenumbers.parse(e164)
        except phonenumbers.NumberParseException:
            return
        national = phonenumbers.national_significant_number(number)
        if len(national) >= 8:
            self.numbers.add(national)

    def sent(self, to: str, body: str, twiml: str) -> None:
        """What a provider was given."""
        self.number(to)
        found = find(twiml, "call") if twiml else find(body, "sms")
        if found:
            self.codes.add(found.code)

    def of_text(self, text: str) -> None:
        """The numbers of a request's form."""
        for number in _NUMBER.findall(text):
            self.number(number)

    def of_store(self, path: Path) -> None:
        """What reached a sandbox."""
        with closing(Store(path)) as store:
            for item in store.some("body != ''"):
                if found := find(item.body, item.channel):
                    self.codes.add(found.code)
            for (to,) in store.db.execute("SELECT DISTINCT recipient FROM requests"):
                self.number(to)

    def update(self, other: "Used") -> None:
        self.codes |= other.codes
        self.numbers |= other.numbers

    # Looking

    def found(self, line: str | dict[str, Any]) -> set[str]:
        """Which of them stand in a line."""
        event = line if isinstance(line, dict) else _as_json(line)
        whole = (line if isinstance(line, str) else str(line)).replace(_EXAMPLE, "")
        hits = set(self._numbers(whole)) | set(self._spoken(whole))
        text = whole if event is None else " ".join(_strings(event))
        tokens = self.codes.intersection(_TOKEN.findall(text))
        if tokens and not _SID.search(whole):
            tokens = {token for token in tokens if len(token) > 5}
        return hits | tokens

    def _numbers(self, text: str) -> Iterator[str]:
        for digits in {*_DIGITS.findall(text), *_DIGITS.findall(_BETWEEN.sub("", text))}:
            yield from (number for number in self.numbers if number in digits)

    def _spoken(self, text: str) -> set[str]:
        return self.codes.intersection(said.replace(", ", "") for said in _SPOKEN.findall(text))


def _as_json(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _strings(value: Any, name: str = "") -> Iterator[str]:
    """The texts within a value of a line; its numbers are no codes."""
    if name in _NO_CODES:
        return
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _strings(one, str(key))
    elif isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from _strings(one)
    elif value is not None and not isinstance(value, int | float):
        yield str(value)


used = Used()  # by the present test
_by_all = Used()
_written: list[dict[str, Any]] = []


def told(lines: Iterable[str | dict[str, Any]], looked_for: Used) -> list[str]:
    """The lines that hold one, with it taken out."""
    leaks = []
    for line in lines:
        if hits := looked_for.found(line):
            text = str(line)
            for hit in hits:
                text = text.replace(hit, f"<{len(hit)} digits>")
            leaks.append(text[:500])
    return leaks


def look_through(folder: Path) -> None:
    """Fail where a line in the logs below a folder holds what was used in this run, or what reached
    a sandbox whose store is below it."""
    every, looked_for = [path for path in folder.rglob("*") if path.is_file()], Used()
    looked_for.update(_by_all)
    for path in every:
        if path.name.startswith("sandbox") and path.suffix == ".db":
            looked_for.of_store(path)
    leaks = []
    for path in every:
        if _LOGS.fullmatch(path.name):
            lines = path.read_text(errors="replace").splitlines()
            leaks += [f"{path.relative_to(folder)}: {leak}" for leak in told(lines, looked_for)]
    if leaks:
        pytest.fail(f"{SAID} of processes:\n" + "\n".join(leaks), pytrace=False)


# The hooks


def pytest_configure() -> None:
    """See every line of ours before anything is taken out of it, and every number that is read."""
    configure, capture = structlog.configure, structlog.testing.capture_logs
    parse = phone.parse

    def configured(processors: Iterable[Any] | None = None, **options: Any) -> None:
        # A logger that is kept would go on as the first test wanted it.
        options["cache_logger_on_first_use"] = False
        configure(None if processors is None else [_seen, *processors], **options)

    def parsed(*given: Any) -> phone.Phone:
        number = parse(*given)
        used.number(number.e164)
        return number

    structlog.configure = configured
    structlog.testing.capture_logs = lambda processors=(): capture([_seen, *processors])
    phone.parse = parsed


def _seen(logger: Any, name: str, event: dict[str, Any]) -> dict[str, Any]:
    _written.append(dict(event))
    return event


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    _written.clear()
    used.codes.clear()
    used.numbers.clear()
    structlog.configure(
        [logs.common, structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        logger_factory=structlog.PrintLoggerFactory(),
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: Any) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "teardown":
        _by_all.update(used)
        captured = [line for _, text in report.sections for line in text.splitlines()]
        leaks = told([*_written, *captured], used)
        if leaks:
            report.outcome = "failed"
            report.longrepr = f"{SAID} of the test:\n" + "\n".join(leaks)
    return report


@pytest.fixture(scope="session", autouse=True)
def nothing_leaks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No process that the tests started wrote a code or a number into its log."""
    yield
    look_through(tmp_path_factory.getbasetemp())
