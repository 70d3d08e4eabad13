"""What the processes of a run are told, and the numbers that they send to."""

import itertools
import sys
from collections.abc import Iterator

from api_stub.sandbox.faults import MAGIC
from benchmarks.rig import Numbers

ACCOUNT, TOKEN = "AC" + "c" * 32, "chaos"
PROVIDER_ACCOUNT, PROVIDER_TOKEN = "AC" + "d" * 32, "provider"
# The shortest leases that the settings allow, so that a run stays short.
SHORT = {
    "SENDCODE_CONNECT_TIMEOUT": "0.5",
    "SENDCODE_READ_TIMEOUT": "1",
    "SENDCODE_LEASE_SECONDS": "9",
    "SENDCODE_SETTLE_SECONDS": "1",
}
UNLIMITED = {
    "SENDCODE_LIMIT_SENDS": "1000",
    "SENDCODE_LIMIT_DAILY": "1000",
    "SENDCODE_LIMIT_RANGE": "0",
    "SENDCODE_LIMIT_COUNTRY": "0",
}
CHAOS_WORKER = (sys.executable, "-P", "-m", "tests.chaos.worker")


def numbers() -> Iterator[str]:
    """Fictional numbers, none twice, none that the sandbox treats badly by itself."""
    made = Numbers()
    for _ in itertools.count():
        yield from (number for number in made.take(200) if number not in MAGIC)
