"""The audit log is found by action, by who acted and by what it was done to"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_COLUMNS = ("action", "who", "target")


def upgrade() -> None:
    for name in _COLUMNS:
        op.create_index(f"ix_audit_{name}_sid", "audit", [name, "sid"])


def downgrade() -> None:
    for name in _COLUMNS:
        op.drop_index(f"ix_audit_{name}_sid", "audit")
