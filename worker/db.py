"""One way to reach PostgreSQL and SQLite: an engine, the database's clock, short transactions."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import BigInteger, Connection, Engine, PoolProxiedConnection, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.sql.schema import Table

from worker.errors import SettingsError

UNAVAILABLE = (OperationalError, InterfaceError, InternalError, PoolTimeoutError)
"""The database does not do what it could do later: away, restarting, read-only, pool exhausted."""

# Bounds on every wait, so that a lost host cannot hold a thread for good.
_POSTGRESQL: dict[str, Any] = {
    "connect_timeout": 5,
    "application_name": "sendcode",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "options": (
        "-c statement_timeout=10000 -c lock_timeout=5000"
        " -c idle_in_transaction_session_timeout=15000"
    ),
}


class now_ms(FunctionElement[int]):  # noqa: N801 - reads as the SQL function it is
    """The database's own clock, ms since 1970 UTC: deadlines never depend on a worker's clock."""

    type = BigInteger()
    inherit_cache = True
    name = "now_ms"


class then_ms(FunctionElement[int]):  # noqa: N801
    """The clock at the statement's start. PostgreSQL can use an index with it, which it cannot
    with `now_ms`; what waits for a lock must ask `now_ms` again.
    """

    type = BigInteger()
    inherit_cache = True
    name = "then_ms"


@compiles(now_ms, "postgresql")
def _postgresql_now(element: now_ms, compiler: Any, **kw: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"


@compiles(then_ms, "postgresql")
def _postgresql_then(element: then_ms, compiler: Any, **kw: Any) -> str:
    return "CAST(extract(epoch FROM statement_timestamp()) * 1000 AS BIGINT)"


@compiles(then_ms, "sqlite")
@compiles(now_ms, "sqlite")
def _sqlite_now(element: FunctionElement[int], compiler: Any, **kw: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


class Database:
    """Connections to one database.

    `begin()` is a write transaction; `statement()` runs single statements, each its own
    transaction, which saves the round trips of BEGIN and COMMIT. They have a pool each: to change a
    connection from one to the other and back costs as much as a statement.
    """

    def __init__(self, url: str, pool_size: int = 16) -> None:
        self.engine = _engine(url, pool_size)
        self.single = _engine(
            url, pool_size, isolation_level="AUTOCOMMIT", pool_reset_on_return=None
        )

    @property
    def engines(self) -> tuple[Engine, Engine]:
        """Of transactions, and of statements alone."""
        return self.engine, self.single

    @property
    def in_use(self) -> int:
        """Connections that somebody holds."""
        return sum(engine.pool.checkedout() for engine in self.engines)  # type: ignore[attr-defined]

    @property
    def dialect(self) -> str:
        return self.engine.dialect.name

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def statement(self) -> Iterator[Connection]:
        with self.single.connect() as connection:
            yield connection

    @contextmanager
    def driver(self) -> Iterator[PoolProxiedConnection]:
        """The driver's own connection, where each statement is its own transaction. Its errors
        are raised as SQLAlchemy's; a lost connection takes its pool along, since what ends one ends
        them all.

        :raises sqlalchemy.exc.DBAPIError: its kinds as from SQLAlchemy, see `UNAVAILABLE`
        """
        kind = self.single.dialect.dbapi.Error  # type: ignore[union-attr]
        connection = None
        try:
            connection = self.single.raw_connection()
            yield connection
        except kind as error:
            raise self._told(error, kind, connection) from None
        finally:
            if connection is not None:
                connection.close()

    def _told(
        self, error: Any, kind: type[Exception], connection: PoolProxiedConnection | None
    ) -> BaseException:
        dialect = self.single.dialect
        driver = connection and connection.driver_connection
        lost = connection is None or dialect.is_disconnect(error, driver, None)
        if connection is not None and lost:
            connection.invalidate(error)
            self.single.dispose()
        told: BaseException = DBAPIError.instance(
            None,
            None,
            error,
            kind,
            hide_parameters=True,
            connection_invalidated=lost,
            dialect=dialect,
        )
        return told

    def insert(self, table: Table) -> Any:
        """The dialect's INSERT, which has `on_conflict_do_nothing` on both."""
        return (sqlite if self.dialect == "sqlite" else postgresql).insert(table)

    def close(self) -> None:
        self.engine.dispose()
        self.single.dispose()


def _engine(url: str, pool_size: int, **options: Any) -> Engine:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise SettingsError(
            "SENDCODE_DATABASE_URL is no database URL, write `postgresql+psycopg://…` or `sqlite:///…`"
        ) from None
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite":
        return _sqlite_engine(parsed, pool_size, options)
    if parsed.drivername != "postgresql+psycopg":
        raise SettingsError(
            f"SENDCODE_DATABASE_URL: {parsed.drivername} is not supported,"
            " write `postgresql+psycopg://…` or `sqlite:///…`"
        )
    from worker.cursors import PlainCursor

    return create_engine(
        parsed,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        pool_recycle=1800,
        hide_parameters=True,
        connect_args=_POSTGRESQL | {"cursor_factory": PlainCursor},
        **options,
    )


def _sqlite_engine(url: Any, pool_size: int, options: dict[str, Any]) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        hide_parameters=True,
        connect_args={"timeout": 10, "check_same_thread": False, "isolation_level": None},
        **options,
    )

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, record: Any) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    if "isolation_level" not in options:
        # IMMEDIATE takes the write lock at once: a transaction that reads first and writes
        # later cannot fail half way because another writer came between.
        event.listen(engine, "begin", lambda began: began.exec_driver_sql("BEGIN IMMEDIATE"))

    return engine
