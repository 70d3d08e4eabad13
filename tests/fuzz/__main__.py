"""`python -m tests.fuzz [--requests N] [--seed N]`: our OpenAPI document against a running api.

Starts everything on SQLite, has schemathesis send at least N requests with all of its checks,
positive and negative, and says what came of them. 0 when nothing failed.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.acceptance.running import Up
from tests.fuzz.run import SHORT, Size, run


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=SHORT.seed)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(
        prefix="sc-", dir="/tmp", ignore_cleanup_errors=True
    ) as folder:
        up = Up(Path(folder))
        try:
            up.start()
            passed = _all(up, Path(folder), options.requests, options.seed)
            up.stop()
        finally:
            up.kill()
            up.close()
    return 0 if passed else 1


def _all(up: Up, folder: Path, wanted: int, seed: int) -> bool:
    """Run seed after seed, up to as many requests or to the first failure."""
    done = 0
    while done < wanted:
        found = run(up, folder, Size.long(seed))
        done, seed = done + found.requests, seed + 1
        figures = {"requests": done, "seed": found.seed, "links": "{} of {}".format(*found.links)}
        tell(json.dumps(figures | {"answers": found.answers}))
        if not found.passed:
            tell(found.said)
            return False
    return True


def tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
