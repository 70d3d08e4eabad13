"""The tables of those who operate sendcode. Times and sids are as in `worker.models`."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
)

from worker.models import metadata

operators = Table(
    "operators",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("name", String(32), nullable=False, unique=True),
    Column("role", String(8), nullable=False),
    Column("password_hash", String(128)),  # Argon2id; none before the first one is set
    Column("key_id", String(16)),  # the secret key behind the next
    Column("totp_sealed", LargeBinary),
    Column("last_step", BigInteger, nullable=False),  # the last TOTP step accepted; -1: none
    Column("created_at", BigInteger, nullable=False),
    Column("signed_in_at", BigInteger),
    Column("disabled_at", BigInteger),
    CheckConstraint("role IN ('viewer', 'operator', 'admin')", name="role"),
)

operator_sessions = Table(
    "operator_sessions",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("token_digest", LargeBinary(32), nullable=False, unique=True),  # SHA-256
    Column("operator_sid", String(34), ForeignKey("operators.sid"), nullable=False),
    Column("address", String(45), nullable=False),
    Column("browser", String(120), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),  # to the minute
    Column("expires_at", BigInteger, nullable=False),
    Index(None, "operator_sid"),
    Index(None, "expires_at"),
)

operator_links = Table(
    "operator_links",
    metadata,
    Column("key_digest", LargeBinary(32), primary_key=True),  # SHA-256
    Column("operator_sid", String(34), ForeignKey("operators.sid"), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

sign_in_tries = Table(
    "sign_in_tries",
    metadata,
    Column("scope", String(16), primary_key=True),
    Column("key_digest", LargeBinary(32), primary_key=True),  # keyed, of name and address
    Column("tries", Integer, nullable=False),  # since tries_from
    Column("tries_from", BigInteger, nullable=False),
    Index(None, "tries_from"),
)
