"""`sendcode`: results on stdout, messages on stderr.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 refused (limit, wrong code, expired),
5 broker, database or sandbox unreachable.
"""

from worker.cli import (
    api_keys,
    authy,
    budgets,
    bulk,
    codes,
    demo,
    doctor,
    factors,
    inbox,
    keys,
    operate,
    operators,
    prefixes,
    processes,
    provider,
    services,
    top,
    watch,
    webhooks,
    workers,
)
from worker.cli.base import main

__all__ = [
    "api_keys",
    "authy",
    "budgets",
    "bulk",
    "codes",
    "demo",
    "doctor",
    "factors",
    "inbox",
    "keys",
    "main",
    "operate",
    "operators",
    "prefixes",
    "processes",
    "provider",
    "services",
    "top",
    "watch",
    "webhooks",
    "workers",
]
