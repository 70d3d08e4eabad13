"""What Verify's webhooks are still to be told of factors, and minutes by service"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
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
    op.create_table(
        "service_minutes",
        sa.Column("service_sid", sa.String(length=34), nullable=False),
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sms", sa.Integer(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("approved", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("service_sid", "minute", name=op.f("pk_service_minutes")),
    )
    op.create_index(op.f("ix_service_minutes_minute"), "service_minutes", ["minute"])
    op.create_index(
        op.f("ix_authy_users_service_sid_created_at"), "authy_users", ["service_sid", "created_at"]
    )
    op.execute("DELETE FROM minute_looks")  # the last day is counted again, by service too


def downgrade() -> None:
    op.drop_index(op.f("ix_authy_users_service_sid_created_at"), "authy_users")
    op.drop_table("service_minutes")
    op.drop_table("factor_events")
    op.drop_column(_HOOKS, "paused_until")
    op.drop_column(_HOOKS, "failures")
