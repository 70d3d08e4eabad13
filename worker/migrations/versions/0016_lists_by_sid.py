"""Lists of entities and challenges go on by sid, and so does their index"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_OWNERS = {"entities": "service_sid", "challenges": "entity_sid"}


def upgrade() -> None:
    for table, owner in _OWNERS.items():
        op.create_index(f"ix_{table}_{owner}_sid", table, [owner, "sid"])
        op.drop_index(f"ix_{table}_{owner}_created_at", table)


def downgrade() -> None:
    for table, owner in _OWNERS.items():
        op.create_index(f"ix_{table}_{owner}_created_at", table, [owner, "created_at"])
        op.drop_index(f"ix_{table}_{owner}_sid", table)
