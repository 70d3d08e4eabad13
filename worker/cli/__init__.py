"""`sendcode`: results on stdout, messages on stderr.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 refused (limit, wrong code, expired),
5 broker or database unreachable.
"""

from worker.cli import codes, factors, keys, processes, services
from worker.cli.base import main

__all__ = ["codes", "factors", "keys", "main", "processes", "services"]
