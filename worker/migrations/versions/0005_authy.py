"""Keys and users of the Authy door"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "authy_keys",
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("service_sid", sa.String(length=34), nullable=False),
        sa.Column("friendly_name", sa.String(length=64), nullable=False),
        sa.Column("key_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["service_sid"],
            ["services.sid"],
            name=op.f("fk_authy_keys_service_sid"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_authy_keys")),
    )
    op.create_index("uq_authy_keys_digest", "authy_keys", ["key_digest"], unique=True)
    op.create_index(op.f("ix_authy_keys_account_sid_sid"), "authy_keys", ["account_sid", "sid"])
    op.create_index(op.f("ix_authy_keys_service_sid"), "authy_keys", ["service_sid"])
    op.create_table(
        "authy_users",
        sa.Column("service_sid", sa.String(length=34), nullable=False),
        sa.Column("authy_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entity_sid", sa.String(length=34), nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("number_index", sa.LargeBinary(length=32), nullable=False),
        sa.Column("number_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("email_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["service_sid"], ["services.sid"], name=op.f("fk_authy_users_service_sid")
        ),
        sa.ForeignKeyConstraint(
            ["entity_sid"],
            ["entities.sid"],
            name=op.f("fk_authy_users_entity_sid"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("service_sid", "authy_id", name=op.f("pk_authy_users")),
    )
    op.create_index(
        "uq_authy_users_number", "authy_users", ["service_sid", "number_index"], unique=True
    )
    op.create_index("uq_authy_users_entity", "authy_users", ["entity_sid"], unique=True)


def downgrade() -> None:
    op.drop_table("authy_users")
    op.drop_table("authy_keys")
