"""Receipts tell whether they came by callback or were asked for"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("receipts", sa.Column("asked", sa.Boolean))


def downgrade() -> None:
    op.drop_column("receipts", "asked")
