"""Authenticator apps: entities, factors, challenges and backup codes"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "entities",
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("account_sid", sa.String(length=34), nullable=False),
        sa.Column("service_sid", sa.String(length=34), nullable=False),
        sa.Column("identity", sa.String(length=64), nullable=False),
        sa.Column("factors_made", sa.Integer(), nullable=False),
        sa.Column("factors_made_from", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["service_sid"], ["services.sid"], name=op.f("fk_entities_service_sid")
        ),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_entities")),
    )
    with op.batch_alter_table("entities", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_entities_service_sid_created_at"),
            ["service_sid", "created_at"],
            unique=False,
        )
        batch_op.create_index("uq_entities_identity", ["service_sid", "identity"], unique=True)

    op.create_table(
        "backup_sets",
        sa.Column("entity_sid", sa.String(length=34), nullable=False),
        sa.Column("salt", sa.LargeBinary(length=16), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("tries_from", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["entity_sid"], ["entities.sid"], name=op.f("fk_backup_sets_entity_sid")
        ),
        sa.PrimaryKeyConstraint("entity_sid", name=op.f("pk_backup_sets")),
    )
    op.create_table(
        "factors",
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("entity_sid", sa.String(length=34), nullable=False),
        sa.Column("friendly_name", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("algorithm", sa.String(length=6), nullable=False),
        sa.Column("digits", sa.Integer(), nullable=False),
        sa.Column("period", sa.Integer(), nullable=False),
        sa.Column("skew", sa.Integer(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.Column("metadata", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("status IN ('unverified', 'verified')", name=op.f("ck_factors_status")),
        sa.ForeignKeyConstraint(
            ["entity_sid"], ["entities.sid"], name=op.f("fk_factors_entity_sid")
        ),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_factors")),
    )
    with op.batch_alter_table("factors", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_factors_entity_sid_created_at"),
            ["entity_sid", "created_at"],
            unique=False,
        )
        batch_op.create_index(
            "ix_factors_unverified",
            ["created_at"],
            unique=False,
            postgresql_where=sa.text("status = 'unverified'"),
            sqlite_where=sa.text("status = 'unverified'"),
        )

    op.create_table(
        "backup_codes",
        sa.Column("entity_sid", sa.String(length=34), nullable=False),
        sa.Column("code_hash", sa.String(length=128), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["entity_sid"], ["backup_sets.entity_sid"], name=op.f("fk_backup_codes_entity_sid")
        ),
        sa.PrimaryKeyConstraint("entity_sid", "code_hash", name=op.f("pk_backup_codes")),
    )
    op.create_table(
        "challenges",
        sa.Column("sid", sa.String(length=34), nullable=False),
        sa.Column("factor_sid", sa.String(length=34), nullable=False),
        sa.Column("entity_sid", sa.String(length=34), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("details", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("hidden_details", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("metadata", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("responded_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["factor_sid"], ["factors.sid"], name=op.f("fk_challenges_factor_sid")
        ),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_challenges")),
    )
    with op.batch_alter_table("challenges", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_challenges_created_at"), ["created_at"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_challenges_entity_sid_created_at"),
            ["entity_sid", "created_at"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_challenges_factor_sid_created_at"),
            ["factor_sid", "created_at"],
            unique=False,
        )


def downgrade() -> None:
    with op.batch_alter_table("challenges", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_challenges_factor_sid_created_at"))
        batch_op.drop_index(batch_op.f("ix_challenges_entity_sid_created_at"))
        batch_op.drop_index(batch_op.f("ix_challenges_created_at"))

    op.drop_table("challenges")
    op.drop_table("backup_codes")
    with op.batch_alter_table("factors", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_factors_unverified",
            postgresql_where=sa.text("status = 'unverified'"),
            sqlite_where=sa.text("status = 'unverified'"),
        )
        batch_op.drop_index(batch_op.f("ix_factors_entity_sid_created_at"))

    op.drop_table("factors")
    op.drop_table("backup_sets")
    with op.batch_alter_table("entities", schema=None) as batch_op:
        batch_op.drop_index("uq_entities_identity")
        batch_op.drop_index(batch_op.f("ix_entities_service_sid_created_at"))

    op.drop_table("entities")
