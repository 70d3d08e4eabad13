"""Events that were given up are kept, to be told when an operator says so"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_INDEX, _OLD = "ix_events_created_at", "ix_events_given_up"


def _index(name: str, where: str) -> None:
    only = sa.text(f"next_try_at IS {where}")
    op.create_index(name, "events", ["created_at"], postgresql_where=only, sqlite_where=only)


def upgrade() -> None:
    op.drop_index(_INDEX, "events")
    with op.batch_alter_table("events") as table:
        table.alter_column("next_try_at", existing_type=sa.BigInteger(), nullable=True)
    _index(_INDEX, "NOT NULL")
    _index(_OLD, "NULL")


def downgrade() -> None:
    op.execute("DELETE FROM events WHERE next_try_at IS NULL")
    op.drop_index(_OLD, "events")
    op.drop_index(_INDEX, "events")
    with op.batch_alter_table("events") as table:
        table.alter_column("next_try_at", existing_type=sa.BigInteger(), nullable=False)
    op.create_index(_INDEX, "events", ["created_at"])
