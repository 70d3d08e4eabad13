"""The tables of what was counted per minute. Times are as in `worker.models`."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table

from worker.models import metadata

# ms from the promise to the provider's acceptance; what took longer than the last is beyond them.
WAIT_BOUNDS = (
    *(50, 100, 200, 300, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 7_500),
    *(10_000, 15_000, 30_000, 60_000),
)
WAITS = tuple(f"wait_{i}" for i in range(len(WAIT_BOUNDS) + 1))

# What became of the codes that were promised in one minute, as of the last look.
minutes = Table(
    "minutes",
    metadata,
    Column("minute", BigInteger, primary_key=True, autoincrement=False),  # its first ms
    Column("channel", String(4), primary_key=True),
    Column("country", String(2), primary_key=True),
    Column("codes", Integer, nullable=False),
    Column("approved", Integer, nullable=False),
    Column("deliveries", Integer, nullable=False),
    Column("accepted", Integer, nullable=False),  # by a provider
    Column("delivered", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    *(Column(name, Integer, nullable=False) for name in WAITS),
)

# The same minute by service: as many rows in a month as it has minutes, whatever is sent.
service_minutes = Table(
    "service_minutes",
    metadata,
    Column("service_sid", String(34), primary_key=True),
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("sms", Integer, nullable=False),
    Column("calls", Integer, nullable=False),
    Column("approved", Integer, nullable=False),
    Index(None, "minute"),
)

# What was paid for the deliveries of a minute, told or estimated. Currencies are never added up.
minute_costs = Table(
    "minute_costs",
    metadata,
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("channel", String(4), primary_key=True),
    Column("country", String(2), primary_key=True),
    Column("currency", String(3), primary_key=True),
    Column("micros", BigInteger, nullable=False),
)

service_costs = Table(
    "service_costs",
    metadata,
    Column("service_sid", String(34), primary_key=True),
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("currency", String(3), primary_key=True),
    Column("micros", BigInteger, nullable=False),
    Index(None, "minute"),
)

minute_looks = Table(
    "minute_looks",
    metadata,
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("looked_at", BigInteger, nullable=False),
)
