"""Services, verifications, deliveries"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "number_guards",
        sa.Column("service_sid", sa.String(length=34), nullable=False),
        sa.Column("number_index", sa.LargeBinary(length=32), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("service_sid", "number_index", name=op.f("pk_number_guards")),
    )
    op.create_table(
        "receipts",
        sa.Column("provider", sa.String(length=16), nullable=False),
        sa.Column("provider_sid", sa.String(length=34), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("delivery_sid", sa.String(length=34), nullable=False),
        sa.Column("error_code", sa.String(length=32), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "provider_sid", "status", name=op.f("pk_receipts")),
    )
    with op.batch_alter_table("receipts", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_receipts_delivery_sid"), ["delivery_sid"], unique=False
        )

    op.create_table(
        "requests",
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("request_index", sa.LargeBinary(length=32), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(length=32), nullable=False),
        sa.Column("verification_sid", sa.String(length=34), nullable=False),
        sa.Column("delivery_sid", sa.String(length=34), nullable=False),
        sa.Column("answered_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_sid", "request_index", name=op.f("pk_requests")),
    )
    with op.batch_alter_table("requests", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_requests_created_at"), ["created_at"], unique=False)

    op.create_table(
        "services",
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("friendly_name", sa.String(length=32), nullable=False),
        sa.Column("code_length", sa.Integer(), nullable=False),
        sa.Column("code_life", sa.Integer(), nullable=False),
        sa.Column("press_key", sa.Boolean(), nullable=False),
        sa.Column("spoken_name", sa.String(length=32), nullable=True),
        sa.Column("do_not_share", sa.Boolean(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("web_origin", sa.String(length=253), nullable=True),
        sa.Column("twilio_only", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("code_length BETWEEN 4 AND 10", name=op.f("ck_services_code_length")),
        sa.CheckConstraint("code_life BETWEEN 60 AND 86400", name=op.f("ck_services_code_life")),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_services")),
    )
    with op.batch_alter_table("services", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_services_account_sid_created_at"),
            ["account_sid", "created_at"],
            unique=False,
        )

    op.create_table(
        "verifications",
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("service_sid", sa.String(length=34), nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("number_index", sa.LargeBinary(length=32), nullable=False),
        sa.Column("number_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("salt", sa.LargeBinary(length=16), nullable=False),
        sa.Column("code_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("code_length", sa.Integer(), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("locale", sa.String(length=8), nullable=False),
        sa.Column("channel", sa.String(length=4), nullable=False),
        sa.Column("friendly_name", sa.String(length=32), nullable=True),
        sa.Column("app_hash", sa.String(length=11), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("checks", sa.Integer(), nullable=False),
        sa.Column("max_checks", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("approved_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["service_sid"], ["services.sid"], name=op.f("fk_verifications_service_sid")
        ),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_verifications")),
    )
    with op.batch_alter_table("verifications", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_verifications_created_at"), ["created_at"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_verifications_number_index_created_at"),
            ["number_index", "created_at"],
            unique=False,
        )
        batch_op.create_index(
            "ix_verifications_overdue",
            ["expires_at"],
            unique=False,
            postgresql_where=sa.text("status IN ('pending', 'max_attempts_reached')"),
            sqlite_where=sa.text("status IN ('pending', 'max_attempts_reached')"),
        )
        batch_op.create_index(
            "uq_verifications_live",
            ["service_sid", "number_index"],
            unique=True,
            postgresql_where=sa.text("status IN ('pending', 'max_attempts_reached')"),
            sqlite_where=sa.text("status IN ('pending', 'max_attempts_reached')"),
        )

    op.create_table(
        "deliveries",
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("verification_sid", sa.String(length=34), nullable=False),
        sa.Column("channel", sa.String(length=4), nullable=False),
        sa.Column("queue", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("doubts", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.BigInteger(), nullable=False),
        sa.Column("hinted_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("sender", sa.String(length=32), nullable=True),
        sa.Column("slot_of", sa.String(length=32), nullable=True),
        sa.Column("provider", sa.String(length=16), nullable=True),
        sa.Column("provider_sid", sa.String(length=34), nullable=True),
        sa.Column("error_code", sa.String(length=32), nullable=True),
        sa.Column("follow_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=True),
        sa.Column("taken_at", sa.BigInteger(), nullable=True),
        sa.Column("accepted_at", sa.BigInteger(), nullable=True),
        sa.Column("delivered_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["verification_sid"], ["verifications.sid"], name=op.f("fk_deliveries_verification_sid")
        ),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_deliveries")),
    )
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.create_index(
            "ix_deliveries_follow",
            ["follow_at"],
            unique=False,
            postgresql_where=sa.text("follow_at IS NOT NULL"),
            sqlite_where=sa.text("follow_at IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_deliveries_overdue",
            ["expires_at"],
            unique=False,
            postgresql_where=sa.text("state = 'queued'"),
            sqlite_where=sa.text("state = 'queued'"),
        )
        batch_op.create_index(
            "ix_deliveries_due",
            ["queue", "hinted_at"],
            unique=False,
            postgresql_where=sa.text("state = 'queued'"),
            sqlite_where=sa.text("state = 'queued'"),
        )
        batch_op.create_index(
            "ix_deliveries_leased",
            ["lease_until"],
            unique=False,
            postgresql_where=sa.text("state = 'sending'"),
            sqlite_where=sa.text("state = 'sending'"),
        )
        batch_op.create_index(
            "ix_deliveries_unreceipted",
            ["next_try_at"],
            unique=False,
            postgresql_where=sa.text("state IN ('accepted', 'sent')"),
            sqlite_where=sa.text("state IN ('accepted', 'sent')"),
        )
        batch_op.create_index(
            batch_op.f("ix_deliveries_verification_sid"), ["verification_sid"], unique=False
        )
        batch_op.create_index(
            "uq_deliveries_step",
            ["verification_sid", "step"],
            unique=True,
            postgresql_where=sa.text("step > 0"),
            sqlite_where=sa.text("step > 0"),
        )


def downgrade() -> None:
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_deliveries_step",
            postgresql_where=sa.text("step > 0"),
            sqlite_where=sa.text("step > 0"),
        )
        batch_op.drop_index(batch_op.f("ix_deliveries_verification_sid"))
        batch_op.drop_index(
            "ix_deliveries_unreceipted",
            postgresql_where=sa.text("state IN ('accepted', 'sent')"),
            sqlite_where=sa.text("state IN ('accepted', 'sent')"),
        )
        batch_op.drop_index(
            "ix_deliveries_leased",
            postgresql_where=sa.text("state = 'sending'"),
            sqlite_where=sa.text("state = 'sending'"),
        )
        batch_op.drop_index(
            "ix_deliveries_due",
            postgresql_where=sa.text("state = 'queued'"),
            sqlite_where=sa.text("state = 'queued'"),
        )
        batch_op.drop_index(
            "ix_deliveries_overdue",
            postgresql_where=sa.text("state = 'queued'"),
            sqlite_where=sa.text("state = 'queued'"),
        )
        batch_op.drop_index(
            "ix_deliveries_follow",
            postgresql_where=sa.text("follow_at IS NOT NULL"),
            sqlite_where=sa.text("follow_at IS NOT NULL"),
        )

    op.drop_table("deliveries")
    with op.batch_alter_table("verifications", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_verifications_live",
            postgresql_where=sa.text("status IN ('pending', 'max_attempts_reached')"),
            sqlite_where=sa.text("status IN ('pending', 'max_attempts_reached')"),
        )
        batch_op.drop_index(
            "ix_verifications_overdue",
            postgresql_where=sa.text("status IN ('pending', 'max_attempts_reached')"),
            sqlite_where=sa.text("status IN ('pending', 'max_attempts_reached')"),
        )
        batch_op.drop_index(batch_op.f("ix_verifications_number_index_created_at"))
        batch_op.drop_index(batch_op.f("ix_verifications_created_at"))

    op.drop_table("verifications")
    with op.batch_alter_table("services", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_services_account_sid_created_at"))

    op.drop_table("services")
    with op.batch_alter_table("requests", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_requests_created_at"))

    op.drop_table("requests")
    with op.batch_alter_table("receipts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_receipts_delivery_sid"))

    op.drop_table("receipts")
    op.drop_table("number_guards")
