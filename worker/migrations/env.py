"""Alembic's entry: runs on the connection that `worker.migrations.run` hands over."""

from alembic import context

from worker import door_tables, minute_tables, operator_tables, sign_in_tables
from worker.models import metadata

_ = door_tables, minute_tables, operator_tables, sign_in_tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=False,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
