"""Guards of numbers know when they changed, services may have limits of their own"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_TABLE = "number_guards"
_LIMITS = ("send_limit", "check_limit")
# What an older process writes has no time; the relay gives it one.
_INDEXES = {
    "ix_number_guards_untimed": "updated_at IS NULL",
    "ix_number_guards_idle": "disabled_at IS NULL",
    "ix_number_guards_cleared": "failures = 0 AND disabled_at IS NULL",
}


def upgrade() -> None:
    for name in _LIMITS:
        op.add_column("services", sa.Column(name, sa.Integer))
    op.add_column(_TABLE, sa.Column("updated_at", sa.BigInteger))
    for name, where in _INDEXES.items():
        only = sa.text(where)
        op.create_index(name, _TABLE, ["updated_at"], postgresql_where=only, sqlite_where=only)


def downgrade() -> None:
    for name in _INDEXES:
        op.drop_index(name, _TABLE)
    op.drop_column(_TABLE, "updated_at")
    for name in _LIMITS:
        op.drop_column("services", name)
