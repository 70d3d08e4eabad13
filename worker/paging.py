"""Pages by key: as quick on the millionth row as on the first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, RowMapping, Select
from sqlalchemy.sql import ColumnElement

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Window:
    """Up to `size` rows, those that follow the key `after` or come before the key `before`."""

    size: int
    after: str | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Slice(Generic[T]):
    """One page, and whether rows come before and after it."""

    items: list[T]
    earlier: bool
    later: bool


def look(
    connection: Connection,
    statement: Select[Any],
    key: ColumnElement[str],
    window: Window,
    make: Callable[[RowMapping], T],
    *,
    newest_first: bool = False,
) -> Slice[T]:
    """The rows of `statement` in the window, in the order of `key`, which is unique among them."""
    backwards = window.before is not None
    if window.before is not None:
        statement = statement.where(key > window.before if newest_first else key < window.before)
    elif window.after is not None:
        statement = statement.where(key < window.after if newest_first else key > window.after)
    order = key.desc() if newest_first != backwards else key.asc()
    found = connection.execute(statement.order_by(order).limit(window.size + 1)).mappings().all()
    return cut(found, window, make, more=len(found) > window.size)


def cut(
    found: Sequence[RowMapping], window: Window, make: Callable[[RowMapping], T], *, more: bool
) -> Slice[T]:
    """The first of the rows that follow, or come before, the window's key: as many as it has.

    :param found: in the order in which they lie from the key
    :param more: whether there may be others behind them
    """
    items = [make(row) for row in found[: window.size]]
    if window.before is not None:
        return Slice(items[::-1], earlier=more, later=True)
    return Slice(items, earlier=window.after is not None, later=more)
