"""Statements that the driver runs itself: the same rows and the same errors as from SQLAlchemy."""

import pytest
from sqlalchemy import bindparam, insert, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError

from worker.db import UNAVAILABLE, Database
from worker.models import number_guards, services
from worker.prepared import Prepared
from worker.services import Service
from worker.wiring import Sendcode

SERVICE = select(services).where(services.c.sid == bindparam("sid"))
_g = number_guards.c
GUARD = (
    insert(number_guards)
    .values(service_sid=bindparam("service"), number_index=bindparam("index"), failures=3)
    .returning(_g.number_index, _g.failures, _g.disabled_at, (_g.failures > 2).label("many"))
)
INDEX = bytes(range(32))


def test_a_row_is_as_sqlalchemy_reads_it(parts: Sendcode, service: Service) -> None:
    """Flags, JSON, bytes and nulls come back as the types of their columns say."""
    with parts.db.statement() as connection:
        expected = dict(connection.execute(SERVICE, {"sid": service.sid}).mappings().one())
    row = Prepared(parts.db, SERVICE).first({"sid": service.sid})
    assert row == expected
    assert (row["press_key"], row["plan"], row["web_origin"]) == (False, [], None)
    written = Prepared(parts.db, GUARD).all({"service": service.sid, "index": INDEX})
    assert written == [{"number_index": INDEX, "failures": 3, "disabled_at": None, "many": True}]


def test_constants_are_no_parameters(parts: Sendcode) -> None:
    """What never changes is in the statement's text, so that an index over some rows is of use."""
    statement = select(services.c.sid).where(services.c.code_length.in_((4, 6)))
    prepared = Prepared(parts.db, statement.where(services.c.friendly_name == "it's"))
    assert not prepared._constants
    assert "IN (4, 6)" in prepared._sql
    assert "'it''s'" in prepared._sql


def test_what_is_not_there_is_none(parts: Sendcode) -> None:
    """No row is None, and no rows an empty list."""
    prepared = Prepared(parts.db, SERVICE)
    assert prepared.first({"sid": "VA"}) is None
    assert prepared.all({"sid": "VA"}) == []


def test_it_takes_part_in_a_transaction(parts: Sendcode, service: Service) -> None:
    """Within a transaction it sees what is written there, and is undone with it."""
    prepared = Prepared(parts.db, SERVICE)
    rename = update(services).values(friendly_name="Other")
    guard = {"service": service.sid, "index": INDEX}
    with parts.db.begin() as connection:
        connection.execute(rename)
        row = prepared.first({"sid": service.sid}, connection)
        Prepared(parts.db, GUARD).first(guard, connection)
        connection.rollback()
    assert row is not None
    assert (row["friendly_name"], row["press_key"]) == ("Other", False)
    row = prepared.first({"sid": service.sid})
    assert row is not None
    assert row["friendly_name"] == service.friendly_name
    assert Prepared(parts.db, GUARD).first(guard) is not None


def test_an_error_is_sqlalchemys_and_shows_no_value(parts: Sendcode, service: Service) -> None:
    """Whoever catches SQLAlchemy's errors catches these, and the connection is as good after it."""
    prepared = Prepared(parts.db, GUARD)
    values = {"service": service.sid, "index": INDEX}
    prepared.first(values)
    with pytest.raises(IntegrityError) as refused:
        prepared.first(values)
    assert refused.value.params is None
    assert refused.value.__suppress_context__
    assert Prepared(parts.db, SERVICE).first({"sid": service.sid}) is not None
    assert parts.db.in_use == 0


def _end_connections(parts: Sendcode) -> None:
    ended = text(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with parts.db.begin() as connection:
        connection.execute(ended)


@pytest.mark.kills("a-dead-pool-is-kept")
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_one_lost_connection_stands_for_all(parts: Sendcode, service: Service) -> None:
    """After the database ended every connection one statement fails and the next ones do not."""
    prepared = Prepared(parts.db, SERVICE)
    with parts.db.driver(), parts.db.driver(), parts.db.driver():
        assert prepared.first({"sid": service.sid}) is not None
    _end_connections(parts)
    with pytest.raises(UNAVAILABLE) as lost:
        prepared.first({"sid": service.sid})
    assert isinstance(lost.value, OperationalError)
    assert lost.value.connection_invalidated
    for _ in range(4):
        assert prepared.first({"sid": service.sid}) is not None


@pytest.mark.kills("no-connection-is-a-crash")
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_connection_is_unavailable(parts: Sendcode) -> None:
    """A server that cannot be reached is as unavailable as one that goes away."""
    url = parts.db.single.url.set(host="127.0.0.1", port=1, query={})
    nowhere = Database(url.render_as_string(hide_password=False))
    with pytest.raises(UNAVAILABLE) as refused:
        Prepared(nowhere, SERVICE).first({"sid": "VA"})
    assert refused.value.connection_invalidated
    assert nowhere.in_use == 0
    nowhere.close()
