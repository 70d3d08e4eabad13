"""What became of the codes of each minute"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_COUNTS = ("codes", "approved", "deliveries", "accepted", "delivered", "failed")
_WAITS = tuple(f"wait_{i}" for i in range(17))


def upgrade() -> None:
    op.create_table(
        "minutes",
        sa.Column("minute", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("channel", sa.String(4), nullable=False),
        sa.Column("country", sa.String(2), nullable=False),
        *(sa.Column(name, sa.Integer, nullable=False) for name in (*_COUNTS, *_WAITS)),
        sa.PrimaryKeyConstraint("minute", "channel", "country", name=op.f("pk_minutes")),
    )
    op.create_table(
        "minute_looks",
        sa.Column("minute", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("looked_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("minute", name=op.f("pk_minute_looks")),
    )


def downgrade() -> None:
    op.drop_table("minute_looks")
    op.drop_table("minutes")
