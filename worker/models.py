"""The tables. Times are ms since 1970 UTC by the database's clock; sids have 34 characters."""

import secrets
import time

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    text,
)
from sqlalchemy.types import JSON

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def new_sid(prefix: str) -> str:
    """A Twilio-shaped sid: two letters and 32 hex digits.

    The first 12 digits are the time in ms, so rows made together lie together in every index;
    the other 80 bits are random.
    """
    return f"{prefix}{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def sid_at(prefix: str, ms: int) -> str:
    """What sorts before every sid that is made from `ms` (since 1970 UTC) on, behind all others."""
    return f"{prefix}{max(0, ms):012x}"


services = Table(
    "services",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("account_sid", String(34), nullable=False),
    Column("friendly_name", String(32), nullable=False),
    Column("code_length", Integer, nullable=False),
    Column("code_life", Integer, nullable=False),  # seconds
    Column("send_limit", Integer),  # NULL, as below: the setting of the processes
    Column("check_limit", Integer),
    Column("press_key", Boolean, nullable=False),  # Twilio: dtmf_input_required
    Column("spoken_name", String(32)),  # Twilio: tts_name
    Column("do_not_share", Boolean, nullable=False),
    Column("plan", JSON, nullable=False),  # what follows a text that does not arrive
    Column("web_origin", String(253)),  # host of the origin-bound last line
    Column("default_template_sid", String(34)),  # its texts in place of ours
    Column("twilio_only", JSON, nullable=False),  # settings we keep for Twilio's shape alone
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    CheckConstraint("code_length BETWEEN 4 AND 10", name="code_length"),
    CheckConstraint("code_life BETWEEN 60 AND 86400", name="code_life"),
    Index(None, "account_sid", "created_at"),
)

verifications = Table(
    "verifications",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("account_sid", String(34), nullable=False),
    Column("service_sid", String(34), ForeignKey("services.sid"), nullable=False),
    Column("key_id", String(16), nullable=False),  # the secret key behind the next four
    Column("number_index", LargeBinary(32), nullable=False),
    Column("number_sealed", LargeBinary, nullable=False),
    Column("salt", LargeBinary(16), nullable=False),
    Column("code_digest", LargeBinary(32), nullable=False),
    Column("code_length", Integer, nullable=False),
    Column("country", String(2), nullable=False),
    Column("locale", String(8), nullable=False),
    Column("channel", String(4), nullable=False),  # the last one used
    Column("friendly_name", String(32)),  # overrides the service's
    Column("app_hash", String(11)),
    Column("template_sid", String(34)),
    Column("own_code", Boolean, nullable=False),  # the backend's, not derived
    Column("code_sealed", LargeBinary),  # that code, until it is handed over
    Column("payment_sealed", LargeBinary),  # amount and payee, which a check must repeat
    Column("send_digits", String(32)),  # keys a call presses once it is answered
    Column("status", String(20), nullable=False),
    Column("checks", Integer, nullable=False),
    Column("max_checks", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("approved_at", BigInteger),
    # One live verification per service and number; a spent one keeps its place until it expires.
    Index(
        "uq_verifications_live",
        "service_sid",
        "number_index",
        unique=True,
        postgresql_where=text("status IN ('pending', 'max_attempts_reached')"),
        sqlite_where=text("status IN ('pending', 'max_attempts_reached')"),
    ),
    Index(
        "ix_verifications_overdue",
        "expires_at",
        postgresql_where=text("status IN ('pending', 'max_attempts_reached')"),
        sqlite_where=text("status IN ('pending', 'max_attempts_reached')"),
    ),
    Index(
        "ix_verifications_code_sealed",
        "sid",
        postgresql_where=text("code_sealed IS NOT NULL"),
        sqlite_where=text("code_sealed IS NOT NULL"),
    ),
    Index(None, "number_index", "created_at"),
    Index(None, "created_at"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("verification_sid", String(34), ForeignKey("verifications.sid"), nullable=False),
    Column("channel", String(4), nullable=False),
    Column("queue", String(16), nullable=False),  # of the broker, see worker.states.queue_of
    Column("state", String(12), nullable=False),
    Column("step", Integer, nullable=False),  # 0: asked for; else its place in the service's plan
    Column("tries", Integer, nullable=False),  # claims so far; the fence of the current claim
    Column("doubts", Integer, nullable=False),  # provider calls whose outcome is unknown
    Column("next_try_at", BigInteger, nullable=False),
    Column("hinted_at", BigInteger, nullable=False),  # when the broker was last told; 0: never
    Column("lease_until", BigInteger),
    Column("expires_at", BigInteger, nullable=False),
    Column("sender", String(32)),  # who hands it over, or last tried to
    Column("only_by", String(32)),  # of a test: the one sender that may hand it over
    Column("slot_of", String(32)),  # the sender whose pace has a place for it at next_try_at
    Column("provider", String(16)),
    Column("provider_sid", String(34)),
    Column("error_code", String(32)),
    Column("follow_at", BigInteger),  # when the plan's next step is due, unless this one arrives
    Column("created_at", BigInteger, nullable=False),
    Column("published_at", BigInteger),
    Column("taken_at", BigInteger),
    Column("accepted_at", BigInteger),
    Column("delivered_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("segments", Integer),  # messages that the text took; NULL of a call, or not known
    Column("encoding", String(5)),  # of the text
    Column("price_micros", BigInteger),  # what it cost …
    Column("price_currency", String(3)),  # … in this currency …
    Column("price_told", Boolean),  # … as the provider told, else as estimated
    Index(None, "verification_sid"),
    Index(
        "ix_deliveries_due",
        "queue",
        "hinted_at",
        postgresql_where=text("state = 'queued'"),
        sqlite_where=text("state = 'queued'"),
    ),
    Index(
        "ix_deliveries_overdue",
        "expires_at",
        postgresql_where=text("state = 'queued'"),
        sqlite_where=text("state = 'queued'"),
    ),
    Index(
        "ix_deliveries_leased",
        "lease_until",
        postgresql_where=text("state = 'sending'"),
        sqlite_where=text("state = 'sending'"),
    ),
    Index(
        "ix_deliveries_unreceipted",
        "next_try_at",  # of an accepted one: when the provider is asked about it
        postgresql_where=text("state IN ('accepted', 'sent')"),
        sqlite_where=text("state IN ('accepted', 'sent')"),
    ),
    Index(
        "ix_deliveries_follow",
        "follow_at",
        postgresql_where=text("follow_at IS NOT NULL"),
        sqlite_where=text("follow_at IS NOT NULL"),
    ),
    # What operators look at first. A sid begins with the time, so this is in order of time too.
    Index(
        "ix_deliveries_failed",
        "sid",
        postgresql_where=text("state IN ('failed', 'undelivered', 'expired')"),
        sqlite_where=text("state IN ('failed', 'undelivered', 'expired')"),
    ),
    # However many texts of a verification fail, each step of the plan is taken once.
    Index(
        "uq_deliveries_step",
        "verification_sid",
        "step",
        unique=True,
        postgresql_where=text("step > 0"),
        sqlite_where=text("step > 0"),
    ),
)

receipts = Table(
    "receipts",
    metadata,
    Column("provider", String(16), primary_key=True),
    Column("provider_sid", String(34), primary_key=True),
    Column("status", String(20), primary_key=True),
    # One message may be taken for two deliveries; each learns what became of it.
    Column("delivery_sid", String(34), primary_key=True),
    Column("error_code", String(32)),
    Column("received_at", BigInteger, nullable=False),
    Column("asked", Boolean),  # true: we asked, and no callback with this word has come
    Index(None, "delivery_sid"),
)

number_guards = Table(
    "number_guards",
    metadata,
    Column("service_sid", String(34), primary_key=True),
    Column("number_index", LargeBinary(32), primary_key=True),
    Column("failures", Integer, nullable=False),  # wrong codes in a row
    Column("disabled_at", BigInteger),
    Column("updated_at", BigInteger),  # NULL of what an older process wrote
    Index(
        "ix_number_guards_untimed",
        "updated_at",
        postgresql_where=text("updated_at IS NULL"),
        sqlite_where=text("updated_at IS NULL"),
    ),
    Index(
        "ix_number_guards_idle",
        "updated_at",
        postgresql_where=text("disabled_at IS NULL"),
        sqlite_where=text("disabled_at IS NULL"),
    ),
    Index(
        "ix_number_guards_cleared",
        "updated_at",
        postgresql_where=text("failures = 0 AND disabled_at IS NULL"),
        sqlite_where=text("failures = 0 AND disabled_at IS NULL"),
    ),
)

requests = Table(
    "requests",
    metadata,
    Column("account_sid", String(34), primary_key=True),
    Column("request_index", LargeBinary(32), primary_key=True),  # keyed, as a number's is
    Column("fingerprint", LargeBinary(32), nullable=False),
    Column("verification_sid", String(34), nullable=False),
    Column("delivery_sid", String(34), nullable=False),
    Column("answered_at", BigInteger, nullable=False),  # the verification's updated_at then
    Column("created_at", BigInteger, nullable=False),
    Index(None, "created_at"),
)

# Authenticator apps

entities = Table(
    "entities",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("account_sid", String(34), nullable=False),
    Column("service_sid", String(34), ForeignKey("services.sid"), nullable=False),
    Column("identity", String(64), nullable=False),  # the backend's own name of its user
    Column("factors_made", Integer, nullable=False),  # since factors_made_from, deleted ones too
    Column("factors_made_from", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index("uq_entities_identity", "service_sid", "identity", unique=True),
    Index(None, "service_sid", "sid"),
)

factors = Table(
    "factors",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("entity_sid", String(34), ForeignKey("entities.sid"), nullable=False),
    Column("friendly_name", String(64), nullable=False),
    Column("status", String(10), nullable=False),
    Column("key_id", String(16), nullable=False),  # the secret key behind the next
    Column("secret_sealed", LargeBinary, nullable=False),
    Column("algorithm", String(6), nullable=False),
    Column("digits", Integer, nullable=False),
    Column("period", Integer, nullable=False),  # seconds
    Column("skew", Integer, nullable=False),  # steps before and after the present one
    Column("last_step", BigInteger, nullable=False),  # the last one accepted; -1 before the first
    Column("tries", Integer, nullable=False),  # guesses at its verification
    Column("failures", Integer, nullable=False),  # wrong codes in a row
    Column("disabled_at", BigInteger),
    Column("metadata", JSON(none_as_null=True)),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    CheckConstraint("status IN ('unverified', 'verified')", name="status"),
    Index(None, "entity_sid", "created_at"),
    Index(
        "ix_factors_unverified",
        "created_at",
        postgresql_where=text("status = 'unverified'"),
        sqlite_where=text("status = 'unverified'"),
    ),
)

challenges = Table(
    "challenges",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("factor_sid", String(34), ForeignKey("factors.sid"), nullable=False),
    Column("entity_sid", String(34), nullable=False),
    Column("status", String(8), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("details", JSON(none_as_null=True)),
    Column("hidden_details", JSON(none_as_null=True)),
    Column("metadata", JSON(none_as_null=True)),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("responded_at", BigInteger),
    Index(None, "factor_sid", "created_at"),
    Index(None, "entity_sid", "sid"),
    Index(None, "created_at"),
)

backup_sets = Table(
    "backup_sets",
    metadata,
    Column("entity_sid", String(34), ForeignKey("entities.sid"), primary_key=True),
    Column("salt", LargeBinary(16), nullable=False),  # of every code of the set
    Column("tries", Integer, nullable=False),  # since tries_from
    Column("tries_from", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),  # wrong codes in a row
    Column("created_at", BigInteger, nullable=False),
)

backup_codes = Table(
    "backup_codes",
    metadata,
    Column("entity_sid", String(34), ForeignKey("backup_sets.entity_sid"), primary_key=True),
    Column("code_hash", String(128), primary_key=True),  # Argon2id
    Column("used_at", BigInteger),
)
