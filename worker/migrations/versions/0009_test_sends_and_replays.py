"""Deliveries that one sender alone may hand over, and when an event that is told again happened"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("only_by", sa.String(32)))
    op.add_column("events", sa.Column("happened_at", sa.BigInteger))


def downgrade() -> None:
    op.drop_column("events", "happened_at")
    op.drop_column("deliveries", "only_by")
