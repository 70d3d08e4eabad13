"""The doors' own resources"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("friendly_name", sa.String(length=64), nullable=False),
        sa.Column("secret_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_api_keys")),
    )
    op.create_index(op.f("ix_api_keys_account_sid_sid"), "api_keys", ["account_sid", "sid"])
    op.create_table(
        "templates",
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("friendly_name", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_templates")),
    )
    op.create_index(op.f("ix_templates_account_sid_sid"), "templates", ["account_sid", "sid"])
    op.create_table(
        "template_texts",
        sa.Column("template_sid", sa.String(length=34), nullable=False),
        sa.Column("locale", sa.String(length=8), nullable=False),
        sa.Column("text", sa.String(length=160), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["template_sid"],
            ["templates.sid"],
            name=op.f("fk_template_texts_template_sid"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("template_sid", "locale", name=op.f("pk_template_texts")),
    )
    op.create_table(
        "safe_numbers",
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("number_index", sa.LargeBinary(length=32), nullable=False),
        sa.Column("number_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_safe_numbers")),
    )
    op.create_index(
        op.f("ix_safe_numbers_account_sid_number_index"),
        "safe_numbers",
        ["account_sid", "number_index"],
        unique=True,
    )
    op.create_table(
        "factor_webhooks",
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("service_sid", sa.String(length=34), nullable=False),
        sa.Column("friendly_name", sa.String(length=64), nullable=False),
        sa.Column("event_types", sa.JSON(), nullable=False),
        sa.Column("webhook_url", sa.String(length=2048), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("version", sa.String(length=2), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["service_sid"],
            ["services.sid"],
            name=op.f("fk_factor_webhooks_service_sid"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_factor_webhooks")),
    )
    op.create_index(
        op.f("ix_factor_webhooks_service_sid_sid"), "factor_webhooks", ["service_sid", "sid"]
    )
    op.create_table(
        "messaging_configurations",
        sa.Column("service_sid", sa.String(length=34), nullable=False),
        sa.Column("country", sa.String(length=3), nullable=False),
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("messaging_service_sid", sa.String(length=34), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["service_sid"],
            ["services.sid"],
            name=op.f("fk_messaging_configurations_service_sid"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("service_sid", "country", name=op.f("pk_messaging_configurations")),
    )
    op.create_table(
        "rate_limits",
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("service_sid", sa.String(length=34), nullable=False),
        sa.Column("unique_name", sa.String(length=64), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["service_sid"],
            ["services.sid"],
            name=op.f("fk_rate_limits_service_sid"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_rate_limits")),
    )
    op.create_index(
        op.f("ix_rate_limits_service_sid_unique_name"),
        "rate_limits",
        ["service_sid", "unique_name"],
        unique=True,
    )
    op.create_table(
        "buckets",
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("service_sid", sa.String(length=34), nullable=False),
        sa.Column("rate_limit_sid", sa.String(length=34), nullable=False),
        sa.Column("most", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["rate_limit_sid"],
            ["rate_limits.sid"],
            name=op.f("fk_buckets_rate_limit_sid"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_buckets")),
    )
    op.create_index(
        op.f("ix_buckets_rate_limit_sid_seconds"),
        "buckets",
        ["rate_limit_sid", "seconds"],
        unique=True,
    )
    op.create_table(
        "event_hooks",
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("service_sid", sa.String(length=34), nullable=False),
        sa.Column("url", sa.String(length=2048), nullable=False),
        sa.Column("wants", sa.Integer(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("paused_until", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["service_sid"],
            ["services.sid"],
            name=op.f("fk_event_hooks_service_sid"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_event_hooks")),
    )
    op.create_index(op.f("ix_event_hooks_service_sid_sid"), "event_hooks", ["service_sid", "sid"])
    op.create_table(
        "events",
        sa.Column("hook_sid", sa.String(length=34), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("subject_sid", sa.String(length=34), nullable=False),
        sa.Column("verification_sid", sa.String(length=34), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["hook_sid"],
            ["event_hooks.sid"],
            name=op.f("fk_events_hook_sid"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("hook_sid", "kind", "subject_sid", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_next_try_at"), "events", ["next_try_at"])
    op.create_index(op.f("ix_events_created_at"), "events", ["created_at"])
    op.add_column("services", sa.Column("default_template_sid", sa.String(length=34)))
    op.add_column("verifications", sa.Column("template_sid", sa.String(length=34)))
    op.add_column(
        "verifications",
        sa.Column("own_code", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.add_column("verifications", sa.Column("code_sealed", sa.LargeBinary()))
    op.add_column("verifications", sa.Column("payment_sealed", sa.LargeBinary()))
    op.add_column("verifications", sa.Column("send_digits", sa.String(length=32)))
    op.create_index(
        "ix_verifications_code_sealed",
        "verifications",
        ["sid"],
        postgresql_where=sa.text("code_sealed IS NOT NULL"),
        sqlite_where=sa.text("code_sealed IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_verifications_code_sealed", "verifications")
    for name in ("send_digits", "payment_sealed", "code_sealed", "own_code", "template_sid"):
        op.drop_column("verifications", name)
    op.drop_column("services", "default_template_sid")
    op.drop_table("events")
    op.drop_table("event_hooks")
    op.drop_table("buckets")
    op.drop_table("rate_limits")
    op.drop_table("messaging_configurations")
    op.drop_table("factor_webhooks")
    op.drop_table("safe_numbers")
    op.drop_table("template_texts")
    op.drop_table("templates")
    op.drop_table("api_keys")
