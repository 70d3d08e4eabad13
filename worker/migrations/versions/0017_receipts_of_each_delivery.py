"""A receipt is a delivery's: one message may be taken for two of them"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

KEY = ["provider", "provider_sid", "status"]


def upgrade() -> None:
    _keyed_by([*KEY, "delivery_sid"])


def downgrade() -> None:
    op.execute(
        "DELETE FROM receipts WHERE EXISTS (SELECT 1 FROM receipts AS kept"
        " WHERE kept.provider = receipts.provider AND kept.provider_sid = receipts.provider_sid"
        " AND kept.status = receipts.status AND kept.delivery_sid < receipts.delivery_sid)"
    )
    _keyed_by(KEY)


def _keyed_by(columns: list[str]) -> None:
    with op.batch_alter_table("receipts") as batch:
        batch.drop_constraint("pk_receipts", type_="primary")
        batch.create_primary_key("pk_receipts", columns)
