"""Operators, their sessions and sign-in links"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "operators",
        sa.Column("sid", sa.String(34), nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("role", sa.String(8), nullable=False),
        sa.Column("password_hash", sa.String(128)),
        sa.Column("key_id", sa.String(16)),
        sa.Column("totp_sealed", sa.LargeBinary),
        sa.Column("last_step", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("signed_in_at", sa.BigInteger),
        sa.Column("disabled_at", sa.BigInteger),
        sa.CheckConstraint(
            "role IN ('viewer', 'operator', 'admin')", name=op.f("ck_operators_role")
        ),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_operators")),
        sa.UniqueConstraint("name", name=op.f("uq_operators_name")),
    )
    op.create_table(
        "operator_sessions",
        sa.Column("sid", sa.String(34), nullable=False),
        sa.Column("token_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("operator_sid", sa.String(34), nullable=False),
        sa.Column("address", sa.String(45), nullable=False),
        sa.Column("browser", sa.String(120), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["operator_sid"], ["operators.sid"], name=op.f("fk_operator_sessions_operator_sid")
        ),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_operator_sessions")),
        sa.UniqueConstraint("token_digest", name=op.f("uq_operator_sessions_token_digest")),
    )
    op.create_index(
        op.f("ix_operator_sessions_operator_sid"), "operator_sessions", ["operator_sid"]
    )
    op.create_index(op.f("ix_operator_sessions_expires_at"), "operator_sessions", ["expires_at"])
    op.create_table(
        "operator_links",
        sa.Column("key_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("operator_sid", sa.String(34), nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["operator_sid"], ["operators.sid"], name=op.f("fk_operator_links_operator_sid")
        ),
        sa.PrimaryKeyConstraint("key_digest", name=op.f("pk_operator_links")),
    )
    op.create_table(
        "sign_in_tries",
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("key_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("tries_from", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("scope", "key_digest", name=op.f("pk_sign_in_tries")),
    )
    op.create_index(op.f("ix_sign_in_tries_tries_from"), "sign_in_tries", ["tries_from"])


def downgrade() -> None:
    for table in ("sign_in_tries", "operator_links", "operator_sessions", "operators"):
        op.drop_table(table)
