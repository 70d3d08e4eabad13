"""The tables behind the doors' own resources. Times and sids are as in `worker.models`."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, String, Table
from sqlalchemy.types import JSON

from worker.models import metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("account_sid", String(34), nullable=False),
    Column("friendly_name", String(64), nullable=False),
    Column("secret_digest", LargeBinary(32), nullable=False),  # SHA-256
    Column("scopes", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("last_used_at", BigInteger),  # to the minute
    Column("revoked_at", BigInteger),
    Index(None, "account_sid", "sid"),
)
