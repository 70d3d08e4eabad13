"""What Verify's webhooks are still to be told of factors"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0008"
branch_labels = None
depends_on = None

_HOOKS = "factor_webhooks"


def upgrade() -> None:
    op.add_column(_HOOKS, sa.Column("failures", sa.Integer, nullable=False, server_default="0"))
    paused_until = sa.Column("paused_until", sa.BigInteger, nullable=False, server_default="0")
    op.add_column(_HOOKS, paused_until)
    op.create_table(
        "factor_events",
        sa.Column("hook_sid", sa.String(length=34), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("subject_sid", sa.String(length=34), nullable=False),
        sa.Column("factor_sid", sa.String(length=34), nullable=False),
        sa.Column("identity", sa.String(length=64), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["hook_sid"],
            [f"{_HOOKS}.sid"],
            name=op.f("fk_factor_events_hook_sid"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("hook_sid", "kind", "subject_sid", name=op.f("pk_factor_events")),
    )
    op.create_index(op.f("ix_factor_events_next_try_at"), "factor_events", ["next_try_at"])
    op.create_index(op.f("ix_factor_events_created_at"), "factor_events", ["created_at"])


def downgrade() -> None:
    op.drop_table("factor_events")
    op.drop_column(_HOOKS, "paused_until")
    op.drop_column(_HOOKS, "failures")
