"""Segments and prices of deliveries, what minutes cost, and budgets"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_OF_DELIVERIES = (
    ("segments", sa.Integer()),
    ("encoding", sa.String(5)),
    ("price_micros", sa.BigInteger()),
    ("price_currency", sa.String(3)),
    ("price_told", sa.Boolean()),
)


def upgrade() -> None:
    for name, kind in _OF_DELIVERIES:
        op.add_column("deliveries", sa.Column(name, kind))
    op.create_table(
        "minute_costs",
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("channel", sa.String(length=4), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("micros", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "minute", "channel", "country", "currency", name=op.f("pk_minute_costs")
        ),
    )
    op.create_table(
        "service_costs",
        sa.Column("service_sid", sa.String(length=34), nullable=False),
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("micros", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("service_sid", "minute", "currency", name=op.f("pk_service_costs")),
    )
    op.create_index(op.f("ix_service_costs_minute"), "service_costs", ["minute"])
    op.create_table(
        "budgets",
        sa.Column("scope", sa.String(length=34), nullable=False),
        sa.Column("unit", sa.String(length=8), nullable=False),
        sa.Column("most", sa.BigInteger(), nullable=True),
        sa.Column("for_now", sa.BigInteger(), nullable=True),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("set_by", sa.String(length=64), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", name=op.f("pk_budgets")),
    )


def downgrade() -> None:
    op.drop_table("budgets")
    op.drop_table("service_costs")
    op.drop_table("minute_costs")
    for name, _ in reversed(_OF_DELIVERIES):
        op.drop_column("deliveries", name)
