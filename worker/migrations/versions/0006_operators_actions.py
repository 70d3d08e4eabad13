"""Pauses, blocks, the audit log, what was sent again, and bulk jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pauses",
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("paused_by", sa.String(length=64), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("pk_pauses")),
    )
    op.create_table(
        "blocks",
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("blocked_by", sa.String(length=64), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_blocks")),
    )
    op.create_index(
        "uq_blocks_prefix",
        "blocks",
        ["name"],
        unique=True,
        postgresql_where=sa.text("kind = 'prefix'"),
        sqlite_where=sa.text("kind = 'prefix'"),
    )
    op.create_table(
        "blocked_numbers",
        sa.Column("number_index", sa.LargeBinary(length=32), nullable=False),
        sa.Column("block_sid", sa.String(length=34), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["block_sid"],
            ["blocks.sid"],
            name=op.f("fk_blocked_numbers_block_sid"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("number_index", name=op.f("pk_blocked_numbers")),
    )
    op.create_index(op.f("ix_blocked_numbers_block_sid"), "blocked_numbers", ["block_sid"])
    op.create_table(
        "audit",
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.String(length=64), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("target", sa.String(length=80), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.Column("after", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_audit")),
    )
    op.create_table(
        "repeats",
        sa.Column("delivery_sid", sa.String(length=34), nullable=False),
        sa.Column("repeated_by", sa.String(length=34), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_sid"],
            ["deliveries.sid"],
            name=op.f("fk_repeats_delivery_sid"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("delivery_sid", name=op.f("pk_repeats")),
    )
    op.create_table(
        "bulk_jobs",
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("verb", sa.String(length=8), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("filters", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("who", sa.String(length=64), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("unchanged", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("since", sa.String(length=34), nullable=False),
        sa.Column("cursor", sa.String(length=34), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_bulk_jobs")),
    )
    op.create_index(
        "ix_bulk_jobs_running",
        "bulk_jobs",
        ["sid"],
        postgresql_where=sa.text("state = 'running'"),
        sqlite_where=sa.text("state = 'running'"),
    )


def downgrade() -> None:
    for name in ("bulk_jobs", "repeats", "audit", "blocked_numbers", "blocks", "pauses"):
        op.drop_table(name)
