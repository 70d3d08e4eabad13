"""The statements that a process's parts send to their database, whoever runs them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from worker.wiring import Sendcode


def listen(parts: Sendcode) -> list[str]:
    """The statements that go to its database from now on."""
    found: list[str] = []
    for engine in parts.db.engines:
        event.listen(engine, "before_cursor_execute", lambda *values: found.append(values[2]))
    whole = parts.db.driver

    @contextmanager
    def heard() -> Iterator[Any]:
        with whole() as connection:
            yield _Heard(connection, found)

    parts.db.driver = heard  # type: ignore[method-assign]
    return found


class _Heard:
    """A driver's connection or cursor whose statements are written down."""

    def __init__(self, whole: Any, found: list[str]) -> None:
        self._whole = whole
        self._found = found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def cursor(self, **options: Any) -> "_Heard":
        return _Heard(self._whole.cursor(**options), self._found)

    def execute(self, statement: str, values: Any) -> Any:
        self._found.append(statement)
        return self._whole.execute(statement, values)
