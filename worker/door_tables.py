"""The tables behind the doors' own resources. Times and sids are as in `worker.models`."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    text,
)
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

templates = Table(
    "templates",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("account_sid", String(34), nullable=False),
    Column("friendly_name", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index(None, "account_sid", "sid"),
)

template_texts = Table(
    "template_texts",
    metadata,
    Column(
        "template_sid",
        String(34),
        ForeignKey("templates.sid", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("locale", String(8), primary_key=True),
    Column("text", String(160), nullable=False),
    Column("is_default", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

safe_numbers = Table(
    "safe_numbers",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("account_sid", String(34), nullable=False),
    Column("key_id", String(16), nullable=False),  # the secret key behind the next two
    Column("number_index", LargeBinary(32), nullable=False),
    Column("number_sealed", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index(None, "account_sid", "number_index", unique=True),
)

factor_webhooks = Table(  # Verify's own: who is told what becomes of a service's factors
    "factor_webhooks",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("account_sid", String(34), nullable=False),
    Column(
        "service_sid", String(34), ForeignKey("services.sid", ondelete="CASCADE"), nullable=False
    ),
    Column("friendly_name", String(64), nullable=False),
    Column("event_types", JSON, nullable=False),
    Column("webhook_url", String(2048), nullable=False),
    Column("status", String(8), nullable=False),
    Column("version", String(2), nullable=False),
    Column("failures", Integer, nullable=False),  # in a row
    Column("paused_until", BigInteger, nullable=False),  # after a failure nothing is sent
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index(None, "service_sid", "sid"),
)

factor_events = Table(  # what is still to be told of factors; a row goes when it was
    "factor_events",
    metadata,
    Column(
        "hook_sid",
        String(34),
        ForeignKey("factor_webhooks.sid", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("kind", String(40), primary_key=True),
    Column("subject_sid", String(34), primary_key=True),  # of the challenge or the factor
    Column("factor_sid", String(34), nullable=False),
    Column("identity", String(64), nullable=False),  # of the entity, which may be gone
    Column("tries", Integer, nullable=False),
    Column("next_try_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index(None, "next_try_at"),
    Index(None, "created_at"),
)

messaging_configurations = Table(
    "messaging_configurations",
    metadata,
    Column(
        "service_sid", String(34), ForeignKey("services.sid", ondelete="CASCADE"), primary_key=True
    ),
    Column("country", String(3), primary_key=True),  # ISO 3166 alpha-2, or `all`
    Column("account_sid", String(34), nullable=False),
    Column("messaging_service_sid", String(34), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

rate_limits = Table(
    "rate_limits",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("account_sid", String(34), nullable=False),
    Column(
        "service_sid", String(34), ForeignKey("services.sid", ondelete="CASCADE"), nullable=False
    ),
    Column("unique_name", String(64), nullable=False),
    Column("description", String(255)),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index(None, "service_sid", "unique_name", unique=True),
)

buckets = Table(
    "buckets",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("account_sid", String(34), nullable=False),
    Column("service_sid", String(34), nullable=False),
    Column(
        "rate_limit_sid",
        String(34),
        ForeignKey("rate_limits.sid", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("most", Integer, nullable=False),
    Column("seconds", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index(None, "rate_limit_sid", "seconds", unique=True),
)

event_hooks = Table(  # who is told what becomes of a service's verifications
    "event_hooks",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("account_sid", String(34), nullable=False),
    Column(
        "service_sid", String(34), ForeignKey("services.sid", ondelete="CASCADE"), nullable=False
    ),
    Column("url", String(2048), nullable=False),
    Column("wants", Integer, nullable=False),  # a bit for each kind of event
    Column("enabled", Boolean, nullable=False),
    Column("key_id", String(16), nullable=False),  # the secret key behind the next one
    Column("secret_sealed", LargeBinary, nullable=False),
    Column("failures", Integer, nullable=False),  # in a row
    Column("paused_until", BigInteger, nullable=False),  # after a failure nothing is sent
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index(None, "service_sid", "sid"),
)

events = Table(  # what is still to be told, or was given up; a row goes when it was told
    "events",
    metadata,
    Column(
        "hook_sid",
        String(34),
        ForeignKey("event_hooks.sid", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("kind", String(40), primary_key=True),
    Column("subject_sid", String(34), primary_key=True),  # of the verification or delivery
    Column("verification_sid", String(34), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_try_at", BigInteger),  # null where it was given up
    Column("created_at", BigInteger, nullable=False),
    Column("happened_at", BigInteger),  # where it is told once more: when it happened
    Index(None, "next_try_at"),
    Index(
        "ix_events_created_at",
        "created_at",
        postgresql_where=text("next_try_at IS NOT NULL"),
        sqlite_where=text("next_try_at IS NOT NULL"),
    ),
    Index(
        "ix_events_given_up",
        "created_at",
        postgresql_where=text("next_try_at IS NULL"),
        sqlite_where=text("next_try_at IS NULL"),
    ),
)

# Authy v1: an application is a service, with keys and users of its own.

authy_keys = Table(
    "authy_keys",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("account_sid", String(34), nullable=False),
    Column(
        "service_sid", String(34), ForeignKey("services.sid", ondelete="CASCADE"), nullable=False
    ),
    Column("friendly_name", String(64), nullable=False),
    Column("key_digest", LargeBinary(32), nullable=False),  # SHA-256
    Column("created_at", BigInteger, nullable=False),
    Column("last_used_at", BigInteger),  # to the minute
    Column("revoked_at", BigInteger),
    Index("uq_authy_keys_digest", "key_digest", unique=True),
    Index(None, "account_sid", "sid"),
    Index(None, "service_sid"),
)

authy_users = Table(
    "authy_users",
    metadata,
    Column("service_sid", String(34), ForeignKey("services.sid"), primary_key=True),
    Column("authy_id", BigInteger, primary_key=True, autoincrement=False),
    Column(
        "entity_sid", String(34), ForeignKey("entities.sid", ondelete="CASCADE"), nullable=False
    ),
    Column("key_id", String(16), nullable=False),  # the secret key behind the next three
    Column("number_index", LargeBinary(32), nullable=False),
    Column("number_sealed", LargeBinary, nullable=False),
    Column("email_sealed", LargeBinary, nullable=False),
    Column("confirmed_at", BigInteger),  # the first right token
    Column("created_at", BigInteger, nullable=False),
    Index(None, "service_sid", "created_at"),
    Index("uq_authy_users_number", "service_sid", "number_index", unique=True),
    Index("uq_authy_users_entity", "entity_sid", unique=True),
)
