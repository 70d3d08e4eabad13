"""The one set of migrations, on both databases."""

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from worker import migrations
from worker.db import Database
from worker.models import metadata


def test_migrations_make_what_the_models_say(database_url: str) -> None:
    """A migrated database has the tables, columns and indexes of the models, and no other."""
    db = Database(database_url)
    with db.statement() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    db.close()


def test_down_and_up_again(database_url: str) -> None:
    """The migrations run down to nothing and up again."""
    db = Database(database_url)
    migrations.downgrade(db)
    assert set(inspect(db.engine).get_table_names()) <= {"alembic_version"}
    assert migrations.applied(db) is None
    migrations.upgrade(db)
    assert migrations.applied(db) == migrations.head()
    assert set(metadata.tables) <= set(inspect(db.engine).get_table_names())
    db.close()
