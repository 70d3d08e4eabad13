"""The table of events in docs/logs.md is what the code writes."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/logs.md"
LEVELS = ("debug", "info", "warning", "error")
# What operators of such tools look for.
WANTED = set(
    re.findall(
        r"\S+",
        """
request.accepted request.rejected request.deduplicated job.enqueued job.started job.deferred
job.discarded attempt.started attempt.accepted attempt.failed attempt.timed_out retry.scheduled
fallback.triggered budget.exceeded receipt.received receipt.duplicate receipt.out_of_order
receipt.unmatched
webhook.rejected code.verified code.wrong code.expired code.locked limit.hit fraud.prefix_held
circuit.opened circuit.half_open circuit.closed pause.set pause.cleared operator.action
worker.started worker.draining worker.stopped broker.lost broker.restored migration.applied
config.loaded sandbox.message totp.enrolled totp.verified totp.replayed
""",
    )
)


class Written(NamedTuple):
    """One call that writes a line."""

    event: str
    levels: frozenset[str]
    fields: frozenset[str]
    where: str


def calls(path: Path) -> Iterator[tuple[ast.Call, str]]:
    """The calls of a module's `log`, with the method's name."""
    text = path.read_text()
    if "\nlog = structlog.get_logger()\n" not in text:
        assert "structlog.get_logger" not in text, f"{path}: its logger has another name"
        return
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=method)):
                yield node, method


def texts(node: ast.expr) -> list[str | None]:
    """The literals that an argument may be; None for anything else."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp(body=one, orelse=other):
            return texts(one) + texts(other)
    return [None]


def written() -> list[Written]:
    found = []
    for path in sorted([*ROOT.glob("worker/**/*.py"), *ROOT.glob("api_stub/**/*.py")]):
        for call, method in calls(path):
            where = f"{path.relative_to(ROOT)}:{call.lineno}"
            fields = frozenset(keyword.arg for keyword in call.keywords if keyword.arg)
            levels = frozenset(LEVELS if method == "log" else [method])
            for event in texts(call.args[method == "log"]):
                assert event is not None, f"{where}: an event is a literal"
                found.append(Written(event, levels, fields, where))
    return found


def rows(heading: str) -> dict[str, list[str]]:
    """The cells of the table under a heading, by the names in its first column."""
    part = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = [
        re.split(r" *(?<!\\)\| *", line)[1:-1] for line in part.splitlines() if line[:3] == "| `"
    ]
    return {name: row for row in cells for name in re.findall(r"`([\w.]+)`", row[0])}


def test_every_event_is_in_the_table_and_none_else() -> None:
    """An operator finds each line's name in docs/logs.md, and no name that is never written."""
    assert {one.event for one in written()} == set(rows("Events"))


def test_levels_are_what_the_table_says() -> None:
    """The table names the level of each event, all of them where it has several."""
    told = rows("Events")
    wrong = [
        one for one in written() if not one.levels & set(re.findall(r"\w+", told[one.event][1]))
    ]
    assert wrong == []
    assert {level for row in told.values() for level in re.findall(r"\w+", row[1])} == set(LEVELS)


def test_fields_are_in_the_table() -> None:
    """What a line carries stands beside its event, or among the fields of all lines."""
    common, told = set(rows("Fields")), rows("Events")
    missing = defaultdict(set)
    for one in written():
        known = common | set(re.findall(r"`(\w+)`", told[one.event][3]))
        if one.fields - known:
            missing[one.where] = set(one.fields - known)
    assert missing == {}


def test_what_operators_look_for_is_written() -> None:
    """The events that tools of this kind are expected to have are there, under their names."""
    assert WANTED - {one.event for one in written()} == set()
