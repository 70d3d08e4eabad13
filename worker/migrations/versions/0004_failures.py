"""Failed deliveries by time"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_FAILED = sa.text("state IN ('failed', 'undelivered', 'expired')")


def upgrade() -> None:
    op.create_index(
        "ix_deliveries_failed",
        "deliveries",
        ["sid"],
        postgresql_where=_FAILED,
        sqlite_where=_FAILED,
    )


def downgrade() -> None:
    op.drop_index(
        "ix_deliveries_failed",
        table_name="deliveries",
        postgresql_where=_FAILED,
        sqlite_where=_FAILED,
    )
