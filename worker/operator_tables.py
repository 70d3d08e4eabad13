"""The tables behind what operators do. Times and sids are as in `worker.models`."""

from sqlalchemy import (
    BigInteger,
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

pauses = Table(
    "pauses",
    metadata,
    Column("kind", String(8), primary_key=True),
    Column("name", String(32), primary_key=True),
    Column("reason", String(200), nullable=False),
    Column("paused_by", String(64), nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger),  # it ends by itself then; NULL: by hand only
)

blocks = Table(
    "blocks",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("kind", String(8), nullable=False),  # `number` or `prefix`
    Column("name", String(16), nullable=False),  # the prefix, or the number masked
    Column("reason", String(200), nullable=False),
    Column("blocked_by", String(64), nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger),
    Index(
        "uq_blocks_prefix",
        "name",
        unique=True,
        postgresql_where=text("kind = 'prefix'"),
        sqlite_where=text("kind = 'prefix'"),
    ),
)

blocked_numbers = Table(  # of a block of kind `number`, its index under each secret key
    "blocked_numbers",
    metadata,
    Column("number_index", LargeBinary(32), primary_key=True),
    Column("block_sid", String(34), ForeignKey("blocks.sid", ondelete="CASCADE"), nullable=False),
    Column("until", BigInteger),  # the block's
    Index(None, "block_sid"),
)

budgets = Table(  # what may be spent in a day of UTC
    "budgets",
    metadata,
    Column("scope", String(34), primary_key=True),  # `all`, a country, or a service's sid
    Column("unit", String(8), nullable=False),  # `messages`, or a currency in micros
    Column("most", BigInteger),  # NULL: there is none when `for_now` is over
    Column("for_now", BigInteger),  # in place of `most`, before `until`
    Column("until", BigInteger),
    Column("reason", String(200), nullable=False),
    Column("set_by", String(64), nullable=False),
    Column("since", BigInteger, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("who", String(64), nullable=False),
    Column("address", String(64), nullable=False),  # where from
    Column("action", String(32), nullable=False),
    Column("target", String(80), nullable=False),
    Column("reason", String(200), nullable=False),
    Column("before", JSON(none_as_null=True)),
    Column("after", JSON(none_as_null=True)),
    Index(None, "action", "sid"),
    Index(None, "who", "sid"),
    Index(None, "target", "sid"),
)

repeats = Table(  # what an operator has sent again: each delivery once, by whoever asks
    "repeats",
    metadata,
    Column(
        "delivery_sid",
        String(34),
        ForeignKey("deliveries.sid", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("repeated_by", String(34), nullable=False),  # the delivery that does
    Column("created_at", BigInteger, nullable=False),
)

bulk_jobs = Table(
    "bulk_jobs",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("verb", String(8), nullable=False),
    Column("options", JSON, nullable=False),
    Column("filters", JSON, nullable=False),
    Column("reason", String(200), nullable=False),
    Column("who", String(64), nullable=False),
    Column("address", String(64), nullable=False),
    Column("state", String(8), nullable=False),
    Column("total", Integer, nullable=False),  # what matched when it was made
    Column("done", Integer, nullable=False),
    Column("unchanged", Integer, nullable=False),  # nothing had to be done
    Column("failed", Integer, nullable=False),  # refused, such as by a limit
    Column("since", String(34), nullable=False),  # deliveries from this sid on …
    Column("cursor", String(34), nullable=False),  # … and before this one are still to do
    Column("lease_until", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Index(
        "ix_bulk_jobs_running",
        "sid",
        postgresql_where=text("state = 'running'"),
        sqlite_where=text("state = 'running'"),
    ),
)
