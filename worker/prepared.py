"""Statements of the send and the check path: compiled once, and run by the driver itself.

SQLAlchemy writes the SQL and names the types. Its execution of a statement that is compiled
already costs more than the driver's: parameters, contexts and results are prepared for whatever a
statement may be.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.sql import visitors
from sqlalchemy.types import TypeEngine

from worker.db import Database

Row = Mapping[Any, Any]
"""A row's values by the names of its columns."""


class Prepared:
    """One statement, its own transaction each time it is run.

    :param statement: with columns to return; what it is run with are its `bindparam`s without a
        value. Lists of a length that is not known have no place in it
    """

    def __init__(self, db: Database, statement: Any) -> None:
        self._db = db
        dialect = db.single.dialect
        compiled = _with_constants(statement).compile(
            dialect=dialect, compile_kwargs={"render_postcompile": True}
        )
        self._sql = str(compiled)
        self._order = compiled.positiontup
        self._constants = compiled.params  # None is one that is not written out
        self._bound = _processors(
            {name: bind.type for name, bind in compiled.binds.items()},
            lambda kind: kind.bind_processor(dialect),
            dialect,
        )
        columns = statement.exported_columns
        self._names = tuple(columns.keys())
        self._loaded = _processors(
            {name: column.type for name, column in columns.items()},
            lambda kind: kind.result_processor(dialect, None),
            dialect,
        )
        self._options = {"binary": True} if dialect.name == "postgresql" else {}

    def first(self, values: Mapping[str, Any], connection: Connection | None = None) -> Row | None:
        """The first of the rows, or None.

        :param connection: whose transaction it is part of; its own otherwise
        :raises sqlalchemy.exc.DBAPIError: its kinds as from SQLAlchemy, see `worker.db.UNAVAILABLE`
        """
        rows = self.all(values, connection)
        return rows[0] if rows else None

    def all(self, values: Mapping[str, Any], connection: Connection | None = None) -> list[Row]:
        """The rows; as `first`."""
        given = self._given(values)
        rows = self._alone(given) if connection is None else self._within(connection, given)
        return [self._row(row) for row in rows]

    def _given(self, values: Mapping[str, Any]) -> Any:
        given = {**self._constants, **values}
        for name, bind in self._bound:
            given[name] = bind(given[name])
        return given if self._order is None else tuple(given[name] for name in self._order)

    def _row(self, row: Any) -> Row:
        found = dict(zip(self._names, row, strict=True))
        for name, load in self._loaded:
            found[name] = load(found[name])
        return found

    def _alone(self, given: Any) -> Sequence[Any]:
        with self._db.driver() as connection:
            cursor = connection.cursor(**self._options)
            try:
                cursor.execute(self._sql, given)
                return cursor.fetchall()
            finally:
                cursor.close()

    def _within(self, connection: Connection, given: Any) -> Sequence[Any]:
        found = connection.exec_driver_sql(self._sql, given)
        return found.fetchall()


def _with_constants(statement: Any) -> Any:
    """The statement with its constants written out: they are parameters to SQLAlchemy, and the
    server's plan for every parameter cannot use an index over some of the rows.
    """

    def written(element: BindParameter[Any]) -> None:
        if element.value is not None:
            element.literal_execute = True
        element.required = False  # it is asked for when the statement is run

    return visitors.cloned_traverse(statement, {}, {"bindparam": written})


def _processors(
    kinds: Mapping[str, TypeEngine[Any]],
    processor: Callable[[TypeEngine[Any]], Callable[[Any], Any] | None],
    dialect: Dialect,
) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """What turns values into the driver's or back, for the names whose type needs it."""
    found = ((name, processor(kind.dialect_impl(dialect))) for name, kind in kinds.items())
    return tuple((name, process) for name, process in found if process is not None)
